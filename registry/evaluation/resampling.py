"""Precision and recall of data sets drawn anew from the images, all of them at once.

An image that was drawn w times counts as w images. So items, detections that found one and detections that count become
sums of weights: the numbers of :mod:`registry.evaluation.precision`, for many weights of the same matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation.matching import THRESHOLDS
from registry.evaluation.precision import RECALLS

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison, Metric, Part

#: How often an image was drawn, or sums of it: [resamples, ...].
Weights: TypeAlias = npt.NDArray[Any]
#: Weights of detections that are computed at a time.
_BLOCK: Final = 4_000_000


@dataclass(frozen=True)
class Resampled:
    """Precision and recall of a part in each resample; NaN where a category has no item.

    Attributes:
        precision: float64 [resamples, thresholds, categories]: the mean over all recalls.
        recall: float64 [resamples, limits, thresholds, categories].
        limits: detections of an image and category that count for ``recall``, ascending.
    """

    precision: Floats
    recall: Floats
    limits: Sequence[int]

    def values(self, metric: Metric) -> Floats:
        """Return a metric of each resample; NaN without items."""
        if metric.limit is not None:
            return self.average_recall(metric.limit)
        return self.average_precision(metric.threshold)

    def average_precision(self, threshold: float | None = None) -> Floats:
        """Return AP of each resample, or AP at one threshold; NaN without items."""
        at = slice(None) if threshold is None else np.isclose(THRESHOLDS, threshold)
        return _mean(self.precision[:, at])

    def average_recall(self, limit: int) -> Floats:
        """Return AR of each resample with so many detections of an image and category; NaN without items."""
        return _mean(self.recall[:, list(self.limits).index(limit)])


def _mean(values: Floats) -> Floats:
    """Return the mean of each resample over thresholds and measured categories."""
    flat = values.reshape(len(values), -1)
    is_measured = ~np.isnan(flat)
    number = is_measured.sum(axis=1)
    means = np.full(len(flat), np.nan)
    np.divide(np.where(is_measured, flat, 0).sum(axis=1), number, out=means, where=number > 0)
    return means


def resampled(comparison: Comparison, parts: Sequence[Part], weights: Weights) -> list[Resampled]:
    """Return precision and recall of each part in each resample.

    Args:
        comparison: predictions beside items.
        parts: each with the items and detections that count.
        weights: [resamples, images]: how often each image was drawn.
    """
    limits = comparison.limits
    shape = len(THRESHOLDS), len(CATEGORIES)
    results = [
        Resampled(np.full((len(weights), *shape), np.nan), np.full((len(weights), len(limits), *shape), np.nan), limits)
        for _ in parts
    ]
    all_rows = [_CategoryRows.of(comparison, category.id) for category in CATEGORIES]
    # A slice by category has the same matches within the category as everything: they are measured once.
    all_jobs: list[dict[Any, tuple[_Job, list[int]]]] = [{} for _ in CATEGORIES]
    for k, part in enumerate(parts):
        matches = comparison.matcher.found(part.ignored)
        for category_rows, jobs in zip(all_rows, all_jobs, strict=True):
            key = category_rows.key(part)
            if key in jobs:
                jobs[key][1].append(k)
            else:
                jobs[key] = _Job.of(comparison, category_rows, part, matches), [k]
    for at, (category_rows, jobs) in enumerate(zip(all_rows, all_jobs, strict=True)):
        for rows in category_rows.blocks(len(weights)):
            block = weights[rows]
            before = category_rows.weights_before(block)
            for job, places in jobs.values():
                if len(job.item_image):
                    precision, recall = job.measure(block, before, limits)
                    for k in places:
                        results[k].precision[rows, :, at] = precision
                        results[k].recall[rows, :, :, at] = recall
    return results


@dataclass(frozen=True)
class _CategoryRows:
    """The ranked detections of a category, up to the last that overlaps an item.

    Attributes:
        truth_rows: int64: positions of the category's items.
        first_candidate: position of the first of them among all candidates.
        first: position of the first detection in the ranking.
        image: int64 [detections]: position of the image of each detection.
        rank: int64 [detections]: among those of its image and category.
        candidate: int64 [candidates]: which of the detections overlap an item, ascending.
    """

    truth_rows: Ints
    first_candidate: int
    first: int
    image: Ints
    rank: Ints
    candidate: Ints

    @classmethod
    def of(cls, comparison: Comparison, category_id: int) -> _CategoryRows:
        """Return the detections of a category."""
        ranking, all_candidates = comparison.ranking, comparison.matcher.candidate
        start, end = np.searchsorted(ranking.category_id, (category_id, category_id + 1)).tolist()
        low, high = np.searchsorted(all_candidates, (start, end)).tolist()
        candidate = all_candidates[low:high] - start
        end = start + int(candidate[-1]) + 1 if len(candidate) else start
        truth_rows = np.flatnonzero(comparison.truth.category_id == category_id)
        return cls(truth_rows, low, start, ranking.image[start:end], ranking.rank[start:end], candidate)

    @property
    def rows(self) -> slice:
        """Where the detections are in the ranking."""
        return slice(self.first, self.first + len(self.image))

    @property
    def candidates(self) -> slice:
        """Where the candidates are among those of all categories."""
        return slice(self.first_candidate, self.first_candidate + len(self.candidate))

    def key(self, part: Part) -> Any:
        """Return a key that parts with the same numbers share."""
        of_detections = (
            side if side is None else side[self.rows].tobytes() for side in (part.left_out, part.ignored_if_unmatched)
        )
        return part.ignored[self.truth_rows].tobytes(), *of_detections

    def blocks(self, num_resamples: int) -> Iterator[slice]:
        """Yield ranges of resamples that are computed at a time."""
        size = max(1, _BLOCK // max(len(self.image), 1))
        for start in range(0, num_resamples, size):
            yield slice(start, start + size)

    def weights_before(self, weights: Weights) -> Weights:
        """Return the weights of all detections up to each candidate, itself among them: [resamples, candidates]."""
        return _summed(weights[:, self.image])[:, self.candidate]


@dataclass(frozen=True)
class _Job:
    """The matches of a category in a part.

    Attributes:
        item_image: int64: position of the image of each item that counts.
        candidate_image: int64 [candidates].
        candidate_rank: int64 [candidates].
        matched: for each threshold, int64: the candidates that found an item or do not count without one, ascending;
            and bool: which of them found an item that counts.
        counted_image: int64: where detections are left out, the image of each that is looked at; else None.
        num_counted: int64 [candidates]: how many of these there are up to each candidate; else None.
    """

    item_image: Ints
    candidate_image: Ints
    candidate_rank: Ints
    matched: Sequence[tuple[Ints, Bools]]
    counted_image: Ints | None
    num_counted: Ints | None

    @classmethod
    def of(cls, comparison: Comparison, rows: _CategoryRows, part: Part, found: Ints) -> _Job:
        """Return the matches of a part.

        Args:
            comparison: predictions beside items.
            rows: the detections of the category.
            part: of the items and detections.
            found: of the matcher, for the part.
        """
        is_looked_at = np.ones(len(rows.image), bool)
        if part.left_out is not None:
            is_looked_at &= ~part.left_out[rows.rows]
        is_counted = is_looked_at.copy()
        unmatched = np.zeros(len(rows.candidate), bool)
        if part.ignored_if_unmatched is not None:
            is_ignored = part.ignored_if_unmatched[rows.rows]
            unmatched = is_ignored[rows.candidate]
            is_candidate = np.zeros(len(rows.image), bool)
            is_candidate[rows.candidate] = True
            is_counted &= ~is_ignored | is_candidate
        matched = []
        for items in found[:, rows.candidates]:
            is_true = (items >= 0) & ~part.ignored[items]
            which = np.flatnonzero(((items >= 0) | unmatched) & is_looked_at[rows.candidate])
            matched.append((which, is_true[which]))
        counted_image = num_counted = None
        if not is_counted.all():
            counted_image = rows.image[is_counted]
            num_counted = np.cumsum(is_counted)[rows.candidate]
        items = rows.truth_rows[~part.ignored[rows.truth_rows]]
        return cls(
            comparison.truth.image[items], rows.image[rows.candidate], rows.rank[rows.candidate], matched,
            counted_image, num_counted,
        )  # fmt: skip

    def measure(self, weights: Weights, before: Weights, limits: Sequence[int]) -> tuple[Floats, Floats]:
        """Return precision [resamples, thresholds] and recall [resamples, limits, thresholds]; NaN without items.

        Args:
            weights: [resamples, images].
            before: [resamples, candidates]: weights of all detections of the category up to each candidate.
            limits: of recall.
        """
        num_items = weights[:, self.item_image].sum(axis=1, dtype=np.int64)
        needed = _needed(num_items)
        if self.counted_image is not None:
            assert self.num_counted is not None
            summed = np.zeros((len(weights), len(self.counted_image) + 1), np.int32)
            np.cumsum(weights[:, self.counted_image], axis=1, dtype=np.int32, out=summed[:, 1:])
            before = summed[:, self.num_counted]
        precision = np.empty((len(weights), len(THRESHOLDS)))
        recall = np.empty((len(weights), len(limits), len(THRESHOLDS)))
        for t, (which, is_true) in enumerate(self.matched):
            drawn = weights[:, self.candidate_image[which]]
            true_drawn, true_before = drawn[:, is_true], before[:, which[is_true]]
            true = _summed(true_drawn)
            if len(which) > true.shape[1]:
                true_before = true_before - _summed(drawn * ~is_true)[:, is_true]
            precision[:, t] = _mean_precision(true, true_before, needed)
            rank = self.candidate_rank[which[is_true]]
            total = true_drawn.sum(axis=1, dtype=np.int64)
            for k, limit in enumerate(limits):
                recall[:, k, t] = total - true_drawn[:, rank >= limit].sum(axis=1, dtype=np.int64)
        is_empty = num_items == 0
        precision[is_empty], recall[is_empty] = np.nan, np.nan
        return precision, recall / np.maximum(num_items, 1)[:, None, None]


def _summed(drawn: Weights) -> Weights:
    """Return the sums of the weights of each row up to each column."""
    return np.cumsum(drawn, axis=1, dtype=np.int32)


def _needed(num_items: Ints) -> Weights:
    """Return how many items must be found for each of :data:`RECALLS`: [resamples, recalls]."""
    number = np.maximum(num_items, 1)[:, None]
    needed = np.ceil(RECALLS * number)
    # The smallest whole number whose recall, as it is computed, is as high.
    needed -= (needed - 1) / number >= RECALLS
    needed += needed / number < RECALLS
    return needed.astype(np.int32)


def _mean_precision(true: Weights, counted: Weights, needed: Weights) -> Floats:
    """Return the mean over the recalls of the highest precision at or beyond each.

    Args:
        true: [resamples, detections]: of each detection that found an item, how many items were found up to it.
        counted: [resamples, detections]: how many detections up to it count.
        needed: [resamples, recalls]: found items that reach each recall.
    """
    values = np.zeros(needed.shape)
    if not true.shape[1]:
        return np.asarray(values.mean(axis=1), np.float64)
    # Nothing counted, where no image up to it was drawn: then nothing was found either.
    highest = true / np.maximum(counted, 1)
    highest = np.maximum.accumulate(highest[:, ::-1], axis=1)[:, ::-1]
    for row, number in enumerate(needed):
        at = true[row].searchsorted(number)
        at = at[: at.searchsorted(true.shape[1])]
        values[row, : len(at)] = highest[row, at]
    return np.asarray(values.mean(axis=1), np.float64)
