"""Polygons and landmarks of items in mapped memory, in the order in which the registry's files have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from registry.dataset.arrays import Ints
from registry.dataset.tables import ITEMS
from registry.errors import UsageError
from registry.loaders.key_numbers import key_numbers
from registry.loaders.shared_table import SharedTable

if TYPE_CHECKING:
    from registry.loaders.chosen_rows import ChosenRows


class Shapes:
    """Columns with long lists of the items of a subset: they take seconds to sort, and are found by place instead.

    Args:
        chosen: the subset.
        items: a table of its items with their keys.
        columns: of the table items.

    Attributes:
        places: place in these rows of each item of the table.

    Raises:
        UsageError: the registry has other items than the table.
    """

    def __init__(self, chosen: ChosenRows, items: pa.Table, columns: Sequence[str]) -> None:
        with chosen.selection.item_batches(columns, chosen.part) as batches:
            self._rows = SharedTable(batches)
        keys, wanted = (key_numbers(rows, ITEMS.key) for rows in (self._rows.table, items))
        order = np.argsort(keys, kind="stable")
        if not np.array_equal(keys[order], np.sort(wanted)):
            raise UsageError(f"{chosen.selection.place}: the items have changed while they were read.")
        self.places: Ints = order[np.searchsorted(keys[order], wanted)]
        self._map()

    def _map(self) -> None:
        """Note where each batch begins: a slice of the whole table would look through all of them."""
        self._batches = self._rows.table.to_batches()
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])

    def __getstate__(self) -> SharedTable:
        return self._rows

    def __setstate__(self, rows: SharedTable) -> None:
        self._rows = rows
        self._map()

    def row(self, place: int) -> dict[str, Any]:
        """Return the columns of the item at a place."""
        number = int(np.searchsorted(self._ends, place, side="right"))
        batch = self._batches[number]
        first = int(self._ends[number]) - batch.num_rows
        row: dict[str, Any] = batch.slice(place - first, 1).to_pylist()[0]
        return row
