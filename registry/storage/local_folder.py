"""A local folder as a place: reads regular files, writes atomically and durably, locks. Raises OSError."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from registry.files.durability import make_folders
from registry.files.local_files import check_no_link, copy_file, move_file, path_inside, write_file
from registry.files.regular_files import (
    is_regular,
    open_regular,
    read_range,
    read_regular,
    regular_digest,
    regular_size,
)
from registry.storage import bounded_reads

#: Folder in a registry that holds caches, which belong to this machine and are no files of the registry.
CACHES: Final = ".df2"


class LocalFolder:
    """The files of a local folder, by their paths relative to it.

    Args:
        path: absolute path of the folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """Return the bytes of a file, at most :data:`registry.storage.bounded_reads.MAX_WHOLE`."""
        if regular_size(self.path / name) > bounded_reads.MAX_WHOLE:
            raise bounded_reads.TooMuchError(bounded_reads.MAX_WHOLE)
        return read_regular(self.path / name)

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from ``start`` up to ``end``; fewer if the file is shorter."""
        with open_regular(self.path / name) as descriptor:
            return read_range(descriptor, start, end)

    def size(self, name: str) -> int:
        """Return the size of a regular file."""
        return regular_size(self.path / name)

    def current_size(self, name: str) -> int:
        """Return the size of a file of any kind."""
        return os.stat(self.path / name).st_size

    def digest(self, name: str, size: int | None) -> tuple[int, bytes | None]:
        """Return size and SHA-256 of a file (:meth:`registry.storage.place.Place.digest`)."""
        if not is_regular(self.path / name):
            return -1, None
        return regular_digest(self.path / name, size)

    def fetch(self, name: str, target: Path, most: int | None) -> None:
        """Copy a file to a local file; local files have no bound."""
        shutil.copyfile(self.path / name, target)

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically and durably."""
        write_file(path_inside(self.path, name), data)

    def put(self, local: Path, name: str, *, keep: bool) -> None:
        """Move or copy a local file into the folder."""
        put = copy_file if keep else move_file
        put(local, path_inside(self.path, name))

    def sizes(self, name: str) -> dict[str, int]:
        """Return the sizes of all files below ``name``, by relative path; without those in :data:`CACHES`.

        Links have the size of the link itself.
        """
        sizes: dict[str, int] = {}
        for folder, folders, files in os.walk(self.path / name, onerror=_raise_unless_missing):
            if Path(folder) == self.path and CACHES in folders:
                folders.remove(CACHES)
            for file in files:
                path = Path(folder, file)
                with suppress(FileNotFoundError):  # another writer may remove files meanwhile
                    sizes[path.relative_to(self.path).as_posix()] = path.lstat().st_size
        return sizes

    def remove(self, name: str) -> None:
        """Remove a file, if it exists, and the folders that become empty."""
        path = path_inside(self.path, name)
        path.unlink(missing_ok=True)
        for folder in _parents_below(path, self.path):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return  # not empty

    def make_folder(self, name: str) -> None:
        """Create a folder durably."""
        make_folders(path_inside(self.path, f"{name}/"))

    def check_links(self, name: str) -> None:
        """Raise if a table's folder or a partition's folder in it is a link."""
        check_no_link(self.path / name)
        for parent, folders, _ in os.walk(self.path / name):
            folders[:] = [folder for folder in folders if "=" in folder]
            for folder in folders:
                check_no_link(Path(parent, folder))


def _parents_below(path: Path, root: Path) -> Iterator[Path]:
    """Yield the folders of a path from the deepest up to, but not including, ``root``."""
    for folder in path.parents:
        if folder == root:
            return
        yield folder


def _raise_unless_missing(error: OSError) -> None:
    """Raise an error of os.walk(), unless another writer removed the folder."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
