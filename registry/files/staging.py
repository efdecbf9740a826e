"""Folders of unfinished work. A marker file tells a later run that it may clear the folder.

A folder that is not empty and has no marker belongs to somebody else and is never touched.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from registry.errors import StorageError
from registry.files.durability import CAN_OPEN_FOLDERS
from registry.files.lock import lock_descriptor

#: Name of the marker file.
MARK: Final = ".made-by-df2"
_TEXT: Final = b"Unfinished work of df2, which clears this folder the next time it works here.\n"
#: Name of the lock file on Windows, where folders cannot be locked.
_LOCK: Final = ".lock"
_TEMPORARY: Final = "df2-run-"


def is_marked(folder: Path) -> bool:
    """Return whether a folder has the marker."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode) or not stat.S_ISREG((folder / MARK).lstat().st_mode):
            return False
        # A killed writer may have left only the beginning of the text.
        return _TEXT.startswith((folder / MARK).read_bytes()[: len(_TEXT) + 1])
    except OSError:
        return False


def claim(folder: Path) -> None:
    """Create a marked folder, or take over a marked or empty folder.

    Raises:
        StorageError: the folder holds something and has no marker.
        OSError: the folder cannot be created.
    """
    existed = os.path.lexists(folder)
    try:
        with suppress(FileExistsError):
            folder.mkdir()
        if is_marked(folder):
            return
        if not stat.S_ISDIR(folder.lstat().st_mode) or os.listdir(folder):
            raise StorageError(
                f"{folder} is in the way: df2 keeps unfinished work under this name, and did not make it. Move it "
                "elsewhere, then run this again."
            )
        (folder / MARK).write_bytes(_TEXT)
    except BaseException:  # also on a signal
        if not existed:
            discard_unlocked(folder)
        raise


def lock_folder(folder: Path) -> int | None:
    """Lock a folder of unfinished work; return the descriptor that holds the lock, or None if another process does.

    Raises:
        FileNotFoundError: the folder was removed or replaced in between.
        OSError: the folder cannot be opened or locked.
    """
    if CAN_OPEN_FOLDERS:
        path = folder
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    else:
        claim(folder)
        path = folder / _LOCK
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        is_locked = lock_descriptor(descriptor, wait=False)
        if is_locked and not os.path.samestat(os.stat(path), os.fstat(descriptor)):
            raise FileNotFoundError(f"{folder} was replaced")
    except BaseException:
        os.close(descriptor)
        raise
    if is_locked:
        return descriptor
    os.close(descriptor)
    return None


def clear(folder: Path) -> None:
    """Remove the contents of a folder of unfinished work, except the marker and the lock.

    Raises:
        OSError: an entry cannot be removed.
    """
    with os.scandir(folder) as entries:
        paths = [
            (Path(entry.path), entry.is_dir(follow_symlinks=False))
            for entry in entries
            if entry.name != MARK and (entry.name != _LOCK or CAN_OPEN_FOLDERS)
        ]
    for path, is_folder in paths:
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()


def discard(folder: Path, lock: int | None = None) -> None:
    """Remove a folder of unfinished work, its marker last, and give up its lock.

    Entries that cannot be removed are left to the next run. A folder that is neither marked nor empty stays.

    Args:
        folder: path of the folder.
        lock: descriptor of :func:`lock_folder`; it is closed.
    """
    if lock is not None and not CAN_OPEN_FOLDERS:  # Windows removes no open files
        os.close(lock)
    with suppress(OSError):
        if is_marked(folder):
            clear(folder)
            if not CAN_OPEN_FOLDERS:
                (folder / _LOCK).unlink(missing_ok=True)
            (folder / MARK).unlink(missing_ok=True)
        folder.rmdir()
    if lock is not None and CAN_OPEN_FOLDERS:
        os.close(lock)


def discard_unlocked(folder: Path) -> None:
    """Remove a folder of unfinished work as :func:`discard` does, unless another process holds its lock."""
    with suppress(OSError, StorageError):
        if (lock := lock_folder(folder)) is not None:
            discard(folder, lock)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new temporary folder that only this user can read; remove those of killed runs.

    The folder is created in ``DF2_TMPDIR``, or else in the system's temporary folder (``TMPDIR``).

    Raises:
        StorageError: the folder cannot be created.
    """
    try:
        base = Path(os.environ.get("DF2_TMPDIR") or tempfile.gettempdir()).absolute()
        _discard_leftovers(base)
        folder, lock = _new_locked_folder(base)
    except OSError as error:
        raise StorageError(
            f"Cannot write temporary files to {error.filename or 'TMPDIR'}: {error.strerror}. TMPDIR names another "
            "folder for them."
        ) from error
    try:
        yield folder
    finally:
        discard(folder, lock)


def _new_locked_folder(base: Path) -> tuple[Path, int]:
    """Return a new marked folder and the descriptor that locks it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=base))
        with suppress(FileNotFoundError):  # another run took it for a leftover and removed it
            (folder / MARK).write_bytes(_TEXT)
            lock = lock_folder(folder)
            if lock is not None:
                return folder, lock


def _discard_leftovers(base: Path) -> None:
    """Remove the temporary folders of killed runs: nobody holds their locks."""
    for folder in base.glob(f"{_TEMPORARY}*"):
        with suppress(OSError, StorageError):
            if hasattr(os, "geteuid") and folder.lstat().st_uid != os.geteuid():
                continue
            if is_marked(folder) or not os.listdir(folder):
                discard_unlocked(folder)
