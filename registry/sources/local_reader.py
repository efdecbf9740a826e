"""Files of a local folder: regular files only, and no links that lead out of the source."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from registry.files.positions import read_at
from registry.sources.faults import OPEN_FLAGS, Fault, cannot_read, kind_of_file, shown_name, too_large

_NO_LINK: Final = OPEN_FLAGS | getattr(os, "O_NOFOLLOW", 0)
#: Errors of ``open`` for a socket (ENXIO) and for a link that O_NOFOLLOW refuses (ELOOP): faults of the file.
_NOT_A_FILE: Final = (errno.ENXIO, errno.ELOOP)


class LocalReader:
    """Reads files of a local folder.

    Names are resolved from the open folder, which saves a walk down the path for each file.

    Args:
        folder: the folder; it may be a link itself.
        roots: further folders that links may lead into.
        follow_links: whether links may lead anywhere.

    Raises:
        SourceError: the folder cannot be opened.
    """

    def __init__(self, folder: Path, roots: Sequence[Path], *, follow_links: bool = False) -> None:
        self._folder = folder
        self._roots = [Path(os.path.realpath(root)) for root in (folder, *roots)]
        self._follow_links = follow_links
        try:
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise cannot_read(folder, error) from error

    def __enter__(self) -> LocalReader:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, name: str, max_bytes: int) -> bytes | Fault:
        """Return all bytes of a file, or its fault.

        Raises:
            SourceError: the file cannot be read.
        """
        opened = self._open(name)
        if isinstance(opened, Fault):
            return opened
        descriptor, size = opened
        try:
            if size > max_bytes:
                return too_large(size, max_bytes)
            data = os.read(descriptor, size + 1)
            if len(data) != size:  # the file is growing, or its file system reports no sizes
                data = _read_rest(descriptor, data, max_bytes)
            return data if len(data) <= max_bytes else too_large(None, max_bytes)
        except OSError as error:
            raise cannot_read(self._folder / name, error) from error
        finally:
            os.close(descriptor)

    def read_ends(self, name: str, num_first: int, num_last: int = 0) -> tuple[int, bytes, bytes] | Fault:
        """Return (size, first bytes, last bytes) of a file, or its fault.

        The last bytes begin after the first ones: no byte is returned twice.

        Raises:
            SourceError: the file cannot be read.
        """
        opened = self._open(name)
        if isinstance(opened, Fault):
            return opened
        descriptor, size = opened
        try:
            first = read_at(descriptor, num_first, 0)
            start = max(num_first, size - num_last)
            last = read_at(descriptor, size - start, start) if num_last and size > num_first else b""
            return size, first, last
        except OSError as error:
            raise cannot_read(self._folder / name, error) from error
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> tuple[int, int] | Fault:
        """Return (descriptor, size) of a regular file, or the fault of another file."""
        try:
            descriptor = os.open(name, _NO_LINK, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno not in _NOT_A_FILE:
                raise cannot_read(self._folder / name, error) from error
            opened = self._open_link(name)
            if isinstance(opened, Fault):
                return opened
            descriptor = opened
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return descriptor, status.st_size
        os.close(descriptor)
        return _not_regular(status.st_mode)

    def _open_link(self, name: str) -> int | Fault:
        """Return the descriptor of a link's target, or the fault of a socket, a dead link or a link out."""
        path = self._folder / name
        try:
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                return _not_regular(mode)
            target = Path(os.path.realpath(path))
            if not self._follow_links and not any(target.is_relative_to(root) for root in self._roots):
                return Fault(
                    f"is a link that leads out of the source, to {shown_name(str(target))}: expected a file of the "
                    "source; --follow-links reads it"
                )
            try:
                return os.open(target, _NO_LINK)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, *_NOT_A_FILE):
                    return Fault(f"cannot be read: {error.strerror}")
                raise
        except OSError as error:
            raise cannot_read(path, error) from error


def _read_rest(descriptor: int, data: bytes, max_bytes: int) -> bytes:
    """Return ``data`` and the bytes after it, up to one more than ``max_bytes``."""
    parts, size = [data], len(data)
    while size <= max_bytes and (part := os.read(descriptor, min(1 << 20, max_bytes + 1 - size))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _not_regular(mode: int) -> Fault:
    if stat.S_ISDIR(mode):
        return Fault("cannot be read: Is a directory")
    return Fault(f"expected a regular file, found {kind_of_file(mode, 'something else')}")
