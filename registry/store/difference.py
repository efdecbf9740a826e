"""What became different between two registries, as plain data; :mod:`registry.store.changes` finds it.

Images have the key (split, image_id), items (split, image_id, item_no), pairs all of their columns. What is there with
the same key on both sides and says something else is changed; a pair cannot be, it is gone and another is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from registry.dataset.content_hash import HASHED
from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from registry.dataset.tables import IMAGES

#: What is compared, and what can become of it.
CHANGES: Final[dict[str, tuple[str, ...]]] = {
    "images": ("added", "removed", "changed"),
    "items": ("added", "removed", "changed"),
    "instance_pairs": ("added", "removed"),
}
#: Columns that are compared. Of items those of the content hash: where one stands in its file makes no difference.
COMPARED: Final[dict[str, tuple[str, ...]]] = {
    "images": tuple(column.name for column in IMAGES.columns if column.name not in IMAGES.key),
    "items": HASHED,
}
#: Columns of a pair of items.
PAIR_COLUMNS: Final = (
    "split", "pair_id", "style", "user_image_id", "user_item_no", "shop_image_id", "shop_item_no",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Count:
    """How many of one kind became different in the same way.

    Attributes:
        of: ``images``, ``items`` or ``instance_pairs``.
        split: their split.
        category_id: of items; None for images and pairs. Where it changed, the new one.
        change: ``added``, ``removed`` or ``changed``.
        number: how many.
    """

    of: str
    split: str
    category_id: int | None
    change: str
    number: int


@dataclass(frozen=True, slots=True)
class Summary:
    """How much became different.

    Attributes:
        splits: that are compared, in their order.
        numbers: how many of everything; what did not occur is left out.
        fields: ``images`` and ``items`` -> column -> how many of the changed ones differ in it.
    """

    splits: Sequence[str]
    numbers: Sequence[Count]
    fields: Mapping[str, Mapping[str, int]]

    @property
    def is_same(self) -> bool:
        """Whether nothing became different."""
        return not self.numbers

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the totals: ``images``, ``items`` and ``instance_pairs`` with what became of them."""
        return {
            of: {
                change: sum(one.number for one in self.numbers if (one.of, one.change) == (of, change))
                for change in found
            }
            for of, found in CHANGES.items()
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return for each split the items by category, of categories that occur, then all images, items and pairs.

        Returns:
            Entries of split, of, category_name (None for all), added, removed, changed (None for pairs).
        """
        rows = []
        for split in self.splits:
            own = [one for one in self.numbers if one.split == split]
            for category_id in sorted({one.category_id for one in own if one.category_id is not None}):
                name = CATEGORY_BY_ID[category_id].name
                rows.append(_row(split, "items", name, [one for one in own if one.category_id == category_id]))
            rows += [_row(split, of, None, [one for one in own if one.of == of]) for of in CHANGES]
        return rows


def _row(split: str, of: str, category_name: str | None, own: Sequence[Count]) -> dict[str, Any]:
    numbers = {
        change: sum(one.number for one in own if one.change == change) if change in CHANGES[of] else None
        for change in CHANGES["items"]
    }
    return {"split": split, "of": of, "category_name": category_name, **numbers}


@dataclass(frozen=True, slots=True)
class Change:
    """One image or item that became different.

    Attributes:
        change: ``added``, ``removed`` or ``changed``.
        key: the columns of its key, and for an item its category_name.
        fields: the columns that differ; none where it was added or removed.
        old: what the old side says: of a changed one in these columns, of a removed one in all but the key; or None.
        new: the same of the new side.
    """

    change: str
    key: Mapping[str, Any]
    fields: Sequence[str]
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as one row."""
        return {"change": self.change, **self.key, "fields": list(self.fields), "old": self.old, "new": self.new}
