"""The images and categories that records of predictions name, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from registry.dataset.deepfashion2 import CATEGORY_BY_ID, SPLITS, category_called
from registry.dataset.image_names import read_image_name
from registry.errors import UnknownNameError
from registry.evaluation.image_index import NO_SPLIT, UNKNOWN_SPLIT

#: Number of a category that does not exist.
NO_CATEGORY: Final = 0
_INT64: Final = 2**63


class RecordKeys:
    """Reads numbers and names; each name once."""

    def __init__(self) -> None:
        self._images: dict[str, tuple[int, int]] = {}
        self._categories: dict[str, int] = {}

    def images(
        self, ids: Sequence[Any] | np.ndarray, splits: Sequence[str | None] | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the number of each image, and the number of its split where anything tells it."""
        if isinstance(ids, np.ndarray) and splits is None:
            return ids, None
        values = ids.tolist() if isinstance(ids, np.ndarray) else ids
        if splits is None and set(map(type, values)) == {int}:
            return np.fromiter(values, np.int64, len(values)), None
        number = np.zeros(len(values), np.int64)
        split = np.full(len(values), NO_SPLIT)
        for k, (value, name) in enumerate(zip(values, splits or [None] * len(values), strict=True)):
            of_name = NO_SPLIT
            if isinstance(value, str):
                if value not in self._images:
                    self._images[value] = _read_image(value)
                of_name, number[k] = self._images[value]
            elif value is None:
                of_name = UNKNOWN_SPLIT
            else:
                number[k] = value
            split[k] = of_name
            if name is not None and of_name != UNKNOWN_SPLIT:
                of_key = SPLITS.index(name) if name in SPLITS else UNKNOWN_SPLIT
                split[k] = of_key if of_name in (NO_SPLIT, of_key) else UNKNOWN_SPLIT
        return number, split

    def categories(
        self, values: Sequence[Any] | np.ndarray, names: Sequence[str | None] | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the id of each category, and that of its name (-1 without one) where both are given."""
        if not isinstance(values, np.ndarray) and set(map(type, values)) == {int}:
            values = np.fromiter(values, np.int64, len(values))
        if isinstance(values, np.ndarray):
            ids = np.where((values >= 1) & (values <= len(CATEGORY_BY_ID)), values, NO_CATEGORY)
        else:
            ids = np.fromiter(map(self._category_id, values), np.int64, len(values))
        if names is None:
            return ids, None
        id_of_name = np.fromiter(
            (-1 if name is None else self._category_id(name) for name in names), np.int64, len(ids)
        )
        is_absent = np.fromiter((value is None for value in values), bool, len(ids))
        return np.where(is_absent, np.maximum(id_of_name, NO_CATEGORY), ids), id_of_name

    def _category_id(self, value: Any) -> int:
        if isinstance(value, str):
            if value not in self._categories:
                category = category_called(value)
                self._categories[value] = NO_CATEGORY if category is None else category.id
            return self._categories[value]
        return value if value in CATEGORY_BY_ID else NO_CATEGORY


def _read_image(name: str) -> tuple[int, int]:
    """Return the number of the split in a name, and the number of the image."""
    try:
        image = read_image_name(name)
    except UnknownNameError:
        image = None
    if image is None or image[1] >= _INT64:
        return UNKNOWN_SPLIT, 0
    return NO_SPLIT if image[0] is None else SPLITS.index(image[0]), image[1]
