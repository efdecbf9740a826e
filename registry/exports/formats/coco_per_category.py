"""COCO by category: a file for each category with its keypoints, skeleton and left-right swaps.

Pose libraries train a single set of keypoints at a time. ``metainfo/CATEGORY.py`` describes each set for mmpose, which
reads it by ``metainfo=dict(from_file=...)``.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pprint import pformat
from typing import Any

import pyarrow as pa

from registry.dataset.deepfashion2 import CATEGORIES, LANDMARK_SLOTS, SKELETON, Category
from registry.exports.builtin import COCO_ATTRIBUTES
from registry.exports.columns.bounds import note_without_category
from registry.exports.columns.coco_records import COLUMNS, annotation_texts, category_record, image_texts
from registry.exports.columns.text import Records, number_lists, numbers
from registry.exports.job import Job
from registry.subset.rows import Part


def write(job: Job) -> None:
    """Write ``annotations/PART/CATEGORY.json`` for every part and category, and ``metainfo/CATEGORY.py``."""
    for category in CATEGORIES:
        text = f"dataset_info = {pformat(metainfo(category), sort_dicts=False, width=120, compact=True)}\n"
        job.files.write(f"metainfo/{category.coco_name}.py", text.encode("ascii"))
    for part in job.parts:
        _write_part(job, part)


def _write_part(job: Job, part: Part) -> None:
    columns = [*COLUMNS, "landmarks", "num_landmarks_labelled"]
    if job.options["attributes"]:
        columns += [name for name in COCO_ATTRIBUTES if name not in columns]
    with ExitStack() as stack:
        files = {}
        annotations = {}
        for category in CATEGORIES:
            path = f"annotations/{part.name}/{category.coco_name}.json"
            files[category.id] = stack.enter_context(job.files.open(path))
            files[category.id].write(b'{"info": {}, "licenses": [], "annotations": [')
            annotations[category.id] = Records(files[category.id])
        # Images follow the annotations, so that all files are written in a single pass over the rows.
        images: dict[int, list[pa.Array]] = {category.id: [] for category in CATEGORIES}
        for chunk in job.chunks(part, columns):
            note_without_category(job, chunk, "file")
            for category_id, category_chunk in chunk.by_category().items():
                keypoints: list[pa.Array | str] = [', "num_keypoints": ']
                keypoints += [numbers(category_chunk.items.column("num_landmarks_labelled")), ', "keypoints": ']
                keypoints += [number_lists(category_chunk.items.column("landmarks"))]
                records = annotations[category_id]
                records.add(annotation_texts(job, category_chunk, records.length + 1, keypoints))
                images[category_id].append(image_texts(job, category_chunk))
        for category in CATEGORIES:
            file = files[category.id]
            file.write(b'],\n"images": [')
            records = Records(file)
            for texts in images[category.id]:
                records.add(texts)
            file.write(f'],\n"categories": [\n{json.dumps(keypoint_record(job, category))}]}}\n'.encode("ascii"))


def keypoint_record(job: Job, category: Category) -> dict[str, Any]:
    """Return the COCO record of a category with its keypoints.

    ``skeleton`` and ``swap`` (pairs of landmarks that a horizontal flip exchanges) hold landmark numbers, counted from
    1. ``swap`` and ``sigmas`` are not part of COCO.
    """
    slots = [slot for slot in LANDMARK_SLOTS if slot.category_id == category.id]
    swaps = [(slot.landmark_no, slot.swap_slot - category.landmark_offset + 1) for slot in slots]
    return category_record(job, category) | {
        "keypoints": [slot.name for slot in slots],
        "skeleton": SKELETON[category.id],
        "swap": [pair for pair in swaps if pair[0] < pair[1]],
        "sigmas": [slot.oks_sigma for slot in slots],
    }


def metainfo(category: Category) -> dict[str, Any]:
    """Return the keypoints of a category as mmpose's ``dataset_info``."""
    slots = [slot for slot in LANDMARK_SLOTS if slot.category_id == category.id]
    names = {slot.slot: slot.name for slot in slots}
    slot_names = [slot.name for slot in slots]
    return {
        "dataset_name": f"deepfashion2_{category.coco_name}",
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
