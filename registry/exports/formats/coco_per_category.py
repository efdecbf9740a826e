"""COCO by category: a file for each category with its keypoints, skeleton and left-right swaps.

Pose libraries train a single set of keypoints at a time. ``metainfo/CATEGORY.py`` describes each set for mmpose, which
reads it by ``metainfo=dict(from_file=...)``. With ``--classes`` there is a file for each class; that of a class that
merges several categories has no keypoints, and no metainfo.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pprint import pformat
from typing import Any, NamedTuple

import pyarrow as pa

from registry.dataset.deepfashion2 import LANDMARK_SLOTS, SKELETON, Category, LandmarkSlot
from registry.exports.builtin import COCO_ATTRIBUTES
from registry.exports.columns.bounds import note_without_category
from registry.exports.columns.classes import note_merged
from registry.exports.columns.coco_records import COLUMNS, annotation_pieces, class_record, image_texts
from registry.exports.columns.own_values import own_columns
from registry.exports.columns.text import Records, concat, number_lists, numbers
from registry.exports.job import Job
from registry.exports.work import ChunkWork
from registry.subset.classes import Class
from registry.subset.rows import Chunk, Part


def write(job: Job) -> None:
    """Write ``annotations/PART/CATEGORY.json`` for every part and class, and ``metainfo/CATEGORY.py``."""
    for member in job.classes:
        if info := metainfo(member):
            text = f"dataset_info = {pformat(info, sort_dicts=False, width=120, compact=True)}\n"
            job.files.write(f"metainfo/{member.file_name}.py", text.encode("ascii"))
    for part in job.parts:
        _write_part(job, part)


def _write_part(job: Job, part: Part) -> None:
    columns = [*COLUMNS, "landmarks", "num_landmarks_labelled"]
    if job.options["attributes"]:
        columns += [name for name in COCO_ATTRIBUTES if name not in columns]
    columns += own_columns(job.options)
    with ExitStack() as stack:
        files = {}
        annotations = {}
        for member in job.classes:
            path = f"annotations/{part.name}/{member.file_name}.json"
            files[member.id] = stack.enter_context(job.files.open(path))
            files[member.id].write(b'{"info": {}, "licenses": [], "annotations": [')
            annotations[member.id] = Records(files[member.id])
        # Images follow the annotations, so that all files are written in a single pass over the rows.
        images: dict[int, list[pa.Array]] = {member.id: [] for member in job.classes}
        for _, texts_by_class in job.map(part, columns, _texts_by_class):
            for class_id, texts in texts_by_class.items():
                records = annotations[class_id]
                first = records.length + 1
                ids = pa.array(range(first, first + len(texts.before_id)), pa.int64())
                records.add(concat(texts.before_id, numbers(ids), texts.after_id))
                images[class_id].append(texts.images)
        for member in job.classes:
            file = files[member.id]
            file.write(b'],\n"images": [')
            records = Records(file)
            for texts in images[member.id]:
                records.add(texts)
            file.write(f'],\n"categories": [\n{json.dumps(keypoint_record(job, member))}]}}\n'.encode("ascii"))


class _Texts(NamedTuple):
    """The records of a class in a chunk.

    Attributes:
        images: record of each image.
        before_id, after_id: the record of each annotation before and after its id, which counts those of a file.
    """

    images: pa.Array
    before_id: pa.Array
    after_id: pa.Array


def _texts_by_class(work: ChunkWork, chunk: Chunk) -> dict[int, _Texts]:
    """Return the records of each class that a chunk has items of, by the id of the class."""
    note_without_category(work, chunk, "file")
    merged_ids = {member.id for member in work.classes.merged}
    by_class = {}
    for class_id, class_chunk in chunk.divided_by(work.classes.ids(chunk.items.column("category_id"))).items():
        is_merged = class_id in merged_ids
        if is_merged:
            note_merged(work, class_chunk.items.num_rows)
        pieces = annotation_pieces(work, class_chunk, [] if is_merged else _keypoint_pieces(class_chunk))
        by_class[class_id] = _Texts(image_texts(work, class_chunk), *(concat(*texts) for texts in pieces))
    return by_class


def _keypoint_pieces(chunk: Chunk) -> list[pa.Array | str]:
    """Return the pieces of the keypoints of each item of a category."""
    labelled = numbers(chunk.items.column("num_landmarks_labelled"))
    return [', "num_keypoints": ', labelled, ', "keypoints": ', number_lists(chunk.items.column("landmarks"))]


def keypoint_record(job: Job, member: Class) -> dict[str, Any]:
    """Return the COCO record of a class, with the keypoints of its category if it has a single one.

    ``skeleton`` and ``swap`` (pairs of landmarks that a horizontal flip exchanges) hold landmark numbers, counted from
    1. ``swap`` and ``sigmas`` are not part of COCO.
    """
    category = member.category
    if category is None:
        return class_record(job, member)
    slots = _slots(category)
    swaps = [(slot.landmark_no, slot.swap_slot - category.landmark_offset + 1) for slot in slots]
    return class_record(job, member) | {
        "keypoints": [slot.name for slot in slots],
        "skeleton": SKELETON[category.id],
        "swap": [pair for pair in swaps if pair[0] < pair[1]],
        "sigmas": [slot.oks_sigma for slot in slots],
    }


def _slots(category: Category) -> list[LandmarkSlot]:
    return [slot for slot in LANDMARK_SLOTS if slot.category_id == category.id]


def metainfo(member: Class) -> dict[str, Any]:
    """Return the keypoints of a class as mmpose's ``dataset_info``; {} if it merges several categories."""
    category = member.category
    if category is None:
        return {}
    slots = _slots(category)
    names = {slot.slot: slot.name for slot in slots}
    slot_names = [slot.name for slot in slots]
    return {
        "dataset_name": f"deepfashion2_{member.file_name}",
        "keypoint_info": {
            number: {
                "name": slot.name,
                "id": number,
                "color": [255, 128, 0],
                "type": "",
                "swap": names[slot.swap_slot] if slot.swap_slot != slot.slot else "",
            }
            for number, slot in enumerate(slots)
        },
        "skeleton_info": {
            number: {"link": (slot_names[first - 1], slot_names[second - 1]), "id": number, "color": [0, 128, 255]}
            for number, (first, second) in enumerate(SKELETON[category.id])
        },
        "joint_weights": [1.0] * len(slots),
        "sigmas": [slot.oks_sigma for slot in slots],
    }
