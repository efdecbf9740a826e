"""Coordinates as tools write them back: equal up to rounding, polygons in another order or from another point on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

#: Largest difference of an unchanged coordinate, px: CVAT writes two decimals, and x + width is not exact.
TOLERANCE: Final = 0.0101
#: Decimals of a changed coordinate; more are noise of x + width.
_DECIMALS: Final = 6

Box = Sequence[float]


def is_near(left: Sequence[float], right: Sequence[float]) -> bool:
    """Return whether two lists of coordinates are equal up to rounding."""
    return len(left) == len(right) and all(abs(a - b) <= TOLERANCE for a, b in zip(left, right, strict=True))


def merged(old: Sequence[float], new: Sequence[float]) -> list[float]:
    """Return the new coordinates; those equal to the old ones up to rounding keep their old values."""
    return [a if abs(a - b) <= TOLERANCE else clean(b) for a, b in zip(old, new, strict=True)]


def clean(number: float) -> float | int:
    """Return a coordinate without the noise of a sum, a whole number as an integer."""
    rounded = round(float(number), _DECIMALS)
    return int(rounded) if rounded.is_integer() else rounded


def is_same_ring(old: Sequence[float], new: Sequence[float]) -> bool:
    """Return whether two polygons have the same points, from any point on and in either direction."""
    if is_near(old, new):
        return True
    points, new_points = _points(old), _points(new)
    if len(points) != len(new_points):
        return False
    for ring in (new_points, new_points[::-1]):
        for start, point in enumerate(ring):
            if is_near(points[0], point):
                turned = ring[start:] + ring[:start]
                if all(map(is_near, points, turned)):
                    return True
    return False


def _points(ring: Sequence[float]) -> list[tuple[float, float]]:
    """Return the points of a polygon, without a last point that repeats the first."""
    points = list(zip(ring[::2], ring[1::2], strict=True))
    return points[:-1] if len(points) > 1 and is_near(points[0], points[-1]) else points


def merged_polygons(old: Sequence[Sequence[float]], new: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """Return the new polygons with the old coordinates of unchanged polygons; the old list if all are unchanged."""
    remaining = list(old)
    result: list[Sequence[float]] = []
    for ring in new:
        same = next((other for other in remaining if is_same_ring(other, ring)), None)
        if same is not None:
            remaining.remove(same)
        result.append(same if same is not None else [clean(number) for number in ring])
    is_unchanged = (
        not remaining and len(result) == len(old) and all(any(ring is other for other in old) for ring in result)
    )
    return list(old) if is_unchanged else result


def extent(polygons: Sequence[Sequence[float]]) -> Box | None:
    """Return the box (x1, y1, x2, y2) around polygons; None without any."""
    xs = list(chain.from_iterable(ring[::2] for ring in polygons))
    ys = list(chain.from_iterable(ring[1::2] for ring in polygons))
    return (min(xs), min(ys), max(xs), max(ys)) if xs else None


def overlap(left: Box, right: Box) -> float:
    """Return intersection over union of two boxes."""
    width = min(left[2], right[2]) - max(left[0], right[0])
    height = min(left[3], right[3]) - max(left[1], right[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (left, right))
    return shared / (areas - shared)
