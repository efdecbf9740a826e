"""What zip and tar archives have in common as sources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from registry.errors import SourceError, first_names
from registry.filesystems import StorageOptions
from registry.ingest.files import open_file, shown_name
from registry.ingest.sources import MEMBER


def choose_prefix(url: str, split: str, names: Iterable[str]) -> str:
    """Return the leading folders under which the split lies in an archive."""
    prefixes: set[str] = set()
    for name in names:
        match = MEMBER.fullmatch(name)
        if match and "__MACOSX" not in name:
            prefixes.add(match["lead"] or "")
    if len(prefixes) > 1:
        prefixes = {prefix for prefix in prefixes if prefix.rpartition("/")[2] == split} or prefixes
    if not prefixes:
        raise SourceError(f"{url} holds no annos/ and no image/ folder; expected one split of DeepFashion2.")
    if len(prefixes) > 1:
        raise SourceError(
            f"{url} holds several folders, and none is {split}: {first_names(sorted(map(shown_name, prefixes)), 5)}."
        )
    return prefixes.pop()


def reopen(url: str, options: StorageOptions | None) -> BinaryIO:
    """Return an archive that was listed before, opened again."""
    try:
        return open_file(url, options)
    except FileNotFoundError as error:
        raise SourceError(f"Cannot read {url}: it is no longer there.") from error


def is_of_place(error: BaseException) -> bool:
    """Return whether an error is the file system's: what decompressors raise as OSError has no number."""
    return isinstance(error, OSError) and error.errno is not None
