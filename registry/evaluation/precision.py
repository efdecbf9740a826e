"""Average precision and recall of matched detections, as COCO computes them.

Source: ``accumulate`` and ``summarize`` of pycocotools. Precision is computed where a detection found an item alone:
between these places it only falls, and COCO takes the highest precision at or beyond a recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation.matching import THRESHOLDS, Matcher, Ranking

if TYPE_CHECKING:
    from registry.evaluation.truth import Truth

#: Recalls at which precision is averaged.
RECALLS: Final = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Precision:
    """Precision and recall within a slice.

    Attributes:
        precision: float64 [thresholds, recalls, categories]; -1 for categories without items that count.
        recall: float64 [limits, thresholds, categories]; as above.
        num_items: int64 [categories]: items that count.
        limits: detections of an image and category that count for ``recall``, ascending.
    """

    precision: Floats
    recall: Floats
    num_items: Ints
    limits: Sequence[int]

    def average_precision(self, threshold: float | None = None) -> float | None:
        """Return AP, or AP at one threshold; None without items."""
        return _mean(self.precision if threshold is None else self.precision[_at(threshold)])

    def average_recall(self, limit: int, threshold: float | None = None) -> float | None:
        """Return AR with so many detections of an image and category; None without items."""
        recall = self.recall[list(self.limits).index(limit)]
        return _mean(recall if threshold is None else recall[_at(threshold)])


def _at(threshold: float) -> int:
    return int(np.flatnonzero(np.isclose(THRESHOLDS, threshold))[0])


def _mean(values: Floats) -> float | None:
    measured = values[values > -1]
    return float(np.mean(measured)) if len(measured) else None


class Scorer:
    """Computes the precision of slices of the same matches.

    Args:
        truth: the items.
        ranking: the detections.
        matcher: of both.
        limits: detections of an image and category that count for recall, ascending; the last is that of the ranking.
    """

    def __init__(self, truth: Truth, ranking: Ranking, matcher: Matcher, limits: Sequence[int]) -> None:
        self._truth, self._ranking, self._matcher, self._limits = truth, ranking, matcher, limits
        bounds = np.searchsorted(ranking.category_id, np.arange(1, len(CATEGORIES) + 2))
        self._bounds = [slice(low, high) for low, high in pairwise(bounds.tolist())]

    def precision(
        self, ignored: Bools, left_out: Bools | None = None, ignored_if_unmatched: Bools | None = None
    ) -> Precision:
        """Return the precision of a slice.

        Args:
            ignored: bool [items]: items that do not count, nor do the detections that find them.
            left_out: bool [ranking]: detections that are not looked at, such as those in other images; their items must
                be ignored.
            ignored_if_unmatched: bool [ranking]: detections that do not count where they find nothing, such as those of
                another size.
        """
        matches = self._matcher.found(ignored)
        shape = len(THRESHOLDS), len(RECALLS), len(CATEGORIES)
        precision = np.full(shape, -1.0)
        recall = np.full((len(self._limits), len(THRESHOLDS), len(CATEGORIES)), -1.0)
        num_items = np.bincount(self._truth.category_id[~ignored], minlength=len(CATEGORIES) + 1)[1:]
        for k, rows in enumerate(self._bounds):
            if not num_items[k]:
                continue
            low, high = np.searchsorted(self._matcher.candidate, (rows.start, rows.stop))
            candidates = self._matcher.candidate[low:high]
            of_category = matches[:, low:high]
            num_before = np.arange(1, rows.stop - rows.start + 1)  # detections up to each, itself among them
            if left_out is not None:
                num_before = np.cumsum(~left_out[rows])
            if ignored_if_unmatched is not None:
                uncounted = ignored_if_unmatched[rows].copy()
                uncounted[candidates - rows.start] = False
                if left_out is not None:
                    uncounted &= ~left_out[rows]
                num_before = num_before - np.cumsum(uncounted)
            is_left_out = np.zeros(len(candidates), bool) if left_out is None else left_out[candidates]
            rank = self._ranking.rank[candidates]
            for t in range(len(THRESHOLDS)):
                item = of_category[t]
                is_ignored = (item >= 0) & ignored[item]
                if ignored_if_unmatched is not None:
                    is_ignored |= (item < 0) & ignored_if_unmatched[candidates]
                is_true = (item >= 0) & ~is_ignored & ~is_left_out
                counted = num_before[candidates - rows.start] - np.cumsum(is_ignored & ~is_left_out)
                precision[t, :, k] = _interpolated(counted[is_true], int(num_items[k]))
                recall[:, t, k] = [np.sum(is_true & (rank < limit)) / num_items[k] for limit in self._limits]
        return Precision(precision, recall, num_items, self._limits)


def average_precision(counted: Ints, num_items: int) -> float:
    """Return the precision averaged over :data:`RECALLS`; arguments as of :func:`_interpolated`."""
    return float(np.mean(_interpolated(counted, num_items)))


def _interpolated(counted: Ints, num_items: int) -> Floats:
    """Return the precision at :data:`RECALLS`.

    Args:
        counted: int64 [n]: of each detection that found an item, by falling score, how many detections up to it count.
        num_items: of the category.
    """
    true = np.arange(1, len(counted) + 1).astype(np.float64)
    # pycocotools adds 2e-16 to the divisor, and then gives the only item of a category 0.9999999999999998.
    precision = true / counted
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(true / num_items, RECALLS, side="left")
    values = np.zeros(len(RECALLS))
    is_reached = at < len(true)
    values[is_reached] = highest[at[is_reached]]
    return values
