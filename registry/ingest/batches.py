"""Arrow record batches of the tables images and items, from decoded annotations."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, cast

from registry.dataset.content_hash import HASHED, content_hashes
from registry.dataset.tables import BOX_COLUMNS, IMAGES, ITEMS, arrow_schema, record_batch
from registry.ingest.decode import Annotations, Item
from registry.ingest.diagnose import item_no
from registry.sources.photo_headers import Size

if TYPE_CHECKING:
    import pyarrow as pa

#: Fields of an item that are columns as they are, except that the box becomes x1, y1, x2, y2.
_ITEM_FIELDS: Final = ("style", "category_name", "scale", "occlusion", "zoom_in", "viewpoint", "bounding_box")


def images_batch(
    image_ids: Sequence[int],
    file_names: Sequence[str],
    sources: Sequence[str | None],
    pair_ids: Sequence[int | None],
    sizes: Sequence[Size | None],
    num_items: Sequence[int | None],
) -> pa.RecordBatch:
    """Return rows of the table images; width, height and orientation are NULL where a size is None or a text."""
    pixels = [size if isinstance(size, tuple) else (None, None, None) for size in sizes]
    widths, heights, orientations = ([size[k] for size in pixels] for k in range(3))
    return record_batch(IMAGES, (image_ids, file_names, sources, pair_ids, widths, heights, num_items, orientations))


def items_batch(columns: Annotations) -> tuple[pa.RecordBatch, tuple[tuple[int, int], ...]]:
    """Return rows of the table items, and (category_id, number of rows) of each category, ascending.

    Rows are sorted by category_id, image_id, item_no.
    """
    import pyarrow as pa

    values = _item_columns(columns)
    schema = arrow_schema(ITEMS, stored=False)
    values |= {name: pa.array(values.get(name, ()), schema.field(name).type) for name in HASHED}
    values["content_hash"] = content_hashes(values)
    values["num_corrections"] = values.get("num_corrections") or array("h", bytes(2 * len(columns.items)))
    rows = record_batch(ITEMS, (values.get(column.name, ()) for column in ITEMS.stored_columns))
    counts = Counter(item.category_id for item in columns.items)
    return rows, tuple(sorted(counts.items()))


def _item_columns(columns: Annotations) -> dict[str, Any]:
    """Return column name -> values of the table items, sorted; columns without values may be missing."""
    numbers_by_key = {key: item_no(key) for key in set(columns.item_keys)}
    item_nos = [numbers_by_key[key] for key in columns.item_keys]
    images = list(chain.from_iterable([image] * count for image, count in enumerate(columns.num_items)))
    item_orders = list(chain.from_iterable(range(1, count + 1) for count in columns.num_items))
    order = _sort_order(columns, images, item_nos)
    items = [columns.items[k] for k in order]
    images = [images[k] for k in order]
    visibilities = [columns.visibilities[k] for k in order]
    values: dict[str, Any] = {
        "image_id": [columns.image_ids[image] for image in images],
        "item_no": [item_nos[k] for k in order],
        "item_order": [item_orders[k] for k in order],
        "source": [columns.sources[image] for image in images],
        "pair_id": [columns.pair_ids[image] for image in images],
        "category_id": [item.category_id for item in items],
        "landmarks": _number_lists([item.landmarks for item in items], "i"),
        "num_landmarks_labelled": [None if v is None else len(v) - v.count(0) for v in visibilities],
        "segmentation": _segmentations(items),
    }
    fields = list(zip(*map(attrgetter(*_ITEM_FIELDS), items), strict=True)) or [()] * len(_ITEM_FIELDS)
    values |= dict(zip(_ITEM_FIELDS, fields, strict=True))
    if columns.num_corrections:
        values["num_corrections"] = [columns.num_corrections[k] for k in order]
    corners = zip(*values["bounding_box"], strict=True)
    return values | dict(zip(BOX_COLUMNS, corners, strict=False))  # no corners without items


def _sort_order(columns: Annotations, images: Sequence[int], item_nos: Sequence[int]) -> list[int]:
    """Return the positions of the items in the order of category_id, image and item_no."""
    # A single integer compares faster than a tuple of three.
    keys = [
        (item.category_id << 48) + (image << 16) + number
        for item, image, number in zip(columns.items, images, item_nos, strict=True)
    ]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _segmentations(items: Sequence[Item]) -> pa.Array:
    segmentations = [item.segmentation for item in items]
    polygons = _number_lists(list(chain.from_iterable(segmentations)), "d")
    return _list_array(polygons, map(len, segmentations), len(items))


def _number_lists(lists: Sequence[list[Any] | None], code: str) -> pa.Array:
    """Return a list array of int32 (code ``i``) or float64 (``d``); NULL for None.

    Arrow takes several times as long to build it from lists of Python numbers as ``array`` to fill a flat buffer.
    """
    import pyarrow as pa

    flat = array(code)
    extend = flat.fromlist
    is_valid = None
    if None in lists:
        is_valid = pa.array([numbers is not None for numbers in lists]).buffers()[1]
        lists = [numbers or [] for numbers in lists]
    rows_of_numbers = cast(Sequence[list[Any]], lists)
    for numbers in rows_of_numbers:
        extend(numbers)
    number_type = pa.int32() if code == "i" else pa.float64()
    numbers_array = pa.Array.from_buffers(number_type, len(flat), [None, pa.py_buffer(flat)])
    return _list_array(numbers_array, map(len, rows_of_numbers), len(rows_of_numbers), is_valid)


def _list_array(
    values: pa.Array, lengths: Iterable[int], num_lists: int, is_valid: pa.Buffer | None = None
) -> pa.Array:
    """Return a list array that divides ``values`` into lists of these lengths; ``is_valid`` is a bitmap."""
    import pyarrow as pa

    list_type = pa.list_(pa.field("element", values.type, nullable=False))
    offsets = pa.py_buffer(array("i", accumulate(lengths, initial=0)))
    num_nulls = -1 if is_valid else 0  # -1: Arrow counts them
    return pa.Array.from_buffers(list_type, num_lists, [is_valid, offsets], null_count=num_nulls, children=[values])
