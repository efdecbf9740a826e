"""Intervals of scores by bootstrap over the groups of photos that belong together.

Photos with the same pair_id show the same clothes, so they are not independent: a resample draws groups, with
replacement, as many as there are, and an image counts as often as its group was drawn. An interval goes from the 2.5th
to the 97.5th percentile of the scores of the resamples. Within an image and category, detections of the same score keep
their order also where the image counts several times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from registry.dataset.arrays import Floats, Ints
from registry.evaluation.bootstrap import draw, interval
from registry.evaluation.detection import Comparison, scores
from registry.evaluation.resampling import Weights, resampled
from registry.evaluation.results import DIFFERENCE, Score
from registry.evaluation.truth import Truth, image_keys

if TYPE_CHECKING:
    from registry.evaluation.slices import Slice

#: Draws held at a time, 4 kB each for every slice.
_BLOCK: Final = 500


@dataclass(frozen=True)
class Sampled:
    """Scores, and the same scores of data sets drawn anew.

    Attributes:
        scores: without intervals.
        samples: metric and slice -> float64 [resamples]: the score of each drawn data set, NaN where it has no item.
            COCO's sizes have none, nor have the items of a single pair_id.
    """

    scores: Sequence[Score]
    samples: Mapping[tuple[str, str], Floats]

    @classmethod
    def of(
        cls, comparison: Comparison, slices: Sequence[Slice], resamples: int, *, seed: int = 0, suffix: str = ""
    ) -> Sampled:
        """Return the scores of everything and of slices.

        Args:
            comparison: predictions beside items.
            slices: parts of the items.
            resamples: how many data sets are drawn; 0 for no intervals.
            seed: of the random draws: the same one draws the same data sets.
            suffix: of the metrics' names.
        """
        parts = [comparison.part(), *map(comparison.part, slices)]
        # The items of a single group score the same in every resample: that would be an interval without width.
        group = draw_groups(comparison.truth)
        of_items = group[comparison.truth.image]
        measured = [part for part in parts if len(np.unique(of_items[~part.ignored])) > 1]
        drawn: dict[tuple[str, str], list[Floats]] = {}
        for start in range(0, resamples, _BLOCK):
            weights = draw_images(group, range(start, min(start + _BLOCK, resamples)), seed)
            for part, sample in zip(measured, resampled(comparison, measured, weights), strict=True):
                for metric in part.metrics:
                    drawn.setdefault((f"{metric.name}{suffix}", part.slice), []).append(sample.values(metric))
        samples = {key: np.concatenate(blocks) for key, blocks in drawn.items()}
        return cls(list(scores(comparison, slices, suffix)), samples)

    def with_intervals(self) -> list[Score]:
        """Return the scores with their 95 % intervals."""
        return [_with_interval(score, self.samples.get((score.metric, score.slice))) for score in self.scores]

    def minus(self, other: Sampled) -> list[Score]:
        """Return each score minus that of other predictions for the same items, with its interval from the same draws.

        Returns:
            Of each metric that both have, such as ``AP-difference``.
        """
        value_of = {(score.metric, score.slice): score.value for score in other.scores}
        rows = []
        for score in self.scores:
            key = score.metric, score.slice
            if key in value_of:
                value = value_of[key]
                less = None if score.value is None or value is None else score.value - value
                sample = self.samples[key] - other.samples[key] if key in self.samples else None
                rows.append(_with_interval(replace(score, metric=f"{score.metric}{DIFFERENCE}", value=less), sample))
        return rows


def draw_images(group: Ints, numbers: range, seed: int) -> Weights:
    """Return how often each image is drawn: uint8 [draws, images].

    Args:
        group: int64 [images]: images of a group are drawn together.
        numbers: of the draws; the same number is always the same draw.
        seed: of all draws.
    """
    number = int(group.max(initial=-1)) + 1
    weights = np.empty((len(numbers), len(group)), np.uint8)
    for row, k in zip(weights, numbers, strict=True):
        row[:] = draw(number, k, seed)[group]
    return weights


def draw_groups(truth: Truth) -> Ints:
    """Return the number of the group of each image, from 0: int64 [images]."""
    pair_id = truth.images.column("pair_id").combine_chunks()
    split = image_keys(truth.images) >> 32
    alone = pair_id.is_null().to_numpy(zero_copy_only=False)
    key = np.where(alone, np.arange(len(alone)), pair_id.fill_null(0).to_numpy())
    _, group = np.unique(np.column_stack([split, alone, key]), axis=0, return_inverse=True)
    return group.ravel().astype(np.int64)


def _with_interval(score: Score, sample: Floats | None) -> Score:
    """Return a score with its interval; without, where no resample can be measured."""
    if score.value is None or sample is None:
        return score
    low, high = interval(sample)
    return replace(score, low=low, high=high)
