"""Polygons in YOLO's segment labels: one ring a row, as shares of the image.

Points outside the image are moved to its border, as ultralytics does with its own; counted. A polygon that then covers
nothing (all of its points on one line) has no row, and an item without a polygon that covers something none either;
both counted. A closed ring keeps its last point: readers close rings themselves, and one more point on the first
changes no mask.

Several polygons of one item do not fit a row. What is done with them is chosen, and counted:

``bridge``
    One ring around what they cover together, with bridges of no width between pieces and to holes
    (:func:`registry.exports.columns.polygons.bridge`).
``split``
    A row for each: readers take them for several items.
``largest``
    The one with the largest area; the others are left out.
``fail``
    Nothing is written if there is such an item.
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
from registry.exports.format import Job
from registry.subset.rows import Chunk


class _Rings(NamedTuple):
    """The polygons of a chunk that cover something.

    Attributes:
        rings: flat x, y, ... inside the image, px.
        per_item: how many each item has.
        num_moved: how many had points outside the image.
        num_empty: polygons that cover nothing; they are not among the rings.
    """

    rings: pa.ListArray
    per_item: Sequence[int]
    num_moved: int
    num_empty: int


def polygon_rows(job: Job, chunk: Chunk) -> tuple[pa.Array, Sequence[int]]:
    """Return the text of each row, ``x y x y ...``, and how many rows each item has."""
    found = _rings(chunk)
    note(job, "polygons", "reach outside the image: points outside were moved to its border", found.num_moved)
    why = "left out, as all of their points inside the image lie on one line"
    note(job, "polygons", why, found.num_empty)
    rings, per_item = _one_ring_each(job, found)
    note(job, "items", "left out, as they have no polygon that covers something", per_item.count(0))

    owners = pa.array([k for k, number in enumerate(per_item) for _ in range(number)], pa.int32())
    texts = share_texts(shares_above(rings.flatten(), _limits(chunk, rings, owners)))
    return join_groups(texts, pc.list_value_length(rings).to_pylist(), " "), per_item


def refuse_several(job: Job) -> None:
    """Make sure that no item has several polygons, before anything is written.

    Raises:
        UsageError: some have; the message says how many and names the first.
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
    """Return the polygons of a chunk that cover something, cut at the borders of their images."""
    segmentations = chunk.items.column("segmentation")
    polygons = segmentations.flatten()
    owners = pc.list_parent_indices(segmentations)
    values = polygons.flatten()
    inside = cut(values, _limits(chunk, polygons, owners))
    of_value = pc.list_parent_indices(polygons)

    # A ring covers something if one of the triangles between its first point and two that follow each other does.
    # The next of a last point is the first of another ring, which is 0, 0 from itself: that triangle is flat.
    offsets = pc.subtract(polygons.offsets, polygons.offsets[0])
    of_point = _every_second(of_value)
    firsts = pc.divide(offsets.take(of_point), 2)
    points = pa.FixedSizeListArray.from_arrays(inside, 2)
    xs, ys = pc.list_element(points, 0), pc.list_element(points, 1)
    dx, dy = (pc.subtract(along, along.take(firsts)) for along in (xs, ys))
    here = slice(0, max(len(dx) - 1, 0))
    is_flat = pc.equal(pc.multiply(dx[here], dy[1:]), pc.multiply(dx[1:], dy[here]))
    covers = _marked(of_point[here].filter(pc.invert(is_flat)), len(polygons))

    rings = pa.ListArray.from_arrays(offsets, inside).filter(covers)
    counts = [0] * len(segmentations)
    for owner in owners.filter(covers).to_pylist():
        counts[owner] += 1
    moved = _marked(of_value.filter(pc.not_equal(values, inside)), len(polygons))
    num_moved = pc.sum(pc.and_(moved, covers)).as_py() or 0
    return _Rings(rings, counts, num_moved, len(polygons) - len(rings))


def _limits(chunk: Chunk, polygons: pa.ListArray, owners: pa.Array) -> pa.Array:
    """Return for each number of the polygons how far it may go: the image's width for an x, its height for a y.

    Args:
        chunk: has the images.
        polygons: flat x, y, ...
        owners: position of the item that each polygon belongs to.
    """
    sizes = zip(*item_sizes(chunk), strict=True)
    flat = [side.as_py() for size in sizes for side in size]
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float64()), 2)
    return pairs.take(owners.take(_every_second(pc.list_parent_indices(polygons)))).flatten()


def _every_second(values: pa.Array) -> pa.Array:
    """Return one of two: what stands at an x, left out at its y."""
    return pc.list_element(pa.FixedSizeListArray.from_arrays(values, 2), 0)


def _marked(positions: pa.Array, length: int) -> pa.Array:
    """Return booleans, true at the positions."""
    return pc.is_in(pa.array(range(length), pa.int64()), value_set=pc.unique(positions.cast(pa.int64())))


def _one_ring_each(job: Job, found: _Rings) -> tuple[pa.ListArray, Sequence[int]]:
    """Return the rings with a row of their own, and how many each item has, after ``--multipolygon``."""
    rings, per_item, *_ = found
    several = [number for number in per_item if number > 1]
    if not several:
        return rings, per_item
    if job.options["multipolygon"] == "split":
        why = "have several polygons: each is a row, so that readers take it for an item"
        note(job, "items", why, len(several))
        return rings, per_item
    is_single = list(chain.from_iterable([number == 1] * number for number in per_item))
    singles = rings.filter(pa.array(is_single, pa.bool_()))
    others = iter(rings.filter(pa.array([not single for single in is_single], pa.bool_())).to_pylist())
    if job.options["multipolygon"] == "largest":
        made = [largest(list(islice(others, number))) for number in several]
        note(job, "polygons", "left out, as they are not the largest of their item", sum(several) - len(several))
    else:
        made = [bridge(list(islice(others, number))) for number in several]
        note(job, "items", "have several polygons: joined into one ring around what they cover", len(several))
    # Back in the order of the items: the single ones stand first, those made of several behind them.
    rows, order = [], []
    next_single, next_made = count(), count()
    for number in per_item:
        if number == 1:
            order.append(next(next_single))
        elif number > 1 and made[k := next(next_made)]:
            order.append(len(singles) + k)
        else:  # no polygon, or several that turned out to cover nothing together
            rows.append(0)
            continue
        rows.append(1)
    return pa.concat_arrays([singles, pa.array(made, rings.type)]).take(pa.array(order, pa.int32())), rows
