"""One private folder for the temporary files of a process: nobody else can read it, and it does not stay."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows: leftovers of killed processes stay until the system clears its folder
    fcntl = None  # type: ignore[assignment]

_PREFIX: Final = "df2-private-"
_LEFTOVER: Final = re.compile(re.escape(_PREFIX) + r"\w{8}")
#: Held for as long as the process lives; an unheld lock tells that the folder is a leftover.
_LOCK: Final = ".lock"

_guard = threading.Lock()
_folders: dict[int, Path] = {}


def private_folder() -> Path:
    """Return the private folder of this process; the first call makes it (mode 0700) and removes leftovers.

    It lies where ``DF2_TMPDIR`` says, or else in the system's folder for temporary files (``TMPDIR``), and is removed
    when the process ends. That of a process that was killed is removed by the next process that makes one.

    Raises:
        OSError: it cannot be made.
    """
    with _guard:
        path = _folders.get(os.getpid())
        if path is None:
            parent = Path(os.environ.get("DF2_TMPDIR") or tempfile.gettempdir()).absolute()
            _remove_leftovers(parent)
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            _folders[os.getpid()] = path  # a forked child has none yet
            atexit.register(_remove, path, os.getpid())
            with suppress(OSError):  # a file system without locks: then no folder in it is ever taken for a leftover
                _hold(path / _LOCK)
        return path


def _hold(lock: Path) -> None:
    """Lock a file until the process ends; the descriptor stays open on purpose."""
    unnamed = lock.with_suffix(".new")  # under its name the lock is held from the first moment on
    descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    if fcntl:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.rename(unnamed, lock)


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    """Remove private folders of processes that are gone: named as ours, owned by this user, private and not locked."""
    if not fcntl:
        return
    with suppress(OSError):
        for entry in list(os.scandir(parent)):
            if _LEFTOVER.fullmatch(entry.name) and _is_leftover(Path(entry.path)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_leftover(folder: Path) -> bool:
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            return False
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except OSError:  # it is locked, or was made just now and has no lock yet
        return False
    return True
