"""Names of data files from which Hugging Face's ``datasets`` tells the splits of a folder.

A folder with ``data/SPLIT-NNNNN-of-NNNNN.EXT`` has these splits, whatever their names; other file names are only
searched for words such as train, and all files become one split where none is found.

Source: ``datasets/data_files.py``, ``SPLIT_PATTERN_SHARDED``.
"""

from __future__ import annotations

from collections.abc import Sequence

from registry.errors import UsageError
from registry.exports.job import Job
from registry.subset.rows import Part


def split_names(parts: Sequence[Part]) -> list[str]:
    """Return the Hugging Face split name of each part. Split names may not contain ``-``, which becomes ``_``.

    Raises:
        UsageError: two parts get the same name.
    """
    names = [part.name.replace("-", "_") for part in parts]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise UsageError(
                f"Hugging Face takes no - in the name of a split, and with _ in its place two parts are {name}: "
                "name them otherwise."
            )
    return names


def data_path(split_name: str, suffix: str, number: int = 0, of: int = 1) -> str:
    """Return the path of a data file of a split, one of several."""
    return f"data/{split_name}-{number:05d}-of-{of:05d}.{suffix}"


def notice_of_parts_without_rows(job: Job, parts: Sequence[Part]) -> None:
    """Report parts without rows: they have no file, as ``datasets`` loads no split without rows."""
    names = ", ".join(part.name for part in parts)
    job.notice(len(parts), f"part has no rows and so no file: {names}", f"parts have no rows and so no files: {names}")
