"""The rules of the official retrieval evaluation, written anew from its description to test without its script.

Each detection goes to the listed consumer item of its photo that it overlaps most, without a threshold and to the
lowest row of equals. Of the detections of an item with a style, of its category, the best scored answers for it. A
rank is right if it names a photo with a shop item of the same pair_id and style, with a box that overlaps it by half.
An item with a style and without such a shop item stops the script.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

RANKS = (1, 5, 10, 20)
Row = Mapping[str, Any]


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the overlap of two boxes x1, y1, x2, y2 as a share of what they cover together."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return both / (areas - both) if both else 0.0


def hits(submission: Sequence[Row], queries: Sequence[Row], gallery: Sequence[Row]) -> tuple[dict[int, int], int]:
    """Return the number of queries answered within each of :data:`RANKS`, and the number of all queries.

    Args:
        submission: records as the official evaluation takes them, one for each detected item.
        queries: records of the query list.
        gallery: records of the gallery list.

    Raises:
        AssertionError: where the official script stops.
    """
    detections: dict[int, list[Row]] = defaultdict(list)
    for detection in submission:
        detections[detection["query_image_id"]].append(detection)
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in queries:
        rows[row["query_image_id"]].append(row)
    answers: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in gallery:
        answers[row["pair_id"], row["style"]].append(row)
    found = dict.fromkeys(RANKS, 0)
    for image_id, listed in rows.items():
        if not detections[image_id]:
            continue
        assert len({row["pair_id"] for row in listed}) == 1, f"several pair_ids in image {image_id}"
        owners = [
            max(range(len(listed)), key=lambda k: (iou(detection["query_bbox"], listed[k]["bbox"]), -k))
            for detection in detections[image_id]
        ]
        for number, row in enumerate(listed):
            own = [
                detection
                for detection, owner in zip(detections[image_id], owners, strict=True)
                if owner == number and detection["query_cls"] == row["cls"]
            ]
            if row["style"] <= 0 or not own:
                continue
            right = answers[row["pair_id"], row["style"]]
            assert right, f"image {image_id}: no counterpart"
            best = max(own, key=lambda detection: detection["query_score"])
            for rank in RANKS:
                ranked = zip(best["gallery_image_id"][:rank], best["gallery_bbox"][:rank], strict=True)
                found[rank] += any(
                    answer["gallery_image_id"] == shop and iou(box, answer["bbox"]) >= 0.5
                    for shop, box in ranked
                    for answer in right
                )
    return found, sum(row["style"] > 0 for row in queries)
