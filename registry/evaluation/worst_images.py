"""The images on which a model does worst."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from registry.evaluation import item_results as results
from registry.evaluation.item_results import Outcome

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison

_RIGHT: Final = (results.CORRECT, results.IGNORED)


def worst_image_table(comparison: Comparison, outcome: Outcome, min_score: float) -> pa.Table:
    """Return the images with an error, the worst first.

    Columns: split, image_id, num_items, num_missed (items that no prediction found, of any kind of error), num_wrong
    (predictions that are wrong, with at least a score), badness (the missed items and the scores of these predictions,
    added up). Images of the same badness come in order.

    Args:
        comparison: predictions beside items.
        outcome: of both.
        min_score: predictions with a lower score are left out.
    """
    truth, detections = comparison.truth, comparison.detections
    number = truth.images.num_rows
    is_item = ~comparison.ignored
    is_missed = is_item & (outcome.item_kind != results.CORRECT)
    is_wrong = ~np.isin(outcome.kind, _RIGHT) & (detections.score >= min_score)
    num_missed = np.bincount(truth.image[is_missed], minlength=number)
    scores = np.bincount(detections.image[is_wrong], detections.score[is_wrong], minlength=number)
    badness = num_missed + scores
    num_wrong = np.bincount(detections.image[is_wrong], minlength=number)
    worst = np.argsort(-badness, kind="stable")
    worst = worst[(num_missed + num_wrong)[worst] > 0]
    return pa.table(
        {
            **{name: truth.images.column(name).take(worst) for name in ("split", "image_id")},
            "num_items": np.bincount(truth.image[is_item], minlength=number)[worst],
            "num_missed": num_missed[worst],
            "num_wrong": num_wrong[worst],
            "badness": badness[worst],
        }
    )
