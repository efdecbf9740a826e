"""The rows of a subset for an export: parts, each in chunks of Arrow rows, image by image in file order.

:mod:`registry.store.selection` produces them and :mod:`registry.exports` consumes them; neither imports the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import BOX_COLUMNS
from registry.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

#: Times 1, 2 or 3, added to the numbers of train, validation or test in a part with several splits.
SPLIT_STRIDE: Final = 1_000_000
#: Columns of :meth:`SubsetRows.pairs`, for each item of a pair with the prefix ``user_`` or ``shop_``.
PAIRED_COLUMNS: Final = (
    "file_name", "image_id", "item_no", "pair_id", "style", "category_id", *BOX_COLUMNS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an export: a split, or a part of a new division.

    File names, image ids and pair ids restart in every split. A part with images of a single split keeps them. In a
    part of several splits (``--resplit`` over more than one), :meth:`number` and :meth:`file_name` make them unique:
    they add 1,000,000 for train, 2,000,000 for validation and 3,000,000 for test, and put the split before the name.

    Attributes:
        name: name of the split or part, also of its files and folders.
        splits: the splits that its images may come from, in order.
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
        """Return the number that :meth:`number` adds to the numbers of a split, without its check."""
        return 0 if len(self.splits) == 1 else SPLIT_STRIDE * (1 + SPLITS.index(split))

    def file_name(self, split: str, file_name: str) -> str:
        """Return a photo's name (``000001.jpg``), unique within the part."""
        return file_name if len(self.splits) == 1 else f"{split}_{file_name}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some images of a split within a part, with the chosen items of each.

    Attributes:
        part: the part.
        split: the split of all images.
        images: rows of the table images, ascending by image_id.
        items: rows of the table items with the requested columns, image by image, in file order.
        num_items: number of items of each image, in the order of ``images``.
        items_before: number of items of the part before the chunk.
    """

    part: Part
    split: str
    images: pa.RecordBatch
    items: pa.RecordBatch
    num_items: Sequence[int]
    items_before: int = 0

    def file_names(self) -> list[str]:
        """Return the name of the photo of each image, unique within the part."""
        return [self.part.file_name(self.split, name) for name in self.images.column("file_name").to_pylist()]

    def slices(self, num_images: int) -> Iterator[Chunk]:
        """Yield the chunk in pieces of at most ``num_images`` images; the rows are not copied."""
        first_item = 0
        for start in range(0, self.images.num_rows, num_images):
            num_items = self.num_items[start : start + num_images]
            items = self.items.slice(first_item, sum(num_items))
            before = self.items_before + first_item
            yield Chunk(self.part, self.split, self.images.slice(start, num_images), items, num_items, before)
            first_item += sum(num_items)

    def without_items(self) -> Chunk:
        """Return the chunk without the rows of its items; ``num_items`` counts them."""
        return replace(self, items=self.items.slice(0, 0))

    def owners(self) -> pa.Array:
        """Return the position in ``images`` of the image of each item."""
        import pyarrow as pa

        return pa.array(chain.from_iterable([k] * n for k, n in enumerate(self.num_items)), pa.int32())

    def divided_by(self, numbers: pa.Array) -> dict[int, Chunk]:
        """Return a chunk for each number that occurs, ascending: its items and the images with such an item.

        Args:
            numbers: a number for each item, such as its class.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        chunks = {}
        for number in sorted(set(numbers.to_pylist())):
            is_chosen = pc.equal(numbers, number)
            num_items = Counter(self.owners().filter(is_chosen).to_pylist())
            images = self.images.take(pa.array(sorted(num_items), pa.int32()))
            chunks[number] = replace(
                self,
                images=images,
                items=self.items.filter(is_chosen),
                num_items=[num_items[k] for k in sorted(num_items)],
            )
        return chunks


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive images of a split within a part.

    Attributes:
        part: the part.
        split: the split of all images.
        low, high: the first and the last image_id.
        items_before: number of items of the part before them.
    """

    part: Part
    split: str
    low: int
    high: int
    items_before: int


class SubsetRows(Protocol):
    """The rows of a subset, by part."""

    @property
    def parts(self) -> Sequence[Part]:
        """The parts, in order; a part may be empty."""

    @property
    def divided(self) -> bool:
        """Whether the parts are those of a new division, not the splits."""

    def chunks(self, part: Part, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield the images of a part, split by split, ascending by image_id, each chunk of bounded size.

        Args:
            part: one of :attr:`parts`.
            columns: columns of the table items, or of the user's tables; without any, chunks have no items, and
                ``num_items`` counts them.
        """

    def slices(self, part: Part, num_images: int) -> Sequence[Slice]:
        """Return the images of a part in slices of at most ``num_images``, in the order of :meth:`chunks`."""

    def read_slice(self, piece: Slice, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the images of a slice, as :meth:`chunks` does."""

    def own_schema(self) -> pa.Schema:
        """Return the Arrow fields of the columns of the user's tables (``TABLE.COLUMN``) that chunks can have."""

    def pairs(self, part: Part, negatives: int, hard_negatives: int, seed: int) -> Iterator[pa.RecordBatch]:
        """Yield the pairs of items within a part; see :mod:`registry.store.pairs` for columns and rules."""

    def counts(self, part: Part) -> Mapping[str, Any]:
        """Return ``images`` and ``items`` of a part."""

    def category_counts(self, part: Part) -> Mapping[int, int]:
        """Return the number of items of each category_id that occurs in a part."""
