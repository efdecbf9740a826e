"""What zip and tar archives have in common as sources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from registry.errors import SourceError
from registry.filesystems import StorageOptions, open_binary
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
        raise SourceError(f"{url} holds several folders, and none is {split}: {', '.join(sorted(prefixes))}.")
    return prefixes.pop()


def reopen(url: str, options: StorageOptions | None) -> BinaryIO:
    """Return an archive that was listed before, opened again."""
    try:
        return open_binary(url, options)
    except OSError as error:
        raise SourceError(f"Cannot read {url}: {error.strerror or error}") from error
