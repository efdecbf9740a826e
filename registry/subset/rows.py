"""What leaves a registry: parts of a subset, as chunks of Arrow rows, image by image in file order.

A store makes them (:mod:`registry.store.selection`), formats read them (:mod:`registry.exports`); neither knows the
other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

from registry.dataset.deepfashion2 import SPLITS
from registry.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

#: Numbers of a split are moved by this much times 1, 2, 3 where several splits are in one part.
SPLIT_STRIDE: Final = 1_000_000
#: What :meth:`Rows.pairs` says of either item of a pair, with ``user_`` or ``shop_`` before the name.
PAIRED_COLUMNS: Final = (
    "file_name", "image_id", "item_no", "pair_id", "style", "category_id", "x1", "y1", "x2", "y2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an export: a split, or what a new division put together.

    File names, image ids and pair ids restart in every split. Where a part holds images of one split they stay as
    they are. Where it may hold several (``--resplit`` over more than one), :meth:`number` and :meth:`file_name` keep
    them apart: 1,000,000 is added for train, 2,000,000 for validation, 3,000,000 for test, and the split stands
    before the name.

    Attributes:
        name: of the split or part; names its files and folders.
        splits: the splits it may hold images of, in order.
    """

    name: str
    splits: tuple[str, ...]

    def number(self, split: str, number: int) -> int:
        """Return an image id or pair id of a split, unique within the part.

        Raises:
            UsageError: the number is too high to be kept apart from those of other splits.
        """
        offset = self.offset(split)
        if offset and not 0 <= number < SPLIT_STRIDE:
            raise UsageError(
                f"The number {number} of {split} cannot be told from those of other splits in one part: "
                f"export one split at a time (--split {split})."
            )
        return number + offset

    def offset(self, split: str) -> int:
        """Return what :meth:`number` adds to the numbers of a split; that they allow it is known by then."""
        return 0 if len(self.splits) == 1 else SPLIT_STRIDE * (1 + SPLITS.index(split))

    def file_name(self, split: str, file_name: str) -> str:
        """Return a photo's name (``000001.jpg``), unique within the part."""
        return file_name if len(self.splits) == 1 else f"{split}_{file_name}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some images of one part and split, with the chosen items of each.

    Attributes:
        part: the part.
        split: the split all of them are from.
        images: rows of the table images, ascending by image_id.
        items: rows of the table items with the columns asked for, image by image, in file order.
        num_items: how many of them each image has, in the order of ``images``.
    """

    part: Part
    split: str
    images: pa.RecordBatch
    items: pa.RecordBatch
    num_items: Sequence[int]

    def file_names(self) -> list[str]:
        """Return the name of the photo of each image, unique within the part."""
        return [self.part.file_name(self.split, name) for name in self.images.column("file_name").to_pylist()]

    def owners(self) -> pa.Array:
        """Return for each item the position of its image among ``images``."""
        import pyarrow as pa

        return pa.array(chain.from_iterable([k] * n for k, n in enumerate(self.num_items)), pa.int32())

    def by_category(self) -> dict[int, Chunk]:
        """Return for each category that occurs, ascending, its items and the images that have some."""
        import pyarrow as pa
        import pyarrow.compute as pc

        category_ids = self.items.column("category_id")
        found = {}
        for category_id in sorted(set(category_ids.to_pylist())):
            own = pc.equal(category_ids, category_id)
            held = Counter(self.owners().filter(own).to_pylist())
            images = self.images.take(pa.array(sorted(held), pa.int32()))
            found[category_id] = replace(
                self, images=images, items=self.items.filter(own), num_items=[held[k] for k in sorted(held)]
            )
        return found


class Rows(Protocol):
    """The rows of a subset, by part."""

    @property
    def parts(self) -> Sequence[Part]:
        """The parts, in order; a part may turn out to hold nothing."""

    @property
    def divided(self) -> bool:
        """Whether the parts are those of a new division, not the splits."""

    def chunks(self, part: Part, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield the images of a part, split by split, ascending by image_id, each chunk of bounded size.

        Args:
            part: one of :attr:`parts`.
            columns: of the table items; none asks for images alone (``num_items`` is right all the same).
        """

    def pairs(self, part: Part, negatives: int, hard_negatives: int, seed: int) -> Iterator[pa.RecordBatch]:
        """Yield the pairs of items within a part; see :mod:`registry.store.pairs` for columns and rules."""

    def counts(self, part: Part) -> Mapping[str, Any]:
        """Return ``images`` and ``items`` of a part."""
