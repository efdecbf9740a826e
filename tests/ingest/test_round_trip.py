"""Every field of every item, read back through SQL, equals the JSON it came from."""

from __future__ import annotations

import json
import math
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import registry
from registry.dataset.deepfashion2 import CATEGORIES
from registry.ingest.build import ingest
from registry.ingest.diagnose import item_no
from tests.helpers import annotation, annotations, item, landmarks, notices_of, to_bytes, write_split

ITEM_COLUMNS = """
    SELECT image_id, item_no, item_order, source, pair_id, style, category_id, category_name, x1, y1, x2, y2,
        scale, occlusion, zoom_in, viewpoint, landmarks, num_landmarks_labelled, segmentation
    FROM items WHERE split = $split ORDER BY image_id, item_order
"""


def rows_of(image_id: int, document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the expected rows of the table items for an annotation, directly from its JSON."""
    rows = []
    for key, value in document.items():
        if key in ("source", "pair_id"):
            continue
        rows.append(
            (
                image_id, int(key.removeprefix("item")), len(rows) + 1, document["source"], document["pair_id"],
                value["style"], value["category_id"], value["category_name"], *value["bounding_box"],
                value["scale"], value["occlusion"], value["zoom_in"], value["viewpoint"], value["landmarks"],
                sum(v > 0 for v in value["landmarks"][2::3]), value["segmentation"],
            )
        )  # fmt: skip
    return rows


def bits(value: Any) -> Any:
    """Return a value in which two numbers are equal only if every bit is."""
    if isinstance(value, list | tuple):
        return [bits(element) for element in value]
    return struct.pack("<d", value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def assert_read_back(folder: Path, split: str, documents: dict[int, dict[str, Any]]) -> None:
    """Ingest ``documents`` (that lie in ``folder``) and compare every field."""
    target = folder.parent / "registry"
    shutil.rmtree(target, ignore_errors=True)
    report = ingest(split, str(folder), str(target), jobs=1, image_sizes=False)
    assert (report.bad_files, notices_of(report)) == ([], [])
    df2 = registry.open(str(target))
    expected = [row for image_id, document in sorted(documents.items()) for row in rows_of(image_id, document)]
    rows = df2.sql(ITEM_COLUMNS, {"split": split}).fetchall()
    assert rows == expected
    assert bits(rows) == bits(expected)
    images = "SELECT image_id, source, pair_id, num_items FROM images WHERE split = $split ORDER BY image_id"
    assert df2.sql(images, {"split": split}).fetchall() == [
        (image_id, document["source"], document["pair_id"], len(document) - 2)
        for image_id, document in sorted(documents.items())
    ]


def test_real_annotations_are_all_ingested_and_read_back_equal(real_samples: Path, tmp_path: Path) -> None:
    compared = 0
    for split in ("train", "validation"):
        folder = tmp_path / split
        shutil.copytree(real_samples / split / "annos", folder / "annos")
        documents = {int(path.stem): json.loads(path.read_bytes()) for path in (folder / "annos").iterdir()}
        assert_read_back(folder, split, documents)
        compared += len(documents)
    for path in sorted((real_samples / "quoted").glob("*.json")):
        document = json.loads(path.read_bytes())
        assert_read_back(write_split(tmp_path / path.stem / "train", {1: path.read_bytes()}), "train", {1: document})
        compared += 1
    assert compared >= 32


@settings(max_examples=25)
@given(documents=st.dictionaries(st.integers(0, 999_999_999), annotations(), min_size=1, max_size=6))
def test_generated_annotations_are_read_back_equal(
    documents: dict[int, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("generated") / "train"
    assert_read_back(write_split(folder, documents), "train", documents)


def test_numbers_are_exact_to_the_last_bit(tmp_path: Path) -> None:
    numbers = [
        0.1, 1 / 3, -0.0, 5e-324, 2.2250738585072014e-308, 285.66666666666663, 1e15 + 0.3, 2**53 - 1, -(2**53) + 1,
        math.nextafter(2**53, 0), math.pi * 1e-200, 123456789.123456789,
    ]  # fmt: skip
    document = annotation(
        [
            item(
                segmentation=[numbers],
                bounding_box=numbers[:4],
                style=2**31 - 1,
                landmarks=[2**31 - 1, -(2**31) + 1, 1, *landmarks(1)[3:]],
            )
        ],
        pair_id=2**31 - 1,
    )
    assert_read_back(write_split(tmp_path / "train", {999_999_999: document}), "train", {999_999_999: document})


def test_items_keep_their_number_and_their_order_in_the_file(tmp_path: Path) -> None:
    keys = ["item12", "item3", "item32767", "item1"]
    documents = {
        5: {
            "item12": item(4),
            "pair_id": 9,
            "item3": item(1),
            "item32767": item(1),
            "source": "shop",
            "item1": item(13),
        },
        6: annotation(),
    }
    assert_read_back(write_split(tmp_path / "train", documents), "train", documents)
    rows = registry.open(str(tmp_path / "registry")).sql(
        "SELECT item_no FROM items WHERE image_id = 5 ORDER BY item_order"
    )
    assert rows.fetchall() == [(item_no(key),) for key in keys]


def test_all_categories_with_all_codes_are_read_back_equal(tmp_path: Path) -> None:
    documents = {
        category.id: annotation(
            [
                item(category.id, style, scale=code, viewpoint=4 - code, zoom_in=code, occlusion=4 - code,
                     landmarks=landmarks(category.id, v), segmentation=[[0] * 6] * v)
                for style, code, v in ((0, 1, 0), (1, 2, 1), (40, 3, 2))
            ],
            ("user", "shop")[category.id % 2],
        )
        for category in CATEGORIES
    }  # fmt: skip
    assert_read_back(write_split(tmp_path / "validation", documents), "validation", documents)


def test_a_split_with_no_readable_file_has_tables_without_rows(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: b"{"})
    report = ingest("train", str(source), str(tmp_path / "registry"), on_error="quarantine")
    assert (report.images, report.items) == (0, 0)
    df2 = registry.open(str(tmp_path / "registry"))
    assert df2.sql("SELECT count(*) FROM images").fetchall() == [(0,)]
    assert df2.sql("SELECT count(*) FROM items").fetchall() == [(0,)]
    assert df2.sql("SELECT file, raw FROM quarantine").fetchall() == [("train/annos/000001.json", to_bytes("{"))]
