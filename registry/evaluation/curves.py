"""Precision by recall, and the score that decides best between predictions to take and to leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from registry.dataset.arrays import Floats
from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation.matching import THRESHOLDS
from registry.evaluation.precision import RECALLS

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison


def curve_table(comparison: Comparison) -> pa.Table:
    """Return the precision at each of the 101 recalls of COCO: threshold, category, recall, precision.

    Category NULL is the mean over the categories. A category without items has no rows.
    """
    precision = comparison.precision(comparison.part()).precision
    measured = np.flatnonzero(precision[0, 0] > -1)
    curves: list[tuple[str | None, Floats]] = []
    if len(measured):
        curves.append((None, precision[:, :, measured].mean(axis=2)))
    curves += [(CATEGORIES[k].name, precision[:, :, k]) for k in measured]
    size = len(THRESHOLDS) * len(RECALLS)
    values = [curve.ravel() for _, curve in curves]
    return pa.table(
        {
            "threshold": pa.array(np.tile(np.repeat(THRESHOLDS, len(RECALLS)), len(curves)).round(2)),
            "category": pa.array([name for name, _ in curves for _ in range(size)], pa.string()),
            "recall": pa.array(np.tile(RECALLS, len(THRESHOLDS) * len(curves)).round(2)),
            "precision": pa.array(np.concatenate(values) if values else np.empty(0)),
        }
    )


def best_score(comparison: Comparison) -> float:
    """Return the score from which on predictions have the best F1 over all categories, at an overlap of .50."""
    ranking, matcher = comparison.ranking, comparison.matcher
    if not len(ranking.score):
        return 0.0
    item = matcher.found(comparison.ignored)[0]
    is_true, counts = np.zeros(len(ranking.score), bool), np.ones(len(ranking.score), bool)
    is_ignored = (item >= 0) & comparison.ignored[item]
    is_true[matcher.candidate] = (item >= 0) & ~is_ignored
    counts[matcher.candidate] = ~is_ignored
    order = np.argsort(-ranking.score, kind="stable")
    score = ranking.score[order]
    true, taken = np.cumsum(is_true[order]), np.cumsum(counts[order])
    f1 = 2 * true / np.maximum(taken + int((~comparison.ignored).sum()), 1)
    f1[:-1][score[:-1] == score[1:]] = -1  # predictions of the same score are taken together
    return float(score[int(np.argmax(f1))])
