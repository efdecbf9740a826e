"""The files of a split in a source (a folder or an archive, local or remote), and how they are read.

A source and its entries can be pickled: a process lists the files, others read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from registry.dataset.file_names import ANNOTATION_FOLDERS, PHOTO_FOLDERS
from registry.errors import SourceError
from registry.sources.entries import Entries, Entry
from registry.sources.faults import Fault, shown_name
from registry.sources.issues import Issue
from registry.sources.photo_headers import PhotoChecksum, Size

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


@dataclass(slots=True)
class Listing:
    """The files of a split in a source.

    Attributes:
        annotations: annotation files.
        photos: photos; empty if there are none or they were not requested.
        repeated_photos: image_id of each photo whose number another file has, too.
        issues: files with wrong names or with the number of another file.
        notices: oddities of the source that were accepted or passed over: a sentence each, with a count.
    """

    annotations: Entries
    photos: Entries
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
