"""Files and folders that are not finished: written beside their place, and never left there half.

Writers remove what they do not finish in a ``finally``. A process whose main thread is inside C code, such as a query
of DuckDB, may not get there in time: the code that ends it then removes the paths that are registered here.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.errors import StorageError
from registry.files.durability import sync_file, sync_folder

_paths: list[Path] = []
#: Taken and never released by the thread that ends the process: from then on no unfinished file is published.
ending = threading.RLock()


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Register an unfinished file or folder while the block runs; the block publishes or removes it itself.

    A folder is published after the block: a part of it may have been removed before.
    """
    _paths.append(path)
    try:
        yield path
    finally:
        with ending:
            _paths.remove(path)


def remove_temporary(seconds: float = 0.5) -> None:
    """Remove all registered paths. A folder that is not gone after so many seconds stays for the next writer."""
    until = time.monotonic() + seconds
    for path in list(_paths):
        with suppress(OSError):
            path.unlink()
        while path.is_dir() and time.monotonic() < until:  # another thread may still be writing into it
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield where to write a file that takes the place of another one when it is whole and on the disk.

    A device or a pipe (``/dev/stdout``, a FIFO) is written to and not replaced.

    Raises:
        StorageError: the file cannot be written; the old one is as it was, and nothing half-written is left.
    """
    try:
        if is_special(path):
            yield path
            return
        # The whole name would be too long where the file's own is nearly so.
        partial = path.with_name(f".{path.name[:40]}.{os.urandom(4).hex()}.partial")
        with temporary(partial):
            try:
                yield partial
                sync_file(partial)
                os.replace(partial, path)
                sync_folder(path.parent)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        # Arrow's errors carry the system's number, and a text of their own.
        reason = os.strerror(error.errno) if error.errno else error
        raise StorageError(f"Cannot write {path}: {reason}") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def is_special(path: Path) -> bool:
    """Return whether a path is that of a device, a pipe or a socket, which no file may take the place of."""
    return path.exists() and not path.is_file() and not path.is_dir()
