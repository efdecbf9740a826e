"""What was read of photos, kept on this machine, so that an interrupted reading goes on where it stopped.

Unchanged photos are not read again either. A journal is a text file with a line of JSON for each photo. Lines are
appended as photos are read, so a killed process loses the photos of its last moments alone; a line that it cut is
ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from registry.errors import StorageError
from registry.files.temporary import make_output_folder, replacing, write_text
from registry.ingest.photo_measures import MEASURES, Measures
from registry.sources.faults import Fault
from registry.sources.photo_headers import PhotoChecksum
from registry.storage.local_folder import CACHES

#: Folder of the journals in the folder of a registry.
FOLDER: Final = f"{CACHES}/described"
_IGNORED: Final = "# What 'df2 photos describe' has read; it reads the photos again without it.\n*\n"


def make_journal_folder(folder: Path) -> None:
    """Create a folder for journals that git does not list.

    Raises:
        StorageError: it cannot be created.
    """
    make_output_folder(folder)
    if not (folder / ".gitignore").exists():
        write_text(folder / ".gitignore", _IGNORED)


class Journal:
    """The photos of a split that were read before.

    Args:
        folder: of the journals; created with the first line. None for a journal that keeps nothing.
        split: the split.

    Raises:
        StorageError: the journal cannot be read.
    """

    def __init__(self, folder: Path | None, split: str) -> None:
        self._path = folder / f"{split}-{MEASURES}.jsonl" if folder else None
        #: Name of the photo -> its last line, which is decoded when it is asked for.
        self._lines: dict[str, bytes] = {}
        self._is_new = True
        self._num_lines = 0
        if self._path is None:
            return
        try:
            data = self._path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StorageError(f"Cannot read {self._path}: {error.strerror}") from error
        whole, _, cut = data.rpartition(b"\n")
        for line in whole.split(b"\n"):
            with suppress(ValueError, IndexError, TypeError):
                self._lines[json.loads(line[: line.index(b",")] + b"]")[0]] = line
            self._num_lines += 1
        if cut:
            self._rewrite()
        self._is_new = False

    def find(self, name: str) -> tuple[PhotoChecksum, Measures, Fault | None] | None:
        """Return checksum, measures and fault of a photo; None if it was not read, or its line is damaged."""
        line = self._lines.get(name)
        if line is None:
            return None
        try:
            _, checksum, measures, fault = json.loads(line)
            return tuple(checksum), Measures(*measures), None if fault is None else Fault(fault)
        except (ValueError, TypeError):
            return None

    def checksum(self, name: str) -> PhotoChecksum | None:
        """Return the checksum of a photo; None as in :meth:`find`."""
        photo = self.find(name)
        return photo[0] if photo else None

    def add(self, photos: Iterable[tuple[str, PhotoChecksum, Measures, Fault | None]]) -> None:
        """Add photos, given as name, checksum, measures and fault.

        Raises:
            StorageError: the journal cannot be written.
        """
        lines = [json.dumps(photo).encode() for photo in photos]
        if self._path is None or not lines:
            return
        try:
            if self._is_new:
                make_journal_folder(self._path.parent)
                self._is_new = False
            with open(self._path, "ab", buffering=0) as file:
                file.write(b"".join(line + b"\n" for line in lines))
        except OSError as error:
            raise StorageError(f"Cannot write {self._path}: {error.strerror}") from error
        self._num_lines += len(lines)

    def forget_others(self, names: Iterable[str]) -> None:
        """Shrink the journal to the last line of each of these photos if it has far more lines."""
        photos = set(names)
        if self._path is None or self._num_lines <= 2 * len(photos) + 1_000:
            return
        newest = Journal(self._path.parent, self._path.name.rpartition("-")[0])
        newest._lines = {name: line for name, line in newest._lines.items() if name in photos}
        newest._rewrite()

    def _rewrite(self) -> None:
        assert self._path is not None
        with replacing(self._path) as partial:
            partial.write_bytes(b"".join(line + b"\n" for line in self._lines.values()))
