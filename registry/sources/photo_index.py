"""The places of a split's photos in a file that processes share by mapping it into memory."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from registry.sources.entries import Entries, Entry
from registry.sources.zip_directory import Member
from registry.sources.zip_listing import ZipPlaces
from registry.sources.zip_records import MEMBER_TYPE
from registry.sources.zips import ZipSource


def write_index(path: Path, entries: Iterable[Entry]) -> None:
    """Write the entries of a split, ascending by image_id: ids and ends of records, and the records beside them."""
    image_ids, ends = array("q"), array("q", [0])
    with open(path.with_suffix(".bin"), "wb") as file:
        for entry in entries:
            image_ids.append(entry.image_id)
            ends.append(ends[-1] + file.write(pickle.dumps(tuple(entry), pickle.HIGHEST_PROTOCOL)))
        if not image_ids:
            file.write(b"\0")  # an empty file cannot be mapped
    image_ids.append(-1)
    np.save(path.with_suffix(".npy"), np.array([image_ids, ends]))


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
        at = _position(self._ids[:-1], image_id)
        if at is None:
            return None
        record = self._records[self._ends[at] : self._ends[at + 1]].tobytes()
        return Entry(*pickle.loads(record))  # from a private folder of this reader


def write_zip_index(path: Path, entries: Entries, places: ZipPlaces) -> None:
    """Write the entries of an ordinary zip archive to a file ``.npy`` for :class:`ZipPhotoIndex`."""
    index = np.empty(len(entries), [("image_id", "<i8"), ("member", MEMBER_TYPE)])
    index["image_id"] = entries.image_ids
    index["member"] = places.members if entries.positions is None else places.members[entries.positions]
    np.save(path, index)


class ZipPhotoIndex:
    """The photos in a file of :func:`write_zip_index`, mapped into memory.

    Args:
        path: of the file.
        source: the archive.

    Raises:
        FileNotFoundError: the file was removed.
    """

    def __init__(self, path: Path, source: ZipSource) -> None:
        self._index = np.load(path, mmap_mode="r")
        self._folder = f"{source.prefix}/image/" if source.prefix else "image/"

    def find(self, image_id: int) -> Entry | None:
        """Return the entry of a photo; None if there is none."""
        at = _position(self._index["image_id"], image_id)
        if at is None:
            return None
        packed = self._index["member"][at].tobytes()
        member, name = Member.unpack(packed), f"{image_id:06d}.jpg"
        locator = packed if member.is_plain else (self._folder + name, packed)
        return Entry(image_id, name, locator, member.size, member.crc)


def _position(image_ids: npt.NDArray[Any], image_id: int) -> int | None:
    """Return the position of a number among ascending numbers; None if it is not there."""
    at = int(np.searchsorted(image_ids, image_id))
    return at if at < len(image_ids) and image_ids[at] == image_id else None
