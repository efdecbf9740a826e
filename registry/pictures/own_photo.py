"""Pictures of a photo that is in no registry: the whole photo with a box, and the crop of that box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from registry.pictures.palette import BLACK, ITEM_COLOURS
from registry.pictures.sheet import THUMBNAIL
from registry.pictures.stencils import Stencil


def fitted(pixels: npt.NDArray[np.uint8], size: int = THUMBNAIL) -> Image.Image:
    """Return pixels as a picture whose longer side has so many px."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    ratio = size / max(picture.size)
    width, height = (max(1, round(side * ratio)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS if ratio < 1 else Image.Resampling.BICUBIC)


def with_box(pixels: npt.NDArray[np.uint8], box: Sequence[float] | None, size: int) -> Image.Image:
    """Return a photo with the outline of a box, drawn as the boxes of items are."""
    picture = fitted(pixels, size)
    if box is not None:
        across, down = picture.width / pixels.shape[1], picture.height / pixels.shape[0]
        x1, y1, x2, y2 = box[0] * across, box[1] * down, box[2] * across, box[3] * down
        outer, inner = Stencil(), Stencil()
        for stencil, width in ((outer, 4.0), (inner, 2.0)):
            stencil.ring([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], width)
        outer.fill(picture, BLACK)
        inner.fill(picture, ITEM_COLOURS[0])
    return picture
