"""Counts of the values of options for any subset, from the number of images or items of each combination of values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.arrays import Bools, Ints
from registry.dataset.deepfashion2 import SOURCES, SPLITS

if TYPE_CHECKING:
    from registry.subset.options import Subset

#: Options of a subset whose values are counted -> the column; the first two count images, the others items.
FACETS: Final = {
    "split": "split", "source": "source", "category": "category_id", "scale": "scale", "occlusion": "occlusion",
    "zoom_in": "zoom_in", "viewpoint": "viewpoint",
}  # fmt: skip
#: Those that images have.
IMAGE_FACETS: Final = ("split", "source")
#: Values of the columns that are texts, in the order of the data set.
_TEXTS: Final = {"split": SPLITS, "source": SOURCES}

#: Runs a query and returns its rows.
Fetch = Callable[[str], list[tuple[Any, ...]]]


class FacetCounts:
    """How many rows have each combination of values.

    Args:
        options: names in :data:`FACETS`.
        rows: what to count: a table, or a query in parentheses.
        fetch: runs a query.
    """

    def __init__(self, options: Sequence[str], rows: str, fetch: Fetch) -> None:
        columns = ", ".join(FACETS[option] for option in options)
        counted = fetch(f"SELECT {columns}, count(*) FROM {rows} GROUP BY ALL")
        *columns_of_values, counts = zip(*counted, strict=True) if counted else [()] * (len(options) + 1)
        self._counts: Ints = np.array(counts, np.int64)
        #: Option -> its values in order, and for each combination the place of its value among them.
        self._values: dict[str, tuple[list[Any], Ints]] = {}
        for option, column in zip(options, columns_of_values, strict=True):
            values = _in_order(option, set(column))
            places = {value: place for place, value in enumerate(values)}
            self._values[option] = values, np.array([places[value] for value in column], np.int64)

    def total(self, subset: Subset) -> int:
        """Return the number of rows that have the values that a subset asks for."""
        return int(self._counts[self._chosen(subset, "")].sum())

    def of(self, option: str, subset: Subset) -> dict[Any, int]:
        """Return the number of rows of each value of an option, as if a subset did not have that option; NULL last."""
        values, places = self._values[option]
        chosen = self._chosen(subset, option)
        sums = np.bincount(places[chosen], self._counts[chosen], len(values)).astype(np.int64).tolist()
        return {value: number for value, number in zip(values, sums, strict=True) if number}

    def _chosen(self, subset: Subset, left_out: str) -> Bools:
        """Return which combinations have the values that a subset asks for, one option aside."""
        chosen = np.ones(len(self._counts), bool)
        for option, (values, places) in self._values.items():
            asked = getattr(subset, option)
            if asked and option != left_out:
                chosen &= np.array([value in asked for value in values], bool)[places]
        return chosen


def _in_order(option: str, values: set[Any]) -> list[Any]:
    """Return values in the order of the data set; NULL last."""
    texts = _TEXTS.get(option, ())
    return sorted(values, key=lambda value: (value is None, (*texts, value).index(value) if texts else 0, value or 0))
