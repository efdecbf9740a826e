"""Slices of the ground truth: by a column or an SQL expression, of items or of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.arrays import Bools
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID
from registry.errors import UsageError
from registry.evaluation.truth import Truth

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.selection import Selection

#: Names the categories in ``by`` and in the slices that are always there.
_CATEGORY: Final = "category"
#: Values of an expression that become slices; more are refused, as a slice of few items says nothing.
_MAX_VALUES: Final = 100


@dataclass(frozen=True)
class Slice:
    """A part of the ground truth.

    Attributes:
        name: such as ``occlusion=heavy``, or ``images with occlusion=heavy``.
        items: bool [items]: the items that count.
        images: bool [images]: of a slice of images, those in it; detections in others are not looked at. None for a
            slice of items: the others are ignored together with the detections of them.
    """

    name: str
    items: Bools
    images: Bools | None = None


def read_slices(selection: Selection, truth: Truth, by: Sequence[str], *, of_images: bool) -> list[Slice]:
    """Return a slice for every value of each expression, in order; each name once.

    Args:
        selection: the subset.
        truth: its items.
        by: columns or SQL expressions of items: ``occlusion``, ``category``, ``x2 - x1 > 200``, ``scores.loss > 2``.
        of_images: whether a slice is of the images with at least one such item, and of all items in them.

    Raises:
        UsageError: an expression is not allowed, or has too many values.
    """
    if not by:
        return []
    values = item_values(selection, by)
    slices: dict[str, Slice] = {}
    for k, name in enumerate(by):
        column = values.column(f"value_{k}").combine_chunks()
        for label, is_in in values_of(name, column):
            items = np.zeros(len(truth.chosen), bool)
            items[truth.chosen] = is_in
            if of_images:
                images = np.bincount(truth.image[items], minlength=truth.images.num_rows) > 0
                part = Slice(f"images with {label}", truth.chosen & images[truth.image], images)
            else:
                part = Slice(label, items)
            slices[part.name] = part
    return list(slices.values())


def item_values(selection: Selection, by: Sequence[str]) -> pa.Table:
    """Return the key of the chosen items, in order, and the values of expressions: ``value_0``, ``value_1``, ..."""
    return selection.item_values(["category_name" if name == _CATEGORY else name for name in by]).to_arrow_table()


def category_slices(truth: Truth) -> Iterator[Slice]:
    """Yield a slice for every category that occurs among the items of the subset, by number."""
    for category_id in sorted(set(truth.category_id[truth.chosen].tolist())):
        yield Slice(
            f"{_CATEGORY}={CATEGORY_BY_ID[category_id].name}", truth.chosen & (truth.category_id == category_id)
        )


def values_of(name: str, column: pa.Array) -> Iterator[tuple[str, Bools]]:
    """Yield the label of every value of an expression, and which of the values it is.

    Raises:
        UsageError: it has lists or structs, or too many values.
    """
    import pyarrow as pa

    if pa.types.is_nested(column.type):
        raise UsageError(
            f"{name} has lists or structs: expected numbers, texts or truth values for slices, as in "
            "'len(landmarks) > 0'."
        )
    encoded = column.dictionary_encode(null_encoding="encode")
    labels = encoded.dictionary.to_pylist()
    if len(labels) > _MAX_VALUES:
        raise UsageError(
            f"{name} has {len(labels):,} values: expected at most {_MAX_VALUES} for slices. Compare it, as in "
            f"'{name} > ...'."
        )
    codes = encoded.indices.to_numpy()
    for k in sorted(range(len(labels)), key=lambda k: _order(labels[k])):
        yield _label(name, labels[k]), codes == k


def _order(value: Any) -> tuple[bool, Any]:
    return value is None, value if isinstance(value, int | float) else str(value)


def _label(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"not ({name})"
    if value is None:
        return f"{name} is null"
    return f"{name}={ATTRIBUTE_CODES.get(name, {}).get(value, value)}"
