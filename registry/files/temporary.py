"""Unfinished files and folders, which are removed if the process ends before they are finished.

Writers remove their unfinished files in a ``finally``. While the main thread is inside C code, such as a DuckDB query,
a signal may end the process before that runs: the signal handling then removes the paths registered here.
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
from registry.files.durability import make_folders, replace_file

_paths: list[Path] = []
#: The thread that ends the process acquires this and never releases it: from then on nothing is published.
ending = threading.RLock()


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Register an unfinished file or folder during the block; the block itself publishes or removes it.

    Publish a folder after the block: some of its files may already have been removed.
    """
    with ending:  # a process that ends begins no new file
        _paths.append(path)
    try:
        yield path
    finally:
        with ending:
            _paths.remove(path)


def remove_temporary(seconds: float = 0.5) -> None:
    """Remove all registered paths; give up on a folder after this many seconds and leave it to the next writer."""
    deadline = time.monotonic() + seconds
    for path in list(_paths):
        with suppress(OSError):
            path.unlink()
        while path.is_dir() and time.monotonic() < deadline:  # another thread may still write to it
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path to write to, then replace the file atomically and durably.

    A device or pipe (``/dev/stdout``, a FIFO) is written to directly.

    Raises:
        StorageError: the file cannot be written; the old file is as it was and no partial file is left.
    """
    try:
        if is_special(path):
            yield path
            return
        # A part of the name: the whole could make the partial file's name too long.
        partial = path.with_name(f".{path.name[:40]}.{os.urandom(4).hex()}.partial")
        with temporary(partial):
            try:
                yield partial
                replace_file(partial, path)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        # Arrow raises OSError with the system's number and its own text.
        reason = os.strerror(error.errno) if error.errno else error
        raise StorageError(f"Cannot write {path}: {reason}") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically and durably (UTF-8).

    Raises:
        StorageError: the file cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def make_output_folder(folder: Path) -> None:
    """Create a folder for files that a user asked for, with its missing parents.

    Raises:
        StorageError: it cannot be created.
    """
    try:
        make_folders(folder)
    except OSError as error:
        raise StorageError(f"Cannot write {error.filename}: {error.strerror}") from error


def is_special(path: Path) -> bool:
    """Return whether a path is a device, pipe or socket, which must not be replaced by a file."""
    return path.exists() and not path.is_file() and not path.is_dir()
