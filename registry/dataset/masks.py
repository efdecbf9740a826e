"""Polygons as masks of pixels, drawn as COCO's own code draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from registry.errors import AnnotationError

#: Larger than any photo (a JPEG has at most 65,535 px a side). pycocotools samples edges every fifth of a pixel: it
#: takes 1.2 GB for a coordinate of 1e7 and crashes at 1e9.
_FARTHEST_PX: Final = 1e5


def mask_of(segmentation: Sequence[Sequence[float]], width: int | None, height: int | None) -> dict[str, Any] | None:
    """Return the union of polygons as a mask of pycocotools, ``{"size": [height, width], "counts": bytes}``.

    Args:
        segmentation: polygons, each flat x, y, ... in px; those of fewer than 3 points are skipped, as pycocotools
            would read two points as the corner and size of a box.
        width: of the image, px; None if unknown: the polygons are then not cut at the right edge.
        height: of the image, px; None if unknown: the polygons are then not cut at the bottom edge.

    Returns:
        The mask; None if no polygon has 3 points.

    Raises:
        AnnotationError: a coordinate is larger than a photo can be; pycocotools would take all memory or crash.
    """
    from pycocotools import mask

    polygons = [list(polygon) for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return None
    farthest = max((number for polygon in polygons for number in polygon), key=abs)
    if abs(farthest) > _FARTHEST_PX:
        raise AnnotationError(
            f"A polygon has the coordinate {farthest:.12g}; expected at most {_FARTHEST_PX:.0f} px from the corner."
        )
    width = _extent(polygon[0::2] for polygon in polygons) if width is None else width
    height = _extent(polygon[1::2] for polygon in polygons) if height is None else height
    merged: dict[str, Any] = mask.merge(mask.frPyObjects(polygons, height, width))
    return merged


def mask_area(segmentation: Sequence[Sequence[float]], width: int | None, height: int | None) -> float:
    """Return the area of the union of polygons in px, counted as COCO does; see :func:`mask_of`."""
    from pycocotools import mask

    union = mask_of(segmentation, width, height)
    return 0.0 if union is None else float(mask.area(union))


def _extent(coordinates: Iterable[Sequence[float]]) -> int:
    """Return the smallest width or height in px, at least 1, of an image that holds the coordinates."""
    return max(math.ceil(max(map(max, coordinates))) + 1, 1)
