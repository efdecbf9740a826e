"""A model at one threshold of the score: which detections are right, and the threshold of the best F1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from registry.evaluation.arrays import Bools, Floats, Ints

if TYPE_CHECKING:
    from registry.evaluation.detection import Comparison


@dataclass(frozen=True)
class OperatingPoint:
    """The detections from a score on, matched with the items of their category by an IoU or OKS of at least 0.5.

    Attributes:
        min_score: the score.
        found: int64 [ranking]: the item that each ranked detection found, -1 for none.
        is_wrong: bool [ranking]: detections from the score on that found none; those of ignored items are not wrong.
        is_missed: bool [items]: items that count and that no detection from the score on found.
    """

    min_score: float
    found: Ints
    is_wrong: Bools
    is_missed: Bools

    @classmethod
    def of(cls, comparison: Comparison, min_score: float | None = None) -> OperatingPoint:
        """Return the matches from a score on; without one, from the score with the best F1 over all categories."""
        ranking, ignored = comparison.ranking, comparison.ignored
        found = np.full(len(ranking.detection), -1)
        found[comparison.matcher.candidate] = comparison.matcher.found(ignored)[0]
        is_true = (found >= 0) & ~ignored[found]
        is_ignored = (found >= 0) & ignored[found]
        if min_score is None:
            min_score = _best_score(ranking.score[~is_ignored], is_true[~is_ignored], int((~ignored).sum()))
        is_chosen = ranking.score >= min_score
        is_missed = ~ignored
        is_missed[found[is_true & is_chosen]] = False
        return cls(min_score, np.where(is_chosen, found, -1), is_chosen & (found < 0), is_missed)


def _best_score(score: Floats, is_true: Bools, num_items: int) -> float:
    """Return the score from which on F1 is highest; 0 without detections.

    Args:
        score: of each detection that counts.
        is_true: whether it found an item.
        num_items: items that count.
    """
    if not len(score):
        return 0.0
    order = np.argsort(-score, kind="stable")
    score = score[order]
    f1 = 2 * np.cumsum(is_true[order]) / (np.arange(1, len(score) + 1) + num_items)
    is_last = np.append(score[1:] < score[:-1], True)  # of equal scores all are taken
    return float(score[is_last][np.argmax(f1[is_last])])
