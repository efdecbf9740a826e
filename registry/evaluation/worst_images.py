"""The images on which a model errs most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison
    from registry.evaluation.operating_point import OperatingPoint


def worst_images(comparison: Comparison, point: OperatingPoint) -> pa.Table:
    """Return the images with an error: a missed item, or a wrong detection, from the score of the best F1 on.

    Returns:
        split, image_id, num_items (that count), num_missed, num_wrong and num_errors, their sum; most errors first,
        then in the order of images.
    """
    truth, ranking = comparison.truth, comparison.ranking
    number = truth.images.num_rows
    num_items = np.bincount(truth.image[~comparison.ignored], minlength=number)
    num_missed = np.bincount(truth.image[point.is_missed], minlength=number)
    num_wrong = np.bincount(ranking.image[point.is_wrong], minlength=number)
    num_errors = num_missed + num_wrong
    order = np.argsort(-num_errors, kind="stable")
    order = order[num_errors[order] > 0]
    counts = {"num_items": num_items, "num_missed": num_missed, "num_wrong": num_wrong, "num_errors": num_errors}
    table = truth.images.select(["split", "image_id"]).take(order)
    for name, values in counts.items():
        table = table.append_column(name, pa.array(values[order], pa.int64()))
    return table
