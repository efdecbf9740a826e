"""Scores predictions of boxes, masks or landmarks by the protocol of COCO, and slices of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from registry.dataset.arrays import Bools
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
class Metric:
    """A number measured of a part.

    Attributes:
        name: such as ``AP50``.
        threshold: of an average precision; None for the mean of all.
        limit: of an average recall, detections of an image and category that count; None for a precision.
    """

    name: str
    threshold: float | None = None
    limit: int | None = None

    def value(self, precision: Precision) -> float | None:
        """Return the number; None without items."""
        if self.limit is not None:
            return precision.average_recall(self.limit)
        return precision.average_precision(self.threshold)


_AVERAGES: Final = (Metric("AP"), Metric("AP50", 0.5), Metric("AP75", 0.75))


@dataclass(frozen=True)
class Part:
    """The items and detections that count, and the metrics of them.

    Attributes:
        slice: name of the slice that the scores belong to.
        metrics: in order.
        ignored: bool [items]: as of :meth:`registry.evaluation.precision.Scorer.precision`, as are the others.
        left_out: bool [ranking], or None.
        ignored_if_unmatched: bool [ranking], or None.
    """

    slice: str
    metrics: Sequence[Metric]
    ignored: Bools
    left_out: Bools | None = None
    ignored_if_unmatched: Bools | None = None


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
        ignored: Bools = ~self.truth.chosen | (self.truth.box_areas() > _SIZES["L"][1])  # COCO has no larger area
        if self.task == LANDMARKS:
            ignored |= self.truth.num_labelled(visible_only=self.visible_only) == 0
        return ignored

    @cached_property
    def scorer(self) -> Scorer:
        """Computes the precision of slices."""
        return Scorer(self.truth, self.ranking, self.matcher, self.limits)

    def part(self, slice: Slice | None = None) -> Part:
        """Return the part that is a slice, or everything."""
        metrics = (*_AVERAGES, *(Metric(f"AR{limit}", limit=limit) for limit in self.limits))
        areas = self.detections.areas
        is_huge = None if areas is None else areas[self.ranking.detection] > _SIZES["L"][1]
        if is_huge is not None and not is_huge.any():
            is_huge = None
        if slice is None:
            return Part(ALL, metrics, self.ignored, None, is_huge)
        left_out = None if slice.images is None else ~slice.images[self.ranking.image]
        return Part(slice.name, metrics, self.ignored | ~slice.items, left_out, is_huge)

    def sizes(self) -> Iterator[Part]:
        """Yield the part of each of COCO's sizes; none where detections have no area."""
        areas = self.detections.areas
        if areas is None or np.isnan(areas).any():
            return
        of_items, of_detections = self.truth.box_areas(), areas[self.ranking.detection]
        for size, (low, high) in _SIZES.items():
            if self.task != LANDMARKS or size != "S":  # COCO has no small ones among landmarks
                ignored = self.ignored | (of_items < low) | (of_items > high)
                is_other = (of_detections < low) | (of_detections > high)
                yield Part(ALL, (Metric(f"AP{size}"),), ignored, None, is_other)

    def precision(self, part: Part) -> Precision:
        """Return the precision of a part."""
        return self.scorer.precision(part.ignored, part.left_out, part.ignored_if_unmatched)


def parts(comparison: Comparison, slices: Sequence[Slice]) -> Iterator[Part]:
    """Yield everything, the sizes, then the slices."""
    yield comparison.part()
    yield from comparison.sizes()
    yield from map(comparison.part, slices)


def scores(comparison: Comparison, slices: Sequence[Slice], suffix: str = "") -> Iterator[Score]:
    """Yield the scores of everything, then of every slice.

    Args:
        comparison: predictions beside items.
        slices: parts of the items.
        suffix: of the metrics' names.
    """
    for part in parts(comparison, slices):
        precision = comparison.precision(part)
        number = int(precision.num_items.sum())
        for metric in part.metrics:
            yield Score(f"{metric.name}{suffix}", part.slice, metric.value(precision), num_items=number)
