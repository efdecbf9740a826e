"""Unfinished files and folders of this process, for the code that has to end it at once.

Writers remove what they do not finish in a ``finally``. A process whose main thread is inside C code, such as a query
of DuckDB, may not get there in time: whoever ends it then removes the paths that are registered here.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_paths: list[Path] = []


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Register an unfinished file or folder while the block runs; the block publishes or removes it itself."""
    _paths.append(path)
    try:
        yield path
    finally:
        _paths.remove(path)


def remove_temporary(seconds: float = 0.5) -> None:
    """Remove all registered paths. A folder that is not gone after so many seconds stays for the next writer."""
    until = time.monotonic() + seconds
    for path in list(_paths):
        with suppress(OSError):
            path.unlink()
        while path.is_dir() and time.monotonic() < until:  # another thread may still be writing into it
            shutil.rmtree(path, ignore_errors=True)
