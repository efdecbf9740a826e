"""The rows of a subset for a dataset: a registry, options of a subset, a part, and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORY_BY_ID, unknown_name
from registry.dataset.tables import BOX_COLUMNS, ITEMS
from registry.errors import NotFoundError, UsageError
from registry.store.registry import Registry
from registry.store.selection import Selection
from registry.subset.classes import Classes, categories_of, read_choice
from registry.subset.options import Subset
from registry.subset.resplit import Resplit

if TYPE_CHECKING:
    import pyarrow as pa

#: Columns of the rows of every dataset of items.
ITEM_ROWS: Final = (
    "split", "image_id", "item_no", "pair_id", "style", "source", "category_id", "width", "height", *BOX_COLUMNS,
)  # fmt: skip
#: Columns of items and of their photos.
_COLUMNS: Final = (*(column.name for column in ITEMS.columns), "width", "height")
#: Options of :func:`registry.open` that datasets take.
_OPEN_OPTIONS: Final = ("storage_options", "cache", "memory", "timeout", "tables")
ATTRIBUTES: Final = ("scale", "occlusion", "zoom_in", "viewpoint")


@dataclass(frozen=True)
class ChosenRows:
    """A subset of a registry, or a part of it.

    Attributes:
        selection: the subset.
        part: name of the part; None for all parts.
        classes: of the items.
    """

    selection: Selection
    part: str | None
    classes: Classes

    @classmethod
    def of(
        cls,
        registry_or_url: Registry | str,
        subset: Subset | Mapping[str, Any] | None = None,
        *,
        resplit: Resplit | str | None = None,
        part: str | None = None,
        classes: Any = None,
        open_options: Mapping[str, Any] = {},
    ) -> ChosenRows:
        """Return the rows for the arguments of a dataset; see :class:`registry.loaders.dataset.PhotoDataset`.

        Raises:
            UsageError: an option or a part that does not exist.
            NotFoundError: there is no such registry, or the subset has no image.
        """
        opened = _opened(registry_or_url, open_options)
        chosen = as_subset(subset)
        division = Resplit.parse(resplit) if isinstance(resplit, str) else resplit
        choice = _own_choice(chosen) if classes is None else read_choice(classes)
        selection = Selection(opened.snapshot(), chosen, division, categories_of(choice))
        parts = {each.name: each for each in selection.parts}
        if part is not None and part not in parts:
            raise unknown_name("part", part, list(parts))
        chosen_parts = [parts[name] for name in ([part] if part else parts)]
        category_ids = sorted({number for each in chosen_parts for number in selection.category_counts(each)})
        if not any(selection.counts(each)["images"] for each in chosen_parts):
            raise _empty(selection, part)
        return cls(selection, part, Classes.of(choice, category_ids))

    @property
    def splits(self) -> list[str]:
        """The splits that images may come from."""
        parts = [part for part in self.selection.parts if self.part in (None, part.name)]
        return list(dict.fromkeys(split for part in parts for split in part.splits))

    def items(self, columns: Sequence[str], *, may_be_empty: bool = False) -> pa.Table:
        """Return columns of the items in order of split, image and file.

        Args:
            columns: of items, ``width`` and ``height`` of the photo, ``TABLE.COLUMN`` of tables of the user.
            may_be_empty: whether a subset without items is no error.

        Raises:
            NotFoundError: there is no item.
            UnknownNameError: there is no such column.
        """
        for name in columns:
            if "." not in name and name not in _COLUMNS:
                raise unknown_name("column", name, list(_COLUMNS))
        rows = self.selection.item_table(list(dict.fromkeys(columns)), self.part)
        if not (rows.num_rows or may_be_empty):
            raise _empty(self.selection, self.part, "item")
        return rows

    def labels(self) -> dict[int, int]:
        """Return the index of the class, from 0, of each category_id."""
        return {category.id: member.id - 1 for member in self.classes for category in member.categories}


def as_subset(subset: Any) -> Subset:
    """Return a subset for the argument of a dataset: a Subset, its options by name, or None for everything.

    Raises:
        UsageError: it is something else, or has an option that does not exist.
    """
    if isinstance(subset, Subset):
        return subset
    if subset is not None and not isinstance(subset, Mapping):
        raise UsageError(
            f"subset: expected a Subset or its options by name, such as {{'category': 'skirt'}}, found {subset!r:.200}."
        )
    return Subset.of(**(subset or {}))


def _opened(registry_or_url: Registry | str, options: Mapping[str, Any]) -> Registry:
    """Return an open registry.

    Raises:
        UsageError: an option does not exist, or belongs to the opening of a registry that is open.
    """
    for name in options:
        if name not in _OPEN_OPTIONS:
            raise unknown_name("option", name, list(_OPEN_OPTIONS))
    if not isinstance(registry_or_url, Registry):
        return Registry(str(registry_or_url), **options)
    late_options = sorted(name for name in options if name != "storage_options")  # these serve the photos, too
    if late_options:
        raise UsageError(f"{', '.join(late_options)}: the registry is open already; give them where it is opened.")
    return registry_or_url


def _own_choice(subset: Subset) -> dict[str, list[str]] | None:
    """Return the categories that the option ``category`` chooses as classes; None for the 13.

    They do not depend on the rows, so that train and validation have the same classes.
    """
    if not subset.category or subset.whole_images:
        return None
    return {CATEGORY_BY_ID[number].name: [CATEGORY_BY_ID[number].name] for number in subset.category}


def _empty(selection: Selection, part: str | None, unit: str = "image") -> NotFoundError:
    where = f" in the part {part}" if part else ""
    notices = "".join(f"\n{notice}" for notice in selection.notices)
    return NotFoundError(f"The subset {selection.subset.text} of {selection.place} has no {unit}{where}.{notices}")
