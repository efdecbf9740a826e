"""Open local files that must be regular: reading a FIFO may block forever, and a device may never end."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Flags of os.open() for reading; without O_NONBLOCK, opening a FIFO waits for a writer.
READ_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_KINDS: Final = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[int]:
    """Open a regular file for reading; yield its descriptor.

    Symbolic links are followed, because DVC links files into its cache (``cache.type symlink``). Callers compare size
    and digest with the expected ones, so it does not matter where the bytes lie.

    Raises:
        OSError: the file cannot be opened, or is a folder, FIFO, device or socket.
    """
    _check_regular(os.stat(path), path)  # before opening: opening a device may have effects
    descriptor = os.open(path, READ_FLAGS)
    try:
        _check_regular(os.fstat(descriptor), path)  # again: the path may have been replaced in between
        yield descriptor
    finally:
        os.close(descriptor)


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: as :func:`open_regular`.
    """
    with open_regular(path) as descriptor, open(descriptor, "rb", closefd=False) as file:
        return file.read()


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Return whether a path, after symbolic links, is a regular file.

    Raises:
        OSError: the path does not exist or cannot be read.
    """
    return stat.S_ISREG(os.stat(path).st_mode)


def regular_size(path: str | os.PathLike[str]) -> int:
    """Return the size of a regular file in bytes.

    Raises:
        OSError: as :func:`open_regular`.
    """
    status = os.stat(path)
    _check_regular(status, path)
    return status.st_size


def regular_digest(path: str | os.PathLike[str], size: int | None = None) -> tuple[int, bytes | None]:
    """Return the size and SHA-256 of a regular file.

    Args:
        path: of the file.
        size: expected size. A file of another size is not read and has None for the SHA-256.

    Raises:
        OSError: as :func:`open_regular`.
    """
    with open_regular(path) as descriptor, open(descriptor, "rb", closefd=False) as file:
        actual_size = os.fstat(descriptor).st_size
        if size not in (None, actual_size):
            return actual_size, None
        digest = hashlib.file_digest(file, "sha256").digest()
        return file.tell(), digest


def read_range(descriptor: int, start: int, end: int) -> bytes:
    """Return the bytes from ``start`` up to ``end``; fewer if the file is shorter. Moves the file position."""
    os.lseek(descriptor, start, os.SEEK_SET)
    pieces = []
    while start < end and (piece := os.read(descriptor, end - start)):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _check_regular(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    """Raise OSError unless a file is regular."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"expected a regular file, found {kind}", os.fspath(path))
