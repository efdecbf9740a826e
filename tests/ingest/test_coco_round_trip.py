"""Registry -> COCO with attributes -> registry gives the same rows."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.ingest.build import ingest
from tests.exports.releases import run_export
from tests.helpers import SMALL_SPLIT, annotation, annotations, item, photo, write_split
from tests.ingest.coco_files import ingest_coco, rows


def assert_same(old: Path, new: Path, split: str = "train") -> None:
    """Compare every column of images and items."""
    for table in ("images", "items"):
        assert rows(new, table, split=split) == rows(old, table, split=split)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.integers(1, 999_999), annotations(), min_size=1, max_size=3))
def test_every_column_is_equal_after_a_round_trip(documents: dict[int | str, dict[str, Any]]) -> None:
    # Numbers above the stride of splits cannot be told apart in a part of several splits only.
    with TemporaryDirectory() as name:
        folder = Path(name)
        ingest("train", str(write_split(folder / "train", documents)), str(folder / "old"), jobs=1)
        run_export(folder / "old", "coco", folder / "export", attributes=True)
        report = ingest_coco(folder / "export/annotations/train.json", folder / "new")
        assert (report.images, report.bad_files) == (len(documents), [])
        assert_same(folder / "old", folder / "new")


@pytest.mark.parametrize("format", ["coco", "coco-per-category"])
def test_photos_their_sizes_and_gaps_in_item_no_come_back(format: str, tmp_path: Path) -> None:
    photos = {1: photo(200, 300), 2: photo(20, 10, orientation=6), 3: photo(30, 10), "000004.PNG": photo(format="PNG")}
    source = write_split(tmp_path / "train", SMALL_SPLIT, photos)
    ingest("train", str(source), str(tmp_path / "old"), jobs=1)
    run_export(tmp_path / "old", format, tmp_path / "export", attributes=True)
    annos = tmp_path / "export/annotations/train"
    ingest_coco(annos if annos.is_dir() else annos.with_suffix(".json"), tmp_path / "new")
    assert_same(tmp_path / "old", tmp_path / "new")


def test_photos_of_test_come_back_with_the_source_of_the_lists(tmp_path: Path) -> None:
    write_split(tmp_path / "test", {}, {1: photo(), 2: photo(20, 50), 3: photo()})
    (tmp_path / "retrieval_test_consumer_information.json").write_text('{"images": [{"file_name": "000002.jpg"}]}')
    lists = [str(tmp_path / "retrieval_test_consumer_information.json")]
    ingest("test", str(tmp_path / "test"), str(tmp_path / "old"), retrieval=lists, jobs=1)
    run_export(tmp_path / "old", "coco", tmp_path / "export", attributes=True)
    report = ingest_coco(tmp_path / "export/annotations/test.json", tmp_path / "new", "test")
    assert_same(tmp_path / "old", tmp_path / "new", "test")
    assert [row[2:5] for row in rows(tmp_path / "new", "images", split="test")][1] == ("000002.jpg", "user", None)
    assert any("3 images have no annotation" in notice for notice in report.notices)


def test_both_splits_of_a_new_part_come_back_in_turn(tmp_path: Path) -> None:
    """In a part of several splits, names begin with the split and ids are moved by a million."""
    from registry.subset.resplit import Resplit

    files = {"train": SMALL_SPLIT, "validation": {5: annotation([item(7, 1), item(1, 0)], "user", 3)}}
    for split, documents in files.items():
        ingest(split, str(write_split(tmp_path / split, documents)), str(tmp_path / "old"), jobs=1)
    run_export(tmp_path / "old", "coco", tmp_path / "export", resplit=Resplit.parse("all=1", 0), attributes=True)
    for split in files:
        report = ingest_coco(tmp_path / "export/annotations/all.json", tmp_path / "new", split)
        assert_same(tmp_path / "old", tmp_path / "new", split)
        assert any("of other splits" in notice for notice in report.notices)


@given(
    st.lists(st.integers(-(2**51), 2**51), min_size=4, max_size=4)
    | st.lists(st.floats(0, 4096, allow_subnormal=False).map(lambda x: round(x, 3)), min_size=4, max_size=4)
)
def test_corners_from_width_and_height(box: list[float]) -> None:
    """Whole numbers are exact; fractions of photos differ by the last digit of a double at most."""
    from registry.ingest.coco_decode import CocoAnnotation, _corners

    x1, y1, x2, y2 = map(float, box)
    bbox = (x1, y1, x2 - x1, y2 - y1)
    corners, _ = _corners(CocoAnnotation(1, bbox))
    assert corners[:2] == (x1, y1)
    for found, expected in zip(corners[2:], (x2, y2), strict=True):
        assert found == expected if isinstance(box[0], int) else abs(found - expected) < 1e-12 * 4096
    assert _corners(CocoAnnotation(1, bbox, bbox_xyxy=(x1, y1, x2, y2))) == ((x1, y1, x2, y2), False)
