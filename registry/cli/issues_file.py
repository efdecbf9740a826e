"""The file of issues and notices that an ingestion writes: of df2, or not touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from registry.errors import StorageError, UsageError
from registry.files.durability import make_folders
from registry.files.temporary import is_special, write_text
from registry.redaction import printable

#: How the first line begins; it tells the files that may be replaced and removed from all others.
_MARK: Final = "# df2 ingest: issues of "


def check(path: Path) -> None:
    """Raise, before the work begins, if issues could not be written to this path afterwards.

    Raises:
        UsageError: there is a file that df2 did not write.
        StorageError: the folder cannot be written to.
    """
    try:
        if is_special(path):
            return
        if path.exists() and path.stat().st_size and not _is_ours(path):
            raise UsageError(
                f"{path} was not written by 'df2 ingest', so it is not replaced: move it away, or name another file "
                "with --issues."
            )
        folder = next(folder for folder in (path.parent, *path.absolute().parents) if folder.exists())
        if not folder.is_dir():
            raise StorageError(f"Cannot write {path}: {folder} is no folder.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StorageError(f"Cannot write {path}: no permission to write in {folder}.")
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}.") from error


def write(path: Path, split: str, lines: Sequence[str]) -> None:
    """Write the issues of a split, one a line; without any, remove those of an earlier run.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        if lines:
            make_folders(path.parent)
            write_text(path, "\n".join([f"{_MARK}{split}", *map(printable, lines)]) + "\n")
        elif not is_special(path) and path.exists() and _is_ours(path):
            path.unlink()
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}") from error


def _is_ours(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.readline(len(_MARK)) == _MARK.encode()
