"""Public converters make labels of a COCO export that Ultralytics' rules accept, with the numbers of the release."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.exports.ultralytics_rules import check_labels
from tests.loaders.converters import Row, json2yolo, ultralytics_convert, write_labels
from tests.loaders.released import ReleasedItem, released_items

CONVERTERS: dict[str, tuple[Callable[[Path], dict[str, list[Row]]], str]] = {
    "JSON2YOLO, boxes": (json2yolo, "detect"),
    "JSON2YOLO, segments": (lambda path: json2yolo(path, segments=True), "segment"),
    "ultralytics, boxes": (ultralytics_convert, "detect"),
    "ultralytics, segments": (lambda path: ultralytics_convert(path, "segments"), "segment"),
    "ultralytics, keypoints": (lambda path: ultralytics_convert(path, "keypoints"), "pose"),
}


@pytest.fixture(scope="module")
def exported(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the COCO files of all splits."""
    folder = tmp_path_factory.mktemp("exported") / "out"
    run_export(ingested, "coco", folder)
    return folder / "annotations"


def row_of(item: ReleasedItem, task: str) -> Row:
    """Return the row of an item, from its annotation file."""
    x1, y1, x2, y2 = item.xyxy
    width, height = item.size
    category = CATEGORY_BY_ID[item.fields["category_id"]]
    if task == "segment":
        points = [value for ring in item.fields["segmentation"] for value in ring]
        shares = [value / (height if number % 2 else width) for number, value in enumerate(points)]
        return category.id - 1, *shares
    row = (category.id - 1, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    if task == "detect":
        return row
    slots = [0.0] * 882
    for number, value in enumerate(item.fields["landmarks"], 3 * category.landmark_offset):
        slots[number] = value / (width, height, 1)[number % 3]
    return *row, *slots


def expected_rows(split: Path, task: str) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for item in released_items(split):
        if item.has_area:
            rows.setdefault(f"{item.image_id:06d}.txt", []).append(row_of(item, task))
    return rows


def numbers(rows: dict[str, list[Row]]) -> dict[str, Any]:
    """Return the rows for a comparison within 1e-9, without images that have none."""
    return {name: [pytest.approx(row, abs=1e-9) for row in values] for name, values in rows.items() if values}


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("name", CONVERTERS)
def test_a_converter_writes_the_numbers_of_the_release(
    name: str, split: str, exported: Path, published: Path, tmp_path: Path
) -> None:
    convert, task = CONVERTERS[name]
    rows = convert(exported / f"{split}.json")
    expected = expected_rows(published / split, task)
    assert {label: values for label, values in rows.items() if values} == numbers(expected)
    counts = check_labels(write_labels(rows, tmp_path / "labels"), task, 13, (294, 3))
    assert counts["rows"] == sum(map(len, expected.values())) > 2


@pytest.mark.parametrize("name", CONVERTERS)
def test_other_numbers_in_the_file_are_other_rows(name: str, exported: Path, published: Path, tmp_path: Path) -> None:
    convert, task = CONVERTERS[name]
    document = json.loads((exported / "train.json").read_bytes())
    for image in document["images"]:
        image["width"], image["height"] = image["height"], image["width"]
    (tmp_path / "turned.json").write_text(json.dumps(document))
    assert convert(tmp_path / "turned.json") != numbers(expected_rows(published / "train", task))


@pytest.mark.parametrize("name", [name for name in CONVERTERS if name.startswith("ultralytics")])
def test_parts_of_several_splits_are_converted_too(name: str, ingested: Path, published: Path, tmp_path: Path) -> None:
    convert, task = CONVERTERS[name]
    subset = {"split": ["train", "validation"]}
    run_export(ingested, "coco", tmp_path / "out", subset=subset, resplit=Resplit.parse("fit=0.5,held=0.5", 1))
    rows = {}
    for part in ("fit", "held"):
        rows |= convert(tmp_path / "out" / "annotations" / f"{part}.json")
    expected = {
        f"{split}_{label}": values
        for split in ("train", "validation")
        for label, values in expected_rows(published / split, task).items()
    }
    assert {label: values for label, values in rows.items() if values} == numbers(expected)


def test_json2yolo_cannot_tell_the_ids_of_such_parts_apart(ingested: Path, tmp_path: Path) -> None:
    # docs/reference/formats.md says so, and names the other converter.
    subset = {"split": ["train", "validation"]}
    run_export(ingested, "coco", tmp_path / "out", subset=subset, resplit=Resplit.parse("fit=0.99,held=0.01", 1))
    path = tmp_path / "out" / "annotations" / "fit.json"
    with_items = {entry["image_id"] for entry in json.loads(path.read_bytes())["annotations"]}
    assert len(json2yolo(path)) < len(with_items)
