"""COCO: the same values as the official converter; attributes and mask areas, which it omits, are options.

Source: ``evaluation/deepfashion2_to_coco.py`` of the dataset's repository, and https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.deepfashion2 import CATEGORIES, NUM_LANDMARK_SLOTS
from registry.exports.builtin import COCO_ATTRIBUTES
from registry.exports.columns.classes import note_merged
from registry.exports.columns.coco_records import COLUMNS, annotation_pieces, class_record, image_texts
from registry.exports.columns.own_values import own_columns
from registry.exports.columns.text import Records, choose, concat, number_lists, numbers
from registry.exports.job import Job
from registry.exports.work import ChunkWork
from registry.subset.rows import Chunk, Part


def write(job: Job) -> None:
    """Write ``annotations/PART.json`` for every part."""
    for part in job.parts:
        with job.files.open(f"annotations/{part.name}.json") as file:
            file.write(b'{"info": {}, "licenses": [], "images": [')
            records = Records(file)
            for _, texts in job.map(part, ("style",) if job.options["attributes"] else (), image_texts):
                records.add(texts)
            file.write(b'],\n"annotations": [')
            _add_annotations(job, part, Records(file))
            file.write(b'],\n"categories": [\n')
            file.write(",\n".join(json.dumps(category) for category in categories(job)).encode("ascii"))
            file.write(b"]}\n")


def categories(job: Job) -> Iterator[dict[str, Any]]:
    """Yield the classes; without ``--classes`` the 13 categories as the official converter writes them."""
    for member in job.classes:
        record = class_record(job, member)
        if _has_landmarks(job):
            record |= {"keypoints": [str(no) for no in range(1, NUM_LANDMARK_SLOTS + 1)], "skeleton": []}
        yield record


def _has_landmarks(work: ChunkWork) -> bool:
    """Return whether annotations have landmarks: those of a class that merges categories are zeros."""
    return work.options["landmarks"] == "union" and any(member.category for member in work.classes)


def _add_annotations(job: Job, part: Part, records: Records) -> None:
    columns = [*COLUMNS]
    if _has_landmarks(job):
        columns += ["landmarks", "num_landmarks_labelled"]
    if job.options["attributes"]:
        columns += [name for name in COCO_ATTRIBUTES if name not in columns]
    columns += own_columns(job.options)
    for _, texts in job.map(part, columns, _annotation_texts):
        records.add(texts)


def _annotation_texts(work: ChunkWork, chunk: Chunk) -> pa.Array:
    """Return the record of each item of a chunk; ids count from 1 in each part."""
    merged = pa.array([member.id for member in work.classes.merged], pa.int32())
    is_merged = pc.is_in(work.classes.ids(chunk.items.column("category_id")), value_set=merged)
    if work.options["landmarks"] == "union":
        note_merged(work, is_merged.true_count)
    landmarks = _union_landmarks(chunk.items, is_merged) if _has_landmarks(work) else []
    before, after = annotation_pieces(work, chunk, landmarks)
    first = chunk.items_before + 1
    return concat(*before, numbers(pa.array(range(first, first + chunk.items.num_rows), pa.int64())), *after)


def _union_landmarks(items: pa.RecordBatch, is_merged: pa.Array) -> list[pa.Array | str]:
    """Return the 882 numbers of each item: the landmarks of its category in their slots, zeros in all others.

    An item of a class that merges categories has zeros alone, as readers expect as many numbers in every annotation.
    """
    position = pc.subtract(items.column("category_id").cast(pa.int32()), 1)
    before = choose(("0," * (3 * c.landmark_offset) for c in CATEGORIES), position)
    rest = (NUM_LANDMARK_SLOTS - c.landmark_offset - c.num_landmarks for c in CATEGORIES)
    after = choose((",0" * (3 * number) for number in rest), position)
    landmarks = pc.utf8_slice_codeunits(number_lists(items.column("landmarks")), 1, -1)
    labelled = numbers(items.column("num_landmarks_labelled").cast(pa.int32()))
    slots = concat(before, landmarks, after)
    if is_merged.true_count:
        labelled = pc.if_else(is_merged, "0", labelled)
        slots = pc.if_else(is_merged, ",".join(["0"] * (3 * NUM_LANDMARK_SLOTS)), slots)
    return [', "num_keypoints": ', labelled, ', "keypoints": [', slots, "]"]
