"""How much each prediction overlaps each item of its image: IoU of boxes, IoU of masks, OKS of landmarks.

The numbers are those of pycocotools to the last bit, as its code computes them in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import CATEGORIES, LANDMARK_SLOTS, NUM_LANDMARK_SLOTS
from registry.dataset.masks import mask_of
from registry.errors import AnnotationError

if TYPE_CHECKING:
    from registry.evaluation.detections import Detections
    from registry.evaluation.truth import Truth

#: Pairs that overlap less are left out: below it, TIDE counts a detection as one of background.
MIN_OVERLAP: Final = 0.1
#: Pairs computed at a time.
_BLOCK: Final = 400_000
_SIGMAS: Final = np.array([slot.oks_sigma for slot in LANDMARK_SLOTS])
#: Added to an area so that nothing is divided by zero, as in pycocotools.
_TINY: Final = float(np.spacing(1))


@dataclass(frozen=True)
class Overlaps:
    """Pairs of a detection and an item of the same image that overlap by at least :data:`MIN_OVERLAP`.

    Attributes:
        detection: int64 [pairs], ascending: position of the detection.
        item: int64 [pairs], ascending within a detection: position of the item.
        value: float64 [pairs]: IoU or OKS, from 0 to 1.
    """

    detection: Ints
    item: Ints
    value: Floats

    def of(self, chosen: Bools) -> Overlaps:
        """Return the pairs with a True."""
        return Overlaps(self.detection[chosen], self.item[chosen], self.value[chosen])


def box_overlaps(truth: Truth, detections: Detections) -> Overlaps:
    """Return the IoU of boxes, of the same or different categories."""
    assert detections.boxes is not None
    blocks = []
    for detection, item in _pairs(truth, detections):
        values = box_iou(detections.boxes[detection], truth.boxes[item])
        blocks.append(_at_least_minimum(detection, item, values))
    return _joined(blocks)


def box_iou(boxes: Floats, others: Floats) -> Floats:
    """Return the IoU of each box with the box in the same row; both are [n, 4]: x, y, width, height."""
    width = np.minimum(boxes[:, 2] + boxes[:, 0], others[:, 2] + others[:, 0]) - np.maximum(boxes[:, 0], others[:, 0])
    height = np.minimum(boxes[:, 3] + boxes[:, 1], others[:, 3] + others[:, 1]) - np.maximum(boxes[:, 1], others[:, 1])
    common = width * height
    union = boxes[:, 2] * boxes[:, 3] + others[:, 2] * others[:, 3] - common
    values = np.zeros(len(boxes))
    np.divide(common, union, out=values, where=(width > 0) & (height > 0))
    return values


def mask_overlaps(truth: Truth, detections: Detections) -> Overlaps:
    """Return the IoU of masks, of the same or different categories.

    The masks of an image of unknown size are drawn as large as the first predicted mask in it.
    """
    from pycocotools import mask

    assert detections.masks is not None
    order = np.argsort(detections.image, kind="stable")
    blocks = []
    for members in np.split(order, np.flatnonzero(np.diff(detections.image[order])) + 1):
        if not len(members):
            continue
        items = truth.items_of(int(detections.image[members[0]]))
        predicted = [detections.masks[k] for k in members]
        drawn = [_drawn(truth, k, predicted[0]["size"]) for k in items]
        if not drawn:
            continue
        values = np.asarray(mask.iou(predicted, drawn, [0] * len(drawn)), np.float64)
        detection, item = np.repeat(members, len(items)), np.tile(items, len(members))
        blocks.append(_at_least_minimum(detection, item, values.ravel()))
    overlaps = _joined(blocks)
    order = np.argsort(overlaps.detection, kind="stable")
    return Overlaps(overlaps.detection[order], overlaps.item[order], overlaps.value[order])


def _drawn(truth: Truth, item: int, size: list[int]) -> dict[str, Any]:
    """Return the mask of an item; one of nothing where it has no polygon."""
    height, width = truth.sizes[truth.image[item]]
    if width < 0 or height < 0:
        height, width = size
    try:
        drawn = mask_of(truth.segmentation(item), int(width), int(height))
    except AnnotationError as error:
        row = {name: truth.items.column(name)[item].as_py() for name in ("split", "image_id", "item_no")}
        raise AnnotationError(
            f"{row['split']}, image {row['image_id']}, item {row['item_no']} of the registry: {error} Correct the item "
            "(df2 correct), or evaluate other images (--where)."
        ) from error
    return drawn or {"size": [int(height), int(width)], "counts": _empty_counts(int(height) * int(width))}


def _empty_counts(num_pixels: int) -> bytes:
    """Return the compressed counts of a mask without any pixel, as COCO writes them: one run of zeros."""
    text = bytearray()
    more = True
    while more:
        five = num_pixels & 0x1F
        num_pixels >>= 5
        more = num_pixels != (-1 if five & 0x10 else 0)
        text.append((five | (0x20 if more else 0)) + 48)
    return bytes(text)


def landmark_overlaps(truth: Truth, detections: Detections, *, visible_only: bool) -> Overlaps:
    """Return the OKS of landmarks, of the same category, as different categories have different landmarks.

    Args:
        truth: the items.
        detections: with landmarks.
        visible_only: whether occluded landmarks (v = 1) count as not labelled.
    """
    blocks = []
    for pairs in _pairs(truth, detections):
        is_same = detections.category_id[pairs[0]] == truth.category_id[pairs[1]]
        detection, item = (side[is_same] for side in pairs)
        values = np.empty(len(detection))
        num_labelled = truth.num_labelled(visible_only=visible_only)[item]
        category_ids = truth.category_id[item]
        for category in CATEGORIES:
            of_category = category_ids == category.id
            for number in np.unique(num_labelled[of_category]):
                chosen = np.flatnonzero(of_category & (num_labelled == number))
                oks = _oks_of_unlabelled if number == 0 else _oks
                values[chosen] = oks(truth, detections, detection[chosen], item[chosen], visible_only)
        blocks.append(_at_least_minimum(detection, item, values))
    return _joined(blocks)


def _oks(truth: Truth, detections: Detections, detection: Ints, item: Ints, visible_only: bool) -> Floats:
    """Return the OKS of pairs of one category whose items have equally many labelled landmarks."""
    category = CATEGORIES[truth.category_id[item[0]] - 1]
    sigmas = _SIGMAS[category.landmark_offset : category.landmark_offset + category.num_landmarks]
    x, y, v = np.moveaxis(truth.landmarks_of(item), 2, 0)
    points = detections.landmarks_of(detection)
    squares = (points[:, :, 0] - x) ** 2 + (points[:, :, 1] - y) ** 2
    errors = squares / (sigmas * 2) ** 2 / (truth.box_areas()[item] + _TINY)[:, None] / 2
    is_labelled = v > 1 if visible_only else v > 0
    # As many in every row: each is summed as an array of its own, which keeps the last bit.
    labelled = errors[is_labelled].reshape(len(item), -1)
    return np.asarray(np.sum(np.exp(-labelled), axis=1) / labelled.shape[1], np.float64)


def _oks_of_unlabelled(truth: Truth, detections: Detections, detection: Ints, item: Ints, _: bool) -> Floats:
    """Return the OKS of pairs whose items have no labelled landmark.

    pycocotools measures how far all 294 slots, zeros included, are from a box three times as large around the item.
    Such items are ignored, but so are the detections that match them.
    """
    values = np.empty(len(item))
    size = _BLOCK // NUM_LANDMARK_SLOTS
    for start in range(0, len(item), size):
        rows = slice(start, start + size)
        x, y, width, height = (side[:, None] for side in truth.boxes[item[rows]].T)
        points = detections.slots_of(detection[rows])
        dx, dy = (
            np.maximum(0.0, low - at) + np.maximum(0.0, at - high)
            for at, low, high in (
                (points[:, :, 0], x - width, x + width * 2),
                (points[:, :, 1], y - height, y + height * 2),
            )
        )
        errors = (dx**2 + dy**2) / (_SIGMAS * 2) ** 2 / (truth.box_areas()[item[rows]] + _TINY)[:, None] / 2
        values[rows] = np.sum(np.exp(-errors), axis=1) / NUM_LANDMARK_SLOTS
    return values


def _pairs(truth: Truth, detections: Detections) -> Iterator[tuple[Ints, Ints]]:
    """Yield all pairs of a detection and an item of its image, in blocks, by detection and then item."""
    num_items = truth.num_items[detections.image]
    ends = np.cumsum(num_items)
    start = 0
    while start < len(num_items):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK, "right")))
        counts = num_items[start:stop]
        detection = np.repeat(np.arange(start, stop), counts)
        number = np.arange(len(detection)) - np.repeat(np.cumsum(counts) - counts, counts)
        yield detection, truth.first_item[detections.image[detection]] + number
        start = stop


def _at_least_minimum(detection: Ints, item: Ints, values: Floats) -> Overlaps:
    return Overlaps(detection, item, values).of(values >= MIN_OVERLAP)


def _joined(parts: list[Overlaps]) -> Overlaps:
    empty = Overlaps(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    parts = [empty, *parts]
    return Overlaps(
        np.concatenate([part.detection for part in parts]),
        np.concatenate([part.item for part in parts]),
        np.concatenate([part.value for part in parts]),
    )
