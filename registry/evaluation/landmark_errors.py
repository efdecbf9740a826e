"""How far predicted landmarks are from those of the items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation.arrays import Ints

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison

#: Share of the square root of the box's area within which a landmark is right.
_NEAR: Final = 0.1
#: v of a landmark -> its name.
_VISIBILITIES: Final = {2: "visible", 1: "occluded"}


def landmark_errors(comparison: Comparison, found: Ints) -> pa.Table:
    """Return the errors of each landmark on the items that were found.

    The error is the distance in px divided by the square root of the area of the item's box, the scale that OKS uses.

    Args:
        comparison: predicted landmarks beside items.
        found: int64 [ranking]: the item that each ranked detection found, -1 for none.

    Returns:
        category, landmark_no, visibility (visible or occluded), num_items (with this landmark, found), mean_error,
        pck_10: share of them with an error of at most 0.1; by category and number.
    """
    truth, detections = comparison.truth, comparison.detections
    of_pair = np.flatnonzero((found >= 0) & ~comparison.ignored[found])
    item, detection = found[of_pair], comparison.ranking.detection[of_pair]
    rows = []
    for category in CATEGORIES:
        chosen = np.flatnonzero(truth.category_id[item] == category.id)
        if not len(chosen):
            continue
        landmarks = truth.landmarks_of(item[chosen])
        away = detections.landmarks_of(detection[chosen]) - landmarks[:, :, :2]
        scale = np.sqrt(truth.box_areas()[item[chosen]])[:, None]
        errors = np.full(landmarks.shape[:2], np.inf)
        np.divide(np.hypot(away[:, :, 0], away[:, :, 1]), scale, out=errors, where=scale > 0)
        for k in range(category.num_landmarks):
            for v, name in _VISIBILITIES.items():
                of_landmark = errors[landmarks[:, k, 2] == v, k]
                if len(of_landmark):
                    rows.append(
                        (
                            category.name,
                            k + 1,
                            name,
                            len(of_landmark),
                            of_landmark.mean(),
                            (of_landmark <= _NEAR).mean(),
                        )
                    )
    names = ("category", "landmark_no", "visibility", "num_items", "mean_error", "pck_10")
    kinds = (pa.string(), pa.int16(), pa.string(), pa.int64(), pa.float64(), pa.float64())
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)], list(names))
