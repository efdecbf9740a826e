"""Differences between two registries as plain data; :mod:`registry.store.changes` finds them.

Images have the key (split, image_id), items (split, image_id, item_no), pairs all of their columns. A row whose key is
on both sides is changed if another column differs. A pair is only added or removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from registry.dataset.content_hash import HASHED
from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from registry.dataset.tables import IMAGES

#: The rows that are compared -> their possible changes.
CHANGES: Final[dict[str, tuple[str, ...]]] = {
    "images": ("added", "removed", "changed"),
    "items": ("added", "removed", "changed"),
    "instance_pairs": ("added", "removed"),
}
#: Columns that are compared. Of items, those of the content hash, so without the order in the file.
COMPARED: Final[dict[str, tuple[str, ...]]] = {
    "images": tuple(column.name for column in IMAGES.columns if column.name not in IMAGES.key),
    "items": HASHED,
}
#: Characters of two values from which on they are not written out.
_LONGEST_LINE: Final = 60
#: Columns of a pair of items.
PAIR_COLUMNS: Final = (
    "split", "pair_id", "style", "user_image_id", "user_item_no", "shop_image_id", "shop_item_no",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Count:
    """The number of rows of a kind, split and category with the same change.

    Attributes:
        of: ``images``, ``items`` or ``instance_pairs``.
        split: of the rows.
        category_id: of items; None for images and pairs. The new category where it changed.
        change: ``added``, ``removed`` or ``changed``.
        number: of rows.
    """

    of: str
    split: str
    category_id: int | None
    change: str
    number: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of all differences.

    Attributes:
        splits: the compared splits, in their order.
        numbers: the counts above 0.
        fields: ``images`` and ``items`` -> column -> number of changed rows that differ in it.
    """

    splits: Sequence[str]
    numbers: Sequence[Count]
    fields: Mapping[str, Mapping[str, int]]

    @property
    def is_same(self) -> bool:
        """Whether both sides are equal."""
        return not self.numbers

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the totals: ``images``, ``items`` and ``instance_pairs`` -> change -> number."""
        return {
            of: {
                change: sum(count.number for count in self.numbers if (count.of, count.change) == (of, change))
                for change in changes
            }
            for of, changes in CHANGES.items()
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a table: for each split the items of each category that occurs, then all images, items and pairs.

        Returns:
            Entries of split, of, category_name (None for all), added, removed, changed (None for pairs).
        """
        rows = []
        for split in self.splits:
            counts = [count for count in self.numbers if count.split == split]
            for category_id in sorted({count.category_id for count in counts if count.category_id is not None}):
                name = CATEGORY_BY_ID[category_id].name
                of_category = [count for count in counts if count.category_id == category_id]
                rows.append(_row(split, "items", name, of_category))
            rows += [_row(split, of, None, [count for count in counts if count.of == of]) for of in CHANGES]
        return rows


def _row(split: str, of: str, category_name: str | None, counts: Sequence[Count]) -> dict[str, Any]:
    numbers = {
        change: sum(count.number for count in counts if count.change == change) if change in CHANGES[of] else None
        for change in CHANGES["items"]
    }
    return {"split": split, "of": of, "category_name": category_name, **numbers}


@dataclass(frozen=True, slots=True)
class Change:
    """An image or item that differs.

    Attributes:
        change: ``added``, ``removed`` or ``changed``.
        key: the columns of its key, and for an item its category_name.
        fields: the columns that differ; none if it was added or removed.
        old: values of the old side: of these columns if changed, of all columns but the key if removed, None if added.
        new: the same of the new side.
    """

    change: str
    key: Mapping[str, Any]
    fields: Sequence[str]
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None

    def lines(self) -> list[str]:
        """Return each column that differs with its old and new value; long values are not written out."""
        if self.old is None or self.new is None:
            return []
        both = [(name, value_text(self.old[name]), value_text(self.new[name])) for name in self.fields]
        return [
            f"{name} {old} -> {new}" if len(old + new) < _LONGEST_LINE else f"{name} differs" for name, old, new in both
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the change as a row."""
        return {"change": self.change, **self.key, "fields": list(self.fields), "old": self.old, "new": self.new}


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Some of the differences, in order.

    Attributes:
        number: of all differences of their kind.
        changes: those of the page; of pairs the key has all columns.
        first: key of the first, where there are others before it.
        last: key of the last, where there are others after it.
    """

    number: int
    changes: Sequence[Change]
    first: Sequence[Any] | None
    last: Sequence[Any] | None


def value_text(value: Any) -> str:
    """Return a value for a caption."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "NULL" if value is None else str(value)[:200]
