"""Rows as text, a column at a time: Arrow formats and joins, so that no Python object is made for a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc


def numbers(values: pa.Array) -> pa.Array:
    """Return numbers as the shortest text that reads back to the same number; whole ones have no point (12, 1e+20)."""
    return pc.cast(values, pa.string())


def number_lists(values: pa.Array, separator: str = ",") -> pa.Array:
    """Return each list of numbers as ``[1,2,3]``."""
    return concat("[", _joined(values, numbers(values.flatten()), separator), "]")


def polygon_lists(values: pa.Array, separator: str = ",") -> pa.Array:
    """Return each list of polygons as ``[[1,2,3,4],[5,6]]``."""
    # The brackets between polygons come in as their separator, which saves a copy of all numbers.
    polygons = _joined(values.flatten(), numbers(values.flatten().flatten()), separator)
    found = concat("[[", _joined(values, polygons, f"]{separator}["), "]]")
    return pc.if_else(pc.equal(pc.list_value_length(values), 0), "[]", found)


def concat(*pieces: pa.Array | str) -> pa.Array:
    """Return the pieces of each row put together; a piece that is one text stands in every row."""
    return pc.binary_join_element_wise(*(pa.scalar(piece) if isinstance(piece, str) else piece for piece in pieces), "")


def join_groups(texts: pa.Array, lengths: Sequence[int], separator: str) -> pa.Array:
    """Return the texts of each group put together: the first ``lengths[0]`` ones, then the next, and so on."""
    offsets = pa.array(accumulate(lengths, initial=0), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), separator)


def join_all(texts: pa.Array, separator: str) -> bytes:
    """Return all texts of a column put together."""
    return b"".join(slices(join_groups(texts, [len(texts)], separator)))


class Records:
    """A JSON list that is written as its records come, one a line; the brackets are left to the caller.

    Attributes:
        length: records so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.length = 0

    def add(self, texts: pa.Array) -> None:
        """Write records."""
        if len(texts):
            self._file.write(b",\n" if self.length else b"\n")
            self._file.write(join_all(texts, ",\n"))
            self.length += len(texts)


def slices(texts: pa.Array) -> list[memoryview]:
    """Return the bytes of each text, without copying."""
    _, offset_buffer, data = texts.buffers()
    if data is None:
        return [memoryview(b"")] * len(texts)
    offsets = memoryview(offset_buffer).cast("i")[texts.offset : texts.offset + len(texts) + 1].tolist()
    view = memoryview(data)
    return [view[start:end] for start, end in pairwise(offsets)]


def choose(texts: Iterable[str], positions: pa.Array) -> pa.Array:
    """Return for each row the text at its position."""
    return pa.array(list(texts), pa.string()).take(positions)


def _joined(values: pa.Array, texts: pa.Array, separator: str) -> pa.Array:
    """Return the texts of the elements of each list put together."""
    offsets = values.offsets  # of a slice, they do not begin at 0
    if len(offsets) and offsets[0].as_py():
        offsets = pc.subtract(offsets, offsets[0])
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), separator)
