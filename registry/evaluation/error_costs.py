"""How much each kind of error costs: TIDE's AP50 without the errors of a kind, minus AP50."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from registry.dataset.arrays import Bools, Ints
from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation import item_results as results
from registry.evaluation.item_results import KINDS, Outcome
from registry.evaluation.precision import average_precision

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison

#: Errors whose predictions are gone when they are mended; the others are moved to their item, if it is free.
_REMOVED: Final = (results.DUPLICATE, results.BOTH, results.BACKGROUND)
_MOVED: Final = (results.LOCALISATION, results.CLASSIFICATION)
_WRONG: Final = (*_MOVED, *_REMOVED)


def error_table(comparison: Comparison, outcome: Outcome) -> pa.Table:
    """Return the number and the cost of each kind of error: kind, count, dAP50.

    AP50 is the mean over the categories with items, as everywhere here; TIDE also takes those with predictions alone.
    Of an item, only the prediction with the highest score that is wrong because of it can be mended, of either kind.
    ``missed`` are the items that no such prediction is wrong because of: those of the kind ``both`` too. The last rows
    are ``false positives`` (all wrong predictions gone) and ``false negatives`` (all items without a prediction gone).
    The costs do not add up to 1 - AP50, as AP is no sum.
    """
    whole = _ap50(comparison, outcome)
    rows = []
    for kind in (*_MOVED, results.BOTH, results.DUPLICATE, results.BACKGROUND):
        # The prediction that an item not found is given has its kind.
        moved = outcome.detection[outcome.item_kind == kind] if kind in _MOVED else np.empty(0, np.int64)
        gone = outcome.kind == kind
        rows.append((KINDS[kind], int(gone.sum()), _ap50(comparison, outcome, gone, moved) - whole))
    is_missed = np.isin(outcome.item_kind, (results.MISSED, results.BOTH))
    rows.append((KINDS[results.MISSED], int(is_missed.sum()), _ap50(comparison, outcome, left_out=is_missed) - whole))
    is_wrong = np.isin(outcome.kind, _WRONG)
    rows.append(("false positives", int(is_wrong.sum()), _ap50(comparison, outcome, is_wrong) - whole))
    lost = ~comparison.ignored & (outcome.item_kind != results.CORRECT)
    rows.append(("false negatives", int(lost.sum()), _ap50(comparison, outcome, left_out=lost) - whole))
    names, counts, gains = zip(*rows, strict=True)
    return pa.table({"kind": pa.array(names), "count": pa.array(counts), "dAP50": pa.array(gains, pa.float64())})


def _ap50(
    comparison: Comparison,
    outcome: Outcome,
    gone: Bools | None = None,
    moved: Ints | None = None,
    left_out: Bools | None = None,
) -> float:
    """Return AP50 after errors are mended.

    Args:
        comparison: predictions beside items.
        outcome: of both.
        gone: bool [detections]: those that are removed.
        moved: detections that are right for their item instead, at most one of each item.
        left_out: bool [items]: those that are removed.
    """
    truth, detections = comparison.truth, comparison.detections
    is_true = outcome.kind == results.CORRECT
    counts = outcome.kind != results.IGNORED
    if gone is not None:
        counts &= ~gone
    category_id = detections.category_id
    if moved is not None and len(moved):
        is_true[moved] = counts[moved] = True
        category_id = category_id.copy()
        category_id[moved] = truth.category_id[outcome.item[moved]]
    is_item = ~comparison.ignored if left_out is None else ~comparison.ignored & ~left_out
    num_items = np.bincount(truth.category_id[is_item], minlength=len(CATEGORIES) + 1)
    order = np.flatnonzero(counts)
    order = order[np.lexsort((detections.image[order], -detections.score[order], category_id[order]))]
    bounds = np.searchsorted(category_id[order], np.arange(1, len(CATEGORIES) + 2))
    values = [
        average_precision(1 + np.flatnonzero(is_true[order[bounds[k] : bounds[k + 1]]]), int(num_items[k + 1]))
        for k in range(len(CATEGORIES))
        if num_items[k + 1]
    ]
    return float(np.mean(values)) if values else 0.0
