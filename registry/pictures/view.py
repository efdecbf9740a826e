"""The part of a photo that a picture shows, and its place on the canvas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from registry.dataset.tables import BOX_COLUMNS

#: Left, top, right and bottom edge, px.
Rect = tuple[float, float, float, float]

#: Largest ratio of the longer side of a picture to the shorter.
_MAX_RATIO: Final = 4.0
#: Annotations outside the photo are shown up to this fraction of its longer side beyond its edges.
_BEYOND: Final = 0.15
#: Px outside the photo that polygons of the release often have, which are no reason to show more than the photo.
_USUAL_OVERSHOOT: Final = 2.0
#: Fraction of the longer side of a box around it in a crop.
_MARGIN: Final = 0.1
#: Side of the smallest region, px of the photo.
_SMALLEST: Final = 8.0
#: Size of a photo of which nothing is known.
_UNKNOWN_SIZE: Final = 512.0


@dataclass(frozen=True, slots=True)
class View:
    """A region of a photo on a canvas.

    Attributes:
        region: px of the photo; may reach beyond it.
        photo: the edges of the photo, px of the photo.
        scale: px of the canvas for each px of the photo.
        width, height: of the canvas, px.
    """

    region: Rect
    photo: Rect
    scale: float
    width: int
    height: int

    @classmethod
    def of(cls, region: Rect, photo: Rect, size: int) -> View:
        """Return the view of a region whose longer side has ``size`` px on the canvas."""
        x1, y1, x2, y2 = region
        width, height = max(x2 - x1, _SMALLEST), max(y2 - y1, _SMALLEST)
        width, height = max(width, height / _MAX_RATIO), max(height, width / _MAX_RATIO)
        x_min, y_min = (x1 + x2 - width) / 2, (y1 + y2 - height) / 2
        scale = size / max(width, height)
        return cls(
            (x_min, y_min, x_min + width, y_min + height), photo, scale, round(width * scale), round(height * scale)
        )

    def x(self, value: float) -> float:
        """Return the x on the canvas of an x of the photo."""
        return (value - self.region[0]) * self.scale

    def y(self, value: float) -> float:
        """Return the y on the canvas of a y of the photo."""
        return (value - self.region[1]) * self.scale

    def rect(self, rect: Sequence[float]) -> Rect:
        """Return a rectangle of the photo on the canvas, in whole numbers no further than a canvas beyond its edges."""
        x1, y1, x2, y2 = rect
        across, down = self.width, self.height
        x_min, x_max = (min(max(self.x(x), -across), 2 * across) for x in (x1, x2))
        y_min, y_max = (min(max(self.y(y), -down), 2 * down) for y in (y1, y2))
        return x_min, y_min, x_max, y_max


def photo_rect(size: tuple[int, int] | None, items: Iterable[Mapping[str, Any]]) -> Rect:
    """Return the edges of a photo; without its size, of a canvas that holds all annotations.

    Args:
        size: width and height, px.
        items: rows of items.
    """
    if size is not None:
        return 0.0, 0.0, float(size[0]), float(size[1])
    extents = [extent for extent in map(item_extent, items) if extent is not None]
    if not extents:
        return 0.0, 0.0, _UNKNOWN_SIZE, _UNKNOWN_SIZE
    right, bottom = max(extent[2] for extent in extents), max(extent[3] for extent in extents)
    return 0.0, 0.0, max(right * 1.05, _SMALLEST), max(bottom * 1.05, _SMALLEST)


def whole_region(photo: Rect, items: Iterable[Mapping[str, Any]]) -> Rect:
    """Return the photo and as much of its surroundings as annotations reach into, up to a bound."""
    beyond = _BEYOND * max(photo[2], photo[3])
    extents = [extent for extent in map(item_extent, items) if extent is not None]
    sides = []
    for side, edge in enumerate(photo):
        sign = -1 if side < 2 else 1
        most = max([sign * (extent[side] - edge) for extent in extents], default=0.0)
        sides.append(edge + sign * min(most + 0.02 * max(photo[2], photo[3]), beyond) * (most > _USUAL_OVERSHOOT))
    return sides[0], sides[1], sides[2], sides[3]


def crop_region(photo: Rect, items: Sequence[Mapping[str, Any]]) -> Rect:
    """Return the boxes of the items with a margin, within the whole region; that region without any box on it."""
    whole = whole_region(photo, items)
    boxes = [box_of(item) for item in items]
    if any(box[0] == box[2] or box[1] == box[3] for box in boxes):  # a box without area: all of the annotation
        boxes = [extent for extent in map(item_extent, items) if extent is not None]
    if not boxes:
        return whole
    x1, y1, x2, y2 = union(boxes)
    margin = _MARGIN * max(x2 - x1, y2 - y1, _SMALLEST)
    x_min, y_min = max(x1 - margin, whole[0]), max(y1 - margin, whole[1])
    x_max, y_max = min(x2 + margin, whole[2]), min(y2 + margin, whole[3])
    return (x_min, y_min, x_max, y_max) if x_min < x_max and y_min < y_max else whole


def box_of(item: Mapping[str, Any]) -> Rect:
    """Return the box of an item with its edges in order, though they may be reversed in the data."""
    x1, y1, x2, y2 = (float(item[name]) for name in BOX_COLUMNS)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def item_extent(item: Mapping[str, Any]) -> Rect | None:
    """Return the extent of box, polygons and labelled landmarks; None if there is nothing but a box at 0, 0."""
    xs, ys = [], []
    box = box_of(item)
    if box != (0, 0, 0, 0):
        xs += [box[0], box[2]]
        ys += [box[1], box[3]]
    for polygon in item.get("segmentation") or ():
        xs += polygon[0::2]
        ys += polygon[1::2]
    for x, y, _ in labelled_landmarks(item).values():
        xs.append(x)
        ys.append(y)
    return (min(xs), min(ys), max(xs), max(ys)) if xs else None


def labelled_landmarks(item: Mapping[str, Any]) -> dict[int, tuple[float, float, int]]:
    """Return x, y (px) and v (2 visible, 1 occluded) of each labelled landmark by landmark_no."""
    flat = item.get("landmarks") or ()
    points = zip(flat[0::3], flat[1::3], flat[2::3], strict=True)
    return {number: (x, y, v) for number, (x, y, v) in enumerate(points, 1) if v}


def union(rects: Sequence[Rect]) -> Rect:
    """Return the smallest rectangle around rectangles."""
    lefts, tops, rights, bottoms = zip(*rects, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
