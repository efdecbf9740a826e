"""Small COCO files in the forms that people have, and the rows of registries to compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from registry.dataset.deepfashion2 import CATEGORIES
from registry.ingest.build import ingest
from registry.ingest.report import IngestReport
from tests.exports.official_coco import official_coco
from tests.exports.releases import opened_once
from tests.helpers import SMALL_SPLIT, write_split


def official(folder: Path) -> dict[str, Any]:
    """Return ``SMALL_SPLIT`` as the official converter writes it; 40 x 30 px for each photo."""
    source = write_split(folder / "official", SMALL_SPLIT)
    return official_coco(source / "annos", dict.fromkeys(map(int, SMALL_SPLIT), (40, 30)))


def one_item(**changes: Any) -> dict[str, Any]:
    """Return a file with one image and one annotation, whose keys ``changes`` replace; None takes a key out."""
    annotation: dict[str, Any] = {
        "id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4], "iscrowd": 0, "segmentation": [],
    }  # fmt: skip
    annotation = {key: value for key, value in (annotation | changes).items() if value is not None}
    return {
        "images": [{"id": 7, "file_name": "000007.jpg", "width": 40, "height": 30}],
        "annotations": [annotation],
        "categories": [{"id": category.id, "name": category.name} for category in CATEGORIES],
    }


def write_coco(path: Path, document: Any) -> Path:
    """Write a COCO file, from a document or bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path


def ingest_coco(source: Path | str, target: Path, split: str = "train", **options: Any) -> IngestReport:
    """Ingest a COCO file in this process."""
    return ingest(split, str(source), str(target), jobs=1, **options)


def rows(folder: Path | str, table: str = "items", columns: str = "*", split: str = "train") -> list[tuple[Any, ...]]:
    """Return columns of a table of a split, by key."""
    key = "image_id, item_no" if table == "items" else "image_id"
    query = f"SELECT {columns} FROM {table} WHERE split = $split ORDER BY {key}"
    return opened_once(str(folder)).sql(query, {"split": split}).fetchall()
