"""What zip and tar archives have in common as sources."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from registry.dataset.deepfashion2 import SPLITS
from registry.errors import SourceError, first_names
from registry.sources.issues import MOST_NAMES, Issue
from registry.sources.listing import MEMBER
from registry.sources.reading import Fault, open_file, shown_name
from registry.storage.filesystems import StorageOptions

#: What a name cannot have: backslashes, control characters, line separators, halves of surrogate pairs, a slash
#: at its beginning, and parts that are .. or begin with a drive.
_REFUSED: Final = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\A/|(?:\A|/)(?:\.\.(?:/|\Z)|[A-Za-z]:)")
#: What is refused only where it could be read as data; archivers add other files, such as macOS ``Icon\r``.
_LIKE_DATA: Final = re.compile(r"annos|image|\.json|\.jpg", re.IGNORECASE)
#: Files with the name of an annotation or photo, in the folders of a split or in folders in these.
_DATA: Final = re.compile(r"(?P<folder>.*)/[0-9]{1,9}\.(?:json|jpg)")
_INNER: Final = re.compile(r"(?:(?P<lead>.*?)/)?(?P<kind>annos|image)/.+/(?P<name>[^/]+)")
#: What is expected of a member's name.
NAME_EXPECTED: Final = "a relative name without '..', drive letters, backslashes and control characters"


def refused_names(names: Sequence[str]) -> list[str]:
    """Return the names of members that lead out of the archive or read otherwise than they look; not of folders."""
    names = [name for name in names if name[-1:] != "/"]
    joined = f"/{'/'.join(names)}/"
    if joined.isascii() and joined.isprintable() and not any(odd in joined for odd in ("\\", ":", "//", "/../")):
        return []  # the fast way to look at hundreds of thousands
    return [name for name in names if _REFUSED.search(name)]


@dataclass(slots=True)
class Unread:
    """The members of an archive that look like data of a split and are not read, so that each is told.

    Attributes:
        url: of the archive.
        split: the split that is read.
        refused: names that cannot be.
    """

    url: str
    split: str
    refused: list[str] = field(default_factory=list)
    _folders: Counter[str] = field(default_factory=Counter)

    def refuse(self, names: Sequence[str]) -> list[str]:
        """Return those of these names that are refused, and remember them."""
        refused = [name for name in refused_names(names) if _LIKE_DATA.search(name) and "__MACOSX" not in name]
        self.refused += refused
        return refused

    def note(self, name: str, kinds: Iterable[str]) -> None:
        """Remember a member that is in none of the folders that are read.

        Args:
            name: of the member.
            kinds: the kinds that are read, ``annos`` or ``image`` or both.
        """
        file = _DATA.fullmatch(name)
        match = file and (MEMBER.fullmatch(name) or _INNER.fullmatch(name))
        if not file or not match or match["kind"] not in kinds or "__MACOSX" in name:
            return
        other = (match["lead"] or "").rpartition("/")[2]
        if other not in SPLITS or other == self.split:
            self._folders[file["folder"]] += 1

    def issues(self, prefix: str) -> list[Issue]:
        """Return an issue for each refused name and each folder beside that from which the split is read."""
        archive = shown_name(self.url.rpartition("/")[2])
        read_from = f"from {prefix}/" if prefix else "from the top of the archive"
        rows = [((name,), f"is not read: expected {NAME_EXPECTED}") for name in self.refused]
        for folder, number in sorted(self._folders.items()):
            files = "1 file is" if number == 1 else f"{number:,} files are"
            text = f"{files} not read: {self.split} is read {read_from}; expected all its files in one place"
            rows.append(((folder,), text))
        issues = [Issue(archive, (shown_name(place[0]),), text) for place, text in rows[:MOST_NAMES]]
        if len(rows) > MOST_NAMES:
            issues.append(Issue(archive, (), f"{len(rows) - MOST_NAMES:,} more members or folders are not read"))
        return issues


def refused_list(url: str) -> Fault:
    """Return the fault of a retrieval list whose name in an archive is refused."""
    return Fault(f"is not read from {shown_name(url.rpartition('/')[2])}: expected {NAME_EXPECTED}")


def choose_prefix(unread: Unread, names: Iterable[str]) -> str:
    """Return the leading folders under which the split lies in an archive.

    Args:
        unread: with the names that were refused.
        names: all others.

    Raises:
        SourceError: there are none, or several.
    """
    url, split = unread.url, unread.split
    prefixes: set[str] = set()
    for name in names:
        match = MEMBER.fullmatch(name)
        if match and "__MACOSX" not in name:
            prefixes.add(match["lead"] or "")
    if len(prefixes) > 1:
        prefixes = {prefix for prefix in prefixes if prefix.rpartition("/")[2] == split} or prefixes
    if not prefixes and unread.refused:
        raise SourceError(
            f"{url} holds no file of {split} that is read: expected {NAME_EXPECTED}, found "
            f"{first_names(sorted(map(shown_name, unread.refused)), 5)}."
        )
    if not prefixes:
        raise SourceError(f"{url} holds no annos/ and no image/ folder; expected one split of DeepFashion2.")
    if len(prefixes) > 1:
        shown = first_names(sorted(map(shown_name, prefixes)), 5)
        are_of_split = all(prefix.rpartition("/")[2] == split for prefix in prefixes)
        which = f" of {split}" if are_of_split else f", and none is {split}"
        raise SourceError(f"{url} holds several folders{which}: {shown}.")
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
