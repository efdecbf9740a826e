"""Pure functions on an item's segmentation: largest polygon, a single ring around all polygons.

A polygon is flat ``[x0, y0, x1, y1, ...]``, px from the top-left corner, open or closed (the last point repeats the
first). A segmentation is an item's list of polygons: they may overlap, and the mask is their union. In the train split
the first polygon is the outline and the others are parts that overlap it. Some polygons leave the image by a pixel;
nothing is clipped, and inputs are not changed.

Polygons that cross themselves are filled by the even-odd rule, as pycocotools and OpenCV do: a point is inside if a
line from it to the outside crosses the ring an odd number of times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import shapely

Polygon: TypeAlias = Sequence[float]
Segmentation: TypeAlias = Sequence[Polygon]

_Ring: TypeAlias = list[tuple[float, float]]  # open
_Floats: TypeAlias = "npt.NDArray[np.float64]"

# Grid to which vertices of self-crossing rings are rounded. Without it, GEOS lost pieces or raised an error in 30 of
# 78,232 random segmentations with coordinates 1e-14 to 1e-6 px off whole numbers; with it, in none. A power of two, so
# that rounding is exact and keeps whole numbers.
_GRID_PX = 2.0**-20


def ring_area(polygon: Polygon) -> float:
    """Return the area inside a ring in px², never negative (the shoelace formula).

    For a ring that crosses itself, it is not the area of the mask: the two halves of an 8 cancel out.
    """
    xs, ys = polygon[0::2], polygon[1::2]
    if not xs:
        return 0.0
    # Measured from the first point, so that a small ring far from the origin loses no digits.
    x0, y0 = xs[0], ys[0]
    twice = 0.0
    for k in range(1, len(ys) - 1):
        twice += (xs[k] - x0) * (ys[k + 1] - y0) - (xs[k + 1] - x0) * (ys[k] - y0)
    return abs(twice) / 2


def open_ring(polygon: Polygon) -> list[float]:
    """Return the polygon without a last point that repeats the first."""
    points = list(polygon)
    if len(points) > 2 and points[-2:] == points[:2]:
        del points[-2:]
    return points


def largest(segmentation: Segmentation) -> list[float]:
    """Return the polygon with the largest :func:`ring_area`, the first of equals, unchanged; [] for no polygons."""
    if not segmentation:
        return []
    best: Polygon = max(segmentation, key=ring_area)
    return list(best)


def bridge(segmentation: Segmentation) -> list[float]:
    """Return a single ring with the area of the union of an item's polygons.

    For formats with a single ring per item, such as YOLO. The union of the polygons is taken first. Its pieces and
    holes are then joined by zero-width bridges, out and back between their nearest vertices. Joining the polygons
    themselves (as ultralytics' ``merge_multi_segment`` does) is right only for disjoint polygons: readers fill the ring
    by the even-odd rule, which turns the overlap of two polygons into a hole.

    The ring winds once around the union and not around anything else, so the even-odd and the non-zero rule fill the
    same area. pycocotools draws nothing for the bridges. ``cv2.fillPoly``, which draws every edge, leaves a line 1 px
    wide between disjoint pieces (bridges to holes run through the mask).

    Args:
        segmentation: polygons; those with all points on a line have no area and are skipped.

    Returns:
        The flat ring. A single polygon is returned unchanged, open or closed. Otherwise the ring is open and begins on
        the largest piece. [] if the union is empty.
    """
    polygons = [polygon for polygon in segmentation if not _is_on_one_line(polygon)]
    if len(polygons) < 2:
        return list(polygons[0]) if polygons else []
    rings = _rings_of_union(polygons)
    return [number for point in _joined(rings) for number in point]


def _is_on_one_line(polygon: Polygon) -> bool:
    """Return whether all points lie exactly on a straight line or coincide; False for rings with zero-area spikes."""
    x0, y0 = polygon[:2] or (0.0, 0.0)
    dx = dy = 0.0
    for k in range(2, len(polygon) - 1, 2):
        x, y = polygon[k] - x0, polygon[k + 1] - y0
        if dx * y != dy * x:
            return False
        if not dx and not dy:
            dx, dy = x, y
    return True


def _rings_of_union(polygons: Sequence[Polygon]) -> list[_Ring]:
    """Return the outer rings of the pieces of the union, largest first, then its holes, which run the other way."""
    import numpy as np
    import shapely

    rings = [shapely.linearrings(np.reshape(polygon, (-1, 2))) for polygon in polygons]
    parts = shapely.polygons(rings)
    union = shapely.union_all(parts) if shapely.is_valid(parts).all() else _union_by_faces(rings)
    pieces = sorted(shapely.get_parts(shapely.orient_polygons(union)), key=lambda piece: -piece.area)
    borders = [piece.exterior for piece in pieces] + [hole for piece in pieces for hole in piece.interiors]
    return [list(border.coords)[:-1] for border in borders]


def _union_by_faces(rings: Sequence[shapely.LinearRing]) -> shapely.Geometry:
    """Return the union of rings filled by the even-odd rule; rings may cross or touch themselves.

    The edges of all rings divide the plane into faces; the union consists of the faces inside a ring. The usual repairs
    of a ring give another mask: ``buffer(0)`` loses half of an 8, ``make_valid(method="structure")`` fills areas that
    the ring winds around twice, and ``method="linework"`` merges an edge that is passed twice (as along the border of
    an image, where outlines are cut off).
    """
    import numpy as np
    import shapely

    # The union of lines has a node at every crossing and no duplicate edges.
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(rings, grid_size=_GRID_PX)]))
    # A point of each face far from its border, as a face may be as narrow as the grid in places. Not the exact centre
    # of the largest inscribed circle: a spike that bisects the face runs through it.
    radii = shapely.maximum_inscribed_circle(faces)
    aside = shapely.length(radii)[:, None] * (0.4 * math.cos(1), 0.4 * math.sin(1))
    points = shapely.get_coordinates(shapely.get_point(radii, 0)) + aside
    is_covered = np.any([_is_inside(points, shapely.get_coordinates(ring)) for ring in rings], axis=0)
    return shapely.coverage_union_all(faces[is_covered])


def _is_inside(points: _Floats, ring: _Floats) -> npt.NDArray[np.bool_]:
    """Return whether a line from each point to the right crosses the ring an odd number of times.

    Args:
        points: ``(n, 2)``, none of them on the ring.
        ring: ``(m, 2)``, closed.
    """
    (x, y), (x1, y1), (x2, y2) = points.T[:, :, None], ring[:-1].T, ring[1:].T
    side = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)
    crosses: npt.NDArray[np.bool_] = ((y1 > y) != (y2 > y)) & ((side > 0) == (y2 > y1))
    is_odd: npt.NDArray[np.bool_] = crosses.sum(axis=1) % 2 == 1
    return is_odd


def _joined(rings: Sequence[_Ring]) -> _Ring:
    """Return a single ring through all rings: starting from the first, the nearest remaining ring is joined repeatedly.

    Bridges end at vertices. Ending them at the nearest points of edges would add vertices, without masks closer to the
    union (measured on 2,347 items), because the added points move when they are rounded to pixels.
    """
    import numpy as np

    if not rings:
        return []
    joined, *remaining = rings
    while remaining:
        here = np.asarray(joined)[:, np.newaxis]
        candidates = []
        for k, ring in enumerate(remaining):
            squared = ((here - np.asarray(ring)) ** 2).sum(axis=2)
            i, j = divmod(int(squared.argmin()), len(ring))
            candidates.append((float(squared[i, j]), k, i, j))
        _, k, i, j = min(candidates)
        other = remaining.pop(k)
        other = [*other[j:], *other[:j]]
        if joined[i] == other[0]:  # the rings touch
            joined = [*joined[:i], *other, *joined[i:]]
        else:  # out along the bridge, around the other ring, and back
            joined = [*joined[: i + 1], *other, other[0], *joined[i:]]
    return joined
