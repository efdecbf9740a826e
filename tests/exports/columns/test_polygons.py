"""Rings and areas of segmentations, rasterised by the two readers that matter: OpenCV and pycocotools."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from registry.dataset.masks import mask_area
from registry.errors import AnnotationError
from registry.exports.columns.polygons import bridge, largest, open_ring, ring_area

Mask: TypeAlias = npt.NDArray[np.bool_]
Points: TypeAlias = npt.NDArray[np.float64]  # (n, 2), x y in px

SIDE = 64  # px of the test masks


def square(x: float, y: float, side: float) -> list[float]:
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def box(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    return [x1, y1, x2, y1, x2, y2, x1, y2]


BOW_TIE: list[float] = [10, 10, 40, 40, 40, 10, 10, 40]

# Name -> segmentation whose union has corners at whole px only, so that rounding does not matter.
CASES: dict[str, list[list[float]]] = {
    "apart": [square(5, 5, 10), square(30, 40, 12)],
    "three apart": [square(5, 5, 10), square(40, 5, 10), square(5, 40, 20)],
    "overlapping": [square(5, 5, 20), square(15, 15, 20)],
    "outline and parts": [box(10, 5, 50, 60), box(5, 10, 20, 30), box(40, 10, 58, 30)],
    "nested part": [square(5, 5, 40), square(10, 10, 10)],
    "equal": [square(5, 5, 20), square(5, 5, 20)],
    "equal, other way round": [square(5, 5, 20), [5, 5, 5, 25, 25, 25, 25, 5]],
    "closed": [[*square(5, 5, 20), 5, 5], [*square(15, 15, 20), 15, 15]],
    "hole": [box(5, 5, 50, 15), box(5, 40, 50, 50), box(5, 5, 15, 50), box(40, 5, 50, 50)],
    "hole with an island": [box(5, 5, 50, 15), box(5, 40, 50, 50), box(5, 5, 15, 50), box(40, 5, 50, 50),
                            square(22, 22, 8)],
    "two holes": [box(5, 5, 60, 15), box(5, 40, 60, 50), box(5, 5, 15, 50), box(28, 5, 36, 50), box(50, 5, 60, 50)],
    "hole that touches the border": [[5, 5, 45, 5, 45, 45, 25, 45, 35, 25, 15, 25, 25, 45, 5, 45], square(0, 50, 4)],
    "touching at a vertex": [square(5, 5, 20), square(25, 25, 20)],
    "touching along an edge": [square(5, 5, 20), square(25, 5, 20)],
    "bow tie and a part apart": [BOW_TIE, square(48, 48, 8)],
    "bow tie and a nested part": [BOW_TIE, [12, 15, 18, 20, 18, 30, 12, 35]],
    "border passed twice": [[0, 0, 0, 40, 30, 30, 0, 10, 0, 0, 20, 0, 20, 5, 30, 5, 30, 0, 60, 0, 60, 60, 0, 60,
                             0, 50, 50, 50, 50, 0], square(20, 40, 5)],
    "left of and above the image": [box(-3, -2, 20, 20), box(10, 10, 30, 30)],
    "with a line and a point": [square(5, 5, 10), [1, 1, 50, 50], [2, 2], [7, 7, 9, 9, 60, 60], square(10, 10, 10)],
}  # fmt: skip


# cv2 draws the edges that this outline passes twice, between which there is nothing; a union has no such edges.
CASES_OF_CV2 = [name for name in CASES if name != "border passed twice"]


def by_cv2(ring: Sequence[float]) -> Mask:
    """Return the mask as readers of YOLO labels draw it: corners truncated to whole px, a single contour."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if ring:
        cv2.fillPoly(mask, [np.array(ring).reshape(-1, 2).astype(np.int32)], 1)
    return mask.astype(bool)


def by_coco(segmentation: Sequence[Sequence[float]], side: int = SIDE) -> Mask:
    """Return the mask as COCO readers draw it: the union of the polygons."""
    polygons = [list(map(float, polygon)) for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return np.zeros((side, side), dtype=bool)
    decoded = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, side, side)))
    return np.asarray(decoded) == 1


def union_by_cv2(segmentation: Sequence[Sequence[float]]) -> Mask:
    """Return the union of the polygons, each drawn for itself; lines and points are left out."""
    masks = [by_cv2(polygon) for polygon in segmentation if by_coco([polygon]).any()]
    return np.logical_or.reduce([np.zeros((SIDE, SIDE), dtype=bool), *masks])


def bridges_of(ring: Sequence[float]) -> Mask:
    """Return the px that cv2 draws for edges that the ring passes in both directions."""
    corners = [tuple(corner) for corner in np.reshape(ring, (-1, 2)).astype(np.int32).tolist()]
    edges = set(zip(corners, corners[1:] + corners[:1], strict=True))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for start, end in edges:
        if (end, start) in edges:
            cv2.line(mask, start, end, 1)
    return mask.astype(bool)


def windings(ring: Sequence[float], points: Points) -> npt.NDArray[np.int64]:
    """Return the winding number of the ring around each point; no point is on the ring."""
    starts = np.array(ring, dtype=float).reshape(-1, 2)
    (x1, y1), (x2, y2) = starts.T[:, :, None], np.roll(starts, -1, axis=0).T[:, :, None]
    x, y = points.T[:, None, :]
    side = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)
    up, down = (y1 <= y) & (y2 > y) & (side > 0), (y1 > y) & (y2 <= y) & (side < 0)
    return np.asarray(up.sum(axis=0) - down.sum(axis=0))


def is_covered(segmentation: Sequence[Sequence[float]], points: Points) -> Mask:
    """Return whether each point is inside any of the polygons by the even-odd rule."""
    inside: Mask = np.zeros(len(points), dtype=bool)
    for polygon in segmentation:
        inside |= windings(polygon, points) % 2 == 1
    return inside


def grid(first: int, last: int) -> Points:
    """Return a point in every px from ``first`` to ``last`` both ways, on no edge between whole coordinates."""
    steps = np.arange(first, last)
    return np.stack(np.meshgrid(steps + 0.3819660113, steps + 0.7320508076), axis=-1).reshape(-1, 2)


numbers = st.integers(0, 23)
rings = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8).map(lambda points: [v for p in points for v in p])
boxes = st.tuples(numbers, numbers, st.integers(1, 20), st.integers(1, 20)).map(
    lambda b: box(b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@pytest.mark.parametrize("name", CASES)
def test_a_bridged_ring_drawn_by_pycocotools_is_the_union(name: str) -> None:
    assert np.array_equal(by_coco([bridge(CASES[name])]), by_coco(CASES[name]))


@pytest.mark.parametrize("name", CASES_OF_CV2)
def test_a_bridged_ring_drawn_by_cv2_is_the_union_and_the_lines_of_its_bridges(name: str) -> None:
    ring, union = bridge(CASES[name]), union_by_cv2(CASES[name])
    drawn = by_cv2(ring)
    assert np.array_equal(drawn | bridges_of(ring), union | bridges_of(ring))
    assert not (union & ~drawn).any()


@pytest.mark.parametrize("name", CASES)
def test_a_bridged_ring_covers_the_same_by_both_fill_rules(name: str) -> None:
    points = grid(-5, SIDE)
    wound = windings(bridge(CASES[name]), points)
    assert set(wound.tolist()) == {0, 1}
    assert np.array_equal(wound == 1, is_covered(CASES[name], points))


def test_the_bridge_between_squares_runs_between_their_nearest_corners() -> None:
    small, large = square(0, 0, 10), square(30, 10, 20)
    ring = bridge([small, large])
    corners = np.reshape(ring, (-1, 2)).tolist()
    assert len(corners) == 4 + 4 + 2
    assert corners[0] in np.reshape(large, (-1, 2)).tolist()
    assert corners.count([10, 10]) == corners.count([30, 10]) == 2
    added = by_cv2(ring) & ~union_by_cv2([small, large])
    assert np.argwhere(added).tolist() == [[10, x] for x in range(11, 30)]


def test_the_nearest_pieces_are_joined() -> None:
    near, large, far = square(40, 10, 10), square(10, 10, 20), square(50, 24, 6)
    added = by_cv2(bridge([far, near, large])) & ~union_by_cv2([far, near, large])
    assert np.argwhere(added).tolist() == [[10, x] for x in range(31, 40)] + [[y, 50] for y in range(21, 24)]


@pytest.mark.parametrize(
    "polygon",
    [
        [5, 6, 2, 3, 7, 8, 8.000000000001, 2, 0, 7, 1, 2.000000000001, 6, 1, 5, 6],
        [8.00000000000001, 2.00000000000001, 1e-14, 1e-14, 3.00000000000001, 3, 0, 0, 0, 3],
        [2, 6, 5e-07, 6.0000005, 2.0000005, 5, 2.0000005, 2.0000005, 2.0000005, 7],
        [6, 1, 5e-07, 0, 3, 4, 7, 4.0000005, 5e-07, 6, 2, 3, 3.0000005, 8, 3.0000005, 6, 8.0000005, 6],
    ],
)
def test_edges_that_nearly_meet_lose_nothing(polygon: list[float]) -> None:
    segmentation = [polygon, square(12, 12, 4)]
    points = grid(0, 24)
    assert np.array_equal(windings(bridge(segmentation), points) == 1, is_covered(segmentation, points))


def test_pieces_that_touch_are_joined_at_the_point_they_share() -> None:
    ring = bridge([square(5, 5, 20), square(25, 25, 20)])
    assert len(ring) == 2 * (4 + 4)
    assert not bridges_of(ring).any()


def test_parts_within_the_outline_add_no_point() -> None:
    ring = bridge([square(5, 5, 40), square(10, 10, 10), square(10, 10, 20)])
    assert sorted(np.reshape(ring, (-1, 2)).tolist()) == [[5, 5], [5, 45], [45, 5], [45, 45]]


@given(st.lists(boxes, max_size=6))
def test_boxes_are_joined_without_a_wrong_pixel(segmentation: list[list[float]]) -> None:
    ring = bridge(segmentation)
    assert np.array_equal(by_coco([ring]), by_coco(segmentation))
    drawn, union = by_cv2(ring), union_by_cv2(segmentation)
    assert not (union & ~drawn).any()
    if ring:
        assert not (drawn & ~union & ~bridges_of(ring)).any()


@given(st.lists(rings, max_size=5))
def test_rings_of_any_shape_are_joined_to_their_union(segmentation: list[list[int]]) -> None:
    ring = bridge(segmentation)
    points = grid(0, 24)
    covered = is_covered(segmentation, points)
    if not ring:
        assert not covered.any()
        return
    wound = windings(ring, points)
    assert np.array_equal(wound % 2 == 1, covered)
    if ring not in segmentation:
        assert set(wound.tolist()) <= {0, 1}, "the non-zero rule fills the same"


@given(st.lists(rings, max_size=4))
def test_bridging_is_repeatable_and_leaves_its_input_alone(segmentation: list[list[int]]) -> None:
    before = json.dumps(segmentation)
    ring = bridge(segmentation)
    assert all(ring is not polygon for polygon in segmentation)
    assert bridge(segmentation) == ring
    assert json.dumps(segmentation) == before


@pytest.mark.parametrize(
    "polygon",
    [square(5, 5, 10), [*square(5, 5, 10), 5, 5], BOW_TIE, [-0.5, -1.25, 10.123456789, 0, 5, 7]],
    ids=["open", "closed", "bow tie", "floats"],
)
def test_a_single_polygon_comes_back_unchanged_without_any_package(
    polygon: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shapely", None)
    assert bridge([polygon]) == polygon
    assert bridge([[], [3, 3], polygon, [1, 1, 9, 9], [1, 1, 5, 5, 9, 9, 3, 3], [2, 2, 2, 2, 2, 2]]) == polygon


@pytest.mark.parametrize(
    "segmentation", [[], [[]], [[1, 2]], [[1, 2, 3, 4]], [[1, 1, 5, 5, 9, 9]], [[1, 1, 1, 1, 1, 1], [4, 4, 5, 5]]]
)
def test_an_empty_union_gives_no_ring(segmentation: list[list[float]]) -> None:
    assert bridge(segmentation) == []


def test_spikes_have_no_area() -> None:
    assert bridge([[0, 0, 10, 0, 10, 10, 10, 0], [5, 5, 20, 5, 20, 20, 20, 5]]) == []


def real_segmentations(folder: Path) -> list[list[list[float]]]:
    """Return the segmentations of the real annotations, in order."""
    annotations: list[dict[str, Any]] = [json.loads(path.read_bytes()) for path in sorted(folder.rglob("*.json"))]
    return [item["segmentation"] for actual in annotations for key, item in actual.items() if key.startswith("item")]


def test_real_items_lose_and_gain_pixels_only_where_their_polygons_have_edges(real_samples: Path) -> None:
    segmentations = real_segmentations(real_samples)
    several = [segmentation for segmentation in segmentations if len(segmentation) > 1]
    assert len(several) >= 5
    for segmentation in several:
        side = int(max(map(max, segmentation))) + 3
        union = by_coco(segmentation, side)
        edges = np.zeros((side, side), np.uint8)
        for polygon in segmentation:
            # Three px wide: the corners that the union adds lie on edges, and are rounded.
            cv2.polylines(edges, [np.array(polygon).reshape(-1, 2).astype(np.int32)], True, 1, thickness=3)
        changed = by_coco([bridge(segmentation)], side) ^ union
        assert not (changed & (edges == 0)).any()
        assert changed.sum() <= 0.0002 * union.sum()


def test_largest_is_the_first_of_the_largest_polygons() -> None:
    small, open_, closed = square(0, 0, 2), square(5, 5, 3), [*square(9, 9, 3), 9, 9]
    assert largest([small, open_, closed]) == open_
    assert largest([small, closed, open_]) == closed
    assert largest([[], [1, 1], small]) == small
    assert largest([]) == []
    assert largest([small]) is not small


@pytest.mark.parametrize(
    ("polygon", "area"),
    [
        ([], 0),
        ([3, 4], 0),
        ([3, 4, 5, 6], 0),
        ([0, 0, 4, 0, 0, 3], 6),
        ([0, 0, 0, 3, 4, 0], 6),
        ([0, 0, 4, 0, 0, 3, 0, 0], 6),
        ([-1.5, -1, 2.5, -1, -1.5, 2], 6),
        (square(1e9, 1e9, 0.5), 0.25),
        (BOW_TIE, 0),
    ],
)
def test_ring_area_is_the_area_whichever_way_round(polygon: list[float], area: float) -> None:
    assert ring_area(polygon) == area


@pytest.mark.parametrize(
    ("polygon", "opened"),
    [
        ([], []),
        ([1, 2], [1, 2]),
        ([1, 2, 1, 2], [1, 2]),
        ([0, 0, 4, 0, 0, 3], [0, 0, 4, 0, 0, 3]),
        ([0, 0, 4, 0, 0, 3, 0, 0], [0, 0, 4, 0, 0, 3]),
        ([0, 0, 4, 0, 0, 3, 0, 1], [0, 0, 4, 0, 0, 3, 0, 1]),
    ],
)
def test_open_ring_drops_a_last_point_that_repeats_the_first(polygon: list[float], opened: list[float]) -> None:
    assert open_ring(polygon) == opened
    assert open_ring(polygon) is not polygon


@pytest.mark.parametrize(
    ("segmentation", "area"),
    [
        ([square(2, 2, 10)], 100),
        ([[*square(2, 2, 10), 2, 2]], 100),
        ([square(2, 2, 10), square(7, 2, 10)], 150),
        ([square(2, 2, 10), square(4, 4, 3)], 100),
        ([square(2, 2, 10), square(30, 10, 10)], 200),
        ([box(-5, -5, 10, 10)], 100),
        ([box(40, 20, 60, 40)], 10 * 10),
        ([[3, 3, 20, 20], square(2, 2, 10), [1, 1]], 100),
        ([[3, 3, 20, 20]], 0),
        ([[1, 1, 5, 5, 9, 9]], 0),
        ([box(-9, -9, -2, -2)], 0),
        ([], 0),
    ],
)
def test_mask_area_counts_the_pixels_of_the_union_in_the_image(segmentation: list[list[float]], area: float) -> None:
    assert mask_area(segmentation, width=50, height=30) == area


def test_mask_area_of_an_image_of_unknown_size_is_not_cut_at_the_far_edges() -> None:
    assert mask_area([box(40, 20, 60, 40)], None, None) == 20 * 20
    assert mask_area([box(40, 20, 60, 40)], 50, None) == 10 * 20
    assert mask_area([box(40, 20, 60, 40)], None, 30) == 20 * 10
    assert mask_area([box(-5, -5, 10.5, 10)], None, None) == 11 * 10
    assert mask_area([box(-9, -9, -2, -2)], None, None) == 0
    assert mask_area([box(0, 0, 7, 5)], None, None) == 7 * 5


@given(st.lists(rings, max_size=5))
def test_mask_area_is_the_sum_of_the_mask(segmentation: list[list[int]]) -> None:
    assert mask_area(segmentation, SIDE, SIDE) == mask_area(segmentation, None, None) == by_coco(segmentation).sum()


@pytest.mark.parametrize(("value", "shown"), [(1e9, "1000000000"), (-100000.5, "-100000.5")])
def test_mask_area_refuses_coordinates_that_pycocotools_would_crash_on(value: float, shown: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        mask_area([[0, 0, 5, 0, value, 5]], 10, 10)
    assert str(caught.value) == f"A polygon has the coordinate {shown}; expected at most 100000 px from the corner."
