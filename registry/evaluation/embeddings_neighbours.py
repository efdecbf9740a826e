"""The nearest gallery vectors of each query, exactly, by products of blocks."""

from __future__ import annotations

import hashlib
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from registry.evaluation.arrays import Ints

Vectors: TypeAlias = npt.NDArray[np.float32]

COSINE: Final = "cosine"
L2: Final = "l2"
DOT: Final = "dot"
DISTANCES: Final = (COSINE, L2, DOT)
#: Scores held at a time: 64 MB.
_BLOCK: Final = 1 << 24
#: Vectors whose lengths are computed at a time.
_ROWS: Final = 4096


def nearest(queries: Vectors, gallery: Vectors, number: int, distance: str = COSINE) -> Ints:
    """Return the positions of the nearest gallery vectors of each query, the nearest first.

    Equal vectors are equally near; of these, the first in the gallery comes first.

    Args:
        queries: [queries, numbers]; of cosine, of length 1.
        gallery: [gallery, numbers]; of cosine, of length 1.
        number: of vectors for each query, at most those of the gallery.
        distance: one of :data:`DISTANCES`.

    Returns:
        int64 [queries, number].
    """
    size = len(gallery)
    number = min(number, size)
    neighbours = np.empty((len(queries), number), np.int64)
    if not number:
        return neighbours
    # Products of equal vectors may differ by where they stand in a block: each is computed once.
    first, copies = _distinct(gallery)
    if len(first) < size:
        gallery = gallery[first]
    offsets = -0.5 * _squares(gallery) if distance == L2 else None
    rows = max(1, _BLOCK // size)
    for start in range(0, len(queries), rows):
        scores = queries[start : start + rows] @ gallery.T
        if offsets is not None:
            scores += offsets
        if len(first) < size:
            scores = scores[:, copies]
        neighbours[start : start + rows] = _highest(scores, number)
    return neighbours


def normalize(vectors: Vectors) -> npt.NDArray[np.bool_]:
    """Give vectors the length 1, in place; return which of them are all zeros and stay so."""
    is_zero = np.zeros(len(vectors), bool)
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS]
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
        is_zero[start : start + _ROWS] = lengths == 0
        block /= np.where(lengths == 0, 1, lengths)[:, None]
    return is_zero


def _squares(vectors: Vectors) -> Vectors:
    squares = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS]
        squares[start : start + _ROWS] = np.einsum("ij,ij->i", block, block, dtype=np.float64)
    return squares


def _distinct(vectors: Vectors) -> tuple[Ints, Ints]:
    """Return the positions of the vectors that differ, and for each vector which of these it equals."""
    places: dict[bytes, int] = {}
    copies = np.empty(len(vectors), np.int64)
    first: list[int] = []
    for position, vector in enumerate(vectors):
        digest = hashlib.blake2b((vector + np.float32(0)).tobytes(), digest_size=16).digest()  # -0.0 is 0.0
        place = places.setdefault(digest, len(first))
        if place == len(first):
            first.append(position)
        copies[position] = place
    return np.array(first, np.int64), copies


def _highest(scores: Vectors, number: int) -> Ints:
    """Return the columns of the highest scores of each row, falling, of equal scores the first."""
    size = scores.shape[1]
    columns = np.argpartition(scores, size - number, axis=1)[:, size - number :]
    least = np.take_along_axis(scores, columns, 1).min(1)
    for row in np.flatnonzero(np.count_nonzero(scores >= least[:, None], axis=1) > number).tolist():
        higher = np.flatnonzero(scores[row] > least[row])
        equal = np.flatnonzero(scores[row] == least[row])[: number - len(higher)]
        columns[row] = np.concatenate([higher, equal])
    columns.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)
