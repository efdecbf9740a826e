"""Opening local files that must be regular: a FIFO would wait for ever, a device never end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[int]:
    """Open a regular file for reading; yield its descriptor.

    A symbolic link is followed: DVC puts links into its cache where ``cache.type`` is ``symlink``. So whoever reads
    compares size and digest with what is expected; then it does not matter where the bytes lie.

    Raises:
        OSError: the file cannot be opened, or is a folder, a FIFO, a device or a socket.
    """
    _check(os.stat(path), path)  # opening a device may already do something
    descriptor = os.open(path, _FLAGS)
    try:
        _check(os.fstat(descriptor), path)  # the name may stand for something else by now
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
        OSError: there is nothing.
    """
    return stat.S_ISREG(os.stat(path).st_mode)


def regular_size(path: str | os.PathLike[str]) -> int:
    """Return the size of a regular file.

    Raises:
        OSError: as :func:`open_regular`.
    """
    status = os.stat(path)
    _check(status, path)
    return status.st_size


def read_range(descriptor: int, start: int, end: int) -> bytes:
    """Return the bytes from ``start`` up to ``end``; fewer where the file ends before."""
    pieces = []
    while start < end and (piece := os.pread(descriptor, end - start, start)):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _check(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"expected a regular file, found {_kind(status.st_mode)}", os.fspath(path))


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
