"""Vectors that may be among the nearest of another, found while a file is read: all others need no memory."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from registry.dataset.arrays import Bools, Floats
from registry.embeddings.vector_file import not_finite

#: Vectors that are compared at a time: 1 MB of float32, which stays in the cache of a core and in one thread of BLAS.
ROWS: Final = 512


def rounding(width: int) -> float:
    """Return a bound of the error of a cosine of vectors with so many numbers, computed in float32."""
    return 2 * (width + 2) * 2.0**-24


def lengths_of(vectors: npt.NDArray[Any]) -> Floats:
    """Return the lengths of vectors, computed in float64; those of equal vectors are equal."""
    lengths = np.empty(len(vectors))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(vectors), ROWS):
            block = vectors[start : start + ROWS].astype(np.float64)
            lengths[start : start + ROWS] = np.sqrt(np.square(block, out=block).sum(axis=1))
    return lengths


class Screen:
    """Lets those vectors through whose cosine with a vector may be among the largest.

    Args:
        vector: float64 [numbers], not all zeros.
        number: of the vectors that are wanted.
    """

    def __init__(self, vector: Floats, number: int) -> None:
        self._direction = (vector / np.sqrt((vector * vector).sum())).astype(np.float32)
        self._error = rounding(len(vector))
        self._number = number
        self._best = np.empty(0)

    def pass_through(self, vectors: npt.NDArray[Any]) -> tuple[Bools, Bools]:
        """Return which of some vectors may be among the nearest of all, and which can be compared at all.

        Args:
            vectors: float16 or float32 [n, numbers].
        """
        if vectors.shape[1] != len(self._direction):
            none = np.zeros(len(vectors), bool)
            return none, none
        is_half = vectors.dtype == np.float16
        products = np.empty(len(vectors), np.float32)
        lengths = np.empty(len(vectors), np.float32) if is_half else lengths_of(vectors)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for start in range(0, len(vectors), ROWS):
                block = vectors[start : start + ROWS].astype(np.float32, copy=False)
                products[start : start + ROWS] = block @ self._direction
                if is_half:  # squares of half floats are far from the limits of float32
                    lengths[start : start + ROWS] = np.sqrt(np.einsum("ij,ij->i", block, block))
            cosines = products.astype(np.float64) / lengths
        is_good = np.isfinite(lengths) & (lengths > 0)
        if not is_half:
            is_good &= ~not_finite(vectors)
        best = np.concatenate([self._best, cosines[is_good] - self._error])
        if len(best) < self._number:
            self._best = best
            return is_good, is_good
        self._best = np.partition(best, len(best) - self._number)[len(best) - self._number :]
        return is_good & (cosines + self._error >= self._best.min()), is_good
