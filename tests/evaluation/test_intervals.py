"""Intervals, compared with data sets in which a drawn image stands as often as it was drawn."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from registry.evaluation import intervals, resampling
from registry.evaluation.detection import LANDMARKS, Comparison, Part, scores
from registry.evaluation.intervals import Sampled, draw_groups, draw_images
from registry.evaluation.resampling import resampled
from registry.evaluation.slices import Slice
from tests.evaluation.comparisons import compare, garment, make_truth, perfect, prediction

Images = dict[int, list[dict[str, Any]]]
Rows = list[dict[str, Any]]


def made(seed: int) -> tuple[Images, Rows]:
    """Return random images and predictions in them, each with a score of its own."""
    rng = random.Random(seed)
    images: Images = {
        image_id: [
            garment(rng.choice([1, 8]), [rng.randint(0, 60), rng.randint(0, 60), 40, 40], occlusion=rng.randint(1, 2))
            for _ in range(rng.choice([0, 1, 2, 4]))
        ]
        for image_id in range(1, 13)
    }
    rows = []
    for image_id, items in images.items():
        for row in [*items, garment(9, [0, 0, 30, 30])]:
            for _ in range(rng.choice([0, 1, 3])):
                x, y, width, height = row["box"]
                box = [x + rng.randint(-9, 9), y + rng.randint(-9, 9), width, height]
                rows.append(prediction(image_id, rng.choice([row["category_id"], 8]), box, rng.random()))
    return images, rows


def repeated(images: Images, rows: Rows, times: list[int]) -> tuple[Images, Rows]:
    """Return images that stand so many times, each as an image of its own."""
    copies: Images = {}
    of_copies: Rows = []
    for image_id, number in zip(sorted(images), times, strict=True):
        for copy in range(number):
            copies[1000 * copy + image_id] = images[image_id]
            of_copies += [{**row, "image_id": 1000 * copy + image_id} for row in rows if row["image_id"] == image_id]
    return copies, of_copies


@pytest.mark.parametrize("seed", range(5))
def test_a_resample_scores_as_the_data_set_with_repeated_images(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_BLOCK", 90)  # several blocks of draws
    images, rows = made(seed)
    comparison = compare(images, rows)
    weights = np.random.default_rng(seed).integers(0, 4, (6, len(images))).astype(np.uint8)
    found = resampled(comparison, parts(comparison), weights)
    assert len(found) == 6
    for k, times in enumerate(weights.tolist()):
        copied = compare(*repeated(images, rows, times))
        for sample, part in zip(found, parts(copied), strict=True):
            precision = copied.precision(part)
            for ours, theirs in (
                (sample.average_precision()[k], precision.average_precision()),
                (sample.average_precision(0.75)[k], precision.average_precision(0.75)),
                *((sample.average_recall(limit)[k], precision.average_recall(limit)) for limit in (1, 10, 100)),
            ):
                assert np.isnan(ours) if theirs is None else ours == pytest.approx(theirs, abs=1e-12)


def parts(comparison: Comparison) -> list[Part]:
    """Return everything, COCO's sizes, a slice of items, and one of the images with such an item."""
    truth = comparison.truth
    is_heavy = truth.items.column("occlusion").to_numpy() == 2
    images = np.bincount(truth.image[is_heavy], minlength=truth.images.num_rows) > 0
    slices = Slice("heavy", is_heavy), Slice("images with heavy", images[truth.image], images)
    return [comparison.part(), *comparison.sizes(), *map(comparison.part, slices)]


def test_weights_of_1_are_the_scores(seed: int = 3) -> None:
    comparison = compare(*made(seed))
    (sample,) = resampled(comparison, [comparison.part()], np.ones((1, 12), np.uint8))
    precision = comparison.precision(comparison.part())
    assert sample.average_precision()[0] == pytest.approx(precision.average_precision(), abs=1e-15)
    assert sample.average_recall(10)[0] == pytest.approx(precision.average_recall(10), abs=1e-15)


def test_photos_of_a_pair_id_are_drawn_together() -> None:
    images: Images = {image_id: [garment(1, [0, 0, 9, 9])] for image_id in range(1, 7)}
    truth = make_truth(images, {1: 5, 2: 5, 3: 7, 4: None, 5: None, 6: 7})
    assert len(set(draw_groups(truth).tolist())) == 4
    weights = draw_images(draw_groups(truth), range(50), seed=0)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 2] == weights[:, 5]).all()
    assert (weights[:, 3] != weights[:, 4]).any()
    # As many groups as there are, whatever their size.
    assert set((weights[:, 0] + weights[:, 2] + weights[:, 3] + weights[:, 4]).tolist()) == {4}
    assert (draw_images(draw_groups(truth), range(50), seed=0) == weights).all() and (
        draw_images(draw_groups(truth), range(50), seed=1) != weights
    ).any()


def test_an_interval_holds_the_score_and_that_of_perfect_predictions_is_1() -> None:
    images, rows = made(1)
    comparison = compare(images, rows)
    (first, *_) = Sampled.of(comparison, [], 100).with_intervals()
    assert first.value is not None and first.low is not None and first.high is not None
    assert first.low < first.value < first.high
    ideal = compare(images, perfect(images))
    for score in Sampled.of(ideal, [], 20).with_intervals():
        if score.metric in ("AP", "AP50", "AP75", "AR100"):
            assert (score.low, score.value, score.high) == (1.0, 1.0, 1.0)
    assert Sampled.of(ideal, [], 0).with_intervals() == list(scores(ideal, []))


def test_draws_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = compare(*made(1))
    at_once = Sampled.of(comparison, [], 50).with_intervals()
    monkeypatch.setattr(intervals, "_BLOCK", 7)
    assert Sampled.of(comparison, [], 50).with_intervals() == at_once


def test_differences_have_intervals_from_the_same_draws() -> None:
    images, rows = made(2)
    ideal, worse = compare(images, perfect(images)), compare(images, rows)
    (first, *rest) = Sampled.of(ideal, [], 100).minus(Sampled.of(worse, [], 100))
    value = worse.precision(worse.part()).average_precision()
    assert (first.metric, first.value) == ("AP-difference", pytest.approx(1 - (value or 0)))
    assert first.low is not None and first.low > 0
    (same, *_) = Sampled.of(worse, [], 100).minus(Sampled.of(worse, [], 100))
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert [score.metric for score in rest][:2] == ["AP50-difference", "AP75-difference"]


def test_the_items_of_a_single_pair_id_have_no_interval() -> None:
    images: Images = {image_id: [garment(1, [0, 0, 9, 9])] for image_id in range(1, 5)}
    for pair_ids, has_interval in ((dict.fromkeys(images, 1), False), ({1: 1, 2: 1, 3: 1, 4: 2}, True)):
        comparison = compare(images, perfect(images), pair_ids=pair_ids)
        (first, *_) = Sampled.of(comparison, [], 10).with_intervals()
        assert (first.low is not None) == has_interval


def test_landmarks_have_intervals_too() -> None:
    points = [number for k in range(8) for number in (10 + 5 * k, 20 + 3 * k, 1 + k % 2)]
    images: Images = {image_id: [garment(9, [0, 0, 60, 60], landmarks=points)] for image_id in range(1, 9)}
    rows = perfect(images)[:5]
    comparison: Comparison = compare(images, rows, task=LANDMARKS)
    (first, *_) = Sampled.of(comparison, [], 50).with_intervals()
    assert first.value is not None and 0.5 < first.value < 0.7
    assert first.low is not None and first.high is not None and first.low < first.value < first.high <= 1
