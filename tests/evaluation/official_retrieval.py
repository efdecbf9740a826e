"""The official retrieval protocol, written anew and plainly from its description; the oracle of the tests.

Its overlaps are those of pycocotools. Everything is a loop, nothing is checked, and it stops where the script stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask

TOP = (1, 5, 10, 15, 20)


def official_accuracy(
    queries: Sequence[Mapping[str, Any]], gallery: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Return top-k for each k.

    Args:
        queries: records of ``val_query.json``; those of style 0 are rows that detections can go to.
        gallery: records of ``val_gallery.json``.
        results: records of a submission.

    Raises:
        AssertionError, IndexError, ValueError: as the script.
    """
    detections = []
    for result in results:
        boxes = np.array(result["gallery_bbox"])
        boxes = np.column_stack([boxes[:, 0], boxes[:, 1], boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]])
        detections.append({**result, "box": _xywh(result["query_bbox"]), "boxes": boxes.tolist()})
    number = sum(query["style"] > 0 for query in queries)
    right = dict.fromkeys(TOP, 0)
    for image_id in sorted({query["query_image_id"] for query in queries}):
        found = [detection for detection in detections if detection["query_image_id"] == image_id]
        if not found:
            continue
        rows = [query for query in queries if query["query_image_id"] == image_id]
        assert len({row["pair_id"] for row in rows}) == 1
        overlaps = _iou([detection["box"] for detection in found], [_xywh(row["bbox"]) for row in rows])
        goes_to = [int(np.argmax(overlaps[k])) for k in range(len(found))]
        for number_of_row, row in enumerate(rows):
            if row["style"] == 0:
                continue
            of_row = [
                detection
                for detection, goes in zip(found, goes_to, strict=True)
                if goes == number_of_row and detection["query_cls"] == row["cls"]
            ]
            if not of_row:
                continue
            best = of_row[int(np.argmax([detection["query_score"] for detection in of_row]))]
            answers = [item for item in gallery if item["pair_id"] == row["pair_id"] and item["style"] == row["style"]]
            assert answers
            rank = _first_right(best, answers)
            for k in TOP:
                right[k] += rank < k
    return {f"top-{k}": right[k] / number for k in TOP}


def _first_right(detection: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> int:
    """Return the position of the first right answer, from 0; 20 for none."""
    for rank in range(20):
        image_id, box = detection["gallery_image_id"][rank], detection["boxes"][rank]
        boxes = [_xywh(item["bbox"]) for item in answers if item["gallery_image_id"] == image_id]
        if boxes and _iou([box], boxes).max() >= 0.5:
            return rank
    return 20


def _xywh(box: Sequence[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _iou(boxes: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> np.ndarray:
    return np.asarray(mask.iou(np.array(boxes, float), np.array(others, float), [0] * len(others)))
