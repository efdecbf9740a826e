"""Checks rows before they leave a registry: exports use their cells as file names and write them into JSON, XML, CSV.

A Parquet file from elsewhere may hold any value under a correct digest. Rows must have the values that ingestion admits
(:mod:`registry.ingest.diagnose`); the first other value is an error with split and image. Checks work column by column.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.arrays import Bools
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORIES, SOURCES
from registry.dataset.file_names import PHOTO_NAME, PHOTO_SUFFIXES_TEXT
from registry.dataset.names import shown
from registry.dataset.tables import BOX_COLUMNS
from registry.errors import RegistryFormatError

if TYPE_CHECKING:
    import pyarrow as pa

#: Last sentence of messages about rows.
NOT_INGESTED: Final = (
    "The rows were not written by 'df2 ingest': take the registry from a place that you trust, or ingest the split "
    "again."
)  # fmt: skip
#: From here on, a double cannot tell neighbouring integers apart; ingestion refuses such coordinates.
_EXACT: Final = float(2**53)


@dataclass(frozen=True, slots=True)
class _Cells:
    """Rows to check, with their origin for messages.

    Attributes:
        rows: of a table.
        split: of the rows.
        place: the registry.
        image_ids: images of the rows, in order, if the rows have no column image_id.
        num_items: number of rows of each of these images.
    """

    rows: pa.RecordBatch
    split: str
    place: object
    image_ids: pa.Array | None = None
    num_items: Sequence[int] = ()

    def require(self, name: str, is_sound: Bools) -> None:
        """Raise RegistryFormatError for the first row whose cell is not sound."""
        if is_sound.all():
            return
        position = int(np.argmin(is_sound))
        expected = _EXPECTED.get(name, "a value that 'df2 ingest' writes")
        value = shown(self.rows.column(name)[position].as_py())
        raise RegistryFormatError(
            f"{self.place} > {self.split} > {self._image(position)}{name}: expected {expected}, found {value}. "
            f"{NOT_INGESTED}"
        )

    def _image(self, position: int) -> str:
        if "image_id" in self.rows.schema.names:
            return f"image {self.rows.column('image_id')[position]} > "
        if self.image_ids is None:
            return ""
        return f"image {self.image_ids[bisect_right(list(accumulate(self.num_items)), position)]} > "


def check_images(images: pa.RecordBatch, split: str, place: object) -> None:
    """Check rows of the table images, sorted by image_id.

    Raises:
        RegistryFormatError: ingestion writes no such row; the message names the split and the image.
    """
    import pyarrow.compute as pc

    cells = _Cells(images, split, place)
    _check_columns(cells)
    _check_file_names(cells)
    image_ids = images.column("image_id")
    is_repeated = pc.equal(image_ids.slice(1), image_ids.slice(0, max(0, len(image_ids) - 1)))
    if is_repeated.true_count:
        image_id = image_ids[pc.index(is_repeated, True).as_py()]
        raise RegistryFormatError(f"{place} > {split} > image {image_id}: expected one row in the table images.")


def check_items(
    items: pa.RecordBatch,
    split: str,
    place: object,
    image_ids: pa.Array | None = None,
    num_items: Sequence[int] = (),
) -> None:
    """Check rows of the table items, with any of its columns.

    Args:
        items: the rows.
        split: of the rows.
        place: the registry, for messages.
        image_ids: images of the rows, in order, for messages if the rows have no column image_id.
        num_items: number of rows of each of these images.

    Raises:
        RegistryFormatError: ingestion writes no such row; the message names the split and the image.
    """
    import pyarrow.compute as pc

    cells = _Cells(items, split, place, image_ids, num_items)
    _check_columns(cells)
    if "file_name" in items.schema.names:
        _check_file_names(cells)
    if "category_id" not in items.schema.names:
        return
    positions = _numpy(items.column("category_id")).astype(np.intp) - 1
    if "category_name" in items.schema.names:
        expected = np.array([category.name for category in CATEGORIES], object)[positions]
        names = items.column("category_name")
        cells.require("category_name", _or_null(_numpy(names) == expected, names))
    if "landmarks" in items.schema.names:
        lengths = np.array([3 * category.num_landmarks for category in CATEGORIES])[positions]
        landmarks = items.column("landmarks")
        cells.require("landmarks", _or_null(_numpy(pc.list_value_length(landmarks)) == lengths, landmarks))


def _check_columns(cells: _Cells) -> None:
    for field, values in zip(cells.rows.schema, cells.rows.columns, strict=True):
        if values.null_count and not field.nullable:
            cells.require(field.name, _numpy(values.is_valid()))
        is_sound = _is_sound(field.name, values, cells.split)
        if is_sound is not None:
            cells.require(field.name, _or_null(is_sound, values))


def _check_file_names(cells: _Cells) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = cells.rows.column("file_name")
    cells.require("file_name", _numpy(pc.match_substring_regex(names, f"^{PHOTO_NAME}$")))
    numbers = pc.replace_substring_regex(names, r"\..*$", "").cast(pa.int32())
    cells.require("file_name", _numpy(numbers) == _numpy(cells.rows.column("image_id")))


_EXPECTED: Final = {
    "file_name": f"the number of the image and {PHOTO_SUFFIXES_TEXT}, such as 000001.jpg",
    "split": "the split of the folder",
    "source": "user or shop",
    "category_name": "the name of the category",
    "landmarks": "three whole numbers for each landmark of the category",
    "segmentation": "polygons of at least 3 points, each coordinate a number below 2^53",
    **dict.fromkeys(BOX_COLUMNS, "a number below 2^53 in size"),
    **dict.fromkeys(ATTRIBUTE_CODES, "1, 2 or 3"),
    "category_id": f"a number from 1 to {len(CATEGORIES)}",
    "orientation": "a number from 1 to 8",
    **dict.fromkeys(("image_id", "pair_id", "style", "num_items", "num_landmarks_labelled"), "a number from 0 on"),
    **dict.fromkeys(("item_no", "item_order", "width", "height"), "a number from 1 on"),
}
#: Allowed texts by column.
_WORDS: Final = {"source": SOURCES, "category_name": tuple(category.name for category in CATEGORIES)}
#: Lowest and highest whole number by column.
_RANGES: Final = {
    **dict.fromkeys(("image_id", "pair_id", "style", "num_items", "num_landmarks_labelled"), (0, 2**31 - 1)),
    **dict.fromkeys(("item_no", "item_order", "width", "height"), (1, 2**31 - 1)),
    **dict.fromkeys(ATTRIBUTE_CODES, (1, 3)),
    "category_id": (1, len(CATEGORIES)),
    "orientation": (1, 8),
}


def _or_null(is_sound: Bools, values: pa.Array) -> Bools:
    """Return which rows are sound or have NULL, which other checks judge."""
    return is_sound | _numpy(values.is_null()) if values.null_count else is_sound


def _numpy(values: pa.Array) -> Any:
    """Return values as a numpy array; of whole numbers with NULLs as doubles with NaN."""
    import pyarrow as pa

    # pyarrow's own way imports pandas where that is installed (0.25 s), and so does a number of Python as an argument.
    if not values.null_count and (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return np.from_dlpack(values)
    return values.to_numpy(zero_copy_only=False)


def _is_sound(name: str, values: pa.Array, split: str) -> Bools | None:
    """Return for each row whether ingestion admits its cell; None if it admits all. That of NULL may be either."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_sound: Bools | None = None
    if name in _RANGES:
        low, high = _RANGES[name]
        bounds = pc.min_max(values).as_py()
        if bounds["min"] is not None and not (low <= bounds["min"] and bounds["max"] <= high):
            wide = _numpy(values)
            is_sound = (wide >= low) & (wide <= high)
    elif name in BOX_COLUMNS:
        is_sound = np.abs(_numpy(values)) < _EXACT  # false for NaN
    elif name in _WORDS:
        is_sound = _numpy(pc.is_in(values, value_set=pa.array(_WORDS[name])))
    elif name == "split":
        is_sound = _numpy(pc.fill_null(pc.equal(values, split), False))
    elif name == "segmentation":
        is_sound = _sound_segmentations(values)
    elif name == "landmarks" and values.flatten().null_count:
        is_sound = np.array([None not in (row or ()) for row in values.to_pylist()], bool)
    return is_sound


def _sound_segmentations(values: pa.Array) -> Bools | None:
    import pyarrow.compute as pc

    polygons = values.flatten()
    coordinates = polygons.flatten()
    if not (polygons.null_count or coordinates.null_count):
        lengths = _numpy(pc.list_value_length(polygons))
        if ((lengths >= 6) & (lengths % 2 == 0)).all() and (np.abs(_numpy(coordinates)) < _EXACT).all():
            return None
    return np.array([all(_is_polygon(polygon) for polygon in row or ()) for row in values.to_pylist()], bool)


def _is_polygon(polygon: list[float | None] | None) -> bool:
    if polygon is None or len(polygon) < 6 or len(polygon) % 2:
        return False
    return all(number is not None and abs(number) < _EXACT for number in polygon)
