"""The order of images and items by their keys: the number of the row of each key, found without a query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.arrays import Ints
from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import ITEMS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Bits of image_id in the number of an image.
_IMAGE_BITS: Final = 32


class RowOrder:
    """The keys of a table whose column ``row_no`` counts its rows from 0 in the order of their keys.

    Args:
        connection: has the table.
        table: ``images`` or ``items``, with the columns split_no and row_no.
    """

    def __init__(self, connection: DuckDBPyConnection, table: str) -> None:
        has_items = table == ITEMS.name
        columns = "row_no, split_no, image_id" + (", item_no" if has_items else "")
        arrays: dict[str, Any] = connection.execute(f"SELECT {columns} FROM {table}").fetchnumpy()
        self._image: Ints = np.empty(len(arrays["row_no"]), np.int64)
        self._image[arrays["row_no"]] = arrays["split_no"].astype(np.int64) << _IMAGE_BITS | arrays["image_id"]
        self._item_no: Ints | None = None
        if has_items:
            self._item_no = np.empty(len(self._image), np.int64)
            self._item_no[arrays["row_no"]] = arrays["item_no"]

    def __len__(self) -> int:
        return len(self._image)

    def of_images(self, keys: Iterable[tuple[str, int]]) -> Ints:
        """Return the numbers of the rows of images by (split, image_id), ascending."""
        numbers = [SPLITS.index(split) + 1 << _IMAGE_BITS | image_id for split, image_id in keys if split in SPLITS]
        image = np.unique(np.array(numbers, np.int64))
        first, behind = (np.searchsorted(self._image, image, side) for side in ("left", "right"))
        lengths = behind - first
        return np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())

    def bounds(self, key: Sequence[int]) -> tuple[int, int]:
        """Return the number of rows before a key, and that of rows up to it.

        Args:
            key: split_no, image_id and, of items, item_no.
        """
        image = key[0] << _IMAGE_BITS | key[1]
        first, behind = (int(np.searchsorted(self._image, image, side)) for side in ("left", "right"))
        if self._item_no is None:
            return first, behind
        item_nos = self._item_no[first:behind]
        low, high = (first + int(np.searchsorted(item_nos, key[2], side)) for side in ("left", "right"))
        return low, high
