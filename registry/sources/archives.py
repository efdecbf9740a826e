"""Members of a zip or tar archive: which folder holds the split, which names are refused, which files are skipped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.file_names import DATA_NAME, PHOTO_SUFFIXES
from registry.errors import SourceError, first_names
from registry.sources.faults import Fault, shown_name
from registry.sources.file_objects import open_file
from registry.sources.issues import MAX_NAME_ISSUES, Issue
from registry.sources.listing import INNER_MEMBER, MEMBER, Kind, choose_folders, folder_kind
from registry.storage.filesystems import StorageOptions
from registry.wording import plural

#: Refused in a name: backslashes, control characters, line separators, surrogates, a leading slash, and parts that
#: are .. or begin with a drive letter.
_UNSAFE: Final = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\A/|(?:\A|/)(?:\.\.(?:/|\Z)|[A-Za-z]:)")
#: Unsafe names are reported only if they could be the dataset's; archivers add others, such as macOS ``Icon\r``.
_LIKE_DATA: Final = re.compile(rf"annos|image|\.json|\.(?:{'|'.join(PHOTO_SUFFIXES)})", re.IGNORECASE)
#: Path of a file that is named like an annotation or a photo.
_DATA: Final = re.compile(rf"(?P<folder>.*)/{DATA_NAME}")
#: The names that are accepted, for messages.
NAME_EXPECTED: Final = "a relative name without '..', drive letters, backslashes and control characters"


def unsafe_names(names: Sequence[str]) -> list[str]:
    """Return the file names that lead out of the archive or contain misleading characters; folders are ignored."""
    names = [name for name in names if name[-1:] != "/"]
    joined = f"/{'/'.join(names)}/"
    if joined.isascii() and joined.isprintable() and not any(odd in joined for odd in ("\\", ":", "//", "/../")):
        return []  # a quick test that hundreds of thousands of ordinary names pass at once
    return [name for name in names if _UNSAFE.search(name)]


@dataclass(slots=True)
class SkippedMembers:
    """Members of an archive that look like the split's data but are not read; each becomes an issue.

    Attributes:
        url: URL of the archive.
        split: the split to read.
        refused: unsafe names.
    """

    url: str
    split: str
    refused: list[str] = field(default_factory=list)
    _folders: Counter[str] = field(default_factory=Counter)

    def refuse_unsafe(self, names: Sequence[str]) -> list[str]:
        """Record and return the unsafe names among ``names``."""
        refused = [name for name in unsafe_names(names) if _LIKE_DATA.search(name) and "__MACOSX" not in name]
        self.refused += refused
        return refused

    def skip(self, name: str, kinds: Sequence[Kind], number: int = 1) -> None:
        """Record members outside the split's folders if they look like data of the split.

        Args:
            name: path of a member.
            kinds: folders to read: ``annos``, ``image`` or both.
            number: members like this in its folder.
        """
        file = _DATA.fullmatch(name)
        match = file and (MEMBER.fullmatch(name) or INNER_MEMBER.fullmatch(name))
        if not file or not match or folder_kind(match["folder"]) not in kinds or "__MACOSX" in name:
            return
        parent = (match["lead"] or "").rpartition("/")[2]
        if parent not in SPLITS or parent == self.split:
            self._folders[file["folder"]] += number

    def issues(self, prefix: str) -> list[Issue]:
        """Return an issue for each refused name and each skipped folder.

        Args:
            prefix: the leading folders that the split is read from.
        """
        archive = shown_name(self.url.rpartition("/")[2])
        read_from = f"from {prefix}/" if prefix else "from the top of the archive"
        rows = [(name, f"is not read: expected {NAME_EXPECTED}") for name in self.refused]
        for folder, num_files in sorted(self._folders.items()):
            parent, _, name = folder.rpartition("/")
            if parent == prefix and folder_kind(name):  # passed over beside the right one, as in a folder
                continue
            files = plural(num_files, "file is", "files are")
            text = f"{files} not read: {self.split} is read {read_from}; expected all its files in one place"
            rows.append((folder, text))
        issues = [Issue(archive, (shown_name(name),), text) for name, text in rows[:MAX_NAME_ISSUES]]
        if len(rows) > MAX_NAME_ISSUES:
            issues.append(Issue(archive, (), f"{len(rows) - MAX_NAME_ISSUES:,} more members or folders are not read"))
        return issues


def refused_list(url: str) -> Fault:
    """Return the fault of a retrieval list with an unsafe name in the archive at ``url``."""
    return Fault(f"is not read from {shown_name(url.rpartition('/')[2])}: expected {NAME_EXPECTED}")


def choose_prefix(skipped: SkippedMembers, names: Iterable[str]) -> str:
    """Return the leading folders of the split's ``annos`` and ``image`` in an archive; empty at its top.

    Args:
        skipped: with the refused names.
        names: all other names.

    Raises:
        SourceError: no folder or several folders could be the split's.
    """
    url, split = skipped.url, skipped.split
    prefixes: set[str] = set()  # with annos or image
    renamed: set[str] = set()  # with folders that only stand for annos and image
    for name in names:
        match = MEMBER.fullmatch(name)
        if match and "__MACOSX" not in name:
            (prefixes if match["folder"] in ("annos", "image") else renamed).add(match["lead"] or "")
    only = next(iter(prefixes)).rpartition("/")[2] if len(prefixes) == 1 else None
    if only is None or (only in SPLITS and only != split):
        candidates = (_of_split(prefixes, split), _of_split(renamed, split), prefixes, renamed)
        prefixes = next(filter(None, candidates), prefixes)
    if not prefixes and skipped.refused:
        raise SourceError(
            f"{url} holds no file of {split} that is read: expected {NAME_EXPECTED}, found "
            f"{first_names(sorted(map(shown_name, skipped.refused)), 5)}."
        )
    if not prefixes:
        raise SourceError(f"{url} holds no annos/ and no image/ folder; expected one split of DeepFashion2.")
    if len(prefixes) > 1:
        shown = first_names(sorted(map(shown_name, prefixes)), 5)
        are_of_split = all(prefix.rpartition("/")[2] == split for prefix in prefixes)
        which = f" of {split}" if are_of_split else f", and none is {split}"
        raise SourceError(f"{url} holds several folders{which}: {shown}.")
    return prefixes.pop()


def _of_split(prefixes: set[str], split: str) -> set[str]:
    return {prefix for prefix in prefixes if prefix.rpartition("/")[2] == split}


def folders_at(url: str, prefix: str, names: Iterable[str]) -> dict[Kind, str]:
    """Return the names of ``annos`` and ``image`` at the leading folders of a split.

    Raises:
        SourceError: several folders could be meant.
    """
    start = f"{prefix}/" if prefix else ""
    folders = {name.rpartition("/")[0] for name in names}
    inner = {folder[len(start) :] for folder in folders if folder.startswith(start)}
    return choose_folders(f"{url} > {start}" if start else url, (name for name in inner if name and "/" not in name))


def other_split_notice(url: str, prefix: str, split: str) -> list[str]:
    """Return a notice if the folder that a split is read from has the name of another split, else none."""
    name = prefix.rpartition("/")[2]
    if name not in SPLITS or name == split:
        return []
    return [f"{shown_name(url.rpartition('/')[2])}: {split} is read from the folder {shown_name(prefix)}/"]


def reopen(url: str, options: StorageOptions | None) -> BinaryIO:
    """Open an archive that was listed before.

    Raises:
        SourceError: it no longer exists or cannot be read.
    """
    try:
        return open_file(url, options)
    except FileNotFoundError as error:
        raise SourceError(f"Cannot read {url}: it is no longer there.") from error


def is_system_error(error: BaseException) -> bool:
    """Return whether the operating system raised an error; an OSError of a decompressor has no number."""
    return isinstance(error, OSError) and error.errno is not None
