"""Exclusive locks of local files and folders. A lock ends with the process that holds it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from registry.errors import ConflictError, StorageError
from registry.files.durability import make_folders

#: Seconds to retry creating the folder while another writer removes it; a broken link looks the same.
_RETRY_SECONDS: Final = 2.0
#: Seconds between two attempts to lock a file that another process holds.
_POLL_SECONDS: Final = 0.01
_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def lock_descriptor(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file exclusively until its descriptor is closed; return False if another process holds it.

    Where Python has no file locks (neither ``fcntl`` nor Windows), nothing is locked and the result is True.

    Args:
        descriptor: of the file.
        wait: for the other process, instead of returning False.

    Raises:
        OSError: the file system cannot lock.
    """
    import filelock  # late: only writers need it

    if not filelock.has_fcntl and sys.platform != "win32":
        return True
    return filelock.lock_descriptor(descriptor, blocking=wait, poll_interval=_POLL_SECONDS)


@contextmanager
def locked(folder: Path, name: str, *, wait: bool) -> Iterator[None]:
    """Lock a folder for writing, by a ``.lock`` file in it.

    A missing folder is created, and removed at the end if nothing was written to it. The file is removed at the end
    where the system can remove an open file, so that git sees nothing of it.

    Args:
        folder: path of the folder.
        name: of the folder in messages.
        wait: for another writer, instead of raising ConflictError.

    Raises:
        ConflictError: another writer holds the lock.
        StorageError: the folder cannot be written to or locked.
    """
    lock = folder / ".lock"
    descriptor = _acquire(lock, name, wait=wait)
    try:
        yield
    finally:
        # While it is held: writers that wait for this file find it gone, and lock a new file.
        with suppress(OSError):  # the folder was removed, or holds files
            lock.unlink()
            folder.rmdir()
        os.close(descriptor)


def _acquire(lock: Path, name: str, *, wait: bool) -> int:
    """Return the locked descriptor of a lock file."""
    while True:
        descriptor = _open(lock, name)
        try:
            if not lock_descriptor(descriptor, wait=wait):
                raise ConflictError(f"Another writer is at work at {name}; run this again when it is done.")
            # The previous holder may have removed the file: then the lock guards nothing, and a new file is needed.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(lock), os.fstat(descriptor)):
                    return descriptor
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"Cannot lock {name}: {error.strerror}") from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open(lock: Path, name: str) -> int:
    """Return the descriptor of a lock file; create the file and its folder if missing."""
    folder = lock.parent
    deadline = time.monotonic() + _RETRY_SECONDS
    while True:
        try:
            make_folders(folder)
            return os.open(lock, _FLAGS, 0o666)
        except OSError as error:
            # Another writer may have removed or created the folder in between.
            is_race = isinstance(error, FileExistsError) and (folder.is_dir() or not os.path.lexists(folder))
            if (is_race or isinstance(error, FileNotFoundError)) and time.monotonic() < deadline:
                continue
            raise StorageError(f"Cannot write to {name}: {error.strerror}") from error
