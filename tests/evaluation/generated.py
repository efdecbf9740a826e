"""A registry of random annotations, and random predictions for it: ties, duplicates, empty and crowded images."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, NUM_LANDMARK_SLOTS
from registry.ingest.build import ingest
from registry.store.registry import Registry
from registry.subset.rows import SPLIT_STRIDE
from tests.helpers import annotation, item, jpeg, write_split

WIDTH, HEIGHT = 200, 150
#: Few, so that a detection has several items to choose from.
CATEGORY_IDS = (1, 8, 9)


def make_registry(folder: Path) -> Path:
    """Return a registry of validation and train with 1 to 9 items an image, and photos alone in test."""
    rng = random.Random(5)
    photos = {image_id: jpeg(WIDTH, HEIGHT) for image_id in range(1, 26)}
    for split in ("train", "validation"):
        rows = {image_id: _image(rng) for image_id in range(1, 26)}
        ingest(split, str(write_split(folder / split, rows, photos)), str(folder / "registry"), jobs=1)
    ingest("test", str(write_split(folder / "test", {}, photos)), str(folder / "registry"), jobs=1)
    return folder / "registry"


def _image(rng: random.Random) -> dict[str, Any]:
    rows = [_item(rng) for _ in range(rng.choice([1, 1, 2, 3, 9]))]
    return annotation(rows, rng.choice(["user", "shop"]), rng.randint(1, 6))


def _item(rng: random.Random) -> dict[str, Any]:
    category = CATEGORY_BY_ID[rng.choice(CATEGORY_IDS)]
    width, height = rng.randint(5, 120), rng.randint(5, 100)
    x, y = rng.randint(0, WIDTH - width), rng.randint(0, HEIGHT - height)
    share = rng.choice([0.0, 0.5, 1.0])  # of landmarks that are labelled
    landmarks: list[int] = []
    for _ in range(category.num_landmarks):
        if rng.random() < share:
            landmarks += [x + rng.randint(0, width), y + rng.randint(0, height), rng.choice([1, 2])]
        else:
            landmarks += [0, 0, 0]
    codes = {name: rng.randint(1, 3) for name in ("scale", "occlusion", "zoom_in", "viewpoint")}
    polygons = [_triangle(rng, x, y, width, height) for _ in range(rng.choice([1, 1, 2]))]
    return item(
        category.id, rng.randint(0, 2), bounding_box=[x, y, x + width, y + height], landmarks=landmarks,
        segmentation=polygons, **codes,
    )  # fmt: skip


def _triangle(rng: random.Random, x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y + rng.uniform(0, height), x + rng.uniform(0, width), y + height]


def make_predictions(df2: Registry, splits: Sequence[str], seed: int, *, several: bool = False) -> list[dict[str, Any]]:
    """Return records of a COCO results file: boxes, masks and 294 landmarks near the items, some of them elsewhere.

    Args:
        df2: the registry.
        splits: whose images are predicted.
        seed: of the random numbers.
        several: whether the ids are those of an export of several splits.
    """
    rng = random.Random(seed)
    records: list[dict[str, Any]] = []
    for split in splits:
        query = "FROM items WHERE split = $split ORDER BY image_id, item_order"
        offset = SPLIT_STRIDE * (2 if split == "validation" else 1) if several else 0
        for row in df2.sql(query, {"split": split}).to_arrow_table().to_pylist():
            for _ in range(rng.choice([0, 1, 1, 2, 6])):
                records.append(_prediction(rng, row, offset))
                if rng.random() < 0.1:  # with the same box, as two classes or scores of one
                    records.append({**records[-1], "score": records[-1]["score"] + 0.05})
    rng.shuffle(records)
    # A record that stands twice is refused; two with the same score or the same box are not.
    return list(
        {
            str([record[key] for key in ("image_id", "category_id", "score", "bbox")]): record for record in records
        }.values()
    )


def unique_predictions(df2: Registry, seed: int) -> list[dict[str, Any]]:
    """Return predictions for validation of which no two are the same."""
    keys = ("image_id", "category_id", "score", "bbox")
    records = make_predictions(df2, ["validation"], seed)
    return list({json.dumps([record[key] for key in keys]): record for record in records}.values())


def _prediction(rng: random.Random, row: dict[str, Any], offset: int) -> dict[str, Any]:
    spread = rng.choice([0.0, 2.0, 8.0, 40.0])
    x, y, width, height = (
        round(side + rng.gauss(0, spread), 2)
        for side in (row["x1"], row["y1"], row["x2"] - row["x1"], row["y2"] - row["y1"])
    )
    width, height = max(width, 0.5), max(height, 0.5)
    category = CATEGORY_BY_ID[row["category_id"] if rng.random() < 0.8 else rng.choice([1, 8, 9, 13])]
    keypoints = [0.0] * (3 * NUM_LANDMARK_SLOTS)
    own = CATEGORIES[row["category_id"] - 1]
    for k in range(category.num_landmarks):
        at = 3 * (category.landmark_offset + k)
        near = row["landmarks"][3 * (k % own.num_landmarks) :][:2]
        keypoints[at : at + 3] = [near[0] + rng.gauss(0, spread / 4), near[1] + rng.gauss(0, spread / 4), 1]
    for _ in range(rng.choice([0, 0, 3])):  # slots of other categories, which count for items without landmarks alone
        at = 3 * rng.randrange(NUM_LANDMARK_SLOTS)
        if keypoints[at + 2] == 0:
            keypoints[at : at + 3] = [rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), 1]
    return {
        "image_id": row["image_id"] + offset,
        "category_id": category.id,
        "score": round(rng.random(), 1),
        "bbox": [x, y, width, height],
        "segmentation": [[number + rng.gauss(0, spread / 2) for number in points] for points in row["segmentation"]],
        "keypoints": keypoints,
    }
