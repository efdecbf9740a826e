"""Draws of groups with replacement, and the intervals of the scores that they have."""

from __future__ import annotations

from typing import Final

import numpy as np

from registry.dataset.arrays import Floats, Ints

#: Ends of a 95 % interval.
_PERCENTILES: Final = (2.5, 97.5)


def draw(number: int, draw_no: int, seed: int = 0) -> Ints:
    """Return how often each of so many groups is drawn: int64 [groups], in all as often as there are groups.

    Args:
        number: of groups.
        draw_no: the same number is always the same draw.
        seed: of all draws.
    """
    drawn = np.random.default_rng([seed, draw_no]).integers(0, number, number)
    return np.bincount(drawn, minlength=number)


def interval(samples: Floats) -> tuple[float | None, float | None]:
    """Return the middle 95 % of scores, one of each draw; None where none was measured (NaN)."""
    measured = samples[~np.isnan(samples)]
    if not len(measured):
        return None, None
    low, high = np.percentile(measured, _PERCENTILES).tolist()
    return low, high
