"""The content hash of an item: the same number for the same content, in every registry and every version.

It is the BLAKE2b hash (8 bytes, as a signed little-endian number) of a byte form of the row. The byte form has, for
each column of :data:`HASHED` in this order:

* a number: its bytes, as wide as its type, little-endian; -0.0 as the equal 0.0,
* a text: UTF-8, ended by a zero byte,
* a list of numbers: its length (int32), then the bytes of the numbers,
* a list of lists: its length (int32), the length of each list (int32), then the bytes of all numbers.

NULL, which items from a COCO file may have, is as 0 or as an empty text or list; behind the columns of such a row stand
the names of its columns with NULL. So no row with NULL has the byte form of a row without.

The key and ``item_order`` are not part of it, as they locate the item and do not describe it. Columns of later schema
versions must stay out, or the hashes of earlier and later registries would differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

#: The columns that are hashed. Neither they nor their order nor their types may ever change.
HASHED: Final = (
    *("source", "pair_id", "style", "category_id", "category_name", "x1", "y1", "x2", "y2"),
    *("scale", "occlusion", "zoom_in", "viewpoint", "landmarks", "num_landmarks_labelled", "segmentation"),
)


def content_hashes(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Return the content hash (int64) of every row.

    Args:
        columns: at least the columns in :data:`HASHED`, with the types of the table items.
    """
    import pyarrow as pa

    digests = [blake2b(form, digest_size=8).digest() for form in byte_forms(columns).to_pylist()]
    return pa.Array.from_buffers(pa.int64(), len(digests), [None, pa.py_buffer(b"".join(digests))])


def byte_forms(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Return the byte form (binary) of every row; see :func:`content_hashes`.

    Arrow joins whole columns, in a fifth of the time of packing row by row.
    """
    import pyarrow.compute as pc

    with_nulls = [name for name in HASHED if columns[name].null_count]
    filled = {name: _without_nulls(columns[name]) if name in with_nulls else columns[name] for name in HASHED}
    pieces = [piece for name in HASHED for piece in _pieces(filled[name])]
    pieces += [pc.if_else(columns[name].is_null(), f"{name} ".encode(), b"") for name in with_nulls]
    return pc.binary_join_element_wise(*pieces, b"")


def _without_nulls(values: pa.Array) -> pa.Array:
    """Return values with 0, an empty text or an empty list for NULL."""
    import pyarrow as pa

    if not pa.types.is_list(values.type):
        return values.fill_null("" if pa.types.is_string(values.type) else 0)
    return pa.array([value or [] for value in values.to_pylist()], values.type)


def _pieces(values: pa.Array) -> Iterator[pa.Array | bytes]:
    """Yield the parts of a column's byte form, each with an entry for every row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(values.type):
        yield values.cast(pa.binary())
        yield b"\0"
    elif not pa.types.is_list(values.type):
        yield _positive_zeros(values).view(pa.binary(values.type.bit_width // 8)).cast(pa.binary())
    else:
        yield from _pieces(pc.list_value_length(values))
        numbers, offsets = values.values, values.offsets
        if pa.types.is_list(numbers.type):
            yield _runs(pc.list_value_length(numbers), offsets)
            numbers, offsets = numbers.values, numbers.offsets.take(offsets)
        yield _runs(_positive_zeros(numbers), offsets)


def _positive_zeros(numbers: pa.Array) -> pa.Array:
    """Return numbers with 0.0 for -0.0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.add(numbers, 0.0) if pa.types.is_floating(numbers.type) else numbers


def _runs(numbers: pa.Array, offsets: pa.Array) -> pa.Array:
    """Return the bytes of the numbers from each offset to the next; pyarrow runs on little-endian systems only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    width = numbers.type.bit_width // 8
    data = numbers.buffers()[1].slice(numbers.offset * width)
    ends = pc.multiply(offsets, pa.scalar(width, pa.int32()))
    return pa.Array.from_buffers(pa.binary(), len(ends) - 1, [None, ends.buffers()[1], data])
