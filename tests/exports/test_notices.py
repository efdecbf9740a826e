"""Notices: sentences with a count in export.json, the same on the command line, and boxes without area."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main
from registry.exports.builtin import FORMATS
from registry.exports.manifest import MANIFEST_NAME, read_export
from registry.exports.run import export_again
from registry.ingest.build import ingest
from registry.storage.place import Place
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.helpers import annotation, item, write_split

#: Formats whose files hold boxes as they are annotated; the others leave boxes without area out, and count them.
WITH_BOXES = sorted(FORMATS.keys() - {"yolo", "voc", "metric-learning", "crops"})
#: No width, no height, neither, right edge left of the left one.
FLAT = ([5, 5, 5, 9], [5, 5, 9, 5], [0, 0, 0, 0], [9, 0, 8, 5])
BOXES_NOTICE = (
    "4 items have a box without width or height, at which torchvision and other trainers stop: "
    "--min-box-area 0 leaves such items out"
)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of a pair, of four shop items with boxes without area, and of a sound shop item."""
    folder = tmp_path_factory.mktemp("flat")
    annotations: dict[int | str, Any] = {
        1: annotation([item(1, 1)], "user", 1),
        2: annotation([item(1, 1)], "shop", 1),
        3: annotation([item(1, 2, bounding_box=list(box)) for box in FLAT], "shop", 2),
        4: annotation([item(1, 2, bounding_box=[0, 0, 0.5, 0.5])], "shop", 3),
    }
    ingest("train", str(write_split(folder / "train", annotations)), str(folder / "r"), jobs=1)
    return folder / "r"


def run_df2(*arguments: object) -> list[str]:
    """Return the notes that ``df2`` prints, without their ``note: ``."""
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return [line.removeprefix("note: ") for line in result.stderr.splitlines() if line.startswith("note: ")]


@pytest.mark.parametrize("name", FORMATS)
def test_the_command_prints_the_notices_of_the_manifest(
    name: str, exportable: Path, release: Path, tmp_path: Path
) -> None:
    images = FORMATS[name].images[0]
    photos = ["--photos", release] if images in ("link", "copy") else []
    resplit = ["--resplit", "fit=0.5,held=0.5"]
    printed = run_df2("-r", exportable, "export", name, tmp_path / "out", *resplit, *photos)
    notices = json.loads((tmp_path / "out" / MANIFEST_NAME).read_text())["notices"]
    assert printed == notices == list(read_export(Place(str(tmp_path / "out"))).notices)
    assert all(re.search(r"\d", notice) for notice in notices)
    unlabelled = "2 photos of test have no annotation and are in no part: "
    assert notices[0] == unlabelled + "--split train --split validation --split test puts such photos into parts too"
    assert sum("of the items; farthest from 50.00% is its share of" in notice for notice in notices) == 2
    without_photos = [
        notice for notice in notices if notice.startswith("7 images are without their photos in this export")
    ]
    assert len(without_photos) == ("copy" in FORMATS[name].images and images not in ("link", "copy"))
    assert [notice for notice in without_photos if "is read by its photos" in notice] == (
        without_photos if name in ("yolo", "voc") else []
    )


def test_rows_left_out_are_notices_too(exportable: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "yolo", tmp_path / "out")
    assert manifest.left_out
    for entry in manifest.left_out:
        assert any(
            notice.startswith(f"{entry['number']} {entry['what'].rstrip('s')}")
            and notice.endswith(entry["why"].partition(" ")[2])
            for notice in manifest.notices
        )


def test_oddities_of_the_place_of_the_photos_are_notices_without_its_path(
    exportable: Path, release: Path, tmp_path: Path
) -> None:
    shutil.copytree(release / "train", tmp_path / "photos" / "train" / "train")
    manifest = run_export(
        exportable, "coco", tmp_path / "out", subset={"split": "train"}, photos=tmp_path / "photos", images="copy"
    )
    assert "photos: train is read from the folder train/train/ in photos" in manifest.notices
    assert str(tmp_path) not in (tmp_path / "out" / MANIFEST_NAME).read_text()


def test_an_export_of_an_earlier_version_has_no_notices_and_is_made_again(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "coco", tmp_path / "out")
    document = json.loads((tmp_path / "out" / MANIFEST_NAME).read_text())
    assert document.pop("notices")
    (tmp_path / "out" / MANIFEST_NAME).write_text(json.dumps(document))
    old = read_export(Place(str(tmp_path / "out")))
    assert list(old.notices) == []
    new, different = export_again(registry.open(str(exportable)), old, str(tmp_path / "again"))
    assert different == []
    assert new.notices


def test_an_export_of_a_registry_that_an_earlier_version_wrote_is_made_again(exportable: Path, tmp_path: Path) -> None:
    shutil.copytree(exportable, tmp_path / "r")
    path = tmp_path / "r" / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 3', '"schema_version": 2'))
    manifest = run_export(tmp_path / "r", "coco", tmp_path / "out")
    assert manifest.registry["manifest_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    _, different = export_again(registry.open(str(tmp_path / "r")), manifest, str(tmp_path / "again"))
    assert different == []


def test_the_next_step_of_annotations_ingests_a_part_of_a_division(exportable: Path, tmp_path: Path) -> None:
    arguments = ["-r", exportable, "export", "deepfashion2", tmp_path / "out", "--resplit", "fit=0.5,held=0.5"]
    result = CliRunner().invoke(main, list(map(str, arguments)))
    step = result.stderr.rpartition("next: df2 ")[2].split()
    again = CliRunner().invoke(main, [*step[:-1], str(tmp_path / "new"), "--issues", str(tmp_path / "issues.txt")])
    assert again.exit_code == 0, again.output
    assert registry.open(str(tmp_path / "new")).sql("SELECT count(*) > 0 FROM items").fetchall() == [(True,)]


@pytest.mark.parametrize("name", WITH_BOXES)
def test_boxes_without_area_are_counted_and_left_out_on_request(name: str, flat: Path, tmp_path: Path) -> None:
    images = "none" if "none" in FORMATS[name].images else FORMATS[name].images[0]
    options = {"negatives": 9} if name == "pairs" else {}
    manifest = run_export(flat, name, tmp_path / "out", images=images, **options)
    assert BOXES_NOTICE in manifest.notices
    sound = run_export(flat, name, tmp_path / "sound", images=images, subset={"min_box_area": 0})
    assert not any("box" in notice for notice in sound.notices)
    assert sound.counts["train"]["items"] == manifest.counts["train"]["items"] - len(FLAT) == 3


def test_boxes_without_area_count_only_where_the_files_hold_them(flat: Path, tmp_path: Path) -> None:
    options: dict[str, dict[str, Any]] = {
        "pairs": {},  # the only positive pair is sound
        "retrieval": {"subset": {"source": "user"}},
        "csv": {"columns": "split,image_id,item_no"},
    }
    for name, choice in options.items():
        manifest = run_export(flat, name, tmp_path / name, images=FORMATS[name].images[0], **choice)
        assert not any("box" in notice for notice in manifest.notices), name


def test_a_consumer_box_without_area_of_style_0_counts_in_the_ground_truth_alone(tmp_path: Path) -> None:
    annotations: dict[int | str, Any] = {
        1: annotation([item(1, 1)], "user", 1),
        2: annotation([item(1, 1)], "shop", 1),
        3: annotation([item(1, 0, bounding_box=[0, 0, 0, 0])], "user", 1),
    }
    ingest("train", str(write_split(tmp_path / "train", annotations)), str(tmp_path / "r"), jobs=1)
    lists = run_export(tmp_path / "r", "retrieval", tmp_path / "lists", images="none")
    assert not any("box" in notice for notice in lists.notices)
    scored = run_export(tmp_path / "r", "retrieval", tmp_path / "scored", images="none", **{"ground-truth": True})
    assert any(notice.startswith("1 item has a box without") for notice in scored.notices)


def test_images_in_no_file_of_a_category_are_counted(exportable: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "coco-per-category", tmp_path / "out", images="none")
    listed = set()
    for path in sorted((tmp_path / "out" / "annotations").rglob("*.json")):
        listed |= {(path.parent.name, image["id"]) for image in json.loads(path.read_bytes())["images"]}
    number = sum(counts["images"] for counts in manifest.counts.values()) - len(listed)
    assert number > 1
    assert f"{number} images are in no file: no item, and each file is of a category" in manifest.notices


def test_torchvision_takes_the_boxes_that_the_option_leaves(flat: Path, tmp_path: Path) -> None:
    """By the rule of its detection models: every box has a positive height and width."""
    for subset, number in (({}, len(FLAT)), ({"min_box_area": 0}, 0)):
        out = tmp_path / str(number)
        run_export(flat, "coco", out, subset=subset)
        annotations = json.loads((out / "annotations" / "train.json").read_bytes())["annotations"]
        boxes = [(x, y, x + width, y + height) for x, y, width, height in (entry["bbox"] for entry in annotations)]
        assert sum(x2 <= x1 or y2 <= y1 for x1, y1, x2, y2 in boxes) == number


def test_boxes_without_area_are_left_out_of_views_and_negatives(flat: Path, tmp_path: Path) -> None:
    selection = registry.open(str(flat)).select(min_box_area=0)
    assert selection.sql("SELECT count(*) FROM gallery_items").fetchall() == [(2,)]
    manifest = run_export(flat, "pairs", tmp_path / "out", subset={"min_box_area": 0}, negatives=9, **{"as": "jsonl"})
    lines = (tmp_path / "out" / "data" / "train-00000-of-00001.jsonl").read_text().splitlines()
    assert [json.loads(line)["shop_image_id"] for line in lines] == [2, 4]
    assert manifest.counts["train"]["negatives"] == 1


def test_photos_without_annotation_are_pictures_without_items_only_with_a_notice(
    exportable: Path, release: Path, tmp_path: Path
) -> None:
    subset = {"split": ["train", "validation", "test"]}
    resplit = Resplit.parse("fit=0.5,held=0.5")
    for name in ("coco", "webdataset", "huggingface", "yolo", "voc", "deepfashion2"):
        out = tmp_path / name
        manifest = run_export(exportable, name, out, subset=subset, resplit=resplit, images="none", photos=release)
        assert sum(counts["images"] for counts in manifest.counts.values()) == 9
        notices = [notice for notice in manifest.notices if "no annotation in the release" in notice]
        assert sum(int(notice.split()[0]) for notice in notices) == 2, notices


@pytest.mark.parametrize("name", ["coco", "coco-per-category"])
def test_items_without_a_polygon_are_counted_and_left_out_on_request(name: str, tmp_path: Path) -> None:
    annotations: dict[int | str, Any] = {1: annotation([item(1, 1), item(1, 2, segmentation=[])], "user", 1)}
    ingest("train", str(write_split(tmp_path / "train", annotations)), str(tmp_path / "r"), jobs=1)
    notice = (
        "1 item has no polygon, at which detectron2 and torchvision's reference training stop for masks: "
        "--where 'len(segmentation) > 0' leaves such items out"
    )
    assert notice in run_export(tmp_path / "r", name, tmp_path / "out").notices
    option = notice.partition("--where '")[2].partition("'")[0]
    manifest = run_export(tmp_path / "r", name, tmp_path / "sound", subset={"where": option})
    assert manifest.counts["train"]["items"] == 1
    assert not any("polygon" in text for text in manifest.notices)
