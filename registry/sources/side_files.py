"""Files beside annotations and photos that are not the dataset's: those that become notices, and those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from registry.errors import first_names
from registry.sources.faults import shown_name
from registry.wording import plural

#: Names in lower case that systems leave in folders; the last is a name of macOS.
_SYSTEM_NAMES: Final = (
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "@eadir", "__macosx", "lost+found", "icon\r",
)  # fmt: skip
#: Ends of names in lower case that no annotation and no photo has: labels and lists of other tools, notes, caches, and
#: what editors leave.
_SIDE_SUFFIXES: Final = (
    ".txt", ".xml", ".csv", ".tsv", ".md", ".html", ".log", ".yaml", ".yml", ".ini", ".db", ".lnk", ".cache", ".npy",
    ".pt", ".swp", ".swo", ".bak", ".orig", ".lock", "~",
)  # fmt: skip
#: Ends of names in lower case of unfinished downloads and copies.
_PART_SUFFIXES: Final = (
    ".part", ".partial", ".crdownload", ".download", ".opdownload", ".filepart", ".aria2", ".tmp",
)  # fmt: skip
#: Names in a notice; the rest are counted.
_MAX_SHOWN: Final = 5


def side_file_notices(folder: str, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names that could be data with a wrong name, and the notices of all others.

    Args:
        folder: such as ``train/image``, for the notices.
        names: of files that are not named like annotations or photos.
    """
    bad_names, side_files, parts = [], [], []
    for name in sorted(names):
        lower = name.lower()
        if lower in _SYSTEM_NAMES or lower.endswith(_SIDE_SUFFIXES):
            side_files.append(shown_name(name))
        elif lower.endswith(_PART_SUFFIXES):
            parts.append(shown_name(name))
        else:
            bad_names.append(name)
    notices = []
    if side_files:
        files = plural(len(side_files), "other file is", "other files are")
        notices.append(f"{folder}: {files} not read: {first_names(side_files, _MAX_SHOWN)}")
    if parts:
        files = plural(
            len(parts), "file looks like an unfinished download and is", "files look like unfinished downloads and are"
        )
        notices.append(f"{folder}: {files} not read; finish or remove: {first_names(parts, _MAX_SHOWN)}")
    return bad_names, notices
