"""The places of a split's photos in a file that processes share by mapping it into memory."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from registry.sources.listing import Entry


def write_index(path: Path, entries: Mapping[int, Entry]) -> None:
    """Write the entries of a split, ascending by image_id: ids and ends of records, and the records beside them."""
    records = [pickle.dumps(tuple(entry), pickle.HIGHEST_PROTOCOL) for entry in entries.values()]
    ends = np.cumsum([0, *map(len, records)], dtype=np.int64)
    np.save(path.with_suffix(".npy"), np.stack([np.fromiter((*entries, -1), np.int64, len(entries) + 1), ends]))
    path.with_suffix(".bin").write_bytes(b"".join(records) or b"\0")  # an empty file cannot be mapped


class PhotoIndex:
    """The entries in a file of :func:`write_index`, which this process alone or its parent wrote.

    Raises:
        FileNotFoundError: the file was removed.
    """

    def __init__(self, path: Path) -> None:
        self._ids, self._ends = np.load(path.with_suffix(".npy"), mmap_mode="r")
        self._records = np.memmap(path.with_suffix(".bin"), np.uint8, "r")

    def find(self, image_id: int) -> Entry | None:
        """Return the entry of a photo; None if there is none."""
        ids = self._ids[:-1]
        at = int(np.searchsorted(ids, image_id))
        if at == len(ids) or ids[at] != image_id:
            return None
        record = self._records[self._ends[at] : self._ends[at + 1]].tobytes()
        return Entry(*pickle.loads(record))  # from a private folder of this reader
