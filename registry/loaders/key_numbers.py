"""The keys of images and items as numbers, which sort and compare faster than their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.arrays import Ints
from registry.dataset.deepfashion2 import SPLITS

_ITEM_BITS: Final = 16
_IMAGE_BITS: Final = 31 + _ITEM_BITS


def key_numbers(rows: pa.Table, columns: Sequence[str]) -> Ints:
    """Return a number for each row, another for each other key; they ascend as the data set does.

    Args:
        rows: have the columns.
        columns: names of those of split and image_id, and of item_no where the key is that of an item.
    """
    split = pc.index_in(pc.cast(rows[columns[0]], pa.string()), pa.array(SPLITS))
    split_no, image_id, *item_no = (
        pc.cast(column, pa.int64()).to_numpy() for column in (split, *(rows[name] for name in columns[1:]))
    )
    return np.asarray(split_no << _IMAGE_BITS | image_id << _ITEM_BITS | (item_no[0] if item_no else 0), np.int64)
