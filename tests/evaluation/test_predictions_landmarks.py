from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, NUM_LANDMARK_SLOTS
from registry.evaluation.predictions import read_predictions
from tests.evaluation.test_predictions import index, problems, read, record


def points(category_id: int, width: int = 3) -> list[float]:
    """Return landmarks of a category, each with x, y and, of a width of 3, a visibility."""
    number = CATEGORY_BY_ID[category_id].num_landmarks
    return [value for k in range(number) for value in (k + 0.5, 2.0 * k, 2.0)[:width]]


def union(category_id: int, width: int = 3, other: float = 0) -> list[float]:
    """Return landmarks in all 294 slots; those of other categories hold ``other``."""
    category = CATEGORY_BY_ID[category_id]
    values = [other] * (width * NUM_LANDMARK_SLOTS)
    start = width * category.landmark_offset
    values[start : start + width * category.num_landmarks] = points(category_id, width)
    return values


def landmark(category_id: int, keypoints: Any, **changes: Any) -> dict[str, Any]:
    return record(category_id=category_id, keypoints=keypoints, **{"bbox": None, **changes})


@pytest.mark.parametrize("category_id", CATEGORY_BY_ID)
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_landmarks_are_read_from_every_list(tmp_path: Path, category_id: int, separators: tuple[str, str]) -> None:
    number = CATEGORY_BY_ID[category_id].num_landmarks
    lists = [
        *(points(category_id, width) for width in (2, 3)),
        *(union(category_id, width, other) for width in (2, 3) for other in (0, 0.0, 7)),
        [round(value) for value in union(category_id)],
    ]
    document = [landmark(category_id, values, score=k / 10) for k, values in enumerate(lists)]
    found = read(json.dumps(document, separators=separators), tmp_path, "landmarks")
    assert found.boxes is None
    assert found.areas is not None
    assert np.isnan(found.areas).all()
    expected = np.array(points(category_id)).reshape(-1, 3)[:, :2]
    landmarks = found.landmarks_of(np.arange(len(lists)))
    assert landmarks.shape == (len(lists), number, 2)
    for values in landmarks[:-1]:
        assert values.tolist() == expected.tolist()
    assert landmarks[-1].tolist() == np.round(expected).tolist()
    assert found.other_slots == {}


def test_records_of_different_categories_follow_each_other(tmp_path: Path) -> None:
    document = [landmark(category.id, union(category.id, other=k % 2)) for k, category in enumerate(CATEGORIES)]
    found = read(document, tmp_path, "landmarks")
    for k, category in enumerate(CATEGORIES):
        assert found.landmarks_of(np.array([k]))[0].ravel().tolist() == points(category.id, 2)


@pytest.mark.parametrize(
    ("keypoints", "kind"),
    [
        (None, "1 record without keypoints"),
        ([], "1 record with keypoints of the wrong length"),
        ([1.0] * 883, "1 record with keypoints of the wrong length"),
        (union(9)[:-3], "1 record with keypoints of the wrong length"),
        ([*union(9)[1:], 0, 0], "1 record with keypoints of the wrong length"),
        (points(8), "1 record with keypoints of the wrong length"),
        ([*points(9)[:-1], None], "1 record with keypoints that are no flat list of numbers"),
        ([points(9)], "1 record with keypoints that are no flat list of numbers"),
        ("text", "1 record with keypoints that are no flat list of numbers"),
        ({"x": 1}, "1 record with keypoints that are no flat list of numbers"),
        ([float("nan"), *points(9)[1:]], "1 record with keypoints that are not finite"),
        ([*points(9)[:-2], float("inf"), 0], "1 record with keypoints that are not finite"),
    ],
)
def test_bad_landmarks_are_named(tmp_path: Path, keypoints: Any, kind: str) -> None:
    document = [landmark(9, union(9)), landmark(9, keypoints, image_id=2), landmark(1, points(1), image_id=2)]
    (line,) = problems(document, tmp_path, "landmarks")
    assert line.startswith(kind)
    found = read(document, tmp_path, "landmarks", skip_bad=True)
    assert found.position.tolist() == [0, 2]
    assert found.landmarks_of(np.array([1]))[0].ravel().tolist() == points(1, 2)


def test_all_slots_are_kept_where_they_matter(tmp_path: Path) -> None:
    truth = index(needs_all_slots=frozenset({(1, 3)}))
    document = [
        landmark(3, union(3, other=5)),  # of another image
        landmark(4, union(4, other=5), image_id=2),  # of another category
        landmark(3, union(3, other=5), image_id=99),  # of no image
        landmark(3, union(3, other=5), image_id=2),
        landmark(3, union(3, 2, 6), image_id=2, score=0.3),
        landmark(3, union(3), image_id=2, score=0.1),
        landmark(3, points(3), image_id=2, score=0.2),
    ]
    found = read(document, tmp_path, "landmarks", truth=truth, skip_bad=True)
    assert found.position.tolist() == [0, 1, 3, 4, 5, 6]
    assert found.other_slots[2].tolist() == np.array(union(3, other=5)).reshape(-1, 3)[:, :2].tolist()
    assert found.other_slots[3].tolist() == np.array(union(3, 2, 6)).reshape(-1, 2).tolist()
    assert found.other_slots.keys() == {2, 3, 4}
    slots = found.slots_of(np.array([2, found.position.tolist().index(5)]))
    assert slots[1].tolist() == np.array(union(3)).reshape(-1, 3)[:, :2].tolist()


def test_tables_hold_lists_of_landmarks() -> None:
    truth = index(needs_all_slots=frozenset({(0, 2)}))
    lists = [union(2, other=4), points(5), None, union(2)[:50], points(13, 2), [float("nan")] * 3 * 8]
    rows = pa.table(
        {"image_id": [1] * 6, "category_id": [2, 5, 5, 2, 13, 9], "score": [0.5] * 6, "keypoints": pa.array(lists)}
    )
    for kind in (pa.list_(pa.float64()), pa.large_list(pa.float32())):
        found = read_predictions(
            rows.set_column(3, "keypoints", rows.column("keypoints").cast(kind)), truth, "landmarks", skip_bad=True
        )
        assert found.position.tolist() == [0, 1, 4]
        assert found.landmarks_of(np.array([0]))[0].ravel().tolist() == points(2, 2)
        assert found.landmarks_of(np.array([2]))[0].ravel().tolist() == points(13, 2)
        assert found.other_slots[0][0].tolist() == [4, 4]
        assert len(found.notices) == 4


def test_repeated_landmarks_are_named(tmp_path: Path) -> None:
    document = [landmark(9, union(9)), landmark(9, points(9)), landmark(9, [*points(9)[:-2], 1, 2])]
    (line,) = problems(document, tmp_path, "landmarks")
    assert line.startswith("1 repeated record;")
    found = read(document, tmp_path, "landmarks", skip_bad=True)
    assert found.position.tolist() == [0, 2]
    assert found.landmarks_of(np.array([1]))[0, -1].tolist() == [7.5, 1.0]
