"""YOLO: a label file per image with a row per item, and data.yaml, as ultralytics reads them.

Layout: ``data.yaml``, ``labels/PART/NAME.txt`` and, where photos are linked or copied, ``images/PART/PHOTO``.
ultralytics finds a label by replacing the last ``images`` in the path of its photo with ``labels``.

Coordinates are normalized by the image's width and height. Edges and landmarks are rounded to 7 decimals, less than
1/1000 px in a photo of 10,000 px. The centre of a box is the mean of its rounded edges and has 8 decimals, so that
centre ± half size never leaves [0, 1]. Decisions that YOLO does not prescribe, counted in the manifest:

* Boxes are cut at the border of the image. An item whose box has no width or height inside the image gets no row in
  ``detect`` and ``pose``. Rows of ``segment`` have no box; readers take the extent of the polygon.
* An image without items gets an empty label, and so does a photo without a released annotation (test).
* The size of every image with items must be known, to normalize.

Polygons: see :mod:`registry.exports.columns.yolo_segment`; landmarks: :mod:`registry.exports.columns.yolo_pose`.

Source: docs.ultralytics.com/datasets; ultralytics 8.4.190, ``data/utils.py`` (``check_det_dataset``,
``img2label_paths``, ``verify_image_label``) and ``data/augment.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.deepfashion2 import CATEGORIES
from registry.dataset.file_names import stem
from registry.dataset.tables import BOX_COLUMNS
from registry.errors import UsageError
from registry.exports.columns.bounds import (
    SHARES,
    Sizes,
    cut_boxes,
    item_sizes,
    note,
    note_boxes,
    note_without_category,
    require_sizes,
    share_texts,
    shares,
)
from registry.exports.columns.text import TextFiles, concat, join_groups, numbers
from registry.exports.columns.yolo_pose import keypoint_lines, landmark_texts, refuse_merged
from registry.exports.columns.yolo_segment import polygon_rows, refuse_several
from registry.exports.job import Job
from registry.exports.work import ChunkWork
from registry.subset.classes import Class
from registry.subset.rows import Chunk, Part

#: Lines with their line ends, and the number of lines of each item.
Rows = tuple[pa.Array, Sequence[int]]

_COLUMNS: Final = {
    "detect": ("category_id", *BOX_COLUMNS),
    "segment": ("category_id", "segmentation"),
    "pose": ("category_id", *BOX_COLUMNS, "landmarks"),
}
#: Name of a part -> its key in data.yaml. ultralytics reads no other keys.
_KEYS: Final = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def check(options: Mapping[str, Any], images: str) -> None:
    """Raise a UsageError for an option that the task does not use."""
    for name, task in (("landmarks", "pose"), ("multipolygon", "segment")):
        if options[name] is not None and options["task"] != task:
            raise UsageError(f"{name} is for the task {task}, not for {options['task']}: leave it out.")


def write(job: Job) -> None:
    """Write labels, photos and ``data.yaml``; for ``--landmarks per-category`` a dataset for each class.

    Raises:
        UsageError: sizes of images are not known, or the options do not fit the items or the classes.
    """
    if job.options["task"] == "pose":
        refuse_merged(job)
    require_sizes(job, "YOLO labels are shares of the image", lambda chosen, _: chosen > 0)
    if job.options["multipolygon"] == "fail":
        refuse_several(job)
    per_category = job.options["landmarks"] == "per-category"
    parts_by_class: dict[Class | None, list[Part]] = {} if per_category else {None: []}
    for part in job.parts:
        for _, labels in job.map(part, _COLUMNS[job.options["task"]], _labels):
            for of_dataset in labels:
                _write(job, part, of_dataset)
                parts = parts_by_class.setdefault(of_dataset.member, [])
                if part not in parts:
                    parts.append(part)
    for member, parts in parts_by_class.items():
        job.files.write(f"{_folder(member)}data.yaml", _data_yaml(job, member, parts).encode("ascii"))


class _Labels(NamedTuple):
    """The labels of the images of a chunk in a dataset.

    Attributes:
        member: the class of a dataset for each class; None for the dataset of all.
        chunk: the images, without items.
        files: the label of each image.
        num_rows: number of rows of all labels.
    """

    member: Class | None
    chunk: Chunk
    files: TextFiles
    num_rows: int


def _labels(work: ChunkWork, chunk: Chunk) -> list[_Labels]:
    """Return the labels of a chunk in each dataset that it has images of."""
    if work.options["landmarks"] != "per-category":
        return [_dataset_labels(work, None, chunk)]
    note_without_category(work, chunk, "dataset")
    by_class = chunk.divided_by(work.classes.ids(chunk.items.column("category_id")))
    return [_dataset_labels(work, work.classes.members[number - 1], part) for number, part in by_class.items()]


def _dataset_labels(work: ChunkWork, member: Class | None, chunk: Chunk) -> _Labels:
    """Return the labels of a chunk in one dataset."""
    unannotated = chunk.images.column("num_items").null_count
    why = "have no annotation in the release: an empty label does not say that no clothes are shown"
    note(work, "images", why, unannotated)
    lines, per_item = _ROWS[work.options["task"]](work, chunk)
    rows = iter(per_item)
    labels = join_groups(lines, [sum(islice(rows, number)) for number in chunk.num_items], "")
    paths = [f"{_folder(member)}labels/{chunk.part.name}/{stem(name)}.txt" for name in chunk.file_names()]
    return _Labels(member, chunk.without_items(), TextFiles(paths, labels), len(lines))


def _folder(member: Class | None) -> str:
    """Return the folder of a dataset in the export, with a slash; empty for the dataset of all classes."""
    return f"{member.file_name}/" if member else ""


def _write(job: Job, part: Part, labels: _Labels) -> None:
    """Write labels, and the photos of their images where they are linked or copied."""
    job.count(part, "rows", labels.num_rows)
    job.files.write_all(labels.files.with_bytes())
    if job.images != "none":
        folder = f"{_folder(labels.member)}images/{part.name}"
        job.put_photos(labels.chunk, (f"{folder}/{name}" for name in labels.chunk.file_names()))


def _detect_rows(work: ChunkWork, chunk: Chunk) -> Rows:
    boxes, has_box, _ = _boxes(work, chunk)
    lines = concat(_classes(work, chunk).filter(has_box), " ", boxes, "\n")
    return lines, has_box.cast("int8").to_pylist()


def _pose_rows(work: ChunkWork, chunk: Chunk) -> Rows:
    boxes, has_box, sizes = _boxes(work, chunk)
    landmarks = landmark_texts(work, chunk.items.filter(has_box), sizes.filter(has_box))
    lines = concat(_classes(work, chunk).filter(has_box), " ", boxes, " ", landmarks, "\n")
    return lines, has_box.cast("int8").to_pylist()


def _segment_rows(work: ChunkWork, chunk: Chunk) -> Rows:
    polygons, per_item = polygon_rows(work, chunk)
    owners = [k for k, number in enumerate(per_item) for _ in range(number)]
    classes = _classes(work, chunk).take(pa.array(owners, pa.int32()))
    return concat(classes, " ", polygons, "\n"), per_item


_ROWS: Final[dict[str, Callable[[ChunkWork, Chunk], Rows]]] = {
    "detect": _detect_rows,
    "segment": _segment_rows,
    "pose": _pose_rows,
}


def _boxes(work: ChunkWork, chunk: Chunk) -> tuple[pa.Array, pa.Array, Sizes]:
    """Return ``x y width height`` of each item with a box, whether each item has a box, and its photo size."""
    sizes = item_sizes(chunk)
    boxes = cut_boxes(chunk, sizes)
    x1, y1, x2, y2 = (shares(side, size) for side, size in zip(boxes, (*sizes, *sizes), strict=True))
    width, height = pc.subtract(x2, x1), pc.subtract(y2, y1)
    has_box = pc.and_(pc.greater(width, 0), pc.greater(height, 0))
    note_boxes(work, chunk, boxes, has_box)
    texts = [share_texts(pc.add(low, high), 2 * SHARES) for low, high in ((x1, x2), (y1, y2))]
    texts += [share_texts(width), share_texts(height)]
    x, y, w, h = (text.filter(has_box) for text in texts)
    return concat(x, " ", y, " ", w, " ", h), has_box, sizes


def _classes(work: ChunkWork, chunk: Chunk) -> pa.Array:
    """Return the number of the class of each item, from 0; 0 in a dataset of a single class."""
    class_ids = work.classes.ids(chunk.items.column("category_id"))
    first = class_ids if work.options["landmarks"] == "per-category" else pa.scalar(1, pa.int32())
    return numbers(pc.subtract(class_ids, first))


def _data_yaml(job: Job, member: Class | None, parts: Sequence[Part]) -> str:
    """Return ``data.yaml``: folders of photos, class names and, for ``pose``, the keypoints.

    ultralytics requires ``train`` and ``val``, but they may be empty. They stay empty where no part with images has
    such a name: substituting another part could validate a model on its training images. There is no ``path``, so that
    folders are relative to this file.
    """
    folders: dict[str, list[str]] = {"train": [], "val": []}
    unread_folders = []
    for part in parts:
        key = _KEYS.get(part.name.lower())
        folder = f"images/{part.name}"
        if key is None:
            unread_folders.append(folder)
        else:
            folders.setdefault(key, []).append(folder)
    lines = []
    for key, paths in folders.items():
        value = paths[0] if len(paths) == 1 else f"[{', '.join(paths)}]" if paths else "# no images"
        lines.append(f"{key}: {value}")
    if unread_folders:
        lines.append(f"# in none of these: {', '.join(unread_folders)}")
    names = [named.name for named in ([member] if member else job.classes)]
    lines += ["names:", *(f"  {number}: {_yaml_text(name)}" for number, name in enumerate(names))]
    if job.options["task"] == "pose":
        lines += keypoint_lines(job, member.category if member else None)
    return "\n".join(lines) + "\n"


def _yaml_text(name: str) -> str:
    """Return the name of a class as YAML: in quotes if the user named it, as it may be ``yes`` or ``2``."""
    return name if any(name == category.name for category in CATEGORIES) else json.dumps(name)
