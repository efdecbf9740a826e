"""The files of a split in a source (a folder or an archive, local or remote), and how they are read.

A source and its listing can be pickled: a process lists the files, others read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

from registry.sources.faults import Fault, shown_name
from registry.sources.issues import MAX_NAME_ISSUES, Issue
from registry.sources.photo_headers import PhotoChecksum, Size

#: Folder of a split that a file lies in.
Kind = Literal["annos", "image"]

#: Path of a file of the dataset inside an archive: leading folders, annos or image, name.
MEMBER: Final = re.compile(r"(?:(?P<lead>.*)/)?(?P<kind>annos|image)/(?P<name>[^/]+)")
_SUFFIXES: Final = {"annos": "json", "image": "jpg"}


class Entry(NamedTuple):
    """A file of a source.

    Attributes:
        image_id: number in its name.
        name: its name without folders.
        locator: the source's own record of where its bytes are.
        size: bytes; None if the listing does not tell.
        crc: CRC-32 of the bytes, or a store's checksum as text; None if the listing does not tell.
    """

    image_id: int
    name: str
    locator: Any
    size: int | None = None
    crc: int | str | None = None


@dataclass(slots=True)
class Listing:
    """The files of a split in a source.

    Attributes:
        annotations: annotation files in ascending order of image_id.
        photos: photos by image_id, ascending; empty if there are none or they were not requested.
        issues: files with wrong names or with the number of another file.
        notices: oddities of the source that were accepted.
    """

    annotations: list[Entry] = field(default_factory=list)
    photos: dict[int, Entry] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


class Source(Protocol):
    """The raw files of a split. Every method raises SourceError if the place cannot be read."""

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """Return the files; photos only if ``photos`` is set."""

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each annotation file."""

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return width and height of each photo, from its header."""

    def photo_checksums(self, entries: Sequence[Entry]) -> Iterator[PhotoChecksum | Fault]:
        """Yield the checksum or the fault of each photo."""

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each photo."""


def kinds_to_list(photos: bool) -> tuple[Kind, ...]:
    """Return the folders to list: ``annos``, and ``image`` if photos are requested."""
    return ("annos", "image") if photos else ("annos",)


def build_listing(split: str, files: Iterable[tuple[Kind, str, Any, int | None, int | str | None]]) -> Listing:
    """Return the listing of files, given as (kind, name, locator, size, crc) in any order.

    Hidden files (``.DS_Store``, ``._000001.json``), which operating systems leave behind, are ignored.
    """
    listing = Listing()
    entries: dict[Kind, dict[int, Entry]] = {"annos": {}, "image": {}}
    duplicates: list[tuple[Kind, str, int]] = []
    num_misnamed = 0
    for kind, name, locator, size, crc in files:
        image_id = _image_id(kind, name)
        if image_id is None:
            if not name.startswith("."):
                num_misnamed += 1
                if num_misnamed <= MAX_NAME_ISSUES:
                    listing.issues.append(_name_issue(split, kind, name))
            continue
        entry = Entry(image_id, name, locator, size, crc)
        first = entries[kind].setdefault(image_id, entry)
        if first is not entry:
            # The smaller name wins: file systems list names in any order.
            entries[kind][image_id], duplicate = (first, entry) if first.name <= name else (entry, first)
            duplicates.append((kind, duplicate.name, image_id))
    if num_misnamed > MAX_NAME_ISSUES:
        text = f"{num_misnamed - MAX_NAME_ISSUES:,} more files whose names are not like NNNNNN.json or NNNNNN.jpg"
        listing.issues.append(Issue(split, (), text))
    listing.issues += _duplicate_issues(split, duplicates, entries)
    listing.annotations = [entry for _, entry in sorted(entries["annos"].items())]
    listing.photos = dict(sorted(entries["image"].items()))
    return listing


def _image_id(kind: Kind, name: str) -> int | None:
    """Return the number in a file name; None if the name is not like ``000001.json`` or ``000001.jpg``."""
    stem, _, suffix = name.rpartition(".")
    is_number = stem.isascii() and stem.isdigit() and len(stem) < 10
    return int(stem) if is_number and suffix == _SUFFIXES[kind] else None


def _name_issue(split: str, kind: Kind, name: str) -> Issue:
    return Issue(f"{split}/{kind}/{shown_name(name)}", (), f"expected a name like NNNNNN.{_SUFFIXES[kind]}")


def _duplicate_issues(
    split: str, duplicates: Sequence[tuple[Kind, str, int]], entries: dict[Kind, dict[int, Entry]]
) -> list[Issue]:
    """Return an issue for each file, given as (kind, name, image_id), whose number another file has."""
    issues = [
        Issue(f"{split}/{kind}/{name}", (), f"has the same number as {entries[kind][image_id].name}")
        for kind, name, image_id in duplicates[:MAX_NAME_ISSUES]
    ]
    if len(duplicates) > MAX_NAME_ISSUES:
        text = f"{len(duplicates) - MAX_NAME_ISSUES:,} more files with the number of another file"
        issues.append(Issue(split, (), text))
    return issues
