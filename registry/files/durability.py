"""Having the operating system write files and folders to the disk, before anything says that they are there.

A file is on the disk when it was synced, and its name when its folder was: a rename alone may be lost, or come before
the bytes that it names.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

#: With more files than this, the file system is asked for all it holds at once: each sync of a file is a transaction
#: of the file system.
_FEW: Final = 64
#: What file systems say that cannot sync a folder; SQLite passes over it too.
_NO_FOLDERS: Final = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
_CURRENT_FOLDER: Final = -100
_EXCHANGE: Final = 2
#: What a kernel or file system says that knows no exchange.
_NO_EXCHANGE: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def sync_file(path: Path | str) -> None:
    """Have the bytes of a file written to the disk.

    Raises:
        OSError: they cannot be.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def sync_folder(path: Path | str) -> None:
    """Have the names in a folder written to the disk; file systems that cannot are left alone.

    Raises:
        OSError: they cannot be.
    """
    try:
        sync_file(path)
    except OSError as error:
        if error.errno not in _NO_FOLDERS:
            raise


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it, on the disk too; return the new ones, the deepest first.

    Raises:
        OSError: one cannot be made.
    """
    missing = []
    for path in (folder, *folder.parents):
        if os.path.lexists(path):
            break
        missing.append(path)
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)
    return missing


def sync_tree(folder: Path, files: Iterable[str], handle: int) -> None:
    """Have files and their folders written to the disk.

    Args:
        folder: the folder.
        files: their paths below it.
        handle: descriptor of the folder, opened before the first of them was written.

    Raises:
        OSError: one cannot be written, now or since ``handle`` was opened.
    """
    paths = list(files)
    syncfs = getattr(_libc(), "syncfs", None)
    if len(paths) > _FEW and syncfs is not None:
        if syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
        return
    folders = {""}
    for path in paths:
        if not os.path.islink(folder / path):
            sync_file(folder / path)
        while path := path.rpartition("/")[0]:
            folders.add(path)
    for path in folders:
        sync_folder(folder / path)


def exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two files or folders in one step; return False where the system cannot.

    Raises:
        OSError: it can, and one of them cannot be renamed.
    """
    rename = getattr(_libc(), "renameat2", None)
    if rename is None:
        return False
    if rename(_CURRENT_FOLDER, os.fsencode(first), _CURRENT_FOLDER, os.fsencode(second), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
