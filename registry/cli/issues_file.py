"""The file of issues and notices of ``df2 ingest``; files that df2 did not write are not touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from registry.errors import StorageError, UsageError
from registry.files.durability import make_folders
from registry.files.temporary import is_special, write_text
from registry.redaction import printable

#: Beginning of the first line; a file without it is not replaced or removed.
_MARK: Final = "# df2 ingest: issues of "


def check_replaceable(path: Path) -> None:
    """Refuse a path with a file that df2 did not write.

    Raises:
        UsageError: df2 did not write the file at this path.
        StorageError: the file cannot be read.
    """
    try:
        if is_special(path):
            return
        if path.exists() and path.stat().st_size and not _is_written_by_df2(path):
            raise UsageError(
                f"{path} was not written by 'df2 ingest', so it is not replaced: move it away, or name another file "
                "with --issues."
            )
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}.") from error


def check_writable(path: Path) -> None:
    """Raise an error if issues could not be written to this path after the ingestion.

    Raises:
        StorageError: the folder cannot be written to.
    """
    try:
        if is_special(path):
            return
        folder = next(folder for folder in (path.parent, *path.absolute().parents) if folder.exists())
        if not folder.is_dir():
            raise StorageError(f"Cannot write {path}: {folder} is no folder.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StorageError(f"Cannot write {path}: no permission to write in {folder}.")
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}.") from error


def write_issues(path: Path, split: str, lines: Sequence[str]) -> None:
    """Write a line for each issue of a split; without issues, remove the file of an earlier run.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        if lines:
            make_folders(path.parent)
            write_text(path, "\n".join([f"{_MARK}{split}", *map(printable, lines)]) + "\n")
        elif not is_special(path) and path.exists() and _is_written_by_df2(path):
            path.unlink()
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}") from error


def _is_written_by_df2(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.readline(len(_MARK)) == _MARK.encode()
