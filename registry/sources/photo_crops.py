"""Crops of photos by the boxes of items."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def crop_box(box: Sequence[float], margin: float, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom edge of a crop: the rule of ``df2 export crops``, and at least 1 px.

    Args:
        box: x1, y1, x2, y2, px.
        margin: fraction of the box's width that is added left and right, and of its height above and below.
        width: of the photo, px.
        height: of the photo, px.
    """
    x1, y1, x2, y2 = box
    right, down = margin * (x2 - x1), margin * (y2 - y1)
    first_column = min(max(math.floor(x1 - right), 0), width - 1)
    first_row = min(max(math.floor(y1 - down), 0), height - 1)
    return (
        first_column,
        first_row,
        max(min(math.ceil(x2 + right), width), first_column + 1),
        max(min(math.ceil(y2 + down), height), first_row + 1),
    )


def crop(pixels: npt.NDArray[np.uint8], corners: Sequence[float], margin: float = 0.0) -> npt.NDArray[np.uint8]:
    """Return the crop of a box out of a photo (height, width, 3), as a view; see :func:`crop_box`."""
    x1, y1, x2, y2 = crop_box(corners, margin, pixels.shape[1], pixels.shape[0])
    return pixels[y1:y2, x1:x2]
