"""YOLO: one text file an image with a row an item, and data.yaml, as ultralytics reads them.

Layout: ``data.yaml``, ``labels/PART/NAME.txt`` and, where photos are linked or copied, ``images/PART/NAME.jpg``. A
label stands at the path of its photo with ``labels`` for the last ``images``, which is how ultralytics finds it.

Coordinates are shares of the image's width and height. Edges and landmarks are rounded to 7 decimals, less than 1/1000
px in a photo of 10,000 px; the centre of a box is the mean of its rounded edges and has 8, so that centre ± half size
gives edges that never leave [0, 1]. What no reader could take for granted is decided here and counted in the manifest:

* Boxes are cut at the border of the image. One without width or height (inside the image) is none: its item has no
  row in ``detect`` and ``pose``. Rows of ``segment`` have no box; readers take the extent of the polygon.
* An image without items has an empty label. So has a photo whose annotation was never released (test).
* The size of every image with an item has to be known: without it there are no shares.

Polygons: see :mod:`registry.exports.columns.yolo_segment`; landmarks: :mod:`registry.exports.columns.yolo_pose`.

Source: docs.ultralytics.com/datasets; ultralytics 8.4.190, ``data/utils.py`` (``check_det_dataset``,
``img2label_paths``, ``verify_image_label``) and ``data/augment.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, Category
from registry.errors import UsageError
from registry.exports.columns.bounds import (
    BOX_COLUMNS,
    SHARES,
    Sizes,
    cut_boxes,
    item_sizes,
    note,
    note_boxes,
    require_sizes,
    share_texts,
    shares,
)
from registry.exports.columns.text import concat, join_groups, numbers, slices
from registry.exports.columns.yolo_pose import keypoint_lines, landmark_texts
from registry.exports.columns.yolo_segment import polygon_rows, refuse_several
from registry.exports.format import Job
from registry.subset.rows import Chunk, Part

#: Lines of text with their line ends, and how many each item has.
Rows = tuple[pa.Array, Sequence[int]]

_COLUMNS: Final = {
    "detect": ("category_id", *BOX_COLUMNS),
    "segment": ("category_id", "segmentation"),
    "pose": ("category_id", *BOX_COLUMNS, "landmarks"),
}
#: Names of parts -> the key of data.yaml they stand under. There are no others that ultralytics reads.
_KEYS: Final = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def check(options: Mapping[str, Any], images: str) -> None:
    """Refuse options that the task makes no use of."""
    for name, task in (("landmarks", "pose"), ("multipolygon", "segment")):
        if options[name] is not None and options["task"] != task:
            raise UsageError(f"{name} is for the task {task}, not for {options['task']}: leave it out.")


def write(job: Job) -> None:
    """Write labels, photos and ``data.yaml``; for ``--landmarks per-category`` a dataset for each category."""
    require_sizes(job, "YOLO labels are shares of the image", lambda chosen, _: chosen > 0)
    if job.options["multipolygon"] == "fail":
        refuse_several(job)
    per_category = job.options["landmarks"] == "per-category"
    filled: dict[Category | None, list[Part]] = {} if per_category else {None: []}
    for part in job.parts:
        for chunk in job.chunks(part, _COLUMNS[job.options["task"]]):
            for category, of_dataset in _by_category(job, chunk) if per_category else [(None, chunk)]:
                _write_chunk(job, of_dataset, f"{category.coco_name}/" if category else "")
                parts = filled.setdefault(category, [])
                if part not in parts:
                    parts.append(part)
    for category, parts in filled.items():
        folder = f"{category.coco_name}/" if category else ""
        job.files.write(f"{folder}data.yaml", _data_yaml(job, category, parts).encode("ascii"))


def _by_category(job: Job, chunk: Chunk) -> Iterator[tuple[Category, Chunk]]:
    """Yield for each category that occurs the images that hold an item of it, with these items."""
    why = "in no dataset, as they hold no item and the datasets are those of categories"
    note(job, "images", why, chunk.num_items.count(0))
    for category_id, own in chunk.by_category().items():
        yield CATEGORY_BY_ID[category_id], own


def _write_chunk(job: Job, chunk: Chunk, folder: str) -> None:
    """Write the labels of the images of a chunk, and their photos where they are asked for."""
    part = chunk.part
    unannotated = chunk.images.column("num_items").null_count
    why = "have no annotation in the release: their empty label does not say that they show no clothes"
    note(job, "images", why, unannotated)
    lines, per_item = _ROWS[job.options["task"]](job, chunk)
    rows = iter(per_item)
    labels = join_groups(lines, [sum(islice(rows, number)) for number in chunk.num_items], "")
    job.count(part, "rows", len(lines))
    names = chunk.file_names()
    paths = (f"{folder}labels/{part.name}/{name.removesuffix('.jpg')}.txt" for name in names)
    job.files.write_all(zip(paths, slices(labels), strict=True))
    if job.images != "none":
        job.put_photos(chunk, (f"{folder}images/{part.name}/{name}" for name in names))


def _detect_rows(job: Job, chunk: Chunk) -> Rows:
    boxes, kept, _ = _boxes(job, chunk)
    lines = concat(_classes(job, chunk).filter(kept), " ", boxes, "\n")
    return lines, kept.cast("int8").to_pylist()


def _pose_rows(job: Job, chunk: Chunk) -> Rows:
    boxes, kept, sizes = _boxes(job, chunk)
    landmarks = landmark_texts(job, chunk.items.filter(kept), sizes.filter(kept))
    lines = concat(_classes(job, chunk).filter(kept), " ", boxes, " ", landmarks, "\n")
    return lines, kept.cast("int8").to_pylist()


def _segment_rows(job: Job, chunk: Chunk) -> Rows:
    polygons, per_item = polygon_rows(job, chunk)
    owners = [k for k, number in enumerate(per_item) for _ in range(number)]
    classes = _classes(job, chunk).take(pa.array(owners, pa.int32()))
    return concat(classes, " ", polygons, "\n"), per_item


_ROWS: Final[dict[str, Callable[[Job, Chunk], Rows]]] = {
    "detect": _detect_rows,
    "segment": _segment_rows,
    "pose": _pose_rows,
}


def _boxes(job: Job, chunk: Chunk) -> tuple[pa.Array, pa.Array, Sizes]:
    """Return ``x y width height`` of each item that has a box, which items have one, and the sizes of all photos."""
    sizes = item_sizes(chunk)
    boxes = cut_boxes(chunk, sizes)
    x1, y1, x2, y2 = (shares(side, size) for side, size in zip(boxes, (*sizes, *sizes), strict=True))
    width, height = pc.subtract(x2, x1), pc.subtract(y2, y1)
    kept = pc.and_(pc.greater(width, 0), pc.greater(height, 0))
    note_boxes(job, chunk, boxes, kept)
    texts = [share_texts(pc.add(low, high), 2 * SHARES) for low, high in ((x1, x2), (y1, y2))]
    texts += [share_texts(width), share_texts(height)]
    x, y, w, h = (text.filter(kept) for text in texts)
    return concat(x, " ", y, " ", w, " ", h), kept, sizes


def _classes(job: Job, chunk: Chunk) -> pa.Array:
    """Return the class of each item: its category from 0, or 0 where a dataset has one category."""
    category_ids = chunk.items.column("category_id").cast(pa.int32())
    first = category_ids if job.options["landmarks"] == "per-category" else pa.scalar(1, pa.int32())
    return numbers(pc.subtract(category_ids, first))


def _data_yaml(job: Job, category: Category | None, filled: Sequence[Part]) -> str:
    """Return ``data.yaml``: where photos are, the names of the classes, and what is to be known of landmarks.

    ``train`` and ``val`` have to be there, and may be empty. They are where no part with images has such a name: with
    another part in its place, a model would be tested on what it was trained on. There is no ``path``: without it,
    the folders are looked up beside this file.
    """
    found: dict[str, list[str]] = {"train": [], "val": []}
    others = []
    for part in filled:
        key = _KEYS.get(part.name.lower())
        place = f"images/{part.name}"
        if key is None:
            others.append(place)
        else:
            found.setdefault(key, []).append(place)
    lines = []
    for key, places in found.items():
        value = places[0] if len(places) == 1 else f"[{', '.join(places)}]" if places else "# no images"
        lines.append(f"{key}: {value}")
    if others:
        lines.append(f"# in none of these: {', '.join(others)}")
    named = [category] if category else CATEGORIES
    lines += ["names:", *(f"  {number}: {one.name}" for number, one in enumerate(named))]
    if job.options["task"] == "pose":
        lines += keypoint_lines(job, category)
    return "\n".join(lines) + "\n"
