"""Precision-recall curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation.matching import THRESHOLDS
from registry.evaluation.precision import RECALLS
from registry.evaluation.results import ALL

if TYPE_CHECKING:
    from registry.evaluation.precision import Precision


def precision_recall(precision: Precision) -> pa.Table:
    """Return precision at 101 recalls for each category and threshold.

    Returns:
        threshold (of IoU or OKS), category (its name, or ``all`` for the mean of the categories), recall, precision:
        the highest at or beyond the recall.
    """
    measured = np.flatnonzero(precision.num_items > 0)
    names = [ALL, *(CATEGORIES[k].name for k in measured)] if len(measured) else []
    values = precision.precision[:, :, measured]
    curves = [values.mean(axis=2), *np.moveaxis(values, 2, 0)] if names else []
    return pa.table(
        {
            "threshold": np.tile(np.repeat(np.round(THRESHOLDS, 2), len(RECALLS)), len(names)),
            "category": pa.array([name for name in names for _ in range(THRESHOLDS.size * RECALLS.size)], pa.string()),
            "recall": np.tile(RECALLS, len(THRESHOLDS) * len(names)),
            "precision": np.array(curves, np.float64).ravel(),
        }
    )
