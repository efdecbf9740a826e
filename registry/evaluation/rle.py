"""Checks of run-length encoded masks before pycocotools, whose C code trusts them, reads one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

#: Pixels of a mask, more than any photo has; pycocotools counts in 32 bits.
MAX_PIXELS: Final = 2**29 - 1
#: Characters of a run: 6 hold 30 bits, of which the first is the sign.
_MAX_CHARACTERS: Final = 6
#: Characters that are checked at once.
_PIECE: Final = 1 << 18


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
    last = np.cumsum(lengths) - 1
    first_bits = last - lengths + 1
    if bits.max() > 63 or (bits[last] & 0x20).any():
        is_bad = (np.maximum.reduceat(bits, first_bits) > 63) | ((bits[last] & 0x20) != 0)
        is_valid, areas = np.zeros(len(counts), bool), np.zeros(len(counts))
        good = np.flatnonzero(~is_bad)
        if len(good):
            is_valid[good], areas[good] = _check([counts[k] for k in good.tolist()], lengths[good], num_pixels[good])
        return is_valid, areas
    ends = np.flatnonzero((bits & 0x20) == 0)
    num_characters = np.diff(ends, prepend=-1)
    starts = ends - num_characters + 1
    # As pycocotools does, numbers wrap around at 2^32.
    numbers = (bits[starts] & 0x1F).astype(np.int32)
    for k in range(1, _MAX_CHARACTERS):
        longer = np.flatnonzero(num_characters > k)
        if not len(longer):
            break
        numbers[longer] |= (bits[starts[longer] + k] & 0x1F).astype(np.int32) << 5 * k
    is_negative = (bits[ends] & 0x10) != 0
    numbers[is_negative] -= np.int32(1) << 5 * np.minimum(num_characters[is_negative], _MAX_CHARACTERS).astype(np.int32)
    # Each run from the fourth on is written as the difference from the run before the last.
    last_run = np.searchsorted(ends, last)
    first_run = np.concatenate([[0], last_run[:-1] + 1])
    num_runs = last_run - first_run + 1
    firsts = numbers[first_run]
    numbers[first_run] = 0
    sums = np.empty(len(numbers) + 2, np.int32)  # sums[k + 2] is that of run k
    sums[:2] = 0
    np.cumsum(numbers[0::2], dtype=np.int32, out=sums[2::2])
    np.cumsum(numbers[1::2], dtype=np.int32, out=sums[3::2])
    is_odd = np.repeat((first_run & 1).astype(bool), num_runs)
    is_odd[1::2] ^= True
    runs = sums[2:] - np.where(is_odd, np.repeat(sums[first_run + 1], num_runs), np.repeat(sums[first_run], num_runs))
    runs[first_run] = firsts
    totals = np.add.reduceat(runs, first_run, dtype=np.int64)
    areas = np.add.reduceat(runs * is_odd, first_run, dtype=np.int64).astype(np.float64)
    is_valid = totals == num_pixels
    if runs.min() < 0:
        is_valid &= np.minimum.reduceat(runs, first_run) >= 0
    if num_characters.max() > _MAX_CHARACTERS:
        is_valid &= np.maximum.reduceat(num_characters, first_run) <= _MAX_CHARACTERS
    return is_valid, np.where(is_valid, areas, 0)
