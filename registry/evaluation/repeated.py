"""Records that stand twice among predictions."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(29)


def repeated_records(
    image: np.ndarray,
    category_id: np.ndarray,
    score: np.ndarray,
    boxes: np.ndarray,
    runs: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which records repeat an earlier one, and the position of the earlier record of each of these.

    Args:
        image: of each record.
        category_id: of each record.
        score: of each record.
        boxes: of each record, (n, 4); NaN where it has none.
        runs: the numbers of all landmarks, or the counts of all masks; and where those of each record begin, (n + 1).
    """
    num_records = len(image)
    is_repeated = np.zeros(num_records, bool)
    # A hash tells which records may be equal; only they are compared.
    key = _mix(_mix(_mix(np.zeros(num_records, np.uint64), image), category_id), score)
    boxes = np.nan_to_num(boxes)
    for column in boxes.T:
        key = _mix(key, column)
    if runs is not None:
        key = _mix(key, _hash_runs(*runs))
    order = np.argsort(key, kind="stable")
    is_same = key[order[1:]] == key[order[:-1]]
    if not is_same.any():
        return is_repeated, np.zeros(0, np.int64)
    group = np.cumsum(np.concatenate([[True], ~is_same])) - 1
    firsts = order[np.flatnonzero(np.concatenate([[True], ~is_same]))]
    later, earlier = order[1:][is_same], firsts[group[1:][is_same]]
    is_equal = (image[later] == image[earlier]) & (category_id[later] == category_id[earlier])
    is_equal &= score[later] == score[earlier]
    is_equal &= (boxes[later] == boxes[earlier]).all(1)
    if runs is not None:
        values, bounds = runs
        for k in np.flatnonzero(is_equal).tolist():
            first, second = (values[bounds[n] : bounds[n + 1]] for n in (earlier[k], later[k]))
            is_equal[k] = np.array_equal(first, second)
    later, earlier = later[is_equal], earlier[is_equal]
    is_repeated[later] = True
    return is_repeated, earlier[np.argsort(later)]


def _mix(key: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return hashes together with more values."""
    bits = (values + 0.0).view(np.uint64) if values.dtype == np.float64 else values.astype(np.uint64)
    mixed = (key ^ bits) * _FACTOR
    return np.asarray(mixed ^ mixed >> _SHIFT, np.uint64)


def _hash_runs(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return a hash of each run of values."""
    data = values.view(np.uint8).data
    hashes = (hash(bytes(data[start:end])) for start, end in pairwise((bounds * values.itemsize).tolist()))
    return np.fromiter(hashes, np.int64, len(bounds) - 1)
