"""Predictions beside items, built from plain rows without a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from registry.dataset.deepfashion2 import CATEGORIES
from registry.dataset.masks import mask_of
from registry.evaluation.detection import BOXES, LANDMARKS, MASKS, Comparison
from registry.evaluation.detections import Detections
from registry.evaluation.truth import Truth

WIDTH, HEIGHT = 200, 150
_ATTRIBUTES = ("style", "scale", "occlusion", "zoom_in", "viewpoint")


def garment(category_id: int, box: Sequence[float], **more: Any) -> dict[str, Any]:
    """Return an item.

    Args:
        category_id: 1 to 13.
        box: x, y, width, height, px.
        more: ``chosen`` (whether it is in the subset), ``landmarks`` (flat x, y, v), ``segmentation``, attributes.
    """
    return {"category_id": category_id, "box": box, **more}


def prediction(image_id: int, category_id: int, box: Sequence[float], score: float, **more: Any) -> dict[str, Any]:
    """Return a prediction for an image; ``landmarks`` are flat x, y, and ``segmentation`` is a list of polygons."""
    return {"image_id": image_id, "category_id": category_id, "box": box, "score": score, **more}


def make_truth(
    images: Mapping[int, Sequence[dict[str, Any]]], pair_ids: Mapping[int, int | None] | None = None
) -> Truth:
    """Return the items of images of validation.

    Args:
        images: image_id -> its items, as :func:`garment` makes them.
        pair_ids: image_id -> pair_id; without it, every image has its own.
    """
    pair_id_of = {k: k for k in images} if pair_ids is None else dict(pair_ids)
    ids = sorted(images)
    rows = [(at, image_id, no, row) for at, image_id in enumerate(ids) for no, row in enumerate(images[image_id], 1)]
    column: dict[str, Any] = {
        "split": pa.array(["validation"] * len(rows), pa.string()),
        "image_id": pa.array([image_id for _, image_id, _, _ in rows], pa.int32()),
        "item_no": pa.array([no for _, _, no, _ in rows], pa.int16()),
        "category_id": pa.array([row["category_id"] for *_, row in rows], pa.int8()),
        "category_name": pa.array([CATEGORIES[row["category_id"] - 1].name for *_, row in rows], pa.string()),
        "source": pa.array(["user"] * len(rows), pa.string()),
        "pair_id": pa.array([pair_id_of[image_id] for _, image_id, _, _ in rows], pa.int32()),
        "landmarks": pa.array([row.get("landmarks") for *_, row in rows], pa.list_(pa.int32())),
        "segmentation": pa.array([row.get("segmentation") for *_, row in rows], pa.list_(pa.list_(pa.float64()))),
    }
    column |= {name: pa.array([row.get(name, 1) for *_, row in rows], pa.int32()) for name in _ATTRIBUTES}
    return Truth(
        images=pa.table(
            {
                "split": pa.array(["validation"] * len(ids), pa.string()),
                "image_id": pa.array(ids, pa.int32()),
                "source": pa.array(["user"] * len(ids), pa.string()),
                "pair_id": pa.array([pair_id_of[image_id] for image_id in ids], pa.int32()),
                "width": pa.array([WIDTH] * len(ids), pa.int32()),
                "height": pa.array([HEIGHT] * len(ids), pa.int32()),
            }
        ),
        items=pa.table(column),
        chosen=np.array([row.get("chosen", True) for *_, row in rows], bool),
        image=np.array([at for at, *_ in rows], np.int64),
        category_id=np.array([row["category_id"] for *_, row in rows], np.int64),
        boxes=np.array([row["box"] for *_, row in rows], np.float64).reshape(-1, 4),
    )


def make_detections(truth: Truth, rows: Sequence[dict[str, Any]], task: str = BOXES) -> Detections:
    """Return predictions, as :func:`prediction` makes them, for the images of a truth."""
    place = {image_id: k for k, image_id in enumerate(truth.images.column("image_id").to_pylist())}
    boxes = np.array([row["box"] for row in rows], np.float64).reshape(-1, 4)
    detections = Detections(
        image=np.array([place[row["image_id"]] for row in rows], np.int64),
        category_id=np.array([row["category_id"] for row in rows], np.int64),
        score=np.array([row["score"] for row in rows], np.float64),
        position=np.arange(len(rows)),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
    )
    if task == MASKS:
        masks = [mask_of(row["segmentation"], WIDTH, HEIGHT) for row in rows]
        return replace(detections, masks=masks)
    if task == LANDMARKS:
        numbers = [np.asarray(row["landmarks"], np.float64) for row in rows]
        return replace(detections, landmarks=np.concatenate([np.empty(0), *numbers]))
    return detections


def compare(
    images: Mapping[int, Sequence[dict[str, Any]]],
    predictions: Sequence[dict[str, Any]],
    *,
    task: str = BOXES,
    pair_ids: Mapping[int, int | None] | None = None,
    visible_only: bool = False,
) -> Comparison:
    """Return predictions beside the items of images."""
    truth = make_truth(images, pair_ids)
    return Comparison(task, truth, make_detections(truth, predictions, task), visible_only)


def perfect(images: Mapping[int, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the items of images as predictions with score 1."""
    return [
        prediction(
            image_id, row["category_id"], row["box"], 1.0, segmentation=row.get("segmentation"),
            landmarks=[number for k, number in enumerate(row.get("landmarks", ())) if k % 3 < 2],
        )
        for image_id, rows in images.items()
        for row in rows
    ]  # fmt: skip


def random_images(rng: np.random.Generator, number: int) -> dict[int, list[dict[str, Any]]]:
    """Return images with 0 to 5 items of a few categories each, some of them outside the subset."""
    return {
        image_id: [_random_garment(rng) for _ in range(int(rng.integers(0, 6)))] for image_id in range(1, number + 1)
    }


def _random_garment(rng: np.random.Generator) -> dict[str, Any]:
    category = CATEGORIES[int(rng.choice([1, 8, 9])) - 1]
    width, height = (float(side) for side in rng.integers(10, 100, 2))
    x, y = float(rng.integers(0, WIDTH - width)), float(rng.integers(0, HEIGHT - height))
    landmarks: list[int] = []
    for _ in range(category.num_landmarks):
        landmarks += [int(x + rng.uniform(0, width)), int(y + rng.uniform(0, height)), int(rng.integers(0, 3))]
    return garment(
        category.id, (x, y, width, height), chosen=bool(rng.random() < 0.9), landmarks=landmarks,
        occlusion=int(rng.integers(1, 4)), segmentation=[[x, y, x + width, y, x + width, y + height, x, y + height]],
    )  # fmt: skip


def random_predictions(
    rng: np.random.Generator, images: Mapping[int, Sequence[dict[str, Any]]], *, ties: bool = True
) -> list[dict[str, Any]]:
    """Return predictions near the items of images and elsewhere, in random order; without ties all scores differ."""
    rows = []
    for image_id, items in images.items():
        for item in items:
            for _ in range(int(rng.choice([0, 1, 1, 2, 4]))):
                spread = float(rng.choice([0.0, 2.0, 8.0, 30.0]))
                box = np.asarray(item["box"]) + rng.normal(0, spread, 4)
                x, y, width, height = (*box[:2], *np.maximum(box[2:], 1.0))
                category = CATEGORIES[int(item["category_id"] if rng.random() < 0.8 else rng.choice([1, 8, 9, 13])) - 1]
                near = np.resize(np.asarray(item["landmarks"]).reshape(-1, 3)[:, :2], (category.num_landmarks, 2))
                rows.append(
                    prediction(
                        image_id,
                        category.id,
                        (x, y, width, height),
                        round(rng.random(), 1) if ties else rng.random(),
                        landmarks=(near + rng.normal(0, spread / 4, near.shape)).ravel(),
                        segmentation=[[x, y, x + width, y, x + width, y + height, x, y + height]],
                    )
                )
    return [rows[k] for k in rng.permutation(len(rows))]
