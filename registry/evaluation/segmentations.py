"""The masks of predictions, as runs or polygons, as compressed runs of the size of their image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from registry.dataset.masks import mask_of
from registry.errors import AnnotationError
from registry.evaluation.image_index import ImageIndex
from registry.evaluation.rle import MAX_PIXELS, check_rles

#: Height and width of the masks that are drawn where the size of the photo is not known, px: more than any photo here.
_UNKNOWN_PX: Final = 1 << 14
_EXPECTED: Final = "runs of pixels, column by column, as pycocotools writes them"


class Rle(msgspec.Struct, gc=False):
    """A mask as runs of pixels, column by column, the first outside of the mask.

    Attributes:
        size: height and width, px.
        counts: lengths of the runs, or COCO's text of them.
    """

    size: tuple[int, int]
    counts: str | list[Annotated[int, msgspec.Meta(ge=0, le=MAX_PIXELS)]]


Segmentation = Rle | list[list[float]]


def read_masks(
    segmentations: Sequence[Segmentation | None],
    image: np.ndarray,
    found: np.ndarray,
    index: ImageIndex,
    report: Callable[..., None],
) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """Return the compressed runs of each record, the size of its mask (n, 2), and the area of its mask in px.

    Args:
        segmentations: of each record.
        image: of each record the position of its image.
        found: positions of the records that are read; the others have no mask.
        index: the images.
        report: notes records that are wrong.
    """
    num_records = len(segmentations)
    counts = [b""] * num_records
    sizes = np.zeros((num_records, 2), np.int64)
    expected = np.zeros((num_records, 2), np.int64)
    expected[found, 0], expected[found, 1] = index.height[image[found]], index.width[image[found]]
    is_read, is_missing, is_polygon = (np.zeros(num_records, bool) for _ in range(3))
    reasons: dict[int, str] = {}
    for k in found.tolist():
        segmentation = segmentations[k]
        if not segmentation and not isinstance(segmentation, Rle):
            is_missing[k] = True
            continue
        try:
            if isinstance(segmentation, Rle):
                sizes[k] = _size(segmentation.size)
                counts[k] = _compressed(segmentation)
            else:
                is_polygon[k] = True
                sizes[k], counts[k] = _drawn(segmentation, *np.maximum(expected[k], 0).tolist())
            is_read[k] = True
        except (AnnotationError, ValueError) as error:
            reasons[k] = str(error)
    is_known = (expected > 0).all(1)
    is_other = is_read & is_known & (sizes != expected).any(1)
    is_valid, areas = check_rles(counts, sizes)
    report(is_missing, "records without segmentation", "image_id, category_id, score and segmentation")
    report(
        is_other,
        "records with a mask of another size than the photo",
        "size as [height, width] of the photo as stored",
        lambda k: f"size {sizes[k].tolist()}, the photo has {expected[k].tolist()}",
    )
    has_reason = np.zeros(num_records, bool)
    has_reason[list(reasons)] = True
    is_wrong = (has_reason | (is_read & ~is_valid)) & ~is_polygon
    report(
        is_wrong,
        "records with a mask whose counts do not fill its size",
        _EXPECTED,
        lambda k: reasons.get(k, f"size {sizes[k].tolist()}"),
    )
    report(
        has_reason & is_polygon,
        *("records with polygons that give no mask", "flat x, y, ... of at least 3 points, px", lambda k: reasons[k]),
    )
    return counts, sizes, areas


def _size(size: Sequence[int]) -> tuple[int, int]:
    if len(size) != 2 or not all(isinstance(number, int) for number in size):
        raise ValueError(f"size {list(size)}")
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"size {[height, width]}")
    return height, width


def _compressed(segmentation: Rle) -> bytes:
    """Return the runs of a mask as COCO's text."""
    counts = segmentation.counts
    if isinstance(counts, str):
        if not counts.isascii():
            raise ValueError("counts with letters beyond ASCII")
        return counts.encode("ascii")
    from pycocotools import mask

    height, width = segmentation.size
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError("counts that are no whole numbers of at least 0")
    total = sum(counts)
    if total != height * width:
        raise ValueError(f"counts of {total:,} px for the size {[height, width]}")
    runs: Any = mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return bytes(runs["counts"])


def _drawn(polygons: list[list[float]], height: int, width: int) -> tuple[tuple[int, int], bytes]:
    """Return the size and the runs of the union of polygons; 0 for an unknown height or width.

    Those of an image must have one size, so that they can be compared.
    """
    for polygon in polygons:
        if len(polygon) % 2:
            raise ValueError(f"a polygon of {len(polygon)} numbers")
        if not all(map(math.isfinite, polygon)):
            raise ValueError("a polygon with a number that is not finite")
    union = mask_of(polygons, width or _UNKNOWN_PX, height or _UNKNOWN_PX)
    if union is None:
        raise ValueError("no polygon of 3 points")
    return (union["size"][0], union["size"][1]), bytes(union["counts"])
