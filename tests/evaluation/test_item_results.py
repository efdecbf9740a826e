"""What became of items and predictions, and the tables made of it, on cases that can be computed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from registry.evaluation.confusion import confusion_table, match_table
from registry.evaluation.curves import best_score, curve_table
from registry.evaluation.detection import BOXES, LANDMARKS, MASKS, Comparison
from registry.evaluation.error_costs import error_table
from registry.evaluation.item_results import Outcome, detection_table, item_table, shape_table
from registry.evaluation.landmark_errors import landmark_table
from registry.evaluation.truth import unknown_notices
from registry.evaluation.worst_images import worst_image_table
from tests.evaluation.comparisons import (
    compare,
    garment,
    make_detections,
    make_truth,
    perfect,
    prediction,
    random_images,
    random_predictions,
)

TOP, SHORTS, SKIRT = 1, 7, 9
#: Three images: both kinds of clothes; a skirt; a skirt that does not count.
IMAGES = {
    1: [garment(TOP, (0, 0, 40, 40)), garment(SKIRT, (0, 60, 40, 40))],
    2: [garment(SKIRT, (10, 10, 100, 100))],
    3: [garment(SKIRT, (10, 10, 50, 50), chosen=False)],
}
PREDICTIONS = [
    prediction(1, TOP, (0, 0, 40, 40), 0.9),  # right
    prediction(1, TOP, (0, 0, 40, 38), 0.8),  # again
    prediction(1, SHORTS, (0, 60, 40, 40), 0.7),  # of another category: IoU 1
    prediction(2, SKIRT, (10, 10, 100, 40), 0.6),  # too small: IoU .4
    prediction(2, TOP, (10, 10, 100, 30), 0.5),  # of another category and too small: IoU .3
    prediction(2, TOP, (150, 100, 20, 20), 0.95),  # nothing is there
    prediction(3, SKIRT, (10, 10, 50, 50), 0.4),  # of an item that does not count
]
DETECTED = ["correct", "duplicate", "classification", "localisation", "both", "background", "ignored"]


def outcome_of(comparison: Comparison) -> Outcome:
    return Outcome.of(comparison)


def test_each_prediction_has_its_kind_and_the_item_behind_it() -> None:
    comparison = compare(IMAGES, PREDICTIONS)
    rows = detection_table(comparison, outcome_of(comparison)).to_pylist()
    assert [row["kind"] for row in rows] == DETECTED
    assert [row["item_no"] for row in rows] == [1, 1, 2, 1, 1, None, 1]
    assert [row["overlap"] for row in rows] == [1, 0.95, 1, pytest.approx(0.4), pytest.approx(0.3), None, 1]
    assert (rows[3]["x1"], rows[3]["y1"], rows[3]["x2"], rows[3]["y2"]) == (10, 10, 110, 50)
    assert [row["position"] for row in rows] == list(range(7))


def test_each_item_of_the_subset_has_the_prediction_that_found_it_or_is_wrong_because_of_it() -> None:
    comparison = compare(IMAGES, PREDICTIONS)
    rows = item_table(comparison, outcome_of(comparison)).to_pylist()
    assert [(row["image_id"], row["item_no"], row["kind"], row["position"]) for row in rows] == [
        (1, 1, "correct", 0),
        (1, 2, "classification", 2),
        (2, 1, "localisation", 3),
    ]
    assert [row["predicted_category_id"] for row in rows] == [TOP, SHORTS, SKIRT]
    (row,) = item_table(*with_outcome(compare({1: [garment(TOP, (0, 0, 9, 9))]}, []))).to_pylist()
    assert (row["kind"], row["score"], row["overlap"], row["position"]) == ("missed", None, None, None)


def with_outcome(comparison: Comparison) -> tuple[Comparison, Outcome]:
    return comparison, Outcome.of(comparison)


def test_predictions_beyond_the_most_that_count_are_ignored() -> None:
    crowd = [prediction(1, TOP, (0, 0, 40, 40), 1 - k / 1000) for k in range(102)]
    kinds = detection_table(*with_outcome(compare(IMAGES, crowd))).column("kind").to_pylist()
    assert kinds == ["correct", *["duplicate"] * 99, "ignored", "ignored"]


def test_the_cost_of_an_error_is_what_ap50_gains_without_it() -> None:
    comparison = compare(IMAGES, PREDICTIONS)
    rows = {row["kind"]: row for row in error_table(*with_outcome(comparison)).to_pylist()}
    # Top: background .95 before the only right one, so AP50 1/2. Skirt: two items, none found.
    assert comparison.precision(comparison.part()).average_precision(0.5) == pytest.approx((1 / 2 + 0) / 2)
    assert {kind: row["count"] for kind, row in rows.items()} == {
        "localisation": 1, "classification": 1, "both": 1, "duplicate": 1, "background": 1, "missed": 0,
        "false positives": 5, "false negatives": 2,
    }  # fmt: skip
    assert rows["background"]["dAP50"] == pytest.approx(1 / 4)
    # One of two skirts is found then, by the best and only prediction: precision 1 at 51 of 101 recalls.
    assert rows["localisation"]["dAP50"] == pytest.approx(51 / 101 / 2)
    assert rows["classification"]["dAP50"] == pytest.approx(51 / 101 / 2)
    assert rows["duplicate"]["dAP50"] == rows["both"]["dAP50"] == rows["missed"]["dAP50"] == 0
    # Without skirts to be found, tops are the only category.
    assert rows["false negatives"]["dAP50"] == pytest.approx(1 / 4)


def test_an_item_is_mended_once_and_one_that_nothing_mends_is_missed() -> None:
    images = {image_id: [garment(SKIRT, (0, 0, 100, 100))] for image_id in (1, 2)}
    rows = [
        prediction(1, SHORTS, (0, 0, 100, 100), 0.6),  # of another category
        prediction(1, SKIRT, (0, 0, 100, 40), 0.9),  # of the same item, too small
        prediction(2, TOP, (0, 0, 100, 30), 0.95),  # of another category and too small
    ]
    comparison, outcome = with_outcome(compare(images, rows))
    items = item_table(comparison, outcome).to_pylist()
    assert [(row["kind"], row["position"]) for row in items] == [("localisation", 1), ("both", 2)]
    errors = {row["kind"]: (row["count"], row["dAP50"]) for row in error_table(comparison, outcome).to_pylist()}
    assert errors["localisation"] == (1, pytest.approx(51 / 101))
    assert errors["classification"] == (1, 0)  # its item goes to the higher score, as TIDE decides
    assert errors["both"] == (1, 0) and errors["missed"] == (1, 0)


def test_confusion_counts_pairs_whatever_their_category() -> None:
    rows = confusion_table(compare(IMAGES, PREDICTIONS), 0.0).to_pylist()
    assert {(row["category"], row["predicted"]): row["count"] for row in rows} == {
        ("short sleeve top", "short sleeve top"): 1,
        ("skirt", "shorts"): 1,
        ("skirt", None): 1,
        (None, "short sleeve top"): 3,
        (None, "skirt"): 1,
    }
    rows = confusion_table(compare(IMAGES, PREDICTIONS), 0.92).to_pylist()
    assert {(row["category"], row["predicted"]): row["count"] for row in rows} == {
        ("short sleeve top", None): 1,
        ("skirt", None): 2,
        (None, "short sleeve top"): 1,
    }


def test_the_best_score_has_the_best_f1() -> None:
    # Of three items: with .95 alone 0 of 1, with .9 one of 2 (F1 2/5), with .8 one of 3, ...
    assert best_score(compare(IMAGES, PREDICTIONS)) == 0.9
    tied = [prediction(1, TOP, (0, 0, 40, 40), 0.5), prediction(1, TOP, (90, 90, 9, 9), 0.5)]
    assert best_score(compare(IMAGES, tied)) == 0.5
    assert best_score(compare(IMAGES, [])) == 0


def test_the_worst_images_have_missed_items_and_confident_errors() -> None:
    rows = worst_image_table(*with_outcome(compare(IMAGES, PREDICTIONS)), 0.7).to_pylist()
    assert [(row["image_id"], row["num_items"], row["num_missed"], row["num_wrong"]) for row in rows] == [
        (1, 2, 1, 2),
        (2, 1, 1, 1),
    ]
    assert [row["badness"] for row in rows] == [1 + 0.8 + 0.7, 1 + 0.95]


def test_curves_are_those_of_the_scores() -> None:
    comparison = compare(IMAGES, PREDICTIONS)
    rows = curve_table(comparison).to_pylist()
    assert len(rows) == 3 * 10 * 101  # the mean, tops, skirts
    mean = [row["precision"] for row in rows if row["category"] is None and row["threshold"] == 0.5]
    assert np.mean(mean) == pytest.approx(comparison.precision(comparison.part()).average_precision(0.5), abs=1e-12)
    assert {row["category"] for row in rows} == {None, "short sleeve top", "skirt"}
    assert curve_table(compare({1: []}, [])).num_rows == 0


def test_the_error_of_a_landmark_is_its_distance_by_the_size_of_the_box() -> None:
    # A skirt has 8 landmarks; the box has a side of 100 px.
    points = [(10 + 10 * k, 20) for k in range(8)]
    labelled = [number for k, (x, y) in enumerate(points) for number in (x, y, 1 if k == 7 else 2 if k else 0)]
    off = [number for k, (x, y) in enumerate(points) for number in ((x + 20, y) if k == 3 else (x, y + 5))]
    images = {1: [garment(SKIRT, (0, 0, 100, 100), landmarks=labelled)]}
    comparison = compare(images, [prediction(1, SKIRT, (0, 0, 100, 100), 1, landmarks=off)], task=LANDMARKS)
    worst, *others = landmark_table(*with_outcome(comparison)).to_pylist()
    assert worst["landmark_no"] == 4 and (worst["error_visible"], worst["pck_visible"]) == (0.2, 0.0)
    of = {row["landmark_no"]: row for row in others}
    assert (of[2]["num_visible"], of[2]["error_visible"], of[2]["pck_visible"]) == (1, 0.05, 1.0)
    assert (of[1]["num_visible"], of[1]["error_visible"]) == (0, None)
    assert (of[8]["num_visible"], of[8]["num_occluded"], of[8]["error_occluded"]) == (0, 1, 0.05)


@pytest.mark.parametrize("task", [BOXES, MASKS, LANDMARKS])
@pytest.mark.parametrize("seed", range(5))
def test_the_tables_agree_with_the_scores_and_with_each_other(task: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = random_images(rng, 30)
    comparison = compare(images, random_predictions(rng, images), task=task)
    outcome = Outcome.of(comparison)
    found = comparison.matcher.found(comparison.ignored)[0]
    is_right = (found >= 0) & ~comparison.ignored[found]
    items = item_table(comparison, outcome).to_pylist()
    detections = detection_table(comparison, outcome).to_pylist()
    num_right = int(is_right.sum())
    assert sum(row["kind"] == "correct" for row in items) == num_right
    assert sum(row["kind"] == "correct" for row in detections) == num_right
    assert len({row["position"] for row in items if row["kind"] == "correct"}) == num_right
    errors = {row["kind"]: row for row in error_table(comparison, outcome).to_pylist()}
    whole = comparison.precision(comparison.part()).average_precision(0.5)
    assert whole is not None
    assert errors["false positives"]["dAP50"] + whole <= 1 + 1e-12
    assert all(row["dAP50"] >= -1e-12 for row in errors.values())
    confusion = confusion_table(comparison, 0.0).to_pylist()
    of_items = sum(row["count"] for row in confusion if row["category"] is not None)
    assert of_items == int((~comparison.ignored).sum())


@pytest.mark.parametrize("task", [BOXES, MASKS, LANDMARKS])
def test_the_items_themselves_have_no_errors(task: str) -> None:
    rng = np.random.default_rng(1)
    images: dict[int, list[dict[str, Any]]] = {
        image_id: [row for row in rows if any(row["landmarks"][2::3])]
        for image_id, rows in random_images(rng, 30).items()
    }
    comparison = compare(images, perfect(images), task=task)
    outcome = Outcome.of(comparison)
    assert {row["kind"] for row in item_table(comparison, outcome).to_pylist()} == {"correct"}
    assert {row["kind"] for row in detection_table(comparison, outcome).to_pylist()} == {"correct", "ignored"}
    assert all(row["count"] == 0 == row["dAP50"] for row in error_table(comparison, outcome).to_pylist())
    assert all(row["category"] == row["predicted"] for row in confusion_table(comparison, 0.0).to_pylist())
    assert worst_image_table(comparison, outcome, 0.0).num_rows == 0
    assert set(curve_table(comparison).column("precision").to_pylist()) == {1.0}


def test_a_prediction_without_a_box_has_the_edges_of_its_mask_or_landmarks() -> None:
    points = [float(number) for k in range(8) for number in (10 + k, 30 - k)]
    for task, more, edges in (
        (MASKS, {"segmentation": [[20, 10, 60, 10, 60, 50]]}, (20, 10, 60, 50)),
        (LANDMARKS, {"landmarks": points}, (10, 23, 17, 30)),
    ):
        rows = [prediction(1, SKIRT, box, 0.5, **more) for box in ((0, 0, 4, 5), (math.nan,) * 4)]
        found = make_detections(make_truth({1: []}), rows, task).edges().tolist()
        assert found[0] == [0, 0, 4, 5]
        assert found[1] == pytest.approx(edges, abs=1)


def test_items_that_nothing_can_find_are_told() -> None:
    truth = make_truth(
        {1: [garment(SKIRT, (0, 0, 9, 9)), garment(SKIRT, (0, 0, 9, 9), segmentation=[[0, 0, 9, 0, 9, 9]])]}
    )
    assert unknown_notices(truth, MASKS) == ["1 item has no polygon, which no mask can find"]
    assert unknown_notices(truth, LANDMARKS) == ["2 items are ignored, as the registry has no landmarks of them (NULL)"]
    assert unknown_notices(truth, BOXES) == []


def test_matches_give_the_confusion_at_every_score() -> None:
    for task in (BOXES, MASKS, LANDMARKS):
        rng = np.random.default_rng(3)
        images = random_images(rng, 8)
        comparison = compare(images, random_predictions(rng, images), task=task)
        rows = match_table(comparison).to_pylist()
        for least in (0.0, 0.2, 0.5, 0.9, 2.0):
            cells: dict[tuple[Any, Any], int] = {}
            for row in rows:
                is_shown = row["score"] is not None and row["score"] >= least
                if row["category"] is not None or is_shown:
                    cell = row["category"], row["predicted"] if is_shown else None
                    cells[cell] = cells.get(cell, 0) + 1
            expected = {
                (row["category"], row["predicted"]): row["count"]
                for row in confusion_table(comparison, least).to_pylist()
            }
            assert cells == expected


def test_shapes_are_those_of_the_predictions() -> None:
    rng = np.random.default_rng(3)
    images = random_images(rng, 4)
    for task, column in ((BOXES, None), (MASKS, "counts"), (LANDMARKS, "landmarks")):
        comparison = compare(images, random_predictions(rng, images), task=task)
        table = shape_table(comparison)
        assert table.column("position").to_pylist() == comparison.detections.position.tolist()
        assert column is None or column in table.column_names
        if task == LANDMARKS:
            for k in range(len(comparison.detections)):
                expected = comparison.detections.landmarks_of(np.array([k]))[0].ravel()
                assert table.column("landmarks")[k].as_py() == expected.tolist()
