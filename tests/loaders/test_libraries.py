"""Installed libraries read the exports of a release with everything that loaders stumble over as it was released."""

from __future__ import annotations

import csv
import importlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pyarrow.ipc
import pytest
import supervision
from PIL import Image

from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from tests.exports.oml_rules import check_csv
from tests.exports.releases import run_export
from tests.exports.ultralytics_rules import check_dataset
from tests.loaders.coco_loaders import edges
from tests.loaders.released import ReleasedItem, released_items

TASKS: list[dict[str, str]] = [
    {"task": "detect"},
    {"task": "segment"},
    {"task": "segment", "multipolygon": "split"},
    {"task": "segment", "multipolygon": "largest"},
    {"task": "pose"},
    {"task": "pose", "landmarks": "padded"},
]


def by_photo(items: list[ReleasedItem]) -> dict[str, list[tuple[int, tuple[float, ...]]]]:
    """Return class from 0 and edges of the boxes with an area, by the number of the photo."""
    photos: dict[str, list[tuple[int, tuple[float, ...]]]] = {}
    for item in items:
        boxes = photos.setdefault(f"{item.image_id:06d}", [])
        if item.has_area:
            boxes.append((item.fields["category_id"] - 1, edges(item.xyxy)))
    return photos


def seen(dataset: supervision.DetectionDataset, decimals: int = 6) -> dict[str, list[tuple[int, tuple[float, ...]]]]:
    """Return what :func:`by_photo` does, of a data set of supervision, in its numbers of classes."""
    photos = {}
    for path, _, boxes in dataset:
        corners = [tuple(round(float(value), decimals) for value in box) for box in boxes.xyxy]
        classes = [] if boxes.class_id is None else boxes.class_id.tolist()
        # Boxes without area come back as such from COCO files.
        photos[Path(path).stem] = [
            (label, box) for label, box in zip(classes, corners, strict=True) if box[2] > box[0] and box[3] > box[1]
        ]
    return photos


@pytest.mark.parametrize("split", ["train", "validation"])
def test_supervision_reads_the_boxes_of_coco(split: str, ingested: Path, published: Path, tmp_path: Path) -> None:
    run_export(ingested, "coco", tmp_path / "out", images="copy", photos=published)
    path = tmp_path / "out" / "annotations" / f"{split}.json"
    dataset = supervision.DetectionDataset.from_coco(str(tmp_path / "out" / "images" / split), str(path))
    assert seen(dataset) == by_photo(list(released_items(published / split)))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_supervision_reads_the_boxes_of_yolo(split: str, ingested: Path, published: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_export(ingested, "yolo", out, images="copy", photos=published)
    dataset = supervision.DetectionDataset.from_yolo(
        str(out / "images" / split), str(out / "labels" / split), str(out / "data.yaml")
    )
    assert seen(dataset, 3) == by_photo(list(released_items(published / split)))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_supervision_reads_the_boxes_of_voc(split: str, ingested: Path, published: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_export(ingested, "voc", out, images="copy", photos=published)
    dataset = supervision.DetectionDataset.from_pascal_voc(
        str(out / "JPEGImages" / split), str(out / "Annotations" / split)
    )
    names = {item.fields["category_id"] - 1: item.fields["category_name"] for item in released_items(published / split)}
    expected = {
        photo: [(names[label], box) for label, box in boxes]
        for photo, boxes in by_photo(list(released_items(published / split))).items()
    }
    actual = {photo: [(dataset.classes[label], box) for label, box in boxes] for photo, boxes in seen(dataset).items()}
    assert actual == expected


@pytest.mark.parametrize("options", TASKS, ids=lambda options: "-".join(options.values()))
def test_ultralytics_accepts_yolo(options: dict[str, str], ingested: Path, published: Path, tmp_path: Path) -> None:
    run_export(ingested, "yolo", tmp_path / "out", images="copy", photos=published, **options)
    counts = check_dataset(tmp_path / "out", options["task"])
    for part, split in (("train", "train"), ("val", "validation")):
        items = list(released_items(published / split))
        rows = len(items) if options["task"] == "segment" else sum(item.has_area for item in items)
        if options.get("multipolygon") == "split":
            rows = sum(len(item.fields["segmentation"]) for item in items)
        assert counts[part]["rows"] == rows
        assert counts[part]["images"] == len({item.image_id for item in items})
    assert counts["test"] == {"images": 2, "labels": 2, "backgrounds": 2, "rows": 0}


def test_ultralytics_accepts_the_data_set_of_each_category(ingested: Path, published: Path, tmp_path: Path) -> None:
    options = {"task": "pose", "landmarks": "per-category"}
    run_export(ingested, "yolo", tmp_path / "out", images="copy", photos=published, **options)
    items = [item for split in ("train", "validation") for item in released_items(published / split)]
    expected = Counter(CATEGORY_BY_ID[item.fields["category_id"]].coco_name for item in items if item.has_area)
    folders = sorted(path for path in (tmp_path / "out").iterdir() if path.is_dir())
    actual = {folder.name: sum(part["rows"] for part in check_dataset(folder, "pose").values()) for folder in folders}
    assert actual == expected


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("parquet", polars.read_parquet),
        ("arrow", polars.read_ipc),
        ("parquet", lambda path: polars.from_pandas(importlib.import_module("pandas").read_parquet(path))),
        ("arrow", lambda path: polars.from_arrow(pyarrow.ipc.open_file(path).read_all())),
    ],
    ids=["polars, parquet", "polars, arrow", "pandas, parquet", "pyarrow, arrow"],
)
def test_tables_of_items_are_read_with_their_values(
    kind: str, read: Callable[[Path], polars.DataFrame], ingested: Path, published: Path, tmp_path: Path
) -> None:
    run_export(ingested, kind, tmp_path / "out")
    rows = [row for path in sorted((tmp_path / "out").rglob(f"*.{kind}")) for row in read(path).to_dicts()]
    expected = {
        (split, item.image_id, item.item_no): {
            "source": item.source,
            "pair_id": item.pair_id,
            **{name: float(value) for name, value in zip(("x1", "y1", "x2", "y2"), item.xyxy, strict=True)},
            **{name: value for name, value in item.fields.items() if name != "bounding_box"},
        }
        for split in ("train", "validation")
        for item in released_items(published / split)
    }
    actual = {(row["split"], row["image_id"], row["item_no"]): row for row in rows}
    assert len(rows) == len(expected)
    for key, fields in expected.items():
        assert {name: plain(actual[key][name]) for name in fields} == fields


def plain(value: Any) -> Any:
    """Return nested arrays as lists."""
    return [plain(entry) for entry in value] if isinstance(value, list | np.ndarray) else value


def rows_of_train(path: Path) -> list[str]:
    """Return the labels of the part that OML trains on."""
    with path.open(newline="") as file:
        return [row["label"] for row in csv.DictReader(file) if row["split"] == "train"]


def test_oml_takes_the_items_with_a_counterpart(ingested: Path, published: Path, tmp_path: Path) -> None:
    for name, subset in {"all": {}, "paired": {"paired": True}}.items():
        run_export(ingested, "metric-learning", tmp_path / name, subset=subset, images="copy", photos=published)
        check_csv(tmp_path / name / "metric_learning.csv", tmp_path / name)
    # BalanceSampler wants two items of every label; without a counterpart an identity may have one alone.
    everything = Counter(rows_of_train(tmp_path / "all" / "metric_learning.csv"))
    assert sorted(everything.values()) == [1] * 13 + [2, 2]
    assert sorted(Counter(rows_of_train(tmp_path / "paired" / "metric_learning.csv")).values()) == [2, 2]


def test_torchvision_takes_crops_by_category(ingested: Path, published: Path, tmp_path: Path) -> None:
    """ImageFolder makes a class of each folder, and wants a photo below each.

    Source: ``find_classes`` and ``make_dataset`` in torchvision/datasets/folder.py (pytorch/vision).
    """
    run_export(ingested, "crops", tmp_path / "out", photos=published)
    classes = sorted(path.name for path in (tmp_path / "out" / "train").iterdir() if path.is_dir())
    photos = {name: sorted((tmp_path / "out" / "train" / name).rglob("*.jpg")) for name in classes}
    items = [item for item in released_items(published / "train") if item.has_area]
    expected = Counter(item.fields["category_name"].replace(" ", "_") for item in items)
    assert {name: len(paths) for name, paths in photos.items()} == expected
    sizes = Counter()
    for path in (path for paths in photos.values() for path in paths):
        with Image.open(path) as crop:
            sizes[crop.size] += 1
    assert sizes == Counter((item.xyxy[2] - item.xyxy[0], item.xyxy[3] - item.xyxy[1]) for item in items)
