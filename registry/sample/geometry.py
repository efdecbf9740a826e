"""Plane geometry: points, affine maps, smooth curves, clipping and simplification of rings.

Points are (x, y) tuples, y downwards. The unit is that of the input: body heights in the body frame, px in the photo.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Affine:
    """The map ``(x, y) -> (a x + b y + c, d x + e y + f)``."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def __call__(self, point: Point) -> Point:
        """Return the image of ``point`` under the map."""
        x, y = point
        return (self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f)

    def after(self, first: Affine) -> Affine:
        """Return the composition: ``first``, then this map."""
        return Affine(
            self.a * first.a + self.b * first.d,
            self.a * first.b + self.b * first.e,
            self.a * first.c + self.b * first.f + self.c,
            self.d * first.a + self.e * first.d,
            self.d * first.b + self.e * first.e,
            self.d * first.c + self.e * first.f + self.f,
        )

    def inverse(self) -> Affine:
        """Return the inverse map."""
        det = self.a * self.e - self.b * self.d
        a, b, d, e = self.e / det, -self.b / det, -self.d / det, self.a / det
        return Affine(a, b, -(a * self.c + b * self.f), d, e, -(d * self.c + e * self.f))

    def coefficients(self) -> tuple[float, float, float, float, float, float]:
        """Return (a, b, c, d, e, f), the order of Pillow's ``Image.transform``."""
        return (self.a, self.b, self.c, self.d, self.e, self.f)


def rotation(angle: float, centre: Point) -> Affine:
    """Return the rotation by ``angle`` radians (from x towards y) that keeps ``centre`` in place."""
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = centre
    return Affine(cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def mix(start: Point, end: Point, share: float) -> Point:
    """Return the point at ``share`` of the way from ``start`` (0) to ``end`` (1)."""
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)


def smoothstep(low: float, high: float, value: float) -> float:
    """Return 0 below ``low``, 1 above ``high`` and a smooth rise between them."""
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return share * share * (3.0 - 2.0 * share)


def bounds(points: Iterable[Point]) -> Box:
    """Return the bounding box ``(x1, y1, x2, y2)`` of the points."""
    xs, ys = zip(*points, strict=True)
    return (min(xs), min(ys), max(xs), max(ys))


def polygon_area(ring: Sequence[Point]) -> float:
    """Return the unsigned area of a ring, open or closed."""
    total = 0.0
    previous = ring[-1]
    for point in ring:
        total += previous[0] * point[1] - point[0] * previous[1]
        previous = point
    return abs(total) / 2.0


def _tangents(points: Sequence[Point], corners: Sequence[bool], closed: bool) -> list[Point | None]:
    """Return the unit tangent of the curve at each point, None at corners and ends."""
    count = len(points)
    tangents: list[Point | None] = []
    for i in range(count):
        if corners[i] or (not closed and i in (0, count - 1)):
            tangents.append(None)
            continue
        before, after = points[i - 1], points[(i + 1) % count]
        dx, dy = after[0] - before[0], after[1] - before[1]
        length = math.hypot(dx, dy)
        tangents.append((dx / length, dy / length) if length > 0 else None)
    return tangents


def smooth_curve(
    points: Sequence[Point], corners: Sequence[bool], closed: bool, step: float
) -> tuple[list[Point], list[int]]:
    """Return a dense curve through ``points``, and the index of each of ``points`` on the curve.

    The curve is a cubic Hermite spline. Tangents are as long as their segment, so that unevenly spaced points do not
    make it overshoot, as a Catmull-Rom spline would.

    Args:
        points: points on the curve.
        corners: for each point, whether the curve may have a corner there.
        closed: whether the last point joins the first.
        step: target distance between neighbouring points of the curve.
    """
    tangents = _tangents(points, corners, closed)
    count = len(points)
    dense: list[Point] = []
    positions: list[int] = []
    for i in range(count if closed else count - 1):
        start, end = points[i], points[(i + 1) % count]
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = math.hypot(dx, dy)
        positions.append(len(dense))
        dense.append(start)
        first, last = tangents[i], tangents[(i + 1) % count]
        if first is None and last is None:
            continue
        # The tangent at a corner makes the segment a parabola, given the tangent at its other end.
        m0 = (first[0] * length, first[1] * length) if first else (dx, dy)
        m1 = (last[0] * length, last[1] * length) if last else (dx, dy)
        if first is None:
            m0 = ((3 * dx - m1[0]) / 2, (3 * dy - m1[1]) / 2)
        if last is None:
            m1 = ((3 * dx - m0[0]) / 2, (3 * dy - m0[1]) / 2)
        pieces = min(14, max(2, math.ceil(length / step)))
        for k in range(1, pieces):
            t = k / pieces
            t2, t3 = t * t, t * t * t
            h1, h2, h3, h4 = 2 * t3 - 3 * t2 + 1, t3 - 2 * t2 + t, -2 * t3 + 3 * t2, t3 - t2
            dense.append(
                (
                    h1 * start[0] + h2 * m0[0] + h3 * end[0] + h4 * m1[0],
                    h1 * start[1] + h2 * m0[1] + h3 * end[1] + h4 * m1[1],
                )
            )
    if not closed:
        positions.append(len(dense))
        dense.append(points[-1])
    return dense, positions


def clip_ring(ring: Sequence[Point], box: Box) -> list[Point]:
    """Return the part of a ring inside ``box`` (Sutherland-Hodgman); empty if they do not overlap."""
    x1, y1, x2, y2 = box
    result = list(ring)
    for axis, limit, keep_above in ((0, x1, True), (0, x2, False), (1, y1, True), (1, y2, False)):
        if not result:
            return []
        clipped: list[Point] = []
        previous = result[-1]
        previous_in = (previous[axis] >= limit) == keep_above or previous[axis] == limit
        for point in result:
            inside = (point[axis] >= limit) == keep_above or point[axis] == limit
            if inside != previous_in:
                share = (limit - previous[axis]) / (point[axis] - previous[axis])
                clipped.append(mix(previous, point, share))
            if inside:
                clipped.append(point)
            previous, previous_in = point, inside
        result = clipped
    return result


def thin_ring(ring: Sequence[Point], tolerance: float) -> list[Point]:
    """Return the ring with fewer points, within ``tolerance`` of the original (Douglas-Peucker)."""
    if len(ring) < 5:
        return list(ring)
    middle = len(ring) // 2
    first = _thin(ring[: middle + 1], tolerance)
    second = _thin([*ring[middle:], ring[0]], tolerance)
    return [*first[:-1], *second[:-1]]


def _thin(line: Sequence[Point], tolerance: float) -> list[Point]:
    """Return an open line simplified by Douglas-Peucker; the ends stay."""
    keep = {0, len(line) - 1}
    stack = [(0, len(line) - 1)]
    while stack:
        low, high = stack.pop()
        (x0, y0), (x1, y1) = line[low], line[high]
        dx, dy = x1 - x0, y1 - y0
        length = math.hypot(dx, dy)
        farthest, farthest_index = tolerance, -1
        for i in range(low + 1, high):
            x, y = line[i]
            cross = abs(dx * (y - y0) - dy * (x - x0))
            distance = cross / length if length > 0 else math.hypot(x - x0, y - y0)
            if distance > farthest:
                farthest, farthest_index = distance, i
        if farthest_index >= 0:
            keep.add(farthest_index)
            stack += [(low, farthest_index), (farthest_index, high)]
    return [line[i] for i in sorted(keep)]
