"""One private folder for the temporary files of a process: nobody else can read it, and it does not stay."""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import ExitStack
from pathlib import Path

from registry.files.staging import temporary_folder

_guard = threading.Lock()
_folders: dict[int, Path] = {}


def private_folder() -> Path:
    """Return the private folder of this process; the first call makes it (mode 0700) and removes leftovers.

    It is a :func:`registry.files.staging.temporary_folder` that is removed when the process ends.

    Raises:
        StorageError: it cannot be made.
    """
    process = os.getpid()  # a forked child has none yet
    with _guard:
        if process not in _folders:
            stack = ExitStack()
            _folders[process] = stack.enter_context(temporary_folder())
            atexit.register(_close, stack, process)
        return _folders[process]


def _close(stack: ExitStack, process: int) -> None:
    if os.getpid() == process:
        stack.close()
