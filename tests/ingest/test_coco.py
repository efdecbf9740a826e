"""COCO files as a source: their forms, what they do not tell, where they lie, and what is wrong with them."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pytest

import registry
from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID
from registry.errors import SourceError, UsageError
from registry.ingest.build import ingest
from registry.ingest.fingerprint import fingerprint_source
from registry.ingest.report import IngestError
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.helpers import SMALL_SPLIT, landmarks, write_split
from tests.ingest.coco_files import ingest_coco, official, one_item, rows, write_coco

_NULLS = (None,) * 5


def test_the_form_of_the_official_converter(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "any name.txt", official(tmp_path))  # known by its content
    report = ingest_coco(path, tmp_path / "new")
    ingest("train", str(tmp_path / "official"), str(tmp_path / "old"), jobs=1)
    same = (
        "image_id, item_order, pair_id, style, category_name, x1, y1, x2, y2, landmarks, num_landmarks_labelled, "
        "segmentation"
    )
    query = f"SELECT {same} FROM items ORDER BY image_id, item_order"
    new, old = (registry.open(str(tmp_path / name)) for name in ("new", "old"))
    assert new.sql(query).fetchall() == old.sql(query).fetchall()
    assert set(rows(tmp_path / "new", "items", "source, scale, occlusion, zoom_in, viewpoint")) == {_NULLS}
    assert [row[0] for row in rows(tmp_path / "new", "items", "item_no")] == [1, 2, 1, 2, 1, 1, 2, 1]
    assert rows(tmp_path / "new", "images", "file_name, width, height, num_items")[1] == ("000002.jpg", 40, 30, 2)
    assert report.notices == [
        "train: 5 images have no source; source is NULL, and pairs, queries and the gallery need it: --source-of @FILE"
        ", or the information files of the release by --retrieval, give it",
        "train: 8 items have no scale, occlusion, zoom_in or viewpoint; they are NULL; 'df2 export coco --attributes' "
        "writes them",
    ]


def test_ids_of_each_image_and_other_category_ids(tmp_path: Path) -> None:
    """Annotation ids that restart in each image, image ids that are no numbers of photos, categories from 0 on."""
    document = official(tmp_path)
    for number, image in enumerate(document["images"]):
        for annotation in document["annotations"]:
            if annotation["image_id"] == image["id"]:
                annotation["new_image_id"] = 100 + number
        image["id"] = 100 + number
    for annotation in document["annotations"]:
        annotation |= {
            "id": 1,
            "image_id": annotation.pop("new_image_id"),
            "category_id": annotation["category_id"] - 1,
        }
    document["categories"] = [{"id": category.id - 1, "name": category.name} for category in CATEGORIES]
    document["annotations"].reverse()  # their order in the file is free
    for key in ("annotations", "images"):
        document[key] = document.pop(key)  # and so is that of the lists
    ingest_coco(write_coco(tmp_path / "new.json", document), tmp_path / "new")
    found = rows(tmp_path / "new", "items", "image_id, category_id, style")
    assert sorted(found) == sorted(
        (image_id, item["category_id"], item["style"])
        for image_id, annotation in SMALL_SPLIT.items()
        for key, item in annotation.items()
        if key.startswith("item")
    )


@pytest.mark.parametrize("num_landmarks", [8, 294])
def test_landmarks_of_the_category_or_in_all_slots(num_landmarks: int, tmp_path: Path) -> None:
    own = [float(number) for number in landmarks(9)]
    before = [0.0] * (3 * CATEGORY_BY_ID[9].landmark_offset)
    keypoints = own if num_landmarks == 8 else before + own + [0.0] * (882 - len(before) - len(own))
    ingest_coco(write_coco(tmp_path / "new.json", one_item(keypoints=keypoints)), tmp_path / "new")
    assert rows(tmp_path / "new", "items", "landmarks, num_landmarks_labelled") == [(landmarks(9), 8)]


def test_what_a_file_does_not_tell_is_null_and_noticed(tmp_path: Path) -> None:
    document = one_item(segmentation=None, score=0.5)
    del document["categories"], document["images"][0]["width"]
    document["images"].append({"id": 8, "file_name": "photos/000008.png"})
    report = ingest_coco(write_coco(tmp_path / "new.json", document), tmp_path / "new")
    assert rows(tmp_path / "new", "images", "file_name, source, pair_id, width, height, num_items") == [
        ("000007.jpg", None, None, None, 30, 1),
        ("000008.png", None, None, None, None, None),
    ]
    columns = "pair_id, style, landmarks, num_landmarks_labelled, segmentation, x2, y2"
    assert rows(tmp_path / "new", "items", columns) == [(None, None, None, None, [], 4.0, 6.0)]
    assert [notice.removeprefix("train: ") for notice in report.notices] == [
        "train/new.json: there are no categories, so category_id is taken for the dataset's own number, 1 to 13",
        "1 image has no annotation; num_items is NULL: nobody says that no clothes are shown",
        "1 image has no pair_id; pair_id is NULL, and identities and pairs need it",
        "1 image has no source; source is NULL, and pairs, queries and the gallery need it: --source-of @FILE, or the "
        "information files of the release by --retrieval, give it",
        "1 item has no keypoints; landmarks are NULL",
        "1 item has no scale, occlusion, zoom_in or viewpoint; they are NULL; 'df2 export coco --attributes' writes "
        "them",
        "1 item has no segmentation; segmentation is empty",
        "1 item has no style; style is NULL, and identities and pairs need it",
        "2 images have no width or height; they are NULL; yolo and voc need them",
        "annotations have keys that no table holds, which are not kept: score",
    ]


def test_rows_with_null_have_hashes_of_their_own(tmp_path: Path) -> None:
    for number, changes in enumerate(({"style": 0}, {}, {"scale": 1}, {"pair_id": 0}, {"keypoints": []})):
        ingest_coco(write_coco(tmp_path / "new.json", one_item(**changes)), tmp_path / str(number))
    hashes = [rows(tmp_path / str(number), "items", "content_hash")[0][0] for number in range(5)]
    assert hashes[1] == hashes[4]  # an empty list of keypoints says nothing
    assert len(set(hashes)) == 4


def test_a_box_that_a_tool_moved_wins_over_our_own_corners(tmp_path: Path) -> None:
    document = one_item(bbox=[5, 2, 3, 4], bbox_xyxy=[1, 2, 4, 6])
    report = ingest_coco(write_coco(tmp_path / "new.json", document), tmp_path / "new")
    assert rows(tmp_path / "new", "items", "x1, y1, x2, y2") == [(5.0, 2.0, 8.0, 6.0)]
    assert any("1 item has a bbox_xyxy of another size than bbox" in notice for notice in report.notices)


def _bad(**changes: Any) -> dict[str, Any]:
    return one_item(**changes)


BAD = {
    "annotations > 0 > segmentation: expected a list of polygons, found an RLE mask; convert masks to polygons": _bad(
        segmentation={"counts": "abc", "size": [1, 2]}
    ),
    "annotations > 0 > iscrowd: expected 0, found a crowd": _bad(iscrowd=1),
    "annotations > 0 > category_id: there is no category with the id 99": _bad(category_id=99),
    "annotations > 0 > category_id: expected an integer, found a text": _bad(category_id="9"),
    "annotations > 0 > image_id: there is no image with the id 8": _bad(image_id=8),
    "annotations > 0 > image_id: expected the id of an image, found \"7\"": _bad(image_id="7"),
    "annotations > 0 > bbox: missing; expected it in every record": _bad(bbox=None),
    "annotations > 0 > bbox > 2: expected a number, found a text": _bad(bbox=[1, 2, "3", 4]),
    "annotations > 0 > segmentation > polygon 1: expected an even count of at least 6 numbers, found 5": _bad(
        segmentation=[[1, 2, 3, 4, 5]]
    ),
    "annotations > 0 > keypoints: expected 882 numbers, or 24 for skirt, found 3": _bad(keypoints=[1, 2, 2]),
    "annotations > 0 > keypoints: expected zeros in the slots of other categories than skirt": _bad(
        keypoints=[1.0] * 882
    ),
    "annotations > 0 > keypoints: expected whole numbers, found 1.5": _bad(keypoints=[1.5, 2, 2] * 8),
    "annotations > 0 > keypoints: expected v 0, 1 or 2 of every landmark": _bad(keypoints=[1, 2, 3] * 8),
    "annotations > 0 > bbox: expected a number that a double holds with all its digits": (
        json.dumps(_bad()).replace("[1, 2, 3, 4]", "[1, 2, 3.12345678901234567891, 4]").encode()
    ),
    "annotations > 0 > bbox: the key stands more than once; expected it once": (
        json.dumps(_bad()).replace('"iscrowd"', '"bbox": [0, 0, 1, 1], "iscrowd"').encode()
    ),
    "annotations > 0 > scale: expected an integer <= 3": _bad(scale=4),
    "annotations > 0 > source: expected user or shop, found \"seller\"": _bad(source="seller"),
    "images > 0 > source: expected user or shop, found \"x\"": {
        **_bad(),
        "images": [{"id": 7, "file_name": "000007.jpg", "source": "x"}],
    },
    "annotations > 0 > source: expected the same source of all annotations and the image, found user and shop": {
        **_bad(source="user"),
        "images": [{"id": 7, "file_name": "000007.jpg", "source": "shop"}],
    },
    "images > 0 > file_name: expected a number and .jpg, .jpeg, .png or .webp, such as 000001.jpg, found \"a.jpg\"": {
        **_bad(),
        "images": [{"id": 7, "file_name": "a.jpg"}],
    },
    "images > 0 > id: missing; expected it in every record": {**_bad(), "images": [{"file_name": "000007.jpg"}]},
    "images > 1 > file_name: \"7.jpg\" has the number of an earlier image": {
        **_bad(),
        "images": [{"id": 7, "file_name": "000007.jpg"}, {"id": 8, "file_name": "7.jpg"}],
    },
    "categories > 0 > name: unknown category \"hat\" of 1 annotation; expected short sleeve top": {
        **_bad(),
        "categories": [{"id": 9, "name": "hat"}],
    },
    "annotations: missing; expected a list, as COCO files have it": {"images": [], "categories": []},
    "the file is cut short: it ends after": json.dumps(_bad()).encode()[:-200],
    "the file is empty; expected one JSON object": b"",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_bad_files_are_refused_with_their_place(text: str, tmp_path: Path) -> None:
    path = write_coco(tmp_path / "new.json", BAD[text])
    ingest_coco(write_coco(tmp_path / "old.json", one_item()), tmp_path / "registry")
    before = (tmp_path / "registry/manifest.json").read_bytes()
    with pytest.raises(IngestError) as error:
        ingest_coco(path, tmp_path / "registry")
    issues = [str(issue) for issue in error.value.report.issues]
    assert any(issue.startswith("train/new.json") and text in issue for issue in issues), issues
    assert (tmp_path / "registry/manifest.json").read_bytes() == before


def test_all_problems_are_told_together(tmp_path: Path) -> None:
    document = one_item()
    document["annotations"] = [
        one_item(iscrowd=1)["annotations"][0],
        one_item(image_id=1)["annotations"][0],
        one_item(category_id=0)["annotations"][0],
    ]
    document["images"].append({"id": 9, "file_name": "nine.jpg"})
    with pytest.raises(IngestError) as error:
        ingest_coco(write_coco(tmp_path / "new.json", document), tmp_path / "new")
    assert [issue.place[:2] for issue in error.value.report.issues] == [
        ("annotations", "1"), ("annotations", "2"), ("images", "1"),
    ]  # fmt: skip
    assert not (tmp_path / "new" / "manifest.json").exists()


def test_images_with_a_bad_annotation_go_into_quarantine(tmp_path: Path) -> None:
    document = official(tmp_path)
    document["annotations"][0]["segmentation"] = {"counts": [1]}
    path = write_coco(tmp_path / "new.json", document)
    report = ingest_coco(path, tmp_path / "new", on_error="quarantine")
    assert (report.images, report.items) == (4, 6)
    quarantine = registry.open(str(tmp_path / "new")).sql("SELECT file, len(issues), raw FROM quarantine").fetchall()
    (file, num_issues, raw), *rest = quarantine
    assert (file, num_issues, rest) == ("train/new.json/000001.jpg", 1, [])
    assert [entry["image_id"] for entry in json.loads(raw)] == [1, 1]


def test_a_file_whose_images_are_not_known_is_refused_in_quarantine_too(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "new.json", json.dumps(one_item()).encode()[:-1])
    with pytest.raises(IngestError, match="the file is cut short"):
        ingest_coco(path, tmp_path / "new", on_error="quarantine")


def test_places_of_coco_files(tmp_path: Path) -> None:
    document = json.dumps(one_item()).encode()
    places: list[str] = []
    places.append(str(write_coco(tmp_path / "plain.json", b"\xef\xbb\xbf" + document)))
    places.append(str(write_coco(tmp_path / "packed.json.gz", gzip.compress(document))))
    with zipfile.ZipFile(tmp_path / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations/train.json", document)
        archive.writestr("README.md", "text")
    places += [str(tmp_path / "one.zip"), str(tmp_path / "one.zip/annotations/train.json")]
    places.append(f"zip://annotations/train.json::{tmp_path / 'one.zip'}")
    with fsspec.open("memory://coco/train.json", "wb") as file:
        file.write(document)
    places.append("memory://coco/train.json")
    for number, place in enumerate(places):
        assert ingest_coco(place, tmp_path / f"new{number}").items == 1, place
        assert rows(tmp_path / f"new{number}") == rows(tmp_path / "new0")


def test_a_zip_of_several_coco_files_asks_for_the_member(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a.json", "b.json"):
            archive.writestr(name, json.dumps(one_item()))
    with pytest.raises(
        SourceError, match=r"holds several COCO files: a.json, b.json. Name the one to read: .*two.zip/a"
    ):
        ingest_coco(tmp_path / "two.zip", tmp_path / "new")
    with pytest.raises(SourceError, match=r"two.zip has no member c.json"):
        ingest_coco(tmp_path / "two.zip/c.json", tmp_path / "new")


def test_a_text_file_is_no_coco_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("{}")
    with pytest.raises(SourceError, match="Found no annotations or photos of train"):
        ingest_coco(tmp_path / "notes.txt", tmp_path / "new")


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(json.dumps(official(tmp_path)).encode())
    path = write_coco(tmp_path / "new.json.gz", data[: len(data) - 300])
    with pytest.raises(SourceError, match=r"Cannot unpack new[.]json[.]gz: it is cut short or damaged"):
        ingest_coco(path, tmp_path / "new")


def test_source_of_a_file_or_of_the_retrieval_lists(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "new.json", official(tmp_path))
    (tmp_path / "sources.csv").write_text("file_name,source\n000001.jpg,user\n2,consumer\ntrain_000003.jpg,shop\n")
    information = tmp_path / "retrieval_val_shop_information.json"
    information.write_text(json.dumps({"images": [{"file_name": "000004.jpg"}]}))
    ingest_coco(path, tmp_path / "new", source_of=f"@{tmp_path / 'sources.csv'}", retrieval=[str(information)])
    sources = [("user",), ("user",), ("shop",), ("shop",), (None,)]
    assert rows(tmp_path / "new", "images", "source") == sources
    assert registry.open(str(tmp_path / "new")).pairs("train").fetchall()


def test_bad_lines_of_sources_are_told_together(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "new.json", one_item())
    (tmp_path / "sources.csv").write_text("7,user\nx,user\n7,seller\n7,shop\n")
    with pytest.raises(UsageError) as error:
        ingest_coco(path, tmp_path / "new", source_of=str(tmp_path / "sources.csv"))
    assert all(f"line {number}" in str(error.value) for number in (2, 3, 4))
    with pytest.raises(UsageError, match="annotation files name it"):
        split = write_split(tmp_path / "train", SMALL_SPLIT)
        ingest("train", str(split), str(tmp_path / "new"), source_of={1: "user"}, jobs=1)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("pairs", {}, "1 item of train has no source"),
        ("retrieval", {}, "--source-of @FILE"),
        ("metric-learning", {}, "has no pair_id, style: ingest train from the release"),
        ("crops", {"images": "copy"}, "1 item of train has no source"),
        (
            "deepfashion2",
            {},
            "has no scale, occlusion, zoom_in, viewpoint: ingest train from the release, or from a COCO",
        ),
        ("coco-per-category", {}, "has no landmarks"),
        ("coco", {}, "Or choose --landmarks none"),
        ("yolo", {"task": "pose"}, "has no landmarks"),
        ("voc", {"attributes": True}, "has no pair_id, style"),
    ],
)
def test_formats_that_need_a_missing_value_say_so(
    name: str, options: dict[str, Any], text: str, tmp_path: Path
) -> None:
    ingest_coco(write_coco(tmp_path / "new.json", one_item()), tmp_path / "new")
    with pytest.raises(UsageError) as error:
        run_export(tmp_path / "new", name, tmp_path / "export", photos=tmp_path, **options)
    assert text in str(error.value)
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("coco", {"landmarks": "none"}), ("coco", {"landmarks": "none", "attributes": True}), ("yolo", {}), ("voc", {}),
        ("parquet", {}), ("arrow", {}), ("csv", {}), ("jsonl", {}), ("webdataset", {"images": "none"}),
        ("huggingface", {"images": "none"}),
    ],
)  # fmt: skip
def test_other_formats_write_null(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    ingest_coco(write_coco(tmp_path / "new.json", one_item()), tmp_path / "new")
    manifest = run_export(tmp_path / "new", name, tmp_path / "export", **options)
    assert manifest.counts["train"]["items"] == 1
    if name == "jsonl":
        (row,) = map(json.loads, (tmp_path / "export" / manifest.files[0].path).read_text().splitlines())
        missing = ("source", "pair_id", "style", "scale", "occlusion", "zoom_in", "viewpoint", "landmarks")
        assert [row[column] for column in missing] == [None] * len(missing)
        assert row["segmentation"] == []
    if name == "csv":
        (row,) = csv.DictReader((tmp_path / "export" / manifest.files[0].path).read_text().splitlines())
        assert (row["style"], row["landmarks"], row["segmentation"]) == ("", "", "[]")
    if name == "coco":
        assert ingest_coco(tmp_path / "export/annotations/train.json", tmp_path / "again").items == 1
        assert rows(tmp_path / "again") == rows(tmp_path / "new")


def test_a_difference_tells_the_columns_that_became_null(tmp_path: Path) -> None:
    ingest_coco(write_coco(tmp_path / "new.json", official(tmp_path)), tmp_path / "new")
    ingest("train", str(tmp_path / "official"), str(tmp_path / "old"), jobs=1)
    old, new = (registry.open(str(tmp_path / name)) for name in ("old", "new"))
    summary = old.diff(new).summary
    assert summary.counts()["items"] == {"added": 1, "removed": 1, "changed": 7}  # item5 has another number
    lost = summary.fields["items"]
    assert {name: lost[name] for name in ("source", "scale", "occlusion", "zoom_in", "viewpoint")} == {
        **dict.fromkeys(("source", "scale", "occlusion", "zoom_in", "viewpoint"), 7)
    }


def test_images_without_pair_id_are_divided_one_by_one(tmp_path: Path) -> None:
    document = one_item()
    document["images"] = [{"id": number, "file_name": f"{number}.jpg"} for number in range(1, 41)]
    document["annotations"] = [one_item(image_id=number)["annotations"][0] for number in range(1, 41)]
    ingest_coco(write_coco(tmp_path / "new.json", document), tmp_path / "new")
    parts = registry.open(str(tmp_path / "new")).select(resplit=Resplit.parse("a=0.5,b=0.5", 1))
    counts = [parts.counts(part) for part in parts.parts]
    assert sum(count["items"] for count in counts) == 40
    assert all(15 <= count["items"] <= 25 for count in counts)
    assert sum(row["items_share"] for row in parts.balance) == pytest.approx(1)
    (notice,) = parts.notices
    assert notice.startswith("40 items of train have no pair_id: ingest train from the release")


def test_the_fingerprint_changes_with_the_file_alone(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "new.json", one_item())
    first = fingerprint_source(str(path), "train", output=tmp_path / "train.json")
    assert fingerprint_source(str(path), "train", output=tmp_path / "train.json") == first
    moved = write_coco(tmp_path / "other" / "new.json", one_item())
    assert fingerprint_source(str(moved), "train") == first
    digest = json.loads(first)["coco"]["digest"]
    ingest_coco(path, tmp_path / "new")
    assert registry.open(str(tmp_path / "new")).manifest.sources == {"train": digest}
    write_coco(path, one_item(bbox=[1, 2, 3, 5]))
    assert fingerprint_source(str(path), "train", output=tmp_path / "train.json") != first
