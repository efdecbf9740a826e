"""Each item and each prediction: right, or the kind of its error.

The kinds are those of TIDE (Bolya et al., 2020), with an overlap of .50 for a match and .10 for anything at all. A
prediction that found no item is, in this order,

* ``localisation``: it overlaps an item of its category, by less than .50;
* ``classification``: it overlaps an item of another category by at least .50;
* ``duplicate``: it overlaps an item of its category by at least .50, which a prediction with a higher score found;
* ``both``: it overlaps an item of another category, by less than .50;
* ``background``: it overlaps no item.

Predictions that found an item that does not count are ``ignored``, as are those beyond the most that COCO takes of an
image and category. An item that no prediction found has the kind of the prediction with the highest score that is wrong
because of it; ``both`` only where no other kind is; without any it is ``missed``. Landmarks are compared within a
category alone, as categories have different landmarks: so their predictions are never of the kinds ``classification``
and ``both``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import CATEGORIES
from registry.dataset.tables import BOX_COLUMNS
from registry.evaluation.matching import THRESHOLDS

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison

#: Kinds of predictions, then that of an item without any; codes are positions.
KINDS: Final = (
    *("correct", "localisation", "classification", "duplicate", "both", "background", "ignored"),
    "missed",
)
CORRECT, LOCALISATION, CLASSIFICATION, DUPLICATE, BOTH, BACKGROUND, IGNORED, MISSED = range(len(KINDS))
_MATCH: Final = float(THRESHOLDS[0])


@dataclass(frozen=True)
class Outcome:
    """The kind of each item and of each detection, also of those that were not ranked.

    Attributes:
        kind: int64 [detections]: position in :data:`KINDS`.
        item: int64 [detections]: the item that it found or is wrong because of, or overlaps most; -1 for none.
        overlap: float64 [detections]: with that item; 0 for none.
        item_kind: int64 [items]: position in :data:`KINDS`.
        detection: int64 [items]: the detection that found it, or that is wrong because of it; -1 for none.
    """

    kind: Ints
    item: Ints
    overlap: Floats
    item_kind: Ints
    detection: Ints

    @classmethod
    def of(cls, comparison: Comparison) -> Outcome:
        """Return the kinds of the items and detections of a comparison."""
        truth, detections, ranking = comparison.truth, comparison.detections, comparison.ranking
        number = len(detections.score)
        kind, item, overlap = np.full(number, BACKGROUND), np.full(number, -1), np.zeros(number)
        pairs = comparison.overlaps
        counts = ~comparison.ignored[pairs.item]
        is_same = detections.category_id[pairs.detection] == truth.category_id[pairs.item]
        is_match = pairs.value >= _MATCH

        # From the last test to the first, so that an earlier one has the last word.
        for code, chosen in (
            (BOTH, counts & ~is_same),
            (DUPLICATE, counts & is_same & is_match),
            (CLASSIFICATION, counts & ~is_same & is_match),
        ):
            _set(comparison, _best(comparison, chosen), code, kind, item, overlap)
        best = _best(comparison, counts & is_same)
        near = pairs.value[best] < _MATCH
        _set(comparison, best[near], LOCALISATION, kind, item, overlap)

        candidate = ranking.detection[comparison.matcher.candidate]
        taken = comparison.matcher.found(comparison.ignored)[0]
        has_item = taken >= 0
        candidate, taken = candidate[has_item], taken[has_item]
        kind[candidate] = np.where(comparison.ignored[taken], IGNORED, CORRECT)
        item[candidate] = taken
        overlap[candidate] = _value_of(comparison, candidate, taken)
        is_ranked = np.zeros(number, bool)
        is_ranked[ranking.detection] = True
        kind[~is_ranked] = IGNORED

        item_kind = np.where(comparison.ignored, IGNORED, MISSED)
        detection = np.full(len(truth.category_id), -1)
        errors = np.flatnonzero(np.isin(kind, (LOCALISATION, CLASSIFICATION, BOTH)) & (item >= 0))
        # What is written last stays: the highest score, of equal scores the first in the file; ``both`` before others.
        errors = errors[np.lexsort((-errors, detections.score[errors], kind[errors] != BOTH))]
        detection[item[errors]] = errors
        item_kind[item[errors]] = kind[errors]
        right = np.flatnonzero(kind == CORRECT)
        detection[item[right]] = right
        item_kind[item[right]] = CORRECT
        return cls(kind, item, overlap, item_kind, detection)


def item_table(comparison: Comparison, outcome: Outcome) -> pa.Table:
    """Return a row for each item of the subset, in order.

    Columns: split, image_id, item_no, category_id, kind; then of the prediction that found it, or is wrong because of
    it, score, predicted_category_id, overlap and position (in the file); NULL where there is none.
    """
    truth, detections = comparison.truth, comparison.detections
    chosen = np.flatnonzero(truth.chosen)
    detection = outcome.detection[chosen]
    none = detection < 0
    columns = {name: truth.items.column(name).take(chosen) for name in ("split", "image_id", "item_no", "category_id")}
    columns["kind"] = _names(outcome.item_kind[chosen])
    for name, values, kind in (
        ("score", detections.score, pa.float64()),
        ("predicted_category_id", detections.category_id, pa.int8()),
        ("overlap", outcome.overlap, pa.float64()),
        ("position", detections.position, pa.int64()),
    ):
        column = np.append(values, 0)[detection]  # -1 is the last
        columns[name] = pa.array(column, mask=none).cast(kind)
    return pa.table(columns)


def detection_table(comparison: Comparison, outcome: Outcome) -> pa.Table:
    """Return a row for each prediction, in the order of the file.

    Columns: split, image_id, position (in the file), category_id, score, kind, x1, y1, x2, y2 (of the box; else around
    the mask or the landmarks); then item_no and overlap of the item that it found, or overlaps most; NULL where it
    overlaps none.
    """
    truth, detections = comparison.truth, comparison.detections
    none = outcome.item < 0
    item_no = np.append(truth.items.column("item_no").to_numpy(), 0)[outcome.item]
    return pa.table(
        {
            **{name: truth.images.column(name).take(detections.image) for name in ("split", "image_id")},
            "position": pa.array(detections.position, pa.int64()),
            "category_id": pa.array(detections.category_id).cast(pa.int8()),
            "score": pa.array(detections.score),
            "kind": _names(outcome.kind),
            **dict(zip(BOX_COLUMNS, detections.edges().T, strict=True)),
            "item_no": pa.array(item_no, mask=none).cast(truth.items.schema.field("item_no").type),
            "overlap": pa.array(outcome.overlap, mask=none),
        }
    )


def shape_table(comparison: Comparison) -> pa.Table:
    """Return what is predicted beside a box, a row for each prediction: landmarks (flat x, y), or size and counts.

    The rows are in the order of :func:`detection_table`; predictions of boxes have no columns but ``position``.
    """
    detections = comparison.detections
    columns: dict[str, pa.Array] = {"position": pa.array(detections.position, pa.int64())}
    if detections.landmarks is not None:
        lengths = np.array([2 * category.num_landmarks for category in CATEGORIES])[detections.category_id - 1]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        columns["landmarks"] = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), detections.landmarks)
    if detections.masks is not None:
        columns["size"] = pa.array([mask["size"] for mask in detections.masks], pa.list_(pa.int32()))
        columns["counts"] = pa.array([mask["counts"] for mask in detections.masks], pa.large_binary())
    return pa.table(columns)


def _best(comparison: Comparison, chosen: Bools) -> Ints:
    """Return, of the chosen pairs, the one of each detection with the largest overlap; the first on a tie."""
    pairs = comparison.overlaps
    rows = np.flatnonzero(chosen)
    order = rows[np.lexsort((-pairs.value[rows], pairs.detection[rows]))]
    best: Ints = order[np.diff(pairs.detection[order], prepend=-1) != 0]
    return best


def _set(comparison: Comparison, rows: Ints, code: int, kind: Ints, item: Ints, overlap: Floats) -> None:
    """Write the kind, item and overlap of the detections of some pairs."""
    pairs = comparison.overlaps
    detection = pairs.detection[rows]
    kind[detection], item[detection], overlap[detection] = code, pairs.item[rows], pairs.value[rows]


def _value_of(comparison: Comparison, detection: Ints, item: Ints) -> Floats:
    """Return the overlap of pairs that are among the overlaps."""
    pairs = comparison.overlaps
    stride = len(comparison.truth.category_id) + 1
    keys = pairs.detection * stride + pairs.item
    values: Floats = pairs.value[np.searchsorted(keys, detection * stride + item)]
    return values


def _names(codes: Ints) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(KINDS)).cast(pa.string())
