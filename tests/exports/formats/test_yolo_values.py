"""The numbers of YOLO labels equal the items' for any image size, tested on single images without a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.exports.recorder import Recorder, one_image


def run_chunk(size: tuple[int | None, int | None], items: Sequence[Mapping[str, Any]], **options: Any) -> Recorder:
    return one_image("yolo", size, items, **({"task": "detect", "landmarks": None, "multipolygon": None} | options))


SIDES = st.integers(1, 10_000)
COORDINATES = st.one_of(st.integers(-20, 10_020), st.floats(-20, 10_020), st.floats(-1e15, 1e15))


@given(st.tuples(SIDES, SIDES), st.lists(st.tuples(*[COORDINATES] * 4), min_size=1, max_size=4))
def test_boxes_equal_the_items_box_inside_the_image(size: tuple[int, int], boxes: list[tuple[float, ...]]) -> None:
    job = run_chunk(
        size, [{"category_id": 1, **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))} for box in boxes]
    )
    cut = np.clip(boxes, 0, (*size, *size))
    # A ten-millionth of the image may be rounded to no width.
    extent = (cut[:, 2:] - cut[:, :2]) / size
    expected = cut[(extent > 1.1e-7).all(axis=1)]
    assume(not ((extent > 0) & (extent <= 1.1e-7)).any())
    actual = np.array(job.rows()).reshape(-1, 5)
    assert len(actual) == len(expected) == len(boxes) - job.num_left_out("items")
    corners = np.hstack((actual[:, 1:3] - actual[:, 3:] / 2, actual[:, 1:3] + actual[:, 3:] / 2))
    np.testing.assert_allclose(corners * (*size, *size), expected, rtol=0, atol=1e-3)
    assert ((corners > -1e-15) & (corners < 1 + 1e-15)).all()
    assert job.num_left_out("boxes") == sum(
        tuple(box) != tuple(inside) for box, inside in zip(boxes, cut, strict=True) if (inside[2:] > inside[:2]).all()
    )


@given(st.tuples(SIDES, SIDES), st.lists(st.tuples(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(-5, 10_005),
                                                   st.integers(0, 2)), min_size=8, max_size=8))  # fmt: skip
def test_landmarks_equal_the_items_or_are_zero(size: tuple[int, int], points: list[tuple[int, int, int]]) -> None:
    flat = [number for point in points for number in point]
    box = {"category_id": 9, "x1": 0.0, "y1": 0.0, "x2": 1.0, "y2": 1.0}
    job = run_chunk(size, [box | {"landmarks": flat}], task="pose", landmarks="padded")

    actual = np.array(job.rows()[0][5:]).reshape(39, 3)
    assert not actual[8:].any()
    shown = [v > 0 and 0 <= x <= size[0] and 0 <= y <= size[1] for x, y, v in points]
    for row, point, is_shown in zip(actual, points, shown, strict=False):
        assert row.tolist() == [0, 0, 0] if not is_shown else row[2] == point[2]
        if is_shown:
            np.testing.assert_allclose(row[:2] * size, point[:2], rtol=0, atol=1e-3)
    assert job.num_left_out("landmarks") == sum(point[2] > 0 for point in points) - sum(shown)


@given(st.tuples(SIDES, SIDES), st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9))
def test_polygons_equal_the_items_inside_the_image(size: tuple[int, int], points: list[tuple[float, float]]) -> None:
    job = run_chunk(
        size, [{"category_id": 1, "segmentation": [[number for point in points for number in point]]}], task="segment"
    )
    rows = job.rows()
    assert len(rows) == 1 - job.num_left_out("items")
    if rows:
        expected = np.clip(points, 0, size)
        actual = np.array(rows[0][1:]).reshape(-1, 2) * size
        np.testing.assert_allclose(actual, expected, rtol=0, atol=max(1e-3, 1.1e-6 * max(size)))
        assert (actual >= expected - 1e-9).all()  # readers cut off, they do not round
        assert (np.ptp(expected, axis=0) > 0).all()
        assert job.num_left_out("polygons") == (expected != np.array(points)).any()


@pytest.mark.parametrize("options", [{"task": "detect"}, {"task": "segment"}, {"task": "pose"}])
def test_an_image_without_items_has_an_empty_label_and_needs_no_size(options: dict[str, str]) -> None:
    job = run_chunk((None, None), [], **options)

    assert job.written["labels/train/000001.txt"] == b""
    assert not job.left_out


def test_small_shares_are_numbers_that_python_reads() -> None:
    box = {"category_id": 1, "x1": 0.0, "y1": 0.0, "x2": 0.001, "y2": 1.0}
    job = run_chunk((10_000, 10), [box])

    assert job.written["labels/train/000001.txt"] == b"0 0.00000005 0.05 0.0000001 0.1\n"
