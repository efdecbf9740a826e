"""``--classes`` in every format: merged and renamed classes, and those that occur, as real readers see them."""

from __future__ import annotations

import csv
import json
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import registry
from registry.errors import RegistryFormatError, UsageError
from registry.exports.builtin import FORMATS
from registry.exports.manifest import read_export
from registry.exports.run import Plan, export_again
from registry.storage.place import Place
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export

#: Train has 3 tops, 2 trousers, a skirt, and 2 dresses, which are in no class; validation has 2 shorts.
MERGED = {"tops": ["short sleeve top", "long sleeve top"], "legs": ["shorts", "trousers"], "skirts": ["skirt"]}
TEXT = "tops=short sleeve top,long sleeve top; legs=trousers,shorts; skirts=9"
#: The items of train with their classes, sorted.
TRAIN = [(1, "tops"), (1, "tops"), (2, "tops"), (8, "legs"), (8, "legs"), (9, "skirts")]
#: Formats whose files have classes.
WITH_CLASSES = [name for name, built_in in FORMATS.items() if built_in.has_classes]
LEFT_OUT = [
    "2 items are of categories in no class of --classes, and left out: short sleeve dress, sling dress",
    "3 images have no item in a class of --classes: left out",
]


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def rows(folder: Path, part: str = "train") -> list[dict[str, Any]]:
    return pq.read_table(folder / "data" / f"{part}-00000-of-00001.parquet").to_pylist()  # type: ignore[no-any-return]


def test_every_format_takes_classes_or_refuses_them() -> None:
    assert set(FORMATS) - set(WITH_CLASSES) == {"deepfashion2", "retrieval"}
    for name in ("deepfashion2", "retrieval"):
        with pytest.raises(UsageError, match=f"The format {name} takes no --classes: it has the 13 categories"):
            Plan.of(name, classes="present")


@pytest.mark.parametrize("classes", [TEXT, "present"])
@pytest.mark.parametrize("name", WITH_CLASSES)
def test_the_manifest_has_the_classes_and_repeats_the_export(
    name: str, classes: str, exportable: Path, release: Path, tmp_path: Path
) -> None:
    mode = FORMATS[name].images[-1]
    first = run_export(exportable, name, tmp_path / "first", classes=classes, images=mode, photos=release)
    assert first == read_export(Place(str(tmp_path / "first")))
    assert first.classes == (MERGED if classes == TEXT else "present")
    if classes == TEXT:
        counts = {"tops": 3, "legs": 2, "skirts": 1}
        assert first.class_counts == {"train": counts, "validation": {"tops": 0, "legs": 2, "skirts": 0}}
        assert list(first.class_counts["train"]) == list(MERGED)
        assert {part: actual["items"] for part, actual in first.counts.items()} == {"train": 6, "validation": 2}
        assert list(first.notices[:2]) == LEFT_OUT
    else:
        assert sum(first.class_counts["train"].values()) == 8
        assert list(first.class_counts["train"]) == [
            *("short sleeve top", "long sleeve top", "shorts", "trousers", "skirt", "short sleeve dress", "sling dress")
        ]
        assert not any("--classes" in notice for notice in first.notices)
    again, differences = export_again(
        registry.open(str(exportable)), first, str(tmp_path / "again"), photos=str(release)
    )
    assert (again, differences) == (first, [])


def test_without_classes_the_manifest_names_none(exportable: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "coco", tmp_path / "out")
    assert (manifest.classes, manifest.class_counts) == (None, {})


@pytest.mark.parametrize("classes", ["other.yaml", {"a": ["sock"]}, {"../a": ["vest"]}])
def test_a_manifest_with_other_classes_is_refused(classes: Any, exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "csv", tmp_path / "out")
    document = load(tmp_path / "out" / "export.json") | {"classes": classes}
    (tmp_path / "out" / "export.json").write_text(json.dumps(document))
    with pytest.raises(RegistryFormatError, match="The manifest of the export cannot be followed: classes: "):
        Plan.of_manifest(read_export(Place(str(tmp_path / "out"))))


def test_other_categories_are_left_out_of_whole_images_and_samples(exportable: Path, tmp_path: Path) -> None:
    subset = {"split": "train", "whole_images": True, "occlusion": "1-3"}
    manifest = run_export(exportable, "parquet", tmp_path / "whole", subset=subset, classes="skirts=skirt")
    assert manifest.counts["train"] == {"images": 1, "items": 1}
    assert manifest.notices[0].startswith("1 item is of a category in no class of --classes, and left out: long sleeve")
    manifest = run_export(exportable, "parquet", tmp_path / "some", subset={"limit": 3}, classes="legs=trousers,shorts")
    assert [row["category_name"] for row in rows(tmp_path / "some")] == ["trousers", "trousers"]
    assert [row["category_name"] for row in rows(tmp_path / "some", "validation")] == ["shorts"]
    manifest = run_export(exportable, "parquet", tmp_path / "none", subset={"category": "vest"}, classes=TEXT)
    assert sum(counts["items"] for counts in manifest.counts.values()) == 0


def test_classes_of_all_categories_leave_nothing_out(exportable: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "coco", tmp_path / "out", classes={"clothes": list(range(1, 14))})
    assert {part: counts["images"] for part, counts in manifest.counts.items()} == {
        "train": 5,
        "validation": 2,
        "test": 2,
    }
    assert manifest.class_counts["test"] == {"clothes": 0}


def test_classes_that_occur_of_no_item_are_refused(exportable: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="present keeps the categories of the subset, which has no item"):
        run_export(exportable, "coco", tmp_path / "out", subset={"split": "test"}, classes="present")
    assert not (tmp_path / "out").exists()


def test_pycocotools_reads_merged_classes(exportable: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco").COCO
    manifest = run_export(exportable, "coco", tmp_path / "out", classes=TEXT)
    read = coco(str(tmp_path / "out" / "annotations" / "train.json"))
    named = [(category["id"], category["name"]) for category in read.loadCats(read.getCatIds())]
    assert named == [(1, "tops"), (2, "legs"), (3, "skirts")]
    assert {name: len(read.getAnnIds(catIds=[number])) for number, name in named} == manifest.class_counts["train"]
    plain = run_export(exportable, "coco", tmp_path / "plain", subset={"category": "skirt", "split": "train"})
    (skirt,) = load(tmp_path / "plain" / "annotations" / "train.json")["annotations"]
    for annotation in read.anns.values():
        if annotation["category_id"] == 3:
            assert annotation["keypoints"] == skirt["keypoints"], "a class of one category keeps its landmarks"
        else:
            assert (annotation["num_keypoints"], annotation["keypoints"]) == (0, [0] * 882)
    why = "without landmarks, as the class merges categories with different ones: tops, legs"
    assert f"7 items are {why}" in manifest.notices
    assert plain.classes is None


def test_coco_has_no_landmarks_where_every_class_merges(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "coco", tmp_path / "out", classes={"tops": [1, 2], "legs": [7, 8]})
    document = load(tmp_path / "out" / "annotations" / "train.json")
    assert not any("keypoints" in record for record in document["annotations"] + document["categories"])


def test_coco_present_keeps_the_converters_names(exportable: Path, tmp_path: Path) -> None:
    subset = {"split": "train", "category": ["skirt", "trousers"]}
    run_export(exportable, "coco", tmp_path / "out", subset=subset, classes="present")
    document = load(tmp_path / "out" / "annotations" / "train.json")
    assert [(record["id"], record["name"]) for record in document["categories"]] == [(1, "trousers"), (2, "skirt")]
    assert {record["category_id"] for record in document["annotations"]} == {1, 2}
    assert all(len(record["keypoints"]) == 882 for record in document["annotations"])


def test_coco_has_a_file_for_each_class(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "coco-per-category", tmp_path / "out", classes={"all tops": [1, 2], "skirts": [9]})
    folder = tmp_path / "out"
    assert {path.name for path in (folder / "annotations" / "train").iterdir()} == {"all_tops.json", "skirts.json"}
    assert [path.name for path in (folder / "metainfo").iterdir()] == ["skirts.py"]
    tops, skirts = (load(folder / "annotations" / "train" / name) for name in ("all_tops.json", "skirts.json"))
    assert tops["categories"] == [{"id": 1, "name": "all tops", "supercategory": "clothes"}]
    assert len(tops["annotations"]) == 3
    assert not any("keypoints" in annotation for annotation in tops["annotations"])
    assert (skirts["categories"][0]["id"], len(skirts["categories"][0]["keypoints"])) == (2, 8)
    assert [len(annotation["keypoints"]) for annotation in skirts["annotations"]] == [24]


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_supervision_reads_yolo_with_merged_classes(task: str, exportable: Path, release: Path, tmp_path: Path) -> None:
    dataset = pytest.importorskip("supervision").DetectionDataset
    options = {"images": "copy", "photos": release, "task": task}
    run_export(exportable, "yolo", tmp_path / "out", classes="2=short sleeve top; yes=trousers,skirt", **options)
    paths = (tmp_path / "out" / folder / "train" for folder in ("images", "labels"))
    read = dataset.from_yolo(*map(str, paths), str(tmp_path / "out" / "data.yaml"))
    assert read.classes == ["2", "yes"]
    class_ids = [int(number) for _, _, detections in read for number in detections.class_id]
    assert sorted(class_ids) == [0, 0, 1, 1, 1]


def test_yolo_poses_want_a_category_for_each_class(exportable: Path, tmp_path: Path) -> None:
    message = r"these classes merge several.*: tops \(short sleeve top, long sleeve top\), legs \(shorts, trousers\)"
    with pytest.raises(UsageError, match=message):
        run_export(exportable, "yolo", tmp_path / "out", task="pose", classes=TEXT)
    assert not (tmp_path / "out").exists()
    run_export(exportable, "yolo", tmp_path / "union", task="pose", classes={"skirts": [9], "tops": [1]})
    names = (tmp_path / "union" / "data.yaml").read_text().partition("names:\n")[2].splitlines()[:2]
    assert names == ['  0: "skirts"', '  1: "tops"']
    labels = (tmp_path / "union" / "labels" / "train" / "000002.txt").read_text().split()
    assert (labels[0], len(labels)) == ("0", 5 + 882)
    run_export(exportable, "yolo", tmp_path / "each", task="pose", landmarks="per-category", classes={"my skirts": [9]})
    assert "kpt_shape: [8, 3]" in (tmp_path / "each" / "my_skirts" / "data.yaml").read_text()
    assert (tmp_path / "each" / "my_skirts" / "labels" / "train" / "000002.txt").read_text().startswith("0 ")


def test_supervision_reads_voc_with_merged_classes(exportable: Path, release: Path, tmp_path: Path) -> None:
    dataset = pytest.importorskip("supervision").DetectionDataset
    out = tmp_path / "out"
    run_export(exportable, "voc", out, classes=TEXT, images="copy", photos=release)
    read = dataset.from_pascal_voc(str(out / "JPEGImages" / "train"), str(out / "Annotations" / "train"))
    assert sorted(read.classes) == ["legs", "skirts", "tops"]
    assert (out / "labelmap.txt").read_text().splitlines()[1:] == ["tops:::", "legs:::", "skirts:::"]
    names = [name.text for name in ET.parse(out / "Annotations" / "train" / "000002.xml").iter("name")]
    assert sorted(filter(None, names)) == ["skirts", "tops"]


def test_datasets_loads_merged_classes(exportable: Path, release: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    run_export(exportable, "huggingface", tmp_path / "out", classes=TEXT, images="none")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    objects = loaded.features["objects"]
    label = (objects.feature if hasattr(objects, "feature") else objects[0])["category"]
    assert label.names == ["tops", "legs", "skirts"]
    read = [(o["category_id"], label.int2str(o["category"])) for row in loaded for o in row["objects"]]
    assert sorted(read) == TRAIN
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| `category` | the classes of this export, from 0: tops (short sleeve top, long sleeve top), legs (" in card


def test_rows_have_the_class_beside_the_category(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "parquet", tmp_path / "rows", classes=TEXT)
    assert sorted((row["category_id"], row["class_name"]) for row in rows(tmp_path / "rows")) == TRAIN
    assert {(row["class_id"], row["class_name"]) for row in rows(tmp_path / "rows")} == {
        (1, "tops"),
        (2, "legs"),
        (3, "skirts"),
    }
    assert all(row["landmarks"] for row in rows(tmp_path / "rows")), "the released category says which they are"
    for name in ("csv", "jsonl", "arrow"):
        run_export(exportable, name, tmp_path / name, classes=TEXT, columns="class_name,item_no")
    with open(tmp_path / "csv" / "data" / "train-00000-of-00001.csv") as file:
        assert list(csv.reader(file))[:3] == [["class_name", "item_no"], ["legs", "2"], ["tops", "1"]]
    lines = (tmp_path / "jsonl" / "data" / "validation-00000-of-00001.jsonl").read_text().splitlines()
    assert lines == ['{"class_name": "legs", "item_no": 1}'] * 2
    assert run_export(exportable, "parquet", tmp_path / "plain").classes is None
    assert "class_id" not in rows(tmp_path / "plain")[0]


def test_pairs_have_the_class_of_both_items(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "pairs", tmp_path / "out", classes=TEXT)
    read = {
        (row["user_category_id"], row["user_class_id"], row["user_class_name"], row["shop_class_name"])
        for row in rows(tmp_path / "out")
    }
    assert read == {(1, 1, "tops", "tops"), (8, 2, "legs", "legs"), (9, 3, "skirts", "tops")}


def test_datasets_loads_webdataset_with_the_class_of_each_item(exportable: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    run_export(exportable, "webdataset", tmp_path / "out", classes=TEXT, images="none")
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
        (sample, *_) = (json.load(tar.extractfile(member)) for member in tar)  # type: ignore[arg-type]
    classes = {(item["category_name"], item["class_id"], item["class_name"]) for item in sample["items"]}
    assert classes == {("short sleeve top", 1, "tops"), ("trousers", 2, "legs")}
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    assert {item["class_id"] for item in loaded[0]["json"]["items"]} == {1, 2}


def test_crops_stand_in_folders_of_classes(exportable: Path, release: Path, tmp_path: Path) -> None:
    classes = {"all legs": [7, 8], "skirts": [9]}
    run_export(exportable, "crops", tmp_path / "out", classes=classes, photos=release)
    assert {path.name for path in (tmp_path / "out" / "train").iterdir()} == {"all_legs", "skirts"}
    with open(tmp_path / "out" / "crops.csv") as file:
        assert {row["category"] for row in csv.DictReader(file)} == {"all legs", "skirts"}


def test_a_label_has_the_most_frequent_class(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "metric-learning", tmp_path / "out", classes={"legs": [8], "other": [1, 9, 10]})
    with open(tmp_path / "out" / "metric_learning.csv") as file:
        read = {(row["category"], row["category_name"]) for row in csv.DictReader(file)}
    assert read == {
        ("other", "short sleeve top"),
        ("other", "skirt"),
        ("legs", "trousers"),
        ("other", "short sleeve dress"),
    }


def test_one_file_holds_all_splits(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "coco", tmp_path / "out", resplit=Resplit.parse("all=1"), classes="present")
    assert [path.name for path in (tmp_path / "out" / "annotations").iterdir()] == ["all.json"]
    document = load(tmp_path / "out" / "annotations" / "all.json")
    ids = [image["id"] for image in document["images"]]
    assert len(ids) == len(set(ids)) == 7
    assert [record["id"] for record in document["categories"]] == list(range(1, 8))
