"""The released layout: a JSON file per image with every field of every item as ingested."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.file_names import suffix
from registry.dataset.tables import BOX_COLUMNS
from registry.exports.columns.bounds import note, note_boxes_without_area
from registry.exports.columns.text import TextFiles, concat, join_groups, number_lists, numbers, polygon_lists
from registry.exports.job import Job
from registry.exports.work import ChunkWork
from registry.subset.rows import Chunk

#: Columns of items in an annotation file.
ANNOTATION_COLUMNS: Final = (
    "item_no", "segmentation", "scale", "viewpoint", "zoom_in", "landmarks", "style", *BOX_COLUMNS,
    "category_id", "occlusion", "category_name",
)  # fmt: skip


def write(job: Job) -> None:
    """Write ``PART/annos/NNNNNN.json`` for every annotated image.

    Keys are in the order of the released files: all items but the last, ``source``, ``pair_id``, the last item. Tools
    that number items by their position in the file get the same numbers. Photos without annotations get no file, as in
    the released test split.
    """
    for part in job.parts:
        for chunk, files in job.map(part, ANNOTATION_COLUMNS, _chunk_files):
            job.files.write_all(files.with_bytes())
            if job.images != "none":
                job.put_photos(chunk, (f"{part.name}/image/{name}" for name in _photo_names(chunk)))


def _chunk_files(work: ChunkWork, chunk: Chunk) -> TextFiles:
    """Return the file of each image of a chunk that has items, and count what is odd."""
    note_boxes_without_area(work, chunk.items)
    num_unlabelled = chunk.images.column("num_items").null_count
    note(work, "images", "have no annotation in the release, and so no file here", num_unlabelled)
    return annotation_files(_renumbered(work, chunk) if work.options["renumber"] else chunk)


def _renumbered(work: ChunkWork, chunk: Chunk) -> Chunk:
    """Return the chunk with the items of each image numbered from 1 in the order of their numbers; counts changes.

    An image of which all items were chosen keeps its numbers.
    """
    old = chunk.items.column("item_no").to_pylist()
    new: list[int] = []
    for number in chunk.num_items:
        in_order = sorted(old[len(new) : len(new) + number])
        new += [in_order.index(item_no) + 1 for item_no in old[len(new) : len(new) + number]]
    num_changed = sum(before != after for before, after in zip(old, new, strict=True))
    note(
        work,
        "items",
        "have another number than in the release, as --renumber counts those of each image from 1",
        num_changed,
    )
    place = chunk.items.schema.get_field_index("item_no")
    item_nos = pa.array(new, chunk.items.schema.field(place).type)
    return replace(chunk, items=chunk.items.set_column(place, chunk.items.schema.field(place), item_nos))


def _names(chunk: Chunk) -> list[str]:
    """Return the file stem of each image: its image_id, renumbered in a part of several splits."""
    image_ids = chunk.images.column("image_id").to_pylist()
    return [f"{chunk.part.number(chunk.split, image_id):06d}" for image_id in image_ids]


def _photo_names(chunk: Chunk) -> list[str]:
    """Return the name of each photo: its own, with another number in a part of several splits."""
    names: list[str] = chunk.images.column("file_name").to_pylist()
    if len(chunk.part.splits) == 1:
        return names
    return [f"{number}.{suffix(name)}" for number, name in zip(_names(chunk), names, strict=True)]


def annotation_files(chunk: Chunk) -> TextFiles:
    """Return the file of each annotated image of a chunk that has items."""
    has_items = pa.array([number > 0 for number in chunk.num_items], pa.bool_())
    lengths = [number for number in chunk.num_items if number]
    images = chunk.images.filter(has_items)
    if not images.num_rows:
        return TextFiles([], pa.array([], pa.string()))
    # In each file, all items but the last precede source and pair_id.
    texts = item_texts(chunk.items)
    ends = [end - 1 for end in accumulate(lengths)]
    is_last = pa.array(_mark(ends, len(texts)), pa.bool_())
    all_but_last = concat(texts.filter(pc.invert(is_last)), ", ")
    leading_items = join_groups(all_but_last, [length - 1 for length in lengths], "")
    pair_ids = pc.add(images.column("pair_id").cast(pa.int64()), chunk.part.offset(chunk.split))
    files = concat(
        "{", leading_items, '"source": "', images.column("source"), '", "pair_id": ', numbers(pair_ids), ", ",
        texts.filter(is_last), "}",
    )  # fmt: skip
    names = [name for name, number in zip(_names(chunk), chunk.num_items, strict=True) if number]
    return TextFiles([f"{chunk.part.name}/annos/{name}.json" for name in names], files)


def _mark(positions: Iterable[int], length: int) -> list[bool]:
    """Return booleans, true at the positions."""
    marks = [False] * length
    for position in positions:
        marks[position] = True
    return marks


def item_texts(items: pa.RecordBatch) -> pa.Array:
    """Return ``"item2": {...}`` of each item, with its keys in the order of the released files."""
    box: list[pa.Array | str] = []
    for name in BOX_COLUMNS:
        box += [", " if box else ', "bounding_box": [', numbers(items.column(name))]
    return concat(
        '"item', numbers(items.column("item_no")),
        '": {"segmentation": ', polygon_lists(items.column("segmentation"), ", "),
        ', "scale": ', numbers(items.column("scale")),
        ', "viewpoint": ', numbers(items.column("viewpoint")),
        ', "zoom_in": ', numbers(items.column("zoom_in")),
        ', "landmarks": ', number_lists(items.column("landmarks"), ", "),
        ', "style": ', numbers(items.column("style")),
        *box,
        '], "category_id": ', numbers(items.column("category_id")),
        ', "occlusion": ', numbers(items.column("occlusion")),
        ', "category_name": "', items.column("category_name"), '"}',
    )  # fmt: skip
