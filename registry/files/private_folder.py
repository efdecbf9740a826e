"""A temporary folder per process that only this user can read."""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import ExitStack
from multiprocessing.util import Finalize
from pathlib import Path

from registry.files.staging import temporary_folder

_guard = threading.Lock()
#: Process id -> its folder; a forked child finds only its parent's.
_folders: dict[int, Path] = {}


def private_folder() -> Path:
    """Return the private folder (mode 0700) of this process; it is removed when the process ends.

    The first call creates it with :func:`registry.files.staging.temporary_folder`.

    Raises:
        StorageError: the folder cannot be created.
    """
    process = os.getpid()
    with _guard:
        if process not in _folders or not _folders[process].is_dir():  # a cleaner of TMPDIR may have removed it
            stack = ExitStack()
            _folders[process] = stack.enter_context(temporary_folder())
            atexit.register(_close, stack, process)
            Finalize(
                None, _close, (stack, process), exitpriority=-100
            )  # worker processes run nothing else at their end
        return _folders[process]


def check_own(folder: Path) -> None:
    """Raise FileNotFoundError unless this user made a folder.

    Where a temporary folder was removed, another user may make one of the same name.
    """
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise FileNotFoundError(f"{folder} belongs to another user")


def _close(stack: ExitStack, process: int) -> None:
    """Remove the folder, unless this is a forked child that inherited the registration."""
    if os.getpid() == process:
        stack.close()
