"""Polygons in YOLO's segment labels: a ring of normalized coordinates per row.

Points outside the image are moved to its border, as ultralytics does. A polygon without area after that (all points on
a line) gets no row, and neither does an item without any polygon with area. The manifest counts all three. A closed
ring keeps its last point: readers close rings themselves, and a repeated point changes no mask.

A row holds a single ring. The option ``multipolygon`` decides about items with several polygons, counted as well:

``bridge``
    A single ring around their union (:func:`registry.exports.columns.polygons.bridge`).
``split``
    A row per polygon; readers take them for several items.
``largest``
    Only the polygon with the largest area.
``fail``
    Refuse the export.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count, islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from registry.errors import UsageError
from registry.exports.columns.bounds import cut, item_sizes, note, share_texts, shares_above
from registry.exports.columns.polygons import bridge, largest
from registry.exports.columns.text import join_groups
from registry.exports.job import Job
from registry.exports.work import ChunkWork
from registry.subset.rows import Chunk


class _Rings(NamedTuple):
    """The polygons of a chunk that have an area inside the image.

    Attributes:
        rings: flat x, y, ... inside the image, px.
        per_item: number of rings of each item.
        num_moved: number of rings that had points outside the image.
        num_empty: number of polygons without area, which are not among the rings.
    """

    rings: pa.ListArray
    per_item: Sequence[int]
    num_moved: int
    num_empty: int


def polygon_rows(work: ChunkWork, chunk: Chunk) -> tuple[pa.Array, Sequence[int]]:
    """Return the text of each row, ``x y x y ...``, and the number of rows of each item."""
    polygons = _rings(chunk)
    note(work, "polygons", "reach outside the image: points outside were moved to its border", polygons.num_moved)
    why = "were left out, as all of their points inside the image lie on one line"
    note(work, "polygons", why, polygons.num_empty)
    rings, per_item = _one_ring_each(work, polygons)
    note(work, "items", "were left out, as they have no polygon that covers something", per_item.count(0))

    owners = pa.array([k for k, number in enumerate(per_item) for _ in range(number)], pa.int32())
    texts = share_texts(shares_above(rings.flatten(), _limits(chunk, rings, owners)))
    return join_groups(texts, pc.list_value_length(rings).to_pylist(), " "), per_item


def refuse_several(job: Job) -> None:
    """Check, before anything is written, that no item has several polygons.

    Raises:
        UsageError: items have several; the message gives their number and the first three.
    """
    first: list[str] = []
    total = 0
    for part in job.parts:
        for chunk in job.chunks(part, ("item_no", "segmentation")):
            item_nos = iter(chunk.items.column("item_no").to_pylist())
            numbers_of_rings = iter(_rings(chunk).per_item)
            names = chunk.images.column("file_name").to_pylist()
            for name, number in zip(names, chunk.num_items, strict=True):
                for item_no, rings in zip(islice(item_nos, number), islice(numbers_of_rings, number), strict=True):
                    if rings > 1:
                        total += 1
                        if len(first) < 3:
                            first.append(f"{chunk.split}/{name} item{item_no}")
    if total:
        shown = ", ".join(first) + (f" and {total - len(first):,} more" if total > len(first) else "")
        raise UsageError(
            f"{total:,} items have several polygons, which do not fit a row of a YOLO label: {shown}. "
            "--multipolygon bridge joins them, split writes a row for each, largest keeps the largest."
        )


def _rings(chunk: Chunk) -> _Rings:
    """Return the polygons of a chunk, cut at the border of the image, without those that have no area."""
    segmentations = chunk.items.column("segmentation")
    polygons = segmentations.flatten()
    owners = pc.list_parent_indices(segmentations)
    values = polygons.flatten()
    inside = cut(values, _limits(chunk, polygons, owners))
    of_value = pc.list_parent_indices(polygons)

    # A ring has an area if any triangle of its first point and two consecutive points has. The successor of the last
    # point is the first point of the next ring, whose offset is (0, 0), so that triangle is flat.
    offsets = pc.subtract(polygons.offsets, polygons.offsets[0])
    of_point = _every_second(of_value)
    first_points = pc.divide(offsets.take(of_point), 2)
    points = pa.FixedSizeListArray.from_arrays(inside, 2)
    xs, ys = pc.list_element(points, 0), pc.list_element(points, 1)
    dx, dy = (pc.subtract(along, along.take(first_points)) for along in (xs, ys))
    current = slice(0, max(len(dx) - 1, 0))
    is_flat = pc.equal(pc.multiply(dx[current], dy[1:]), pc.multiply(dx[1:], dy[current]))
    has_area = _marked(of_point[current].filter(pc.invert(is_flat)), len(polygons))

    rings = pa.ListArray.from_arrays(offsets, inside).filter(has_area)
    counts = [0] * len(segmentations)
    for owner in owners.filter(has_area).to_pylist():
        counts[owner] += 1
    moved = _marked(of_value.filter(pc.not_equal(values, inside)), len(polygons))
    num_moved = pc.sum(pc.and_(moved, has_area)).as_py() or 0
    return _Rings(rings, counts, num_moved, len(polygons) - len(rings))


def _limits(chunk: Chunk, polygons: pa.ListArray, owners: pa.Array) -> pa.Array:
    """Return the upper limit of each coordinate: the image's width for an x, its height for a y.

    Args:
        chunk: the images and items.
        polygons: flat x, y, ...
        owners: position of the item that each polygon belongs to.
    """
    sizes = zip(*item_sizes(chunk), strict=True)
    flat = [side.as_py() for size in sizes for side in size]
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float64()), 2)
    return pairs.take(owners.take(_every_second(pc.list_parent_indices(polygons)))).flatten()


def _every_second(values: pa.Array) -> pa.Array:
    """Return every second value: from a value per coordinate to a value per point."""
    return pc.list_element(pa.FixedSizeListArray.from_arrays(values, 2), 0)


def _marked(positions: pa.Array, length: int) -> pa.Array:
    """Return booleans, true at the positions."""
    return pc.is_in(pa.array(range(length), pa.int64()), value_set=pc.unique(positions.cast(pa.int64())))


def _one_ring_each(work: ChunkWork, polygons: _Rings) -> tuple[pa.ListArray, Sequence[int]]:
    """Return the rings that become rows after ``--multipolygon``, and the number of rings of each item."""
    rings, per_item, *_ = polygons
    several = [number for number in per_item if number > 1]
    if not several:
        return rings, per_item
    if work.options["multipolygon"] == "split":
        why = "have several polygons: each is a row, so that readers take it for an item"
        note(work, "items", why, len(several))
        return rings, per_item
    is_single = list(chain.from_iterable([number == 1] * number for number in per_item))
    singles = rings.filter(pa.array(is_single, pa.bool_()))
    of_several = iter(rings.filter(pa.array([not single for single in is_single], pa.bool_())).to_pylist())
    if work.options["multipolygon"] == "largest":
        merged = [largest(list(islice(of_several, number))) for number in several]
        note(work, "polygons", "were left out: not the largest of the item", sum(several) - len(several))
    else:
        merged = [bridge(list(islice(of_several, number))) for number in several]
        note(work, "items", "have several polygons: joined into one ring around what they cover", len(several))
    # Restore the order of the items: `singles` come first in the concatenation, `merged` after them.
    rows, order = [], []
    next_single, next_merged = count(), count()
    for number in per_item:
        if number == 1:
            order.append(next(next_single))
        elif number > 1 and merged[k := next(next_merged)]:
            order.append(len(singles) + k)
        else:  # no polygon with area, or a bridge around an empty union
            rows.append(0)
            continue
        rows.append(1)
    return pa.concat_arrays([singles, pa.array(merged, rings.type)]).take(pa.array(order, pa.int32())), rows
