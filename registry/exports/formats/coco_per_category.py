"""COCO by category: a file for each category with its keypoints, skeleton and left-right swaps.

Pose libraries train a single set of keypoints at a time. ``metainfo/CATEGORY.py`` describes each set for mmpose, which
reads it by ``metainfo=dict(from_file=...)``. With ``--classes`` there is a file for each class; that of a class that
merges several categories has no keypoints, and no metainfo.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pprint import pformat
from typing import Any

import pyarrow as pa

from registry.dataset.deepfashion2 import LANDMARK_SLOTS, SKELETON, Category, LandmarkSlot
from registry.exports.builtin import COCO_ATTRIBUTES
from registry.exports.columns.bounds import note_without_category
from registry.exports.columns.classes import note_merged
from registry.exports.columns.coco_records import COLUMNS, annotation_texts, class_record, image_texts
from registry.exports.columns.own_values import own_columns
from registry.exports.columns.text import Records, number_lists, numbers
from registry.exports.job import Job
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
        merged_ids = {member.id for member in job.classes.merged}
        for chunk in job.chunks(part, columns):
            note_without_category(job, chunk, "file")
            for class_id, class_chunk in chunk.divided_by(job.classes.ids(chunk.items.column("category_id"))).items():
                is_merged = class_id in merged_ids
                if is_merged:
                    note_merged(job, class_chunk.items.num_rows)
                keypoints = [] if is_merged else _keypoint_pieces(class_chunk)
                records = annotations[class_id]
                records.add(annotation_texts(job, class_chunk, records.length + 1, keypoints))
                images[class_id].append(image_texts(job, class_chunk))
        for member in job.classes:
            file = files[member.id]
            file.write(b'],\n"images": [')
            records = Records(file)
            for texts in images[member.id]:
                records.add(texts)
            file.write(f'],\n"categories": [\n{json.dumps(keypoint_record(job, member))}]}}\n'.encode("ascii"))


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
