"""Entries of hundreds of thousands of files in arrays, some 30 bytes for each instead of 200.

A name is not kept: it is the number, the number of its digits and the suffix (:class:`NameStyle`).
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, overload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Entries that are made at a time.
_BLOCK: Final = 512

#: Locator, size and CRC of an entry.
Place: TypeAlias = "tuple[Any, int | None, int | str | None]"


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


class NameStyle(NamedTuple):
    """How the name of a file is written beside its number.

    Attributes:
        num_digits: digits of the number, with zeros in front.
        suffix: without the point.
    """

    num_digits: int
    suffix: str

    @property
    def template(self) -> str:
        """Text that becomes the name with ``%`` and the number."""
        return f"%0{self.num_digits}d.{self.suffix}"


class Places(Protocol):
    """The places of files, by their positions in the order of a source."""

    def read(self, positions: npt.NDArray[np.intp], names: Sequence[str]) -> Iterable[Place]:
        """Return the place of each file."""


class Entries(Sequence[Entry]):
    """Entries in ascending order of image_id, each made when it is asked for. A slice is a list.

    Args:
        image_ids: int32, ascending, ``(n,)``.
        styles: number of the style of each name, ``(n,)``.
        templates: of the styles (:attr:`NameStyle.template`).
        places: where the files are.
        positions: position of each file in ``places``, ``(n,)``; None where they are in the same order.
    """

    def __init__(
        self,
        image_ids: npt.NDArray[Any],
        styles: npt.NDArray[Any],
        templates: Sequence[str],
        places: Places,
        positions: npt.NDArray[Any] | None = None,
    ) -> None:
        self.image_ids = image_ids
        self.places = places
        self.positions = positions
        self._styles = styles
        self._templates = list(templates)

    @classmethod
    def none(cls) -> Entries:
        """Return no entries."""
        import numpy as np

        return cls(np.empty(0, np.int32), np.empty(0, np.uint16), [], NamePlaces())

    def __len__(self) -> int:
        return len(self.image_ids)

    def __iter__(self) -> Iterator[Entry]:
        for start in range(0, len(self), _BLOCK):
            yield from self[start : start + _BLOCK]

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        import numpy as np

        if isinstance(index, slice):
            return self._make(np.arange(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._make(np.array([index % len(self)]))[0]

    def find(self, image_ids: Sequence[int]) -> list[Entry | None]:
        """Return the entry of each image_id, None where there is none."""
        rows = self._rows(image_ids)
        entries = iter(self._make(rows[rows >= 0]))
        return [None if row < 0 else next(entries) for row in rows.tolist()]

    def missing(self, image_ids: Sequence[int]) -> list[int]:
        """Return the image_ids that no entry has."""
        return [image_id for image_id, row in zip(image_ids, self._rows(image_ids).tolist(), strict=True) if row < 0]

    def not_in(self, others: Entries) -> Iterator[Entry]:
        """Yield the entries whose image_id none of the others has."""
        import numpy as np

        rows = np.flatnonzero(~np.isin(self.image_ids, others.image_ids, assume_unique=True))
        for start in range(0, len(rows), _BLOCK):
            yield from self._make(rows[start : start + _BLOCK])

    def _rows(self, image_ids: Sequence[int]) -> npt.NDArray[np.intp]:
        """Return the row of each image_id, -1 where there is none."""
        import numpy as np

        wanted = np.asarray(image_ids, np.int64)
        # Of the same type, as searchsorted would copy all numbers into the larger type.
        rows = np.searchsorted(self.image_ids, wanted.clip(-1, np.iinfo(np.int32).max).astype(np.int32))
        is_here = rows < len(self)
        is_here[is_here] = self.image_ids[rows[is_here]] == wanted[is_here]
        return np.where(is_here, rows, -1)

    def _make(self, rows: npt.NDArray[Any]) -> list[Entry]:
        """Return the entries in some rows."""
        image_ids: list[int] = self.image_ids[rows].tolist()
        templates = self._templates
        names = [templates[k] % n for k, n in zip(self._styles[rows].tolist(), image_ids, strict=True)]
        positions = rows if self.positions is None else self.positions[rows]
        places = self.places.read(positions, names)
        return [Entry(n, name, *place) for n, name, place in zip(image_ids, names, places, strict=True)]


class NamePlaces:
    """Places of files that their names alone tell, as in a local folder."""

    def append(self, place: Place) -> None:
        """Add the place of the next file."""

    def read(self, positions: npt.NDArray[np.intp], names: Sequence[str]) -> Iterable[Place]:
        """Return the place of each file."""
        return ((name, None, None) for name in names)


class RangePlaces:
    """Places of files that are ranges of another file, (offset, size), as in a tar archive."""

    def __init__(self) -> None:
        self._numbers = array("q")

    def append(self, place: Place) -> None:
        """Add the place of the next file."""
        self._numbers.extend(place[0])

    def read(self, positions: npt.NDArray[np.intp], names: Sequence[str]) -> Iterable[Place]:
        """Return the place of each file."""
        numbers = self._numbers
        for position in positions.tolist():
            offset, size = numbers[2 * position : 2 * position + 2]
            yield (offset, size), size, None


class StoredPlaces:
    """Places of any kind, pickled; of a compressed tar they hold the annotations themselves."""

    def __init__(self) -> None:
        self._records = bytearray()
        self._ends = array("q", [0])

    def append(self, place: Place) -> None:
        """Add the place of the next file."""
        self._records += pickle.dumps(place, pickle.HIGHEST_PROTOCOL)
        self._ends.append(len(self._records))

    def read(self, positions: npt.NDArray[np.intp], names: Sequence[str]) -> Iterable[Place]:
        """Return the place of each file."""
        for position in positions.tolist():
            start, end = self._ends[position : position + 2]
            place: Place = pickle.loads(self._records[start:end])  # of this very object
            yield place
