"""Locks of local folders: one writer at a time, and none is left behind by a process that is killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from registry.errors import ConflictError, StorageError
from registry.files.durability import make_folders

#: So long a folder that comes and goes is made again before it is said not to be there, as behind a broken link.
_SECONDS: Final = 2.0


@contextmanager
def locked(folder: Path, name: str, *, wait: bool) -> Iterator[None]:
    """Hold a folder for writing; it is made if it is not there, and gone again if nothing came of it.

    Args:
        folder: the folder.
        name: how messages call it.
        wait: for another writer that holds it.

    Raises:
        ConflictError: another writer holds it, and is not waited for.
        StorageError: the folder cannot be written to.
    """
    lock = folder / ".lock"
    descriptor = _acquire(lock, name, wait=wait)
    try:
        yield
    finally:
        with suppress(OSError):  # another writer may come in between, or the folder be gone
            if os.listdir(folder) == [lock.name]:
                lock.unlink()
                folder.rmdir()
        os.close(descriptor)


def _acquire(lock: Path, name: str, *, wait: bool) -> int:
    """Return the descriptor of a locked file, which is the one that is at its path by now."""
    import fcntl  # not on Windows, where reading needs none of this

    while True:
        descriptor = _open(lock, name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            os.close(descriptor)
            raise ConflictError(f"Another writer is at work at {name}; run this again when it is done.") from error
        # The one who held it may have removed it; then it locks nothing.
        with suppress(FileNotFoundError):
            if os.stat(lock).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _open(lock: Path, name: str) -> int:
    folder = lock.parent
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            make_folders(folder)
            return os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            # Another writer may have removed the folder in between, or made it again just now.
            gone = isinstance(error, FileExistsError) and (folder.is_dir() or not os.path.lexists(folder))
            if (gone or isinstance(error, FileNotFoundError)) and time.monotonic() < deadline:
                continue
            raise StorageError(f"Cannot write to {name}: {error.strerror}") from error
