"""A folder that is filled with the members of an archive, and goes on where an earlier run was ended."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from registry.errors import ConflictError
from registry.files.durability import open_folder, sync_folder, sync_tree
from registry.files.regular_files import read_regular
from registry.files.staging import claim, discard, lock_folder
from registry.sources.zip_directory import content_fits


class UnlockedFolder:
    """A folder of files. Until it is finished they lie in the marked folder ``.NAME.df2-unlock`` beside it.

    Args:
        dest: path of the finished folder.

    Raises:
        ConflictError: another process fills the folder.
        StorageError: the unfinished folder is none of df2's.
        OSError: it cannot be made.
    """

    def __init__(self, dest: Path) -> None:
        self._dest = dest
        self._staging = dest.with_name(f".{dest.name}.df2-unlock")
        self._files = self._staging / "files"
        self._names: list[str] = []
        self._made: set[Path] = set()
        claim(self._staging)
        self._lock = lock_folder(self._staging)
        if self._lock is None:
            raise ConflictError(f"Another process unlocks {dest}; run this again when it is done.")
        self._files.mkdir(exist_ok=True)
        self._descriptor = open_folder(self._files)

    def resume(self, infos: Sequence[zipfile.ZipInfo]) -> int:
        """Return the number of the first members whose files are complete.

        Raises:
            OSError: a file cannot be read.
        """
        for number, info in enumerate(infos):
            path = self._files / info.filename
            try:
                data = read_regular(path)
            except (FileNotFoundError, NotADirectoryError):
                return number
            if not content_fits(info, len(data), zlib.crc32(data)):
                return number
            self._names.append(info.filename)
        return len(infos)

    def bytes_to_write(self, infos: Sequence[zipfile.ZipInfo]) -> int:
        """Return the number of bytes of the remaining files."""
        return sum(info.file_size for info in infos)

    def add(self, info: zipfile.ZipInfo, data: bytes) -> None:
        """Add a file; it gets its name when it is complete."""
        path = self._files / info.filename
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        partial = self._staging / "partial"
        partial.write_bytes(data)
        os.replace(partial, path)
        self._names.append(info.filename)

    def finish(self) -> None:
        """Give the folder its name."""
        names = set(self._names)
        for path in list(self._files.rglob("*")):  # of another archive, which an earlier run began to unlock here
            if not path.is_dir() and path.relative_to(self._files).as_posix() not in names:
                path.unlink()
        sync_tree(self._files, self._names, self._descriptor)
        self._files.rename(self._dest)
        sync_folder(self._dest.parent)

    def close(self) -> None:
        """Give up the lock; unfinished work stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        if not self._files.is_dir() or not self._names:
            discard(self._staging, self._lock)
        elif self._lock is not None:
            os.close(self._lock)
