"""The edges of the crops of items in photos."""

from __future__ import annotations

import math
from collections.abc import Sequence

Edges = tuple[int, int, int, int]


def crop_within(box: Sequence[float], margin: float, width: int, height: int) -> Edges | None:
    """Return the box with its margin, rounded outwards to whole pixels and cut at the edges of the photo.

    Args:
        box: x1, y1, x2, y2.
        margin: fraction of the box's width that is added left and right, and of its height above and below.
        width: of the photo, px.
        height: of the photo, px.

    Returns:
        Left, top, right and bottom edge, or None where the box has no area within the photo.
    """
    x1, y1, x2, y2 = box
    if min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0):
        return None
    right, down = margin * (x2 - x1), margin * (y2 - y1)
    return (
        max(math.floor(x1 - right), 0),
        max(math.floor(y1 - down), 0),
        min(math.ceil(x2 + right), width),
        min(math.ceil(y2 + down), height),
    )


def crop_box(box: Sequence[float], margin: float, width: int, height: int) -> Edges:
    """Return the edges of :func:`crop_within`; those of the nearest pixels where the box has no area in the photo."""
    edges = crop_within(box, margin, width, height)
    if edges is not None:
        return edges
    x1, y1, x2, y2 = box
    x_start, top = min(max(math.floor(x1), 0), width - 1), min(max(math.floor(y1), 0), height - 1)
    return x_start, top, min(max(math.ceil(x2), x_start + 1), width), min(max(math.ceil(y2), top + 1), height)
