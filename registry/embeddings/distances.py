"""The nearest gallery vectors of each query: all are compared by products in float32, the nearest again in float64."""

from __future__ import annotations

import hashlib
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from registry.dataset.arrays import Floats, Ints

Vectors: TypeAlias = npt.NDArray[np.float32]

COSINE: Final = "cosine"
L2: Final = "l2"
DOT: Final = "dot"
DISTANCES: Final = (COSINE, L2, DOT)
#: Scores held at a time: 64 MB.
_BLOCK: Final = 1 << 24
#: Vectors beside the wanted ones that are compared in float64: as many may be in another order in float32.
_MARGIN: Final = 44
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
    # Distances do not change when all vectors are moved; near 0, their squares lose no digits to their mean.
    center = gallery.mean(axis=0, dtype=np.float64) if distance == L2 else np.zeros(gallery.shape[1])
    moved = _moved(gallery, center) if distance == L2 else gallery
    offsets = -0.5 * _squares(moved) if distance == L2 else None
    rows = max(1, _BLOCK // size)
    for start in range(0, len(queries), rows):
        block = queries[start : start + rows]
        scores = (_moved(block, center) if distance == L2 else block) @ moved.T
        if offsets is not None:
            scores += offsets
        if len(first) < size:
            scores = scores[:, copies]
        near = np.sort(_highest(scores, min(number + _MARGIN, size)), axis=1)
        neighbours[start : start + rows] = _nearest(block, gallery, near, copies, number, distance)
    return neighbours


def _moved(vectors: Vectors, center: Floats) -> Vectors:
    """Return vectors less a center."""
    moved = np.empty_like(vectors)
    for start in range(0, len(vectors), _ROWS):
        moved[start : start + _ROWS] = vectors[start : start + _ROWS] - center
    return moved


def _nearest(queries: Vectors, gallery: Vectors, near: Ints, copies: Ints, number: int, distance: str) -> Ints:
    """Return the nearest of some gallery vectors of each query, compared in float64; of equal ones the first.

    Args:
        queries: [queries, numbers].
        gallery: the vectors that differ.
        near: [queries, candidates]: positions of gallery vectors, ascending.
        copies: of each position the vector in ``gallery``.
        number: of vectors that are wanted.
        distance: one of :data:`DISTANCES`.
    """
    scores = np.empty(near.shape)
    size = max(1, (_BLOCK // 4) // (near.shape[1] * max(1, gallery.shape[1])))
    for start in range(0, len(queries), size):
        asked = queries[start : start + size].astype(np.float64)[:, None]
        found = gallery[copies[near[start : start + size]]].astype(np.float64)
        products = -((found - asked) ** 2) if distance == L2 else found * asked
        scores[start : start + size] = products.sum(axis=2)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :number]
    return np.take_along_axis(near, order, 1)


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
