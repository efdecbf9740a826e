"""Columns as text, formatted and joined by Arrow without a Python object per value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import BinaryIO, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

#: Texts of the whole doubles 0.0, 1.0, ...: nearly all whole coordinates, whose look-up is faster than formatting.
_WHOLE: Final = pa.array([f"{number}.0" for number in range(4_096)])


def numbers(values: pa.Array) -> pa.Array:
    """Return numbers as the shortest text that parses to the same number; whole numbers without a point (12, 1e+20)."""
    return pc.cast(values, pa.string())


def typed_numbers(values: pa.Array) -> pa.Array:
    """Return numbers as :func:`numbers`, but doubles with a point or an exponent (12.0, 1e+20).

    Readers that infer types from the first rows take 12 for an integer, and then cut or refuse a later 12.5.
    """
    if not pa.types.is_floating(values.type):
        return numbers(values)
    is_whole = pc.equal(pc.floor(values), values)
    if not is_whole.true_count:
        return numbers(values)
    is_listed = pc.and_(is_whole, pc.and_(pc.greater(values, 0), pc.less(values, len(_WHOLE))))  # not -0.0
    texts = _WHOLE.take(pc.if_else(is_listed, values, None).cast(pa.int32()))
    if is_listed.true_count < is_whole.true_count:
        is_rare = pc.and_not(is_whole, is_listed)
        rare = numbers(values.filter(is_rare))
        ends_whole = pc.match_substring_regex(rare, "[en]")  # an exponent, inf or nan
        texts = pc.replace_with_mask(texts, is_rare, pc.if_else(ends_whole, rare, concat(rare, ".0")))
    is_fraction = pc.invert(is_whole)
    if is_fraction.true_count:
        texts = pc.replace_with_mask(texts, is_fraction, numbers(values.filter(is_fraction)))
    return texts


#: Returns each number of a column as text: :func:`numbers` or :func:`typed_numbers`.
Numbers = Callable[[pa.Array], pa.Array]


def number_lists(values: pa.Array, separator: str = ",", texts_of: Numbers = numbers) -> pa.Array:
    """Return each list of numbers as ``[1,2,3]``; NULL stays NULL."""
    texts = concat("[", _joined(values, texts_of(values.flatten()), separator), "]")
    return pc.if_else(values.is_null(), None, texts) if values.null_count else texts


def polygon_lists(values: pa.Array, separator: str = ",", texts_of: Numbers = numbers) -> pa.Array:
    """Return each list of polygons as ``[[1,2,3,4],[5,6]]``."""
    # Brackets between polygons are part of the separator, which saves a copy of all numbers.
    polygons = _joined(values.flatten(), texts_of(values.flatten().flatten()), separator)
    texts = concat("[[", _joined(values, polygons, f"]{separator}["), "]]")
    return pc.if_else(pc.equal(pc.list_value_length(values), 0), "[]", texts)


def concat(*pieces: pa.Array | str) -> pa.Array:
    """Return the concatenated pieces of each row; a str piece is repeated in every row."""
    return pc.binary_join_element_wise(*(pa.scalar(piece) if isinstance(piece, str) else piece for piece in pieces), "")


def join_groups(texts: pa.Array, lengths: Sequence[int], separator: str) -> pa.Array:
    """Return the joined texts of each group of consecutive rows; the first group has ``lengths[0]`` rows, and so on."""
    offsets = pa.array(accumulate(lengths, initial=0), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), separator)


def join_all(texts: pa.Array, separator: str) -> bytes:
    """Return all texts of a column joined, as bytes."""
    return b"".join(slices(join_groups(texts, [len(texts)], separator)))


class TextFiles(NamedTuple):
    """Small files.

    Attributes:
        paths: path of each in the export.
        texts: text of each.
    """

    paths: Sequence[str]
    texts: pa.Array

    def with_bytes(self) -> Iterator[tuple[str, memoryview]]:
        """Yield the path and the bytes of each file, without copying."""
        return zip(self.paths, slices(self.texts), strict=True)


class Records:
    """Writes records of a JSON list to a file, a record per line. The caller writes the brackets.

    Attributes:
        length: number of records written so far.
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
    """Return ``texts[position]`` for each position."""
    return pa.array(list(texts), pa.string()).take(positions)


def _joined(values: pa.Array, texts: pa.Array, separator: str) -> pa.Array:
    """Return the joined texts of each list; ``texts`` holds the text of each element of the flattened lists."""
    offsets = values.offsets  # offsets of a slice do not begin at 0
    if len(offsets) and offsets[0].as_py():
        offsets = pc.subtract(offsets, offsets[0])
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), separator)
