"""The files of a split in a source (a folder or an archive, local or remote), and how they are read.

A source and its listing can be pickled: a process lists the files, others read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

from registry.dataset.file_names import (
    ANNOTATION_FOLDERS,
    PHOTO_FOLDERS,
    PHOTO_SUFFIXES,
    PHOTO_SUFFIXES_TEXT,
    number_in,
)
from registry.errors import SourceError
from registry.sources.faults import Fault, shown_name
from registry.sources.issues import MAX_NAME_ISSUES, Issue
from registry.sources.photo_headers import PhotoChecksum, Size
from registry.sources.side_files import side_file_notices

#: Folder of a split that a file lies in.
Kind = Literal["annos", "image"]

#: Folder names in lower case -> the folder that they stand for.
_FOLDERS: Final[dict[str, Kind]] = {
    **dict.fromkeys(ANNOTATION_FOLDERS, "annos"),
    **dict.fromkeys(PHOTO_FOLDERS, "image"),
}
_FOLDER: Final = rf"(?P<folder>(?i:{'|'.join(_FOLDERS)}))"
#: Path of a file of the dataset inside an archive: leading folders, a folder of :data:`_FOLDERS`, name.
MEMBER: Final = re.compile(rf"(?:(?P<lead>.*)/)?{_FOLDER}/(?P<name>[^/]+)")
#: Path of a file in a folder below such a folder.
INNER_MEMBER: Final = re.compile(rf"(?:(?P<lead>.*?)/)?{_FOLDER}/.+/(?P<name>[^/]+)")
_SUFFIXES: Final = {"annos": ("json",), "image": PHOTO_SUFFIXES}
_EXPECTED_NAMES: Final = {"annos": "NNNNNN.json", "image": f"NNNNNN with {PHOTO_SUFFIXES_TEXT}"}


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
        repeated_photos: image_id of each photo whose number another file has, too.
        issues: files with wrong names or with the number of another file.
        notices: oddities of the source that were accepted or passed over: a sentence each, with a count.
    """

    annotations: list[Entry] = field(default_factory=list)
    photos: dict[int, Entry] = field(default_factory=dict)
    repeated_photos: set[int] = field(default_factory=set)
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


def folder_kind(name: str) -> Kind | None:
    """Return the folder that a folder name stands for: ``image`` for ``Images``; None for other names."""
    return _FOLDERS.get(name.lower())


def choose_folders(place: object, names: Iterable[str]) -> dict[Kind, str]:
    """Return the name of ``annos`` and ``image`` in a split's folder, each if it exists.

    A folder of the very name is taken; without it, the only folder whose name stands for it.

    Args:
        place: the split's folder, for messages.
        names: of the folders in it.

    Raises:
        SourceError: several folders could be meant.
    """
    folders: dict[Kind, str] = {}
    names = set(names)
    for kind in kinds_to_list(photos=True):
        candidates = [kind] if kind in names else sorted(name for name in names if folder_kind(name) == kind)
        if len(candidates) > 1:
            raise SourceError(
                f"{place} holds several folders that could be {kind}/: {', '.join(candidates)}. Rename the right one."
            )
        if candidates:
            folders[kind] = candidates[0]
    return folders


def renamed_folder_notices(split: str, folders: Mapping[Kind, str], kinds: Sequence[Kind]) -> list[str]:
    """Return a notice for each folder that is read though it has another name."""
    files = {"annos": "annotations", "image": "photos"}
    notices = [
        f"{split}: the {files[kind]} are read from {shown_name(folders[kind])}/, as there is no {kind}/"
        for kind in kinds
        if folders.get(kind, kind) != kind
    ]
    if notices and folders.get("image", "image") != "image" and "image" in kinds:
        notices[-1] += "; exports with --images reference name image/ all the same"
    return notices


def passed_over_notices(split: str, folders: Mapping[Kind, str], names: Iterable[str]) -> list[str]:
    """Return a notice for each folder beside those that are read that could stand for one of them.

    Args:
        split: for the notice.
        folders: the folders that are read.
        names: of all folders there.
    """
    return [
        f"{split}: {shown_name(name)}/ is not read, as there is {shown_name(folders[kind])}/"
        for name in sorted(names)
        if (kind := folder_kind(name)) and kind in folders and name not in folders.values()
    ]


def build_listing(split: str, files: Iterable[tuple[Kind, str, Any, int | None, int | str | None]]) -> Listing:
    """Return the listing of files, given as (kind, name, locator, size, crc) in any order.

    Hidden files (``.DS_Store``, ``._000001.json``), which operating systems leave behind, are ignored. Other files that
    cannot be data of the split become notices.
    """
    listing = Listing()
    entries: dict[Kind, dict[int, Entry]] = {"annos": {}, "image": {}}
    duplicates: list[tuple[Kind, str, int]] = []
    misnamed: dict[Kind, list[str]] = {"annos": [], "image": []}
    for kind, name, locator, size, crc in files:
        image_id = number_in(name, _SUFFIXES[kind])
        if image_id is None:
            if not name.startswith("."):
                misnamed[kind].append(name)
            continue
        entry = Entry(image_id, name, locator, size, crc)
        first = entries[kind].setdefault(image_id, entry)
        if first is not entry:
            # The smaller name wins: file systems list names in any order.
            entries[kind][image_id], duplicate = (first, entry) if first.name <= name else (entry, first)
            duplicates.append((kind, duplicate.name, image_id))
    for kind, names in misnamed.items():
        bad_names, notices = side_file_notices(f"{split}/{kind}", names)
        listing.issues += _name_issues(split, kind, bad_names)
        listing.notices += notices
    listing.issues += _duplicate_issues(split, duplicates, entries)
    listing.annotations = [entry for _, entry in sorted(entries["annos"].items())]
    listing.photos = dict(sorted(entries["image"].items()))
    listing.repeated_photos = {image_id for kind, _, image_id in duplicates if kind == "image"}
    return listing


def _name_issues(split: str, kind: Kind, names: Sequence[str]) -> list[Issue]:
    """Return an issue for each of the first names, and one for the rest."""
    expected = _EXPECTED_NAMES[kind]
    issues = [
        Issue(f"{split}/{kind}/{shown_name(name)}", (), f"expected a name like {expected}")
        for name in names[:MAX_NAME_ISSUES]
    ]
    if len(names) > MAX_NAME_ISSUES:
        text = f"{len(names) - MAX_NAME_ISSUES:,} more files whose names are not like {expected}"
        issues.append(Issue(f"{split}/{kind}", (), text))
    return issues


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
