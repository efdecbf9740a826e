"""Folders of unfinished work, marked so that a later run recognises and clears them, and nothing else.

A file of a fixed name and content is the mark. A folder without it that is not empty is somebody else's.
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

#: Name of the file that marks a folder of this program.
MARK: Final = ".made-by-df2"
_TEXT: Final = b"Unfinished work of df2, which clears this folder the next time it works here.\n"
_TEMPORARY: Final = "df2-run-"


def is_marked(folder: Path) -> bool:
    """Return whether a folder is one that this program made for unfinished work."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode) or not stat.S_ISREG((folder / MARK).lstat().st_mode):
            return False
        # A writer that was killed may have left a part of the text.
        return _TEXT.startswith((folder / MARK).read_bytes()[: len(_TEXT) + 1])
    except OSError:
        return False


def claim(folder: Path) -> None:
    """Make a folder for unfinished work, or take over one that is marked or empty.

    Raises:
        StorageError: it holds something and is not marked, so it is somebody else's.
        OSError: it cannot be made.
    """
    is_new = False
    try:
        with suppress(FileExistsError):
            folder.mkdir()
            is_new = True
        if is_marked(folder):
            return
        if not stat.S_ISDIR(folder.lstat().st_mode) or os.listdir(folder):
            raise StorageError(
                f"{folder} is in the way: df2 keeps unfinished work under this name, and did not make it. Move it "
                "elsewhere, then run this again."
            )
        (folder / MARK).write_bytes(_TEXT)
    except BaseException:  # a signal, for one
        if is_new:
            discard(folder)
        raise


def clear(folder: Path) -> None:
    """Remove what is in a folder of unfinished work; the mark stays.

    Raises:
        OSError: something cannot be removed.
    """
    with os.scandir(folder) as entries:
        paths = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries if entry.name != MARK]
    for path, is_folder in paths:
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()


def discard(folder: Path) -> None:
    """Remove a folder of unfinished work, its mark last; what cannot be removed is left to the next run.

    A folder that is neither marked nor empty is somebody else's and stays.
    """
    with suppress(OSError):
        if is_marked(folder):
            clear(folder)
            (folder / MARK).unlink(missing_ok=True)
        folder.rmdir()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for temporary files that only this user may read; what killed runs left of theirs is removed.

    It lies where ``DF2_TMPDIR`` says, or else in the system's folder for temporary files (``TMPDIR``).

    Raises:
        StorageError: the folder of temporary files (``TMPDIR``) cannot be written.
    """
    try:
        base = Path(os.environ.get("DF2_TMPDIR") or tempfile.gettempdir()).absolute()
        _discard_left(base)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=base))
            lock = _lock(folder)
            if lock is not None:
                break
        (folder / MARK).write_bytes(_TEXT)
    except OSError as error:
        raise StorageError(
            f"Cannot write temporary files to {error.filename or 'TMPDIR'}: {error.strerror}. TMPDIR names another "
            "folder for them."
        ) from error
    try:
        yield folder
    finally:
        discard(folder)
        os.close(lock)


def _discard_left(base: Path) -> None:
    """Remove the temporary folders of runs that were killed: nobody holds their locks."""
    for folder in base.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):
            if folder.lstat().st_uid != os.geteuid():
                continue
            lock = _lock(folder)
            if lock is not None:
                try:
                    if is_marked(folder) or not os.listdir(folder):
                        discard(folder)
                finally:
                    os.close(lock)


def _lock(folder: Path) -> int | None:
    """Return a descriptor that holds a folder, or None if another run holds or removed it."""
    import fcntl  # not on Windows, where reading needs none of this

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(folder), os.fstat(descriptor)):
            return descriptor
    except OSError:  # held by another run, or gone
        pass
    os.close(descriptor)
    return None
