"""Numbers as text that readers take for the type that they have."""

from __future__ import annotations

import json
import math
import struct

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from registry.exports.columns.text import number_lists, polygon_lists, typed_numbers

DOUBLES = st.one_of(st.integers(-10, 5_000).map(float), st.floats(allow_nan=False, allow_infinity=False))


@given(st.lists(st.none() | DOUBLES))
@example([0.0, -0.0, 1.0, 4095.0, 4096.0, -3.0, 1e13, 1e14, 1e22, 0.5, None])
def test_a_double_is_read_as_the_same_double(values: list[float | None]) -> None:
    texts = typed_numbers(pa.array(values, pa.float64())).to_pylist()
    for value, text in zip(values, texts, strict=True):
        if value is None:
            assert text is None
        else:
            read = json.loads(text)
            assert isinstance(read, float)
            assert struct.pack("d", read) == struct.pack("d", value)


def test_a_double_has_a_point_or_an_exponent() -> None:
    values = [10.0, 0.0, -0.0, 4096.0, 10.5, 1e15, math.inf, math.nan]
    expected = ["10.0", "0.0", "-0.0", "4096.0", "10.5", "1e+15", "inf", "nan"]
    assert typed_numbers(pa.array(values)).to_pylist() == expected


def test_an_integer_has_no_point() -> None:
    assert typed_numbers(pa.array([1, None, -2], pa.int32())).to_pylist() == ["1", None, "-2"]


def test_lists_are_written_with_the_chosen_numbers() -> None:
    polygons = pa.array([[], [[1.0, 2.5]], [[3.0], [4.0]]], pa.list_(pa.list_(pa.float64())))
    for rows in (polygons, pa.concat_arrays([polygons, polygons])[3:]):
        assert polygon_lists(rows).to_pylist() == ["[]", "[[1,2.5]]", "[[3],[4]]"]
        assert polygon_lists(rows, texts_of=typed_numbers).to_pylist() == ["[]", "[[1.0,2.5]]", "[[3.0],[4.0]]"]
    assert number_lists(pa.array([[1.0], []]), texts_of=typed_numbers).to_pylist() == ["[1.0]", "[]"]
