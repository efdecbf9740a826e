"""COCO records: of images and items as JSON text, of categories as dictionaries."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.tables import BOX_COLUMNS
from registry.exports.builtin import COCO_ATTRIBUTES
from registry.exports.columns.bounds import note_boxes_without_area, note_items_without_polygon, note_unlabelled
from registry.exports.columns.own_values import json_texts, note_no_numbers, own_columns
from registry.exports.columns.text import concat, numbers, polygon_lists
from registry.exports.work import ChunkWork
from registry.subset.classes import Class
from registry.subset.rows import Chunk

COLUMNS: Final = ("image_id", "pair_id", "style", "category_id", *BOX_COLUMNS, "segmentation")


def image_texts(work: ChunkWork, chunk: Chunk) -> pa.Array:
    """Return the COCO record of each image of a chunk as JSON text. An unknown size is null.

    With the option attributes, the items of the chunk need the column ``style``.
    """
    images = chunk.images
    note_unlabelled(work, chunk)
    sizes = [numbers(images.column(name)).fill_null("null") for name in ("width", "height")]
    unknown = images.column("width").null_count
    if unknown:
        work.leave_out(
            "sizes of images",
            "are not known, so width and height are null: ingest with the photos to have them",
            unknown,
        )
    names = work.photo_names(chunk) if work.images == "reference" else chunk.file_names()
    ids = numbers(pc.add(images.column("image_id").cast(pa.int64()), chunk.part.offset(chunk.split)))
    pieces = ('{"coco_url": "", "date_captured": "", "file_name": ', pa.array(map(json.dumps, names), pa.string()))
    attributes = _image_attributes(chunk) if work.options["attributes"] else []
    return concat(
        *pieces, ', "flickr_url": "", "id": ', ids, ', "license": 0, "width": ', sizes[0], ', "height": ', sizes[1],
        *attributes, "}",
    )  # fmt: skip


def _image_attributes(chunk: Chunk) -> list[pa.Array | str]:
    """Return the pieces of source, pair_id, match_desc and orientation of each image.

    Without annotation, source and pair_id are null and match_desc is {}.

    Source: ``match_desc`` as ``DeepFtoCoco.py`` of SEAM-Match-RCNN writes it: style -> pair_id.
    """
    images = chunk.images
    pair_ids = pc.add(images.column("pair_id").cast(pa.int64()), chunk.part.offset(chunk.split))
    styles = iter(chunk.items.column("style").to_pylist())
    descriptions = [
        json.dumps({style: pair_id for style in islice(styles, number) if style is not None})
        for number, pair_id in zip(chunk.num_items, pair_ids.to_pylist(), strict=True)
    ]
    sources = concat('"', images.column("source"), '"').fill_null("null")
    return [
        ', "source": ', sources, ', "pair_id": ', numbers(pair_ids).fill_null("null"),
        ', "match_desc": ', pa.array(descriptions, pa.string()),
        ', "orientation": ', numbers(images.column("orientation")).fill_null("null"),
    ]  # fmt: skip


def class_record(work: ChunkWork, member: Class) -> dict[str, Any]:
    """Return the COCO record of a class, which COCO calls a category, without keypoints."""
    name = member.coco_name if work.options["names"] == "converter" else member.name
    return {"id": member.id, "name": name, "supercategory": "clothes"}


def annotation_pieces(
    work: ChunkWork, chunk: Chunk, landmarks: list[pa.Array | str]
) -> tuple[list[pa.Array | str], list[pa.Array | str]]:
    """Return the pieces of the COCO record of each item of a chunk as JSON text, before and after its id.

    Args:
        work: the export, for its options area and attributes.
        chunk: items with :data:`COLUMNS` and the columns of the options.
        landmarks: pieces of the JSON of the landmarks, starting with a comma; [] for no landmarks.
    """
    items = chunk.items
    note_boxes_without_area(work, items)
    note_items_without_polygon(work, items)
    offset = chunk.part.offset(chunk.split)
    x1, y1, x2, y2 = (items.column(name) for name in BOX_COLUMNS)
    width, height = pc.subtract(x2, x1), pc.subtract(y2, y1)
    area = mask_areas(chunk) if work.options["area"] == "mask" else pc.multiply(width, height)
    before: list[pa.Array | str] = ['{"area": ', numbers(area), ', "bbox": [']
    for position, side in enumerate((x1, y1, width, height)):
        before += [", " if position else "", numbers(side)]
    before += ['], "category_id": ', numbers(work.classes.ids(items.column("category_id"))), ', "id": ']
    pieces: list[pa.Array | str] = []
    for name in ("pair_id", "image_id"):
        pieces += [f', "{name}": ', numbers(pc.add(items.column(name).cast(pa.int64()), offset)).fill_null("null")]
    pieces += [', "iscrowd": 0, "style": ', numbers(items.column("style")).fill_null("null"), *landmarks]
    pieces += [', "segmentation": ', polygon_lists(items.column("segmentation"))]
    if work.options["attributes"]:
        for name in COCO_ATTRIBUTES:
            column = items.column(name)
            quoted = concat('"', column, '"') if name == "source" else numbers(column)
            pieces += [f', "{name}": ', quoted.fill_null("null")]
        # x1 + width is not always x2: the difference of two doubles may be rounded.
        corners = [piece for side in (x1, y1, x2, y2) for piece in (", ", numbers(side))]
        pieces += [', "bbox_xyxy": [', *corners[1:], "]"]
    note_no_numbers(work, items)
    for name in own_columns(work.options):
        pieces += [f", {json.dumps(name)}: ", json_texts(items.column(name))]
    return before, [*pieces, "}"]


def mask_areas(chunk: Chunk) -> pa.Array:
    """Return the area of each item's mask, px²: the union of its polygons, as COCO's own code counts it."""
    from registry.dataset.masks import mask_area

    owners = chunk.owners()
    width, height = (chunk.images.column(name).take(owners).to_pylist() for name in ("width", "height"))
    areas = map(mask_area, chunk.items.column("segmentation").to_pylist(), width, height)
    return pa.array(areas, pa.float64())
