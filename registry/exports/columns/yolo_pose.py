"""Landmarks in YOLO's pose labels: normalized ``x y v`` of each keypoint.

v means the same in the dataset and in YOLO: 2 visible, 1 occluded, 0 not labelled. An unlabelled landmark is ``0 0 0``.
So is a landmark outside the image, counted in the manifest: ultralytics does the same to keypoints that its
augmentation moves out of the image, and a keypoint moved to the border would be wrong. The option ``landmarks`` fits
the keypoints of 13 categories into a label:

``union``
    294 keypoints: the landmarks of the item's category in their slots, 0 0 0 elsewhere.
``padded``
    39 keypoints: the landmarks of the item's category, then 0 0 0. Keypoint 7 of a skirt and of a shirt have nothing in
    common, so there is no ``flip_idx`` for all categories and no sigmas; ultralytics then turns flips off and warns.
``per-category``
    A dataset per category in a folder of its own, with the category's number of keypoints, ``flip_idx`` and sigmas. An
    image is in the datasets of the categories of its items.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.deepfashion2 import CATEGORIES, LANDMARK_SLOTS, NUM_LANDMARK_SLOTS, Category
from registry.errors import UsageError
from registry.exports.columns.bounds import Sizes, note, share_texts, shares
from registry.exports.columns.text import choose, concat, join_groups, numbers
from registry.exports.job import Job
from registry.exports.work import ChunkWork

_MOST: Final = max(category.num_landmarks for category in CATEGORIES)
_NOTHING: Final = "0 0 0"


def landmark_texts(work: ChunkWork, items: pa.RecordBatch, sizes: Sizes) -> pa.Array:
    """Return the keypoints of each item: ``x y v x y v ...``."""
    landmarks = items.column("landmarks")
    counts = pc.divide(pc.list_value_length(landmarks), 3)
    triples = pa.FixedSizeListArray.from_arrays(landmarks.flatten(), 3)
    x, y, v = (pc.list_element(triples, k) for k in range(3))
    owners = pc.list_parent_indices(landmarks)
    width, height = (size.take(pc.list_element(pa.FixedSizeListArray.from_arrays(owners, 3), 0)) for size in sizes)

    labelled = pc.greater(v, 0)
    inside = pc.and_(_is_between(x, width), _is_between(y, height))
    shown = pc.and_(labelled, inside)
    outside = pc.sum(pc.and_(labelled, pc.invert(inside))).as_py()
    note(work, "landmarks", "lie outside the image: written as not labelled (0 0 0)", outside)
    texts = concat(share_texts(shares(x, width)), " ", share_texts(shares(y, height)), " ", numbers(v))
    keypoints = join_groups(pc.if_else(shown, texts, _NOTHING), counts.to_pylist(), " ")

    layout = work.options["landmarks"]
    if layout == "per-category":
        return keypoints
    position = pc.subtract(items.column("category_id").cast(pa.int32()), 1)
    before, after = (0 for _ in CATEGORIES), (_MOST - category.num_landmarks for category in CATEGORIES)
    if layout != "padded":
        before = (category.landmark_offset for category in CATEGORIES)
        after = (NUM_LANDMARK_SLOTS - c.landmark_offset - c.num_landmarks for c in CATEGORIES)
    return concat(
        choose((f"{_NOTHING} " * number for number in before), position),
        keypoints,
        choose((f" {_NOTHING}" * number for number in after), position),
    )


def refuse_merged(job: Job) -> None:
    """Check that no class merges several categories.

    Raises:
        UsageError: classes do; the message names them.
    """
    if job.classes.merged:
        raise UsageError(
            "A pose has the landmarks of one category, and these classes merge several, whose landmarks have nothing "
            f"in common: {', '.join(map(str, job.classes.merged))}. Choose --task detect or segment, or give each "
            "category a class of its own."
        )


def keypoint_lines(job: Job, category: Category | None) -> list[str]:
    """Return the lines of ``data.yaml`` about keypoints; of all categories if ``category`` is None."""
    if job.options["landmarks"] == "padded":
        return [f"kpt_shape: [{_MOST}, 3]", "# no flip_idx: there is none that is right for every class"]
    slots = [slot for slot in LANDMARK_SLOTS if category is None or slot.category_id == category.id]
    first = slots[0].slot
    return [
        f"kpt_shape: [{len(slots)}, 3]",
        f"flip_idx: [{', '.join(str(slot.swap_slot - first) for slot in slots)}]",
        f"kpt_oks_sigmas: [{', '.join(str(slot.oks_sigma) for slot in slots)}]",
    ]


def _is_between(values: pa.Array, highest: pa.Array) -> pa.Array:
    return pc.and_(pc.greater_equal(values, 0), pc.less_equal(values, highest))
