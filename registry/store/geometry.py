"""Functions of SQL on polygons, computed by shapely on the chunks of a query.

DuckDB keeps a bare pointer to a function, which must outlive all connections: so all stand at the top of this module.
It also evaluates their annotations, which therefore hold no name that is imported for types alone.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from duckdb import DuckDBPyConnection

#: A polygon whose hull has a smaller area (px²) is flat: its points lie on a line but for the rounding of doubles.
_FLAT: Final = 0.01


def polygon_is_flat(points: Any) -> Any:
    """Return whether each polygon has no area: fewer than three points, or all on a line or one infinite.

    Args:
        points: of each polygon, flat x, y, ... in px; an open or a closed ring.
    """
    import numpy as np
    import pyarrow as pa
    import shapely

    polygons, has_ring = _polygons(points)
    is_flat = np.ones(len(has_ring), dtype=bool)
    area = shapely.area(polygons)
    # The signed area of a polygon that crosses itself may be zero.
    doubtful = np.flatnonzero(area < _FLAT)
    area[doubtful] = shapely.area(shapely.convex_hull(polygons[doubtful]))
    is_flat[has_ring] = area < _FLAT
    return pa.array(is_flat)


def polygon_crossing(points: Any) -> Any:
    """Return where each polygon crosses or touches itself, such as ``Self-intersection[12 30.25]`` (px); else "".

    Args:
        points: as for :func:`polygon_is_flat`.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import shapely

    polygons, has_ring = _polygons(points)
    reasons = np.full(len(has_ring), "", dtype=object)
    invalid = np.flatnonzero(~shapely.is_valid(polygons))
    reasons[np.flatnonzero(has_ring)[invalid]] = shapely.is_valid_reason(polygons[invalid])
    # Two decimals of a pixel say where to look.
    return pc.replace_substring_regex(pa.array(reasons, pa.string()), r"(\.\d\d)\d+", r"\1")


def num_separate_parts(segmentation: Any) -> Any:
    """Return the number of groups of each item's polygons that share no point with each other.

    Args:
        segmentation: of each item, a list of polygons, each as for :func:`polygon_is_flat`.
    """
    import numpy as np
    import pyarrow as pa
    import shapely

    polygons, starts = polygons_of_items(segmentation)
    counts = np.diff(starts)
    pairs = [np.zeros((2, 0), dtype=np.int64)]
    for count in np.unique(counts[counts > 1]):
        first, second = np.triu_indices(count, k=1)
        of_items = starts[:-1][counts == count, None]
        pairs.append(np.stack([(of_items + first).ravel(), (of_items + second).ravel()]))
    first, second = np.concatenate(pairs, axis=1)
    is_joined = shapely.intersects(polygons[first], polygons[second])
    first, second = first[is_joined], second[is_joined]
    # Each polygon takes the lowest number among those it is joined to, until none changes: a group has one number.
    numbers = np.arange(len(polygons))
    while np.any(numbers[first] != numbers[second]):
        lowest = np.minimum(numbers[first], numbers[second])
        np.minimum.at(numbers, first, lowest)
        np.minimum.at(numbers, second, lowest)
    is_lowest = np.concatenate([[0], np.cumsum(numbers == np.arange(len(polygons)))])
    return pa.array(np.diff(is_lowest[starts]).astype(np.int32))


def polygons_of_items(segmentation: Any) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Return the polygons of at least three points of all items, and where those of each item start; last, their end.

    Args:
        segmentation: of each item, a list of polygons, each as for :func:`polygon_is_flat`.
    """
    import numpy as np

    lists = _array(segmentation)
    polygons, has_ring = _polygons(lists.values)
    return polygons, np.concatenate([[0], np.cumsum(has_ring)])[lists.offsets.to_numpy()]


def _array(values: Any) -> Any:
    """Return the single array of a column."""
    return values.combine_chunks() if hasattr(values, "combine_chunks") else values


def _polygons(points: Any) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.bool_]]:
    """Return the polygons of at least three points, all finite, and for each row whether it is one of these."""
    import numpy as np
    import shapely

    lists = _array(points)
    offsets = lists.offsets.to_numpy().astype(np.int64)
    flat = lists.values.to_numpy(zero_copy_only=False)
    starts, num_points = offsets[:-1], np.diff(offsets) // 2
    num_infinite = np.diff(np.concatenate([[0], np.cumsum(~np.isfinite(flat))])[offsets])
    enough = np.flatnonzero((num_points >= 3) & (num_infinite == 0))
    first, last = starts[enough], starts[enough] + 2 * num_points[enough] - 2
    is_closed = (flat[first] == flat[last]) & (flat[first + 1] == flat[last + 1])
    ringed = enough[num_points[enough] - is_closed >= 3]
    has_ring = np.zeros(len(num_points), dtype=bool)
    has_ring[ringed] = True
    lengths = num_points[ringed]
    # The positions of the points of all rings, one ring behind the other.
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    positions = np.repeat(starts[ringed], lengths) + 2 * within
    coordinates = np.stack([flat[positions], flat[positions + 1]], axis=1)
    rings = shapely.linearrings(coordinates, indices=np.repeat(np.arange(ringed.size), lengths))
    return np.atleast_1d(shapely.polygons(rings)), has_ring


#: Name -> the function, the type of its argument, the type of its result.
FUNCTIONS: Final[dict[str, tuple[Callable[[Any], Any], str, str]]] = {
    "polygon_is_flat": (polygon_is_flat, "DOUBLE[]", "BOOLEAN"),
    "polygon_crossing": (polygon_crossing, "DOUBLE[]", "VARCHAR"),
    "num_separate_parts": (num_separate_parts, "DOUBLE[][]", "INTEGER"),
}
_NAMES: Final = re.compile(rf"\b({'|'.join(FUNCTIONS)})\b", re.IGNORECASE)
_LOCK: Final = threading.Lock()


def register_functions(connection: DuckDBPyConnection, sql: str) -> None:
    """Create the functions that a text of SQL calls, unless the database has them: creating all takes 80 ms."""
    wanted = {name.lower() for name in _NAMES.findall(sql)}
    if not wanted:
        return
    with _LOCK:
        names = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_name IN (SELECT unnest($names))"
        existing = {name for (name,) in connection.execute(names, {"names": sorted(wanted)}).fetchall()}
        for name in sorted(wanted - existing):
            function, argument, result = FUNCTIONS[name]
            connection.create_function(name, function, [argument], result, type="arrow")  # type: ignore[call-overload]
