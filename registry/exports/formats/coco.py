"""COCO: what the official converter writes for the same input, value for value, and what it leaves out on request.

Source: ``evaluation/deepfashion2_to_coco.py`` of the dataset's repository, and https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORIES, NUM_LANDMARK_SLOTS
from registry.exports.columns.text import Records, choose, concat, number_lists, numbers, polygon_lists
from registry.exports.format import Format, Job, Option
from registry.subset.rows import Chunk, Part

if TYPE_CHECKING:
    import pyarrow as pa

ATTRIBUTE_COLUMNS: Final = ("source", "scale", "occlusion", "zoom_in", "viewpoint", "item_no")
COLUMNS: Final = ("image_id", "pair_id", "style", "category_id", "x1", "y1", "x2", "y2", "segmentation")

AREA: Final = Option(
    "area",
    "Of the box, as the official converter has it, or of the mask: the union of the polygons.",
    "choice",
    "box",
    ("box", "mask"),
)
NAMES: Final = Option(
    "names",
    "Category names of the official converter, or of the dataset.",
    "choice",
    "converter",
    ("converter", "dataset"),
)
ATTRIBUTES: Final = Option("attributes", f"Add {', '.join(ATTRIBUTE_COLUMNS)} to every annotation.")


def write(job: Job) -> None:
    """Write ``annotations/PART.json`` for every part."""
    for part in job.parts:
        with job.files.open(f"annotations/{part.name}.json") as file:
            file.write(b'{"info": {}, "licenses": [], "images": [')
            records = Records(file)
            for chunk in job.chunks(part):
                records.add(image_texts(job, chunk))
            file.write(b'],\n"annotations": [')
            _add_annotations(job, part, Records(file))
            file.write(b'],\n"categories": [\n')
            file.write(",\n".join(json.dumps(category) for category in categories(job)).encode("ascii"))
            file.write(b"]}\n")


def categories(job: Job) -> Iterator[dict[str, Any]]:
    """Yield the 13 categories as the official converter writes them."""
    for category in CATEGORIES:
        name = category.coco_name if job.options["names"] == "converter" else category.name
        found: dict[str, Any] = {"id": category.id, "name": name, "supercategory": "clothes"}
        if job.options["landmarks"] == "union":
            found |= {"keypoints": [str(no) for no in range(1, NUM_LANDMARK_SLOTS + 1)], "skeleton": []}
        yield found


def image_texts(job: Job, chunk: Chunk) -> pa.Array:
    """Return the COCO record of each image of a chunk, as JSON text. A size that is not known is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    images = chunk.images
    sizes = [numbers(images.column(name)).fill_null("null") for name in ("width", "height")]
    unknown = images.column("width").null_count
    if unknown:
        job.leave_out(
            "sizes of images", "not known, so width and height are null: ingest with the photos to have them", unknown
        )
    names = job.photo_names(chunk) if job.images == "reference" else chunk.file_names()
    ids = numbers(pc.add(images.column("image_id").cast(pa.int64()), chunk.part.offset(chunk.split)))
    pieces = ('{"coco_url": "", "date_captured": "", "file_name": ', pa.array(map(json.dumps, names), pa.string()))
    return concat(
        *pieces, ', "flickr_url": "", "id": ', ids, ', "license": 0, "width": ', sizes[0], ', "height": ', sizes[1], "}"
    )


def _add_annotations(job: Job, part: Part, records: Records) -> None:
    columns = [*COLUMNS]
    with_landmarks = job.options["landmarks"] == "union"
    if with_landmarks:
        columns += ["landmarks", "num_landmarks_labelled"]
    if job.options["attributes"]:
        columns += [name for name in ATTRIBUTE_COLUMNS if name not in columns]
    for chunk in job.chunks(part, columns):
        landmarks = _union_landmarks(chunk.items) if with_landmarks else []
        records.add(annotation_texts(job, chunk, records.length + 1, landmarks))


def annotation_texts(job: Job, chunk: Chunk, first: int, landmarks: list[pa.Array | str]) -> pa.Array:
    """Return the COCO record of each item of a chunk, as JSON text.

    Args:
        job: its options area and attributes count.
        chunk: with the items' :data:`COLUMNS` and what the options need.
        first: id of the first; the others follow.
        landmarks: pieces of text for the landmarks, with a comma before, or nothing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    items = chunk.items
    offset = chunk.part.offset(chunk.split)
    x1, y1, x2, y2 = (items.column(name) for name in ("x1", "y1", "x2", "y2"))
    width, height = pc.subtract(x2, x1), pc.subtract(y2, y1)
    area = mask_areas(chunk) if job.options["area"] == "mask" else pc.multiply(width, height)
    pieces: list[pa.Array | str] = ['{"area": ', numbers(area), ', "bbox": [']
    for position, side in enumerate((x1, y1, width, height)):
        pieces += [", " if position else "", numbers(side)]
    pieces += ['], "category_id": ', numbers(items.column("category_id"))]
    pieces += [', "id": ', numbers(pa.array(range(first, first + items.num_rows), pa.int64()))]
    for name in ("pair_id", "image_id"):
        pieces += [f', "{name}": ', numbers(pc.add(items.column(name).cast(pa.int64()), offset))]
    pieces += [', "iscrowd": 0, "style": ', numbers(items.column("style")), *landmarks]
    pieces += [', "segmentation": ', polygon_lists(items.column("segmentation"))]
    if job.options["attributes"]:
        for name in ATTRIBUTE_COLUMNS:
            column = items.column(name)
            quoted = concat('"', column, '"') if name == "source" else numbers(column)
            pieces += [f', "{name}": ', quoted]
    return concat(*pieces, "}")


def mask_areas(chunk: Chunk) -> pa.Array:
    """Return the area of each item's mask, px²: the union of its polygons, as COCO's own code counts it."""
    import pyarrow as pa

    from registry.exports.columns.polygons import mask_area

    owners = chunk.owners()
    width, height = (chunk.images.column(name).take(owners).to_pylist() for name in ("width", "height"))
    areas = map(mask_area, chunk.items.column("segmentation").to_pylist(), width, height)
    return pa.array(areas, pa.float64())


def _union_landmarks(items: pa.RecordBatch) -> list[pa.Array | str]:
    """Return the 882 numbers of each item: the landmarks of its category in their slots, zeros in all others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    position = pc.subtract(items.column("category_id").cast(pa.int32()), 1)
    before = choose(("0," * (3 * c.landmark_offset) for c in CATEGORIES), position)
    rest = (NUM_LANDMARK_SLOTS - c.landmark_offset - c.num_landmarks for c in CATEGORIES)
    after = choose((",0" * (3 * number) for number in rest), position)
    own = pc.utf8_slice_codeunits(number_lists(items.column("landmarks")), 1, -1)
    labelled = numbers(items.column("num_landmarks_labelled").cast(pa.int32()))
    return [', "num_keypoints": ', labelled, ', "keypoints": [', before, own, after, "]"]


FORMAT: Final = Format(
    name="coco",
    summary="COCO JSON, as the official converter writes it: annotations/SPLIT.json with 294 landmarks.",
    write=write,
    options=(
        ATTRIBUTES,
        NAMES,
        AREA,
        Option(
            "landmarks",
            "All 294 slots in every annotation (882 numbers), or none.",
            "choice",
            "union",
            ("union", "none"),
        ),
    ),
)
