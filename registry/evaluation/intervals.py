"""Intervals of scores by bootstrap over the groups of photos that belong together.

Photos with the same pair_id show the same clothes, so they are not independent: a resample draws groups, with
replacement, as many as there are, and an image counts as often as its group was drawn. An interval goes from the 2.5th
to the 97.5th percentile of the scores of the resamples. Within an image and category, detections of the same score keep
their order also where the image counts several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from registry.evaluation.arrays import Floats, Ints
from registry.evaluation.detection import Comparison, scores
from registry.evaluation.resampling import Weights, resampled
from registry.evaluation.results import Score
from registry.evaluation.truth import Truth, image_keys

if TYPE_CHECKING:
    from registry.evaluation.slices import Slice

#: Ends of a 95 % interval.
_PERCENTILES: Final = (2.5, 97.5)
#: End of the name of a metric whose value is a difference between two predictions.
DIFFERENCE: Final = "-difference"


def with_intervals(
    comparison: Comparison,
    slices: Sequence[Slice],
    measured: Sequence[Score],
    resamples: int,
    *,
    seed: int = 0,
    suffix: str = "",
) -> list[Score]:
    """Return scores with their 95 % intervals; those of COCO's sizes have none, nor of a single pair_id.

    Args:
        comparison: predictions beside items.
        slices: parts of the items.
        measured: the scores, as of :func:`registry.evaluation.detection.scores`.
        resamples: how many data sets are drawn; 0: none, and no interval.
        seed: of the random draws.
        suffix: of the metrics' names.
    """
    if not resamples:
        return list(measured)
    samples = _samples(comparison, slices, draw(comparison.truth, resamples, seed), suffix)
    return [_with_interval(score, samples.get((score.metric, score.slice))) for score in measured]


def differences(
    comparison: Comparison,
    other: Comparison,
    slices: Sequence[Slice],
    resamples: int,
    *,
    seed: int = 0,
    suffix: str = "",
) -> list[Score]:
    """Return each score minus that of other predictions, with its 95 % interval from the same draws.

    Args:
        comparison: predictions beside items.
        other: other predictions beside the same items.
        slices: parts of the items.
        resamples: how many data sets are drawn; 0: no interval.
        seed: of the random draws.
        suffix: of the metrics' names.

    Returns:
        Of each metric that both have, such as ``AP-difference``.
    """
    value_of = {(score.metric, score.slice): score.value for score in scores(other, slices, suffix)}
    weights = draw(comparison.truth, resamples, seed)
    ours, theirs = (_samples(side, slices, weights, suffix) for side in (comparison, other))
    rows = []
    for score in scores(comparison, slices, suffix):
        key = score.metric, score.slice
        if key in value_of:
            value = value_of[key]
            less = None if score.value is None or value is None else score.value - value
            row = replace(score, metric=f"{score.metric}{DIFFERENCE}", value=less)
            rows.append(_with_interval(row, ours[key] - theirs[key] if key in ours else None))
    return rows


def draw(truth: Truth, resamples: int, seed: int) -> Weights:
    """Return how often each image is drawn: uint8 [resamples, images].

    Images of a split with the same pair_id are drawn together; an image without pair_id is alone.
    """
    group = groups(truth)
    number = int(group.max(initial=-1)) + 1
    weights = np.empty((resamples, len(group)), np.uint8)
    for k in range(resamples):
        drawn = np.random.default_rng([seed, k]).integers(0, number, number)
        weights[k] = np.bincount(drawn, minlength=number)[group]
    return weights


def groups(truth: Truth) -> Ints:
    """Return the number of the group of each image, from 0: int64 [images]."""
    pair_id = truth.images.column("pair_id").combine_chunks()
    split = image_keys(truth.images) >> 32
    alone = pair_id.is_null().to_numpy(zero_copy_only=False)
    key = np.where(alone, np.arange(len(alone)), pair_id.fill_null(0).to_numpy())
    _, group = np.unique(np.column_stack([split, alone, key]), axis=0, return_inverse=True)
    return group.ravel().astype(np.int64)


def _samples(
    comparison: Comparison, slices: Sequence[Slice], weights: Weights, suffix: str
) -> dict[tuple[str, str], Floats]:
    """Return the score of each resample, by metric and slice; NaN where it has no item.

    Slices with items of a single group have none.
    """
    parts = [comparison.part(), *map(comparison.part, slices)]
    # The items of a single group score the same in every resample: that would be an interval without width.
    group = groups(comparison.truth)[comparison.truth.image]
    measured = [part for part in parts if len(np.unique(group[~part.ignored])) > 1]
    return {
        (f"{metric.name}{suffix}", part.slice): sample.values(metric)
        for part, sample in zip(measured, resampled(comparison, measured, weights), strict=True)
        for metric in part.metrics
    }


def _with_interval(score: Score, sample: Floats | None) -> Score:
    """Return a score with its interval; without, where no resample can be measured."""
    measured = np.empty(0) if sample is None else sample[~np.isnan(sample)]
    if score.value is None or not len(measured):
        return score
    low, high = np.percentile(measured, _PERCENTILES).tolist()
    return replace(score, low=low, high=high)
