"""How far predicted landmarks are off, landmark by landmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation import item_results as results
from registry.evaluation.item_results import Outcome

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison

#: Normalised error up to which a landmark counts as found.
_NEAR: Final = 0.1


def landmark_table(comparison: Comparison, outcome: Outcome) -> pa.Table:
    """Return the error of each landmark of each category over the items that a prediction found, the worst first.

    Columns: category, landmark_no, then for visible and for occluded landmarks the number (num_visible), the mean error
    (error_visible) and the share of errors up to .10 (pck_visible: PCK at 0.1). An error is the distance in px by the
    square root of the area of the item's box. NULL where no landmark is labelled so.
    """
    truth, detections = comparison.truth, comparison.detections
    right = np.flatnonzero(outcome.item_kind == results.CORRECT)
    rows: list[dict[str, Any]] = []
    for category in CATEGORIES:
        items = right[truth.category_id[right] == category.id]
        if not len(items):
            continue
        x, y, v = np.moveaxis(truth.landmarks_of(items), 2, 0)
        points = detections.landmarks_of(outcome.detection[items])
        side = np.sqrt(truth.box_areas()[items])[:, None]
        error = np.hypot(points[:, :, 0] - x, points[:, :, 1] - y) / np.where(side > 0, side, np.nan)
        for k in range(category.num_landmarks):
            row: dict[str, Any] = {"category": category.name, "landmark_no": k + 1}
            for name, code in (("visible", 2), ("occluded", 1)):
                errors = error[v[:, k] == code, k]
                errors = errors[~np.isnan(errors)]
                row[f"num_{name}"] = len(errors)
                row[f"error_{name}"] = float(errors.mean()) if len(errors) else None
                row[f"pck_{name}"] = float(np.mean(errors <= _NEAR)) if len(errors) else None
            rows.append(row)
    rows.sort(key=lambda row: -(row["error_visible"] or 0.0))
    fields = [("category", pa.string()), ("landmark_no", pa.int16())]
    for name in ("visible", "occluded"):
        fields += [(f"num_{name}", pa.int64()), (f"error_{name}", pa.float64()), (f"pck_{name}", pa.float64())]
    return pa.Table.from_pylist(rows, pa.schema(fields))
