"""Checks of run-length encoded masks before pycocotools, whose C code trusts them, reads one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

#: Pixels of a mask; pycocotools counts in 32 bits.
MAX_PIXELS: Final = 2**32 - 1
#: Characters of a count: 7 hold 35 bits.
_MAX_CHARACTERS: Final = 7
#: Characters that are checked at once.
_PIECE: Final = 1 << 20


def check_rles(counts: Sequence[bytes], sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which masks are valid, and the area of those in px.

    Args:
        counts: of each mask the compressed counts.
        sizes: int64 (n, 2), height and width of each, px.

    Returns:
        bool (n), and float64 (n), 0 for an invalid mask. A mask is valid if its counts fill its size exactly.

    Source: rleToString and rleFrString of the COCO API.
    """
    pixels = sizes[:, 0].astype(np.float64) * sizes[:, 1]
    is_sized = (sizes > 0).all(1) & (pixels <= MAX_PIXELS)
    num_pixels = np.where(is_sized, sizes[:, 0] * np.where(is_sized, sizes[:, 1], 0), 0)
    lengths = np.fromiter(map(len, counts), np.int64, len(counts))
    # Runs have at least a pixel, but for the first; a text that has more cannot be right, however long.
    is_possible = is_sized & (lengths > 0) & (lengths <= _MAX_CHARACTERS * (2 * num_pixels + 2))
    is_valid = np.zeros(len(counts), bool)
    areas = np.zeros(len(counts))
    for piece in _pieces(np.flatnonzero(is_possible), lengths):
        is_valid[piece], areas[piece] = _check([counts[k] for k in piece.tolist()], lengths[piece], num_pixels[piece])
    return is_valid, areas


def _pieces(positions: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Yield runs of positions of bounded length in characters, or of a single mask."""
    piece_no = np.cumsum(lengths[positions]) // _PIECE
    starts = np.flatnonzero(np.diff(piece_no, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(positions)][: len(starts)], strict=True):
        yield positions[start:end]


def _check(counts: list[bytes], lengths: np.ndarray, num_pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check masks whose counts have at least a character."""
    bits = np.frombuffer(b"".join(counts), np.uint8) - np.uint8(48)  # a smaller character becomes a large number
    owner = np.repeat(np.arange(len(counts), dtype=np.int32), lengths)
    is_last = np.zeros(len(bits), bool)
    is_last[np.cumsum(lengths) - 1] = True
    has_more = (bits & 0x20) != 0
    is_bad = np.zeros(len(counts), bool)
    is_bad[owner[(bits > 63) | (is_last & has_more)]] = True
    ends = np.flatnonzero(~has_more | is_last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    num_characters = ends - starts + 1
    value_owner = owner[starts]
    is_bad[value_owner[num_characters > _MAX_CHARACTERS]] = True
    place = np.arange(len(bits)) - np.repeat(starts, num_characters)
    shift = 5 * np.minimum(place, _MAX_CHARACTERS)
    numbers = np.add.reduceat((bits & 0x1F).astype(np.int64) << shift, starts)
    is_negative = (bits[ends] & 0x10) != 0
    numbers -= is_negative.astype(np.int64) << 5 * np.minimum(num_characters, _MAX_CHARACTERS)
    # Each run from the fourth on is written as the difference from the run before the last.
    numbers[is_bad[value_owner]] = 0
    first = np.searchsorted(value_owner, np.arange(len(counts)))
    run_no = np.arange(len(numbers)) - first[value_owner]
    for is_chained in (run_no % 2 == 1, (run_no % 2 == 0) & (run_no > 0)):
        numbers[is_chained] = _sums(numbers[is_chained], value_owner[is_chained])
    is_wrong = (numbers < 0) | (numbers > num_pixels[value_owner])
    is_bad[value_owner[is_wrong]] = True
    numbers[is_wrong] = 0
    totals = np.bincount(value_owner, numbers, len(counts))  # exact: whole numbers below 2^53
    areas = np.bincount(value_owner, numbers * (run_no % 2), len(counts))
    is_valid = ~is_bad & (totals == num_pixels)
    return is_valid, np.where(is_valid, areas, 0)


def _sums(numbers: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return running sums that begin anew with every owner."""
    sums = np.cumsum(numbers)
    is_first = np.diff(owner, prepend=-1) != 0
    before = (sums - numbers)[is_first]
    return np.asarray(sums - np.repeat(before, np.diff([*np.flatnonzero(is_first), len(numbers)])))
