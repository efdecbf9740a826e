"""Where the raw files of one split lie: a folder or an archive, local or remote.

A source lists its files once and reads them in any process: what :meth:`Source.list_files` returns and the source
itself can be pickled. Archives are in :mod:`registry.sources.zips` and :mod:`registry.sources.tars`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from registry.sources.issues import MOST_NAMES, Issue
from registry.sources.photo_headers import PhotoMark, Size
from registry.sources.reading import (
    Fault,
    shown_name,
)

#: A file of the dataset inside an archive: leading folders, annos or image, name.
MEMBER: Final = re.compile(r"(?:(?P<lead>.*)/)?(?P<kind>annos|image)/(?P<name>[^/]+)")
_SUFFIXES: Final = {"annos": "json", "image": "jpg"}


class Entry(NamedTuple):
    """One file of a source.

    Attributes:
        image_id: the number in its name.
        name: its name without folders.
        locator: what the source needs to read it.
        size: bytes, where listing tells it at no cost.
        crc: CRC-32 of the bytes, or the store's own checksum of them as a text, where listing tells it at no cost.
    """

    image_id: int
    name: str
    locator: Any
    size: int | None = None
    crc: int | str | None = None


@dataclass(slots=True)
class Listing:
    """The files of a source.

    Attributes:
        annotations: annotation files in ascending order of image_id.
        photos: photos by image_id; empty if there are none or none were asked for.
        issues: files whose names do not fit.
    """

    annotations: list[Entry] = field(default_factory=list)
    photos: dict[int, Entry] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)


class Source(Protocol):
    """The raw files of one split."""

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """List the files.

        Raises:
            SourceError: the source is not there or cannot be read.
        """

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each file's bytes, or what is wrong with it.

        Raises:
            SourceError: the place cannot be read; so for the other methods.
        """

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""

    def photo_marks(self, entries: Sequence[Entry]) -> Iterator[PhotoMark | Fault]:
        """Yield what tells each photo from another, for a fingerprint."""

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each photo's bytes, or what is wrong with it."""


def build_listing(split: str, names: Iterable[tuple[str, str, Any, int | None, int | str | None]]) -> Listing:
    """Return the listing for (kind, name, locator, size, crc) of every file, kind being ``annos`` or ``image``.

    Hidden files (``.DS_Store``, ``._000001.json``) are what systems leave behind, not data, and are passed over.
    """
    listing = Listing()
    annotations: dict[int, Entry] = {}
    others: list[tuple[str, str, int]] = []
    num_misnamed = 0
    for kind, name, locator, size, crc in names:
        stem, _, suffix = name.rpartition(".")
        if not (stem.isascii() and stem.isdigit() and len(stem) < 10) or suffix != _SUFFIXES[kind]:
            if not name.startswith("."):
                num_misnamed += 1
                if num_misnamed <= MOST_NAMES:
                    listing.issues.append(_name_issue(split, kind, name))
            continue
        image_id = int(stem)
        known = annotations if kind == "annos" else listing.photos
        entry = Entry(image_id, name, locator, size, crc)
        kept = known.setdefault(image_id, entry)
        if kept is not entry:
            # The order in which a file system lists names shall not matter.
            known[image_id], other = (kept, entry) if kept.name <= name else (entry, kept)
            others.append((kind, other.name, image_id))
    if num_misnamed > MOST_NAMES:
        more = f"{num_misnamed - MOST_NAMES:,} more files whose names are not like NNNNNN.json or NNNNNN.jpg"
        listing.issues.append(Issue(split, (), more))
    for kind, name, image_id in others[:MOST_NAMES]:
        kept = (annotations if kind == "annos" else listing.photos)[image_id]
        listing.issues.append(Issue(f"{split}/{kind}/{name}", (), f"has the same number as {kept.name}"))
    if len(others) > MOST_NAMES:
        more = f"{len(others) - MOST_NAMES:,} more files with the number of another file"
        listing.issues.append(Issue(split, (), more))
    listing.annotations = [annotations[image_id] for image_id in sorted(annotations)]
    listing.photos = {image_id: listing.photos[image_id] for image_id in sorted(listing.photos)}
    return listing


def _name_issue(split: str, kind: str, name: str) -> Issue:
    expected = "NNNNNN.json" if kind == "annos" else "NNNNNN.jpg"
    return Issue(f"{split}/{kind}/{shown_name(name)}", (), f"expected a name like {expected}")
