"""Polygons, skeletons and boxes as shapes on the canvas, cut at its edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import shapely
from shapely.geometry.base import BaseGeometry

from registry.dataset.deepfashion2 import SKELETON
from registry.pictures.view import View, labelled_landmarks

#: Points of a line on the canvas, px.
Line = list[tuple[float, float]]
#: A polygon on the canvas: its ring, then those of its holes.
Rings = list[Line]

#: Px around the canvas within which shapes are kept.
_AROUND: Final = 40.0


def mask(item: Mapping[str, Any], view: View) -> list[Rings]:
    """Return the union of an item's polygons, as polygons with their holes on the canvas."""
    polygons = [_points(flat, view) for flat in item.get("segmentation") or () if len(flat) >= 6]
    if not polygons:
        return []
    return [
        [list(part.exterior.coords), *(list(hole.coords) for hole in part.interiors)]
        for part in parts(_cut(united(polygons), view))
        if part.geom_type == "Polygon"
    ]


def united(polygons: Sequence[Any]) -> BaseGeometry:
    """Return the union of polygons, each a list or array of points.

    Of one that crosses itself, the parts that it encloses an even number of times are outside.
    """
    return shapely.union_all(shapely.make_valid([shapely.Polygon(points) for points in polygons]))


def skeleton(item: Mapping[str, Any], view: View) -> Iterator[tuple[Line, bool]]:
    """Yield each link between labelled landmarks, and whether both are visible."""
    landmarks = labelled_landmarks(item)
    for first, second in SKELETON[item["category_id"]]:
        if first in landmarks and second in landmarks:
            (x1, y1, v1), (x2, y2, v2) = landmarks[first], landmarks[second]
            if (x1, y1) != (x2, y2):
                ends = [(view.x(x1), view.y(y1)), (view.x(x2), view.y(y2))]
                for part in parts(_cut(shapely.LineString(ends), view)):
                    yield list(part.coords), v1 == v2 == 2


def dashes(line: Line, length: float) -> Iterator[Line]:
    """Yield the dashes of a straight line, each of a length in px and with a gap of the same length behind it."""
    (x1, y1), (x2, y2) = line[0], line[-1]
    total = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    count = max(1, round((total / length + 1) / 2))  # dashes stand at both ends
    step = total / (2 * count - 1)
    for number in range(count):
        start, end = 2 * number * step / total, (2 * number + 1) * step / total
        yield [(x1 + share * (x2 - x1), y1 + share * (y2 - y1)) for share in (start, end)]


def _points(flat: list[float], view: View) -> list[tuple[float, float]]:
    return [(view.x(x), view.y(y)) for x, y in zip(flat[0::2], flat[1::2], strict=True)]


def _cut(shape: BaseGeometry, view: View) -> BaseGeometry:
    """Return the part of a shape on the canvas or close to it."""
    return shapely.intersection(shape, shapely.box(-_AROUND, -_AROUND, view.width + _AROUND, view.height + _AROUND))


def parts(shape: BaseGeometry) -> Iterator[Any]:
    """Yield the polygons and lines that a shape consists of."""
    for part in getattr(shape, "geoms", (shape,)):
        if part.geom_type in ("Polygon", "LineString"):
            if not part.is_empty:
                yield part
        elif hasattr(part, "geoms"):
            yield from parts(part)
