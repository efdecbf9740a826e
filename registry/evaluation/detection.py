"""Scores predictions of boxes, masks or landmarks by the protocol of COCO, and slices of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.evaluation.arrays import Bools
from registry.evaluation.matching import Matcher, Ranking
from registry.evaluation.overlaps import Overlaps, box_overlaps, landmark_overlaps, mask_overlaps
from registry.evaluation.precision import Precision, Scorer
from registry.evaluation.results import ALL, Score
from registry.evaluation.slices import Slice
from registry.evaluation.truth import Truth

if TYPE_CHECKING:
    from registry.evaluation.detections import Detections

BOXES: Final = "boxes"
MASKS: Final = "masks"
LANDMARKS: Final = "landmarks"
#: Detections of an image and category that count for AR; the last also for AP.
_LIMITS: Final = {BOXES: (1, 10, 100), MASKS: (1, 10, 100), LANDMARKS: (20,)}
#: COCO's sizes in px² of the box: bounds of the area, both within.
_SIZES: Final = {"S": (0.0, 32.0**2), "M": (32.0**2, 96.0**2), "L": (96.0**2, 1e10)}


@dataclass(frozen=True)
class Comparison:
    """The predictions of one task beside the items, matched.

    Attributes:
        task: ``boxes``, ``masks`` or ``landmarks``.
        truth: the items.
        detections: the predictions.
        visible_only: of landmarks, whether occluded ones count as not labelled.
    """

    task: str
    truth: Truth
    detections: Detections
    visible_only: bool = False

    @property
    def limits(self) -> Sequence[int]:
        """Detections of an image and category that count for AR, ascending; the last also for AP."""
        return _LIMITS[self.task]

    @cached_property
    def overlaps(self) -> Overlaps:
        """Pairs of a detection and an item that overlap; of landmarks, pairs of one category alone."""
        if self.task == LANDMARKS:
            return landmark_overlaps(self.truth, self.detections, visible_only=self.visible_only)
        return (box_overlaps if self.task == BOXES else mask_overlaps)(self.truth, self.detections)

    @cached_property
    def ranking(self) -> Ranking:
        """The detections that count, by category and falling score."""
        return Ranking.of(self.detections, self.limits[-1])

    @cached_property
    def matcher(self) -> Matcher:
        """The matches of detections and items."""
        return Matcher(self.truth, self.ranking, self.overlaps)

    @cached_property
    def ignored(self) -> Bools:
        """Bool [items]: items that never count: outside the subset, or without a landmark to compare."""
        ignored: Bools = ~self.truth.chosen
        if self.task == LANDMARKS:
            ignored |= self.truth.num_labelled(visible_only=self.visible_only) == 0
        return ignored

    @cached_property
    def scorer(self) -> Scorer:
        """Computes the precision of slices."""
        return Scorer(self.truth, self.ranking, self.matcher, self.limits)

    def precision(self, slice: Slice | None = None) -> Precision:
        """Return the precision of a slice, or of everything."""
        if slice is None:
            return self.scorer.precision(self.ignored)
        left_out = None if slice.images is None else ~slice.images[self.ranking.image]
        return self.scorer.precision(self.ignored | ~slice.items, left_out)

    def precision_of_size(self, low: float, high: float) -> Precision:
        """Return the precision of items whose area is within bounds; detections of another size need not find any."""
        areas = self.truth.box_areas()
        assert self.detections.areas is not None
        predicted = self.detections.areas[self.ranking.detection]
        return self.scorer.precision(
            self.ignored | (areas < low) | (areas > high), None, (predicted < low) | (predicted > high)
        )


def scores(comparison: Comparison, slices: Sequence[Slice], suffix: str = "") -> Iterator[Score]:
    """Yield the scores of everything, then of every slice.

    Args:
        comparison: predictions beside items.
        slices: parts of the items.
        suffix: of the metrics' names.
    """
    yield from _scores(comparison.precision(), ALL, comparison, suffix)
    areas = comparison.detections.areas
    if areas is not None and not np.isnan(areas).any():
        for size, bounds in _SIZES.items():
            if comparison.task != LANDMARKS or size != "S":  # COCO has no small ones among landmarks
                precision = comparison.precision_of_size(*bounds)
                number = int(precision.num_items.sum())
                yield Score(f"AP{size}{suffix}", ALL, precision.average_precision(), num_items=number)
    for slice in slices:
        yield from _scores(comparison.precision(slice), slice.name, comparison, suffix)


def _scores(precision: Precision, slice: str, comparison: Comparison, suffix: str) -> Iterator[Score]:
    """Yield the metrics of a slice."""
    number = int(precision.num_items.sum())
    values: dict[str, Any] = {"AP": precision.average_precision()}
    values |= {f"AP{int(100 * at)}": precision.average_precision(at) for at in (0.5, 0.75)}
    values |= {f"AR{limit}": precision.average_recall(limit) for limit in comparison.limits}
    for name, value in values.items():
        yield Score(f"{name}{suffix}", slice, value, num_items=number)
