"""Geometry over columns of polygons, by shapely."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def mask_area(segmentation: pa.Array) -> pa.Array:
    """Return the area of each mask in px²: the union of its polygons, each as its outline encloses it.

    Args:
        segmentation: a list of polygons for each row, each flat x, y, ...; NULL gives NULL, no polygon gives 0.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import shapely

    polygons = segmentation.flatten()
    num_polygons = pc.fill_null(pc.list_value_length(segmentation), 0).to_numpy(zero_copy_only=False)
    areas = np.zeros(len(segmentation))
    if len(polygons):
        points = polygons.flatten().to_numpy(zero_copy_only=False).reshape(-1, 2)
        num_points = pc.list_value_length(polygons).to_numpy(zero_copy_only=False) // 2
        rings = shapely.linearrings(points, indices=np.repeat(np.arange(len(polygons)), num_points))
        shapes = shapely.polygons(rings)
        is_invalid = ~shapely.is_valid(shapes)
        shapes[is_invalid] = shapely.make_valid(shapes[is_invalid])
        items = np.repeat(np.arange(len(segmentation)), num_polygons)
        # Most masks are one polygon, whose area is that of the union.
        areas[:] = np.bincount(items, shapely.area(shapes), len(segmentation))
        for item in np.flatnonzero(num_polygons > 1):
            start = int(np.searchsorted(items, item))
            areas[item] = shapely.area(shapely.union_all(shapes[start : start + num_polygons[item]]))
    return pa.array(areas, mask=segmentation.is_null().to_numpy(zero_copy_only=False))
