"""Make files, folders and renames durable (fsync).

A file is durable once it was synced, its name once its folder was synced. After a crash, a rename whose folder was
not synced may be lost, and a rename of an unsynced file may show an empty file.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

#: Above this number of files, a single syncfs() is faster: each fsync() is a transaction of the file system.
_MOST_SYNCED_SINGLY: Final = 64
#: Errors of file systems that cannot sync a folder, and of Windows, which cannot open folders. SQLite ignores them too.
_CANNOT_SYNC_FOLDERS: Final = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
#: Windows syncs writable descriptors only.
_SYNC_FLAGS: Final = os.O_RDWR if os.name == "nt" else os.O_RDONLY
#: Whether the system can open, sync and lock folders; Windows cannot.
CAN_OPEN_FOLDERS: Final = hasattr(os, "O_DIRECTORY")
#: ``AT_FDCWD`` and ``RENAME_EXCHANGE`` of renameat2().
_CURRENT_FOLDER: Final = -100
_EXCHANGE: Final = 2
#: Errors of kernels and file systems without RENAME_EXCHANGE.
_CANNOT_EXCHANGE: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def sync_file(path: Path | str) -> None:
    """Sync the bytes of a file to the disk.

    Raises:
        OSError: the file cannot be opened or synced.
    """
    descriptor = os.open(path, _SYNC_FLAGS)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def sync_folder(path: Path | str) -> None:
    """Sync the names in a folder to the disk; do nothing where the file system cannot.

    Raises:
        OSError: the sync failed.
    """
    try:
        sync_file(path)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise


def open_folder(folder: Path) -> int | None:
    """Return a descriptor of a folder, or None on Windows.

    Raises:
        OSError: the folder cannot be opened.
    """
    return os.open(folder, os.O_RDONLY) if CAN_OPEN_FOLDERS else None


def make_folders(folder: Path) -> list[Path]:
    """Create a folder and its missing parents durably; return the created folders, deepest first.

    Raises:
        OSError: a folder cannot be created.
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


def replace_file(partial: Path, target: Path) -> None:
    """Move a finished file over another durably: sync its bytes, rename it, sync the folder.

    A reader sees the old file or the new file. Both paths must be on the same file system.

    Raises:
        OSError: a step failed; the target is as it was. Only if the folder cannot be synced on a file system without
            hard links, the new file stays.
    """
    sync_file(partial)
    is_new = not os.path.lexists(target)
    backup = target.with_name(f".{target.name[:40]}.{os.urandom(4).hex()}.partial")
    if not is_new:
        with suppress(OSError, NotImplementedError):  # no hard links here: then the new file stays
            os.link(target, backup, follow_symlinks=False)
    try:
        os.replace(partial, target)
        try:
            sync_folder(target.parent)
        except OSError:
            if is_new:
                target.unlink()
            elif os.path.lexists(backup):
                os.replace(backup, target)
            raise
    finally:
        backup.unlink(missing_ok=True)


def sync_tree(folder: Path, files: Iterable[str], descriptor: int | None) -> None:
    """Sync files and the folders above them, up to and including ``folder``.

    Args:
        folder: top of the tree.
        files: paths relative to ``folder``.
        descriptor: of ``folder``, opened before the first file was written: syncfs() reports the write errors since
            then. None on Windows.

    Raises:
        OSError: a file or folder cannot be synced.
    """
    paths = list(files)
    syncfs = getattr(_libc(), "syncfs", None)
    if len(paths) > _MOST_SYNCED_SINGLY and syncfs is not None and descriptor is not None:
        if syncfs(descriptor) != 0:
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
    """Exchange two files or folders atomically; return False where the system cannot.

    Raises:
        OSError: the system supports it, but the rename failed.
    """
    rename = getattr(_libc(), "renameat2", None)
    if rename is None:
        return False
    if rename(_CURRENT_FOLDER, os.fsencode(first), _CURRENT_FOLDER, os.fsencode(second), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))


@cache
def _libc() -> Any:
    """Return the C library, or None on Windows."""
    try:
        return ctypes.CDLL(None, use_errno=True)
    except (OSError, TypeError):
        return None
