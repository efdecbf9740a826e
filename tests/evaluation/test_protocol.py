"""Scores beside those of pycocotools, which reads the registry's own export as COCO."""

from __future__ import annotations

import contextlib
import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import registry
from registry.dataset.deepfashion2 import LANDMARK_SLOTS
from registry.evaluation.detection import BOXES, LANDMARKS, MASKS, Comparison
from registry.evaluation.image_index import read_image_index
from registry.evaluation.precision import Precision
from registry.evaluation.predictions import read_predictions
from registry.evaluation.slices import category_slices, read_slices
from registry.evaluation.truth import Truth, read_truth
from registry.store.registry import Registry
from registry.store.selection import Selection
from tests.evaluation.generated import make_predictions, make_registry

KINDS: Final = {BOXES: "bbox", MASKS: "segm", LANDMARKS: "keypoints"}
TASKS: Final = list(KINDS)
#: Equal to the last bit where pycocotools adds in the same order; the requirement is this.
TOLERANCE: Final = 1e-12

Document = dict[str, Any]
Records = list[dict[str, Any]]


@pytest.fixture(scope="module")
def df2(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return registry.open(str(make_registry(tmp_path_factory.mktemp("generated"))))


@lru_cache(maxsize=1)
def validation_of(df2: Registry) -> Selection:
    """Return the items of validation, chosen once."""
    return df2.select(split="validation")


@pytest.fixture(scope="module")
def exported(df2: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    """Return the registry's COCO files of train and of validation."""
    folder = tmp_path_factory.mktemp("exported")
    registry.export(df2, "coco", str(folder / "coco"), subset={"split": ["train", "validation"]})
    return {
        split: json.loads((folder / f"coco/annotations/{split}.json").read_text()) for split in ("train", "validation")
    }


def compared(selection: Selection, records: Records, path: Path, task: str, **options: Any) -> Comparison:
    """Return predictions, read from a file, beside the items of a selection."""
    path.write_text(json.dumps(records))
    truth = read_truth(selection, landmarks=task == LANDMARKS, masks=task == MASKS)
    index = read_image_index(selection, truth, landmarks=task == LANDMARKS)
    return Comparison(task, truth, read_predictions(str(path), index, task), **options)  # type: ignore[arg-type]


def with_own_annotations(document: Document) -> Document:
    """Return a COCO file whose annotations may get other values; their lists of numbers are shared."""
    return {**document, "annotations": [dict(row) for row in document["annotations"]]}


def by_pycocotools(document: Document, records: Records, task: str, *, of_sizes: bool = False) -> COCOeval:
    """Return the evaluation of pycocotools, of items of every size alone unless ``of_sizes``."""
    records = [dict(record) for record in records]  # pycocotools adds values, and changes no list of numbers
    if task != MASKS:
        for record in records:
            record.pop("segmentation")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = with_own_annotations(document)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(records), KINDS[task])
        if task == LANDMARKS:
            evaluation.params.kpt_oks_sigmas = np.array([slot.oks_sigma for slot in LANDMARK_SLOTS])
        if not of_sizes:
            evaluation.params.areaRng = evaluation.params.areaRng[:1]
            evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def assert_same(precision: Precision, evaluation: COCOeval, area: int = 0) -> None:
    assert len(precision.limits) == len(evaluation.params.maxDets)
    expected = evaluation.eval
    assert np.abs(precision.precision - expected["precision"][:, :, :, area, -1]).max() <= TOLERANCE
    for k in range(len(precision.limits)):
        assert np.abs(precision.recall[k] - expected["recall"][:, :, area, k]).max() <= TOLERANCE


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("task", TASKS)
def test_precision_and_recall_are_those_of_pycocotools(
    df2: Registry, exported: dict[str, Document], tmp_path: Path, task: str, seed: int
) -> None:
    records = make_predictions(df2, ["validation"], seed)
    comparison = compared(validation_of(df2), records, tmp_path / "p.json", task)
    evaluation = by_pycocotools(exported["validation"], records, task, of_sizes=True)
    precision = comparison.precision(comparison.part())
    assert_same(precision, evaluation)
    assert 0.1 < (precision.average_precision() or 0) < 0.9
    for area, part in enumerate(comparison.sizes(), 1):
        assert_same(comparison.precision(part), evaluation, area)
    assert area == len(evaluation.params.areaRng) - 1


@pytest.mark.parametrize("task", TASKS)
def test_several_splits_are_scored_together(
    df2: Registry, exported: dict[str, Document], tmp_path: Path, task: str
) -> None:
    records = make_predictions(df2, ["train", "validation"], 9, several=True)
    comparison = compared(df2.select(split=["train", "validation"]), records, tmp_path / "p.json", task)
    document: Document = {**exported["train"], "images": [], "annotations": []}
    for number, split in enumerate(("train", "validation"), 1):
        shift = 1_000_000 * number
        document["images"] += [{**image, "id": image["id"] + shift} for image in exported[split]["images"]]
        document["annotations"] += [
            {**row, "id": row["id"] + shift, "image_id": row["image_id"] + shift}
            for row in exported[split]["annotations"]
        ]
    assert_same(comparison.precision(comparison.part()), by_pycocotools(document, records, task))


def test_visible_landmarks_alone_are_the_other_published_score(
    df2: Registry, exported: dict[str, Document], tmp_path: Path
) -> None:
    records = make_predictions(df2, ["validation"], 3)
    document = with_own_annotations(exported["validation"])
    for row in document["annotations"]:  # as keypoints_val_vis of the dataset: occluded ones are not labelled
        numbers = np.array(row["keypoints"]).reshape(-1, 3)
        numbers[numbers[:, 2] == 1] = 0
        row["keypoints"], row["num_keypoints"] = numbers.ravel().tolist(), int((numbers[:, 2] > 0).sum())
    selection = validation_of(df2)
    comparison = compared(selection, records, tmp_path / "p.json", LANDMARKS, visible_only=True)
    assert_same(comparison.precision(comparison.part()), by_pycocotools(document, records, LANDMARKS))


def ignoring(document: Document, ids: set[int], task: str) -> Document:
    """Return a COCO file in which annotations count for nothing, in the one way that pycocotools leaves.

    Boxes and masks do not use the area, which is then outside of that of COCO; landmarks have no labelled one.
    """
    document = with_own_annotations(document)
    change = {"num_keypoints": 0} if task == LANDMARKS else {"area": -1.0}
    for row in document["annotations"]:
        row.update(change if row["id"] in ids else {})
    return document


@pytest.mark.parametrize("by", ["occlusion", "scale", "source", "category", "x2 - x1 > 60"])
@pytest.mark.parametrize("task", TASKS)
def test_items_outside_a_slice_are_ignored_with_the_detections_of_them(
    df2: Registry, exported: dict[str, Document], tmp_path: Path, task: str, by: str
) -> None:
    records = make_predictions(df2, ["validation"], 2)
    selection = validation_of(df2)
    comparison = compared(selection, records, tmp_path / "p.json", task)
    slices = read_slices(selection, comparison.truth, [by], of_images=False)
    assert len(slices) > 1
    for part in slices:
        outside = {
            row["id"] for row, is_in in zip(exported["validation"]["annotations"], part.items, strict=True) if not is_in
        }
        document = ignoring(exported["validation"], outside, task)
        assert_same(comparison.precision(comparison.part(part)), by_pycocotools(document, records, task))


@pytest.mark.parametrize("task", TASKS)
def test_a_slice_of_images_is_the_evaluation_of_these_images(
    df2: Registry, exported: dict[str, Document], tmp_path: Path, task: str
) -> None:
    records = make_predictions(df2, ["validation"], 4)
    selection = validation_of(df2)
    comparison = compared(selection, records, tmp_path / "p.json", task)
    for part in read_slices(selection, comparison.truth, ["occlusion"], of_images=True):
        number = part.name.removeprefix("images with occlusion=")
        code = {"slight or none": 1, "medium": 2, "heavy": 3}[number]
        query = "SELECT DISTINCT image_id FROM items WHERE split = 'validation' AND occlusion = $code"
        images = {image_id for (image_id,) in df2.sql(query, {"code": code}).fetchall()}
        document = exported["validation"] | {
            "images": [image for image in exported["validation"]["images"] if image["id"] in images],
            "annotations": [row for row in exported["validation"]["annotations"] if row["image_id"] in images],
        }
        inside = [record for record in records if record["image_id"] in images]
        assert_same(comparison.precision(comparison.part(part)), by_pycocotools(document, inside, task))


def test_items_outside_the_subset_are_ignored_too(df2: Registry, exported: dict[str, Document], tmp_path: Path) -> None:
    records = make_predictions(df2, ["validation"], 5)
    selection = df2.select(split="validation", occlusion=[1, 2])
    comparison = compared(selection, records, tmp_path / "p.json", BOXES)
    images = set(comparison.truth.images.column("image_id").to_pylist())
    rows = df2.sql("FROM items WHERE split = 'validation' ORDER BY image_id, item_order").to_arrow_table().to_pylist()
    outside = {k for k, row in enumerate(rows, 1) if row["occlusion"] == 3}
    document = ignoring(exported["validation"], outside, BOXES)
    document["images"] = [image for image in document["images"] if image["id"] in images]
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] in images]
    inside = [record for record in records if record["image_id"] in images]
    assert_same(comparison.precision(comparison.part()), by_pycocotools(document, inside, BOXES))


def perfect(truth: Truth, task: str) -> Records:
    """Return the items as predictions; of landmarks, those with a labelled one.

    The landmarks of other items are zeros. A detection of zeros is wrong unless the item is at the corner of the image,
    also for pycocotools.
    """
    rows = truth.items.to_pylist()
    return [
        {"image_id": row["image_id"], "category_id": row["category_id"], "score": 0.5, "bbox": box.tolist()}
        | {
            name: row[column]
            for name, column in (("segmentation", "segmentation"), ("keypoints", "landmarks"))
            if column in row
        }
        for row, box in zip(rows, truth.boxes, strict=True)
        if task != LANDMARKS or any(row["landmarks"])
    ]


@pytest.mark.parametrize("task", TASKS)
def test_the_ground_truth_against_itself_is_perfect_in_every_slice(df2: Registry, tmp_path: Path, task: str) -> None:
    selection = validation_of(df2)
    truth = read_truth(selection, landmarks=True, masks=True)
    comparison = compared(selection, perfect(truth, task), tmp_path / "p.json", task)
    names = ["occlusion", "scale", "zoom_in", "viewpoint", "source"]
    slices = [part for of_images in (False, True) for part in read_slices(selection, truth, names, of_images=of_images)]
    for part in [None, *category_slices(truth), *slices]:
        precision = comparison.precision(comparison.part(part))
        assert (precision.average_precision(), precision.average_recall(precision.limits[-1])) == (1.0, 1.0)


def test_without_predictions_precision_is_0_and_a_slice_without_items_has_none(df2: Registry, tmp_path: Path) -> None:
    selection = validation_of(df2)
    comparison = compared(selection, [], tmp_path / "p.json", BOXES)
    assert comparison.precision(comparison.part()).average_precision() == 0.0
    (part, *_) = read_slices(selection, comparison.truth, ["x1 < 0"], of_images=False)
    assert part.name == "not (x1 < 0)"
    empty = type(part)("none", np.zeros(len(part.items), bool))
    assert comparison.precision(comparison.part(empty)).average_precision() is None
    assert pa.types.is_boolean(selection.item_values(["x1 < 0"]).to_arrow_table().column("value_0").type)


def test_areas_beyond_those_of_coco_are_ignored(df2: Registry, exported: dict[str, Document], tmp_path: Path) -> None:
    records = make_predictions(df2, ["validation"], 6)
    huge = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]], "keypoints": [0.0] * 882}
    records += [{**huge, "score": 2.0 + k, "bbox": [0, 0, 200_000 + k, 200_000]} for k in range(3)]
    comparison = compared(validation_of(df2), records, tmp_path / "p.json", BOXES)
    assert_same(comparison.precision(comparison.part()), by_pycocotools(exported["validation"], records, BOXES))
