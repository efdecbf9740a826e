"""Which category was predicted for items of each category."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from registry.dataset.arrays import Ints
from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation.detection import LANDMARKS
from registry.evaluation.matching import Matcher, Ranking

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison


def confusion_table(comparison: Comparison, min_score: float) -> pa.Table:
    """Return how often each category was predicted for items of each category: category, predicted, count.

    Predictions with at least a score are taken by falling score, whatever their category; each takes the free item that
    it overlaps most, by at least .50. Predicted NULL counts items without prediction, category NULL predictions without
    item. Counts of 0 have no row. Landmarks of different categories cannot be compared, so only NULLs tell of errors.

    Args:
        comparison: predictions beside items.
        min_score: predictions with a lower score are left out.
    """
    truth, detections = comparison.truth, comparison.detections
    item, detection = _matches(comparison, min_score)
    none = len(CATEGORIES) + 1
    cells = np.zeros((none + 1, none + 1), np.int64)
    np.add.at(cells, (np.where(item >= 0, truth.category_id[item], none), detections.category_id[detection]), 1)
    missed = ~comparison.ignored
    missed[item[item >= 0]] = False
    cells[1:none, none] = np.bincount(truth.category_id[missed], minlength=none)[1:none]
    names = [None, *(category.name for category in CATEGORIES), None]
    rows = np.argwhere(cells)
    return pa.table(
        {
            "category": pa.array([names[row] for row, _ in rows], pa.string()),
            "predicted": pa.array([names[column] for _, column in rows], pa.string()),
            "count": pa.array(cells[rows[:, 0], rows[:, 1]]),
        }
    )


def match_table(comparison: Comparison) -> pa.Table:
    """Return the pairs behind :func:`confusion_table` for every least score at once, and what has no pair.

    As predictions are taken by falling score, a least score only leaves pairs out: a pair with a lower score then is an
    item without prediction.

    Columns: split, image_id, item_no and category of the item (NULL for a prediction without item), position, predicted
    and score of the prediction (NULL for an item without).
    """
    truth, detections = comparison.truth, comparison.detections
    item, detection = _matches(comparison, -np.inf)
    is_missed = ~comparison.ignored
    is_missed[item[item >= 0]] = False
    missed = np.flatnonzero(is_missed)
    item = np.concatenate([item, missed])
    detection = np.concatenate([detection, np.full(len(missed), -1)])
    image = np.where(item >= 0, np.append(truth.image, 0)[item], np.append(detections.image, 0)[detection])
    no_item, no_detection = item < 0, detection < 0
    names = pa.array([category.name for category in CATEGORIES])
    return pa.table(
        {
            **{name: truth.images.column(name).take(image) for name in ("split", "image_id")},
            "item_no": pa.array(np.append(truth.items.column("item_no").to_numpy(), 0)[item], mask=no_item),
            "category": names.take(pa.array(np.append(truth.category_id, 1)[item] - 1, mask=no_item)),
            "position": pa.array(np.append(detections.position, 0)[detection], mask=no_detection),
            "predicted": names.take(pa.array(np.append(detections.category_id, 1)[detection] - 1, mask=no_detection)),
            "score": pa.array(np.append(detections.score, 0.0)[detection], mask=no_detection),
        }
    )


def _matches(comparison: Comparison, min_score: float) -> tuple[Ints, Ints]:
    """Return the item of each prediction that counts, -1 for none, and the prediction; see :func:`confusion_table`."""
    truth, detections = comparison.truth, comparison.detections
    ranking = comparison.ranking
    alike = comparison
    if comparison.task != LANDMARKS:
        alike = replace(
            comparison,
            truth=replace(truth, category_id=np.ones_like(truth.category_id)),
            detections=replace(detections, category_id=np.ones_like(detections.category_id)),
        )
    chosen = np.sort(ranking.detection[ranking.score >= min_score])
    every = Ranking.of(alike.detections, len(detections.score) + 1)
    taken = every.at(np.isin(every.detection, chosen))
    matcher = Matcher(alike.truth, taken, comparison.overlaps)
    item = np.full(len(taken.detection), -1)
    item[matcher.candidate] = matcher.found(comparison.ignored)[0]
    counts = item < 0
    counts[~counts] = ~comparison.ignored[item[~counts]]
    return item[counts], taken.detection[counts]
