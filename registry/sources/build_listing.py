"""The listing of the files of a split, in any order and with any names."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from registry.dataset.file_names import PHOTO_SUFFIXES, PHOTO_SUFFIXES_TEXT, number_in
from registry.sources.entries import Entries, NamePlaces, NameStyle, Place, Places, StoredPlaces
from registry.sources.faults import shown_name
from registry.sources.issues import MAX_NAME_ISSUES, Issue
from registry.sources.listing import Kind, Listing, kinds_to_list
from registry.sources.side_files import side_file_notices

if TYPE_CHECKING:
    import numpy.typing as npt

_SUFFIXES: Final = {"annos": ("json",), "image": PHOTO_SUFFIXES}
_EXPECTED_NAMES: Final = {"annos": "NNNNNN.json", "image": f"NNNNNN with {PHOTO_SUFFIXES_TEXT}"}


class GrowingPlaces(Places, Protocol):
    """Places that files are added to in the order of the source."""

    def append(self, place: Place) -> None:
        """Add the place of the next file."""


def build_listing(
    split: str,
    files: Iterable[tuple[Kind, str, Any, int | None, int | str | None]],
    new_places: Callable[[], GrowingPlaces] = StoredPlaces,
) -> Listing:
    """Return the listing of files, given as (kind, name, locator, size, crc) in any order.

    Hidden files (``.DS_Store``, ``._000001.json``), which operating systems leave behind, are ignored. Other files that
    cannot be data of the split become notices.

    Args:
        split: the split.
        files: the files.
        new_places: makes what keeps the places of these files.
    """
    groups: dict[Kind, FileGroup] = {kind: FileGroup(kind, new_places()) for kind in kinds_to_list(photos=True)}
    for kind, name, *place in files:
        groups[kind].add(name, *place)
    return list_groups(split, groups)


def list_groups(split: str, groups: Mapping[Kind, FileGroup]) -> Listing:
    """Return the listing of the files of one or both kinds; see :func:`build_listing`."""
    entries = {
        kind: groups[kind].entries() if kind in groups else Entries.none() for kind in kinds_to_list(photos=True)
    }
    listing = Listing(entries["annos"], entries["image"])
    listing.repeated_photos = groups["image"].repeated if "image" in groups else set()
    for kind, group in groups.items():
        bad_names, notices = side_file_notices(f"{split}/{kind}", group.misnamed)
        listing.issues += _name_issues(split, kind, bad_names)
        listing.notices += notices
    listing.issues += _duplicate_issues(split, groups)
    return listing


class FileGroup:
    """The files of a kind, in the order of their source.

    Args:
        kind: the kind.
        places: keeps the places of the files; it is empty.

    Attributes:
        misnamed: names that are no number and usual suffix, without hidden ones.
        duplicates: (name of the file that is left out, that of the other) of each number that several files have.
        repeated: these numbers.
    """

    def __init__(self, kind: Kind, places: GrowingPlaces) -> None:
        self.misnamed: list[str] = []
        self.duplicates: list[tuple[str, str]] = []
        self.repeated: set[int] = set()
        self._suffixes = _SUFFIXES[kind]
        self._places = places
        self._image_ids = array("i")
        self._style_numbers = array("H")
        self._styles: dict[tuple[int, str], int] = {}

    def add(self, name: str, locator: Any, size: int | None, crc: int | str | None) -> None:
        """Add a file."""
        image_id = number_in(name, self._suffixes)
        if image_id is None:
            if not name.startswith("."):
                self.misnamed.append(name)
            return
        num_digits = name.index(".")
        style = (num_digits, name[num_digits + 1 :])
        self._image_ids.append(image_id)
        self._style_numbers.append(self._styles.setdefault(style, len(self._styles)))
        self._places.append((locator, size, crc))

    def names(self) -> Iterator[str]:
        """Yield the names of all files, without hidden ones that are misnamed."""
        yield from self.misnamed
        templates = [NameStyle(*style).template for style in self._styles]
        for number, image_id in zip(self._style_numbers, self._image_ids, strict=True):
            yield templates[number] % image_id

    def entries(self) -> Entries:
        """Return the files, the first name of those with the same number; fill in the duplicates."""
        import numpy as np

        image_ids = np.frombuffer(self._image_ids, np.int32)
        styles: npt.NDArray[Any] = np.frombuffer(self._style_numbers, np.uint16)
        if len(self._styles) <= 1:
            styles = np.broadcast_to(np.uint16(0), len(image_ids))  # takes no memory
        templates = [NameStyle(*style).template for style in self._styles]
        if (image_ids[1:] > image_ids[:-1]).all():
            return Entries(image_ids, styles, templates, self._places)
        positions = np.argsort(image_ids, kind="stable").astype(np.int32)
        is_first = np.ones(len(positions), bool)
        is_first[1:] = image_ids[positions[1:]] != image_ids[positions[:-1]]
        if not is_first.all():
            positions = self._choose(positions, np.flatnonzero(is_first), templates)
        if len(self._styles) > 1:
            styles = styles[positions]
        are_needed = not isinstance(self._places, NamePlaces)
        return Entries(
            image_ids[positions], styles[: len(positions)], templates, self._places, positions if are_needed else None
        )

    def _choose(self, positions: npt.NDArray[Any], starts: npt.NDArray[Any], templates: Sequence[str]) -> Any:
        """Return the position of the smallest name of each number: file systems list names in any order.

        Args:
            positions: of all files, by number and then in the order of the source.
            starts: where each number begins in ``positions``.
            templates: of the names.
        """
        import numpy as np

        def name(position: int) -> str:
            return templates[self._style_numbers[position]] % self._image_ids[position]

        chosen = positions[starts]
        ends = np.append(starts[1:], len(positions))
        duplicates = []
        for number in np.flatnonzero(ends - starts > 1).tolist():
            first, *rest = positions[starts[number] : ends[number]].tolist()
            names = []
            for position in rest:
                first, last = (first, position) if name(first) <= name(position) else (position, first)
                names.append((position, name(last)))
            chosen[number] = first
            self.repeated.add(self._image_ids[first])
            duplicates += [(position, duplicate, name(first)) for position, duplicate in names]
        self.duplicates = [(duplicate, winner) for _, duplicate, winner in sorted(duplicates)]
        return chosen


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


def _duplicate_issues(split: str, groups: Mapping[Kind, FileGroup]) -> list[Issue]:
    """Return an issue for each file whose number another file has."""
    duplicates = [(kind, *names) for kind, group in groups.items() for names in group.duplicates]
    issues = [
        Issue(f"{split}/{kind}/{name}", (), f"has the same number as {winner}")
        for kind, name, winner in duplicates[:MAX_NAME_ISSUES]
    ]
    if len(duplicates) > MAX_NAME_ISSUES:
        text = f"{len(duplicates) - MAX_NAME_ISSUES:,} more files with the number of another file"
        issues.append(Issue(split, (), text))
    return issues
