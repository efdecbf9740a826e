"""Which categories a model takes for which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation.arrays import Ints
from registry.evaluation.matching import THRESHOLDS

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison

#: What an item is taken for that no detection found, and what a detection found that is on no item.
BACKGROUND: Final = "background"


def confusion(comparison: Comparison, min_score: float) -> pa.Table:
    """Return how often items of a category were found as each category.

    Detections from a score on are taken by falling score, whatever their category; each takes the free item of its
    image that it overlaps most, by an IoU of at least 0.5. Landmarks of different categories do not compare, so that
    their table has no category taken for another. Items outside the subset, and detections of them, are left out.

    Args:
        comparison: predictions beside items.
        min_score: the lowest score that counts.

    Returns:
        category and predicted, each a name or ``background``, and count, of the pairs that occur; by category.
    """
    ranking, truth = comparison.ranking, comparison.truth
    is_chosen = ranking.score >= min_score
    chosen = ranking.detection[is_chosen]
    item_of = dict(_pairs(comparison, chosen, ranking.score[is_chosen]))
    matched = np.array([item_of.get(k, -1) for k in chosen.tolist()], np.int64)
    of_detection = comparison.detections.category_id[chosen]
    of_item = (
        np.where(matched >= 0, truth.category_id[matched], 0) if len(truth.category_id) else np.zeros_like(matched)
    )
    counts = np.zeros((len(CATEGORIES) + 1, len(CATEGORIES) + 1), np.int64)
    is_counted = (matched < 0) | ~comparison.ignored[matched]
    np.add.at(counts, (of_item[is_counted], of_detection[is_counted]), 1)
    is_missed = ~comparison.ignored
    is_missed[matched[matched >= 0]] = False
    counts[:, 0] += np.bincount(truth.category_id[is_missed], minlength=len(counts))
    names = [BACKGROUND, *(category.name for category in CATEGORIES)]
    order = [*range(1, len(names)), 0]
    cells = [(i, j) for i in order for j in order if counts[i, j]]
    return pa.table(
        {
            "category": pa.array([names[i] for i, _ in cells], pa.string()),
            "predicted": pa.array([names[j] for _, j in cells], pa.string()),
            "count": pa.array([int(counts[cell]) for cell in cells], pa.int64()),
        }
    )


def _pairs(comparison: Comparison, chosen: Ints, scores: np.ndarray) -> list[tuple[int, int]]:
    """Return detections with the item that each found: one item each, by falling score."""
    overlaps = comparison.overlaps
    score = np.full(len(comparison.detections.image), -np.inf)
    score[chosen] = scores
    near = np.flatnonzero((overlaps.value >= THRESHOLDS[0]) & np.isfinite(score[overlaps.detection]))
    detection, item, value = overlaps.detection[near], overlaps.item[near], overlaps.value[near]
    # Items that count go first, as in the matching by category.
    order = np.lexsort((-item, -value, comparison.ignored[item], detection, -score[detection]))
    found: dict[int, int] = {}
    taken: set[int] = set()
    for k, what in zip(detection[order].tolist(), item[order].tolist(), strict=True):
        if k not in found and what not in taken:
            found[k] = what
            taken.add(what)
    return list(found.items())
