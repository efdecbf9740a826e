"""``df2 import`` turns the edits of a COCO export into corrections."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import registry
from registry.cli.main import main
from registry.corrections.coco_edits import compare
from registry.corrections.edited_coco import EditedFile, read_coco
from registry.corrections.states import read_states
from registry.ingest.build import ingest
from tests.corrections.tools import by_cvat, by_label_studio
from tests.helpers import SMALL_SPLIT, annotation, annotations, item, write_split

#: Two polygons, and a box that is not that around them.
DOCUMENTS: dict[int | str, Any] = SMALL_SPLIT | {
    8: annotation(
        [
            item(
                4, 3, segmentation=[[1.123, 2, 30.456, 4, 5, 60.5], [7, 8, 9, 8, 9, 12]],
                bounding_box=[0.5, 1, 40, 70],
            ),
            item(7, 2, segmentation=[], bounding_box=[300.25, 20, 380, 90]),
        ],
        "shop",
        2,
    )
}  # fmt: skip
Export = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of train."""
    folder = tmp_path_factory.mktemp("import")
    ingest("train", str(write_split(folder / "train", DOCUMENTS)), str(folder / "registry"), jobs=1)
    return folder / "registry"


@pytest.fixture
def export(place: Path) -> Export:
    """Return a function that exports the registry and returns a file of it."""

    def run(*options: str, format: str = "coco", file: str = "train.json") -> dict[str, Any]:
        dest = place.parent / "_".join([format, *options])  # exported once for all tests
        if not dest.exists():
            assert (
                CliRunner().invoke(main, ["-q", "-r", str(place), "export", format, str(dest), *options]).exit_code == 0
            )
        document: dict[str, Any] = json.loads((dest / "annotations" / file).read_bytes())
        return document

    return run


def run_import(place: Path, tmp_path: Path, document: Any, *options: str, code: int = 0) -> Result:
    """Run ``df2 import`` with a file of this content."""
    path = tmp_path / "edited.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    arguments = ["-r", str(place), "import", "--split", "train", "--who", "Ann", str(path), *options]
    done = CliRunner().invoke(main, [*arguments, "--corrections", str(tmp_path / "corrections")])
    assert done.exit_code == code, done.output
    return done


def edits_after_ingestion(place: Path, tmp_path: Path) -> list[dict[str, Any]]:
    """Ingest with the written corrections; return the rows of ``df2 diff``."""
    folder = str(tmp_path / "corrections")
    ingest("train", str(place.parent / "train"), str(tmp_path / "new"), corrections=folder, jobs=1)
    done = CliRunner().invoke(main, ["diff", str(place), str(tmp_path / "new"), "--rows"])
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.mark.parametrize("options", [(), ("--attributes",), ("--landmarks", "none"), ("--names", "dataset")])
@pytest.mark.parametrize("tool", [lambda document: document, by_cvat, by_label_studio])
def test_an_export_without_edits_changes_nothing(
    place: Path, export: Export, tmp_path: Path, options: Any, tool: Any
) -> None:
    done = run_import(place, tmp_path, tool(export(*options)))
    assert done.stderr.splitlines()[-1] == "edited.json has no edit of train."
    assert not (tmp_path / "corrections" / "train.jsonl").exists()


def test_a_file_of_one_category_leaves_the_items_of_others_alone(place: Path, export: Export, tmp_path: Path) -> None:
    document = export(format="coco-per-category", file="train/long_sleeved_outwear.json")
    document["annotations"][0]["keypoints"][:3] = [7, 8, 1]
    done = run_import(place, tmp_path, document)
    assert "1 item of images in the file is not in it; --remove-missing removes such items" in done.stderr
    (change,) = edits_after_ingestion(place, tmp_path)
    assert (change["image_id"], change["item_no"], change["fields"]) == (8, 1, ["landmarks"])
    assert change["new"]["landmarks"][:6] == [7, 8, 1, 12, 22, 2]


def test_a_dry_run_shows_the_rows_of_the_difference_and_writes_nothing(
    place: Path, export: Export, tmp_path: Path
) -> None:
    document = export("--attributes")
    by_key = {(record["image_id"], record["item_no"]): record for record in document["annotations"]}
    by_key[1, 1] |= {"style": 7, "scale": 3, "bbox": [10, 20, 100, 190.25]}
    by_key[1, 2] |= {"category_id": 9}
    by_key[8, 1]["segmentation"][0][0] += 5
    for record in document["annotations"] + document["images"]:
        if (record.get("image_id", record["id"]) == 3 and "coco_url" not in record) or record.get(
            "file_name"
        ) == "000003.jpg":
            record["source"] = "user"
    dry = run_import(place, tmp_path, document, "--dry-run")
    assert not (tmp_path / "corrections").exists()
    rows = [json.loads(text) for text in dry.stdout.splitlines()]
    assert [(row["image_id"], row["item_no"], row["fields"]) for row in rows] == [
        (1, 1, ["style", "y2", "scale"]),
        (1, 2, ["category_id", "category_name", "landmarks", "num_landmarks_labelled"]),
        (3, 1, ["source"]),
        (8, 1, ["segmentation"]),
    ]
    assert rows[3]["new"]["segmentation"] == [[6.123, 2, 30.456, 4, 5, 60.5], [7, 8, 9, 8, 9, 12]]
    run_import(place, tmp_path, document)
    assert edits_after_ingestion(place, tmp_path) == rows
    again = run_import(tmp_path / "new", tmp_path, document)
    assert again.stderr.splitlines()[-1] == "edited.json has no edit of train."


@pytest.mark.parametrize("tool", [by_cvat, by_label_studio])
def test_edits_in_a_tool_come_back(place: Path, export: Export, tmp_path: Path, tool: Any) -> None:
    document = tool(export())
    names = {category["name"]: category["id"] for category in document["categories"]}
    edited = next(record for record in document["annotations"] if abs(record["bbox"][0] - 300.25) < 0.1)
    edited |= {"bbox": [301, 20, 79, 75.5], "category_id": names["skirt"]}
    run_import(place, tmp_path, document)
    (change,) = edits_after_ingestion(place, tmp_path)
    assert (change["image_id"], change["item_no"]) == (8, 2)
    assert {name: change["new"][name] for name in ("category_id", "x1", "y2")} == {
        "category_id": 9,
        "x1": 301.0,
        "y2": 95.5,
    }
    assert "x2" not in change["fields"]


def test_a_polygon_moved_in_cvat_leaves_the_box_of_the_annotation(place: Path, export: Export, tmp_path: Path) -> None:
    document = export()
    record = next(r for r in document["annotations"] if (r["image_id"], r["category_id"]) == (8, 4))
    record["segmentation"][1][0] = 6
    done = run_import(place, tmp_path, by_cvat(document))
    assert "around the polygons alone w" in done.stderr
    assert "not compared, since tools write such boxes themselves" in done.stderr
    (change,) = edits_after_ingestion(place, tmp_path)
    assert change["new"] == {"segmentation": [[6, 8, 9, 8, 9, 12], [1.123, 2, 30.456, 4, 5, 60.5]]}


def test_a_file_older_than_a_correction_tells_that_it_takes_it_back(
    place: Path, export: Export, tmp_path: Path
) -> None:
    old = export("--attributes")
    new = json.loads(json.dumps(old))
    new["annotations"][0]["scale"] = 3
    run_import(place, tmp_path, new)
    edits_after_ingestion(place, tmp_path)
    corrected = tmp_path / "new"
    lines = tmp_path / "corrections" / "train.jsonl"
    text = lines.read_text()
    told = "line 1: {} replaced or removed, since edited.json has other values. If it was exported before"
    assert told.format("would be") in run_import(corrected, tmp_path, old, "--dry-run").stderr
    assert lines.read_text() == text
    assert told.format("was") in run_import(corrected, tmp_path, old).stderr
    assert lines.read_text() == ""


def test_items_are_added_and_removed_when_asked(place: Path, export: Export, tmp_path: Path) -> None:
    document = export("--attributes")
    document["annotations"] = [r for r in document["annotations"] if (r["image_id"], r["item_no"]) != (4, 2)]
    new = {key: value for key, value in document["annotations"][0].items() if key not in ("item_no", "keypoints")}
    document["annotations"].append({**new, "bbox": [500, 500, 20, 20], "segmentation": [], "id": 99})
    run_import(place, tmp_path, document, "--remove-missing")
    changes = [(row["change"], row["image_id"], row["item_no"]) for row in edits_after_ingestion(place, tmp_path)]
    assert changes == [("added", 1, 3), ("removed", 4, 2)]


def test_what_cannot_be_matched_is_an_issue_each_and_nothing_is_written(
    place: Path, export: Export, tmp_path: Path
) -> None:
    document = by_cvat(export())
    records = document["annotations"]
    records[0] |= {"segmentation": {"counts": [1], "size": [2, 2]}}
    records[1] |= {"category_id": 77}
    records[2] |= {"bbox": [1, 2, 3]}
    records[3] |= {"image_id": 55}
    records[4] |= {"bbox": [900, 900, 5, 5], "segmentation": []}
    records[5] |= {"keypoints": [1, 2, 3]}
    document["images"].append({"id": 90, "file_name": "photo.jpg", "width": 1, "height": 1})
    document["images"].append({"id": 91, "file_name": "000099.jpg", "width": 1, "height": 1})
    document["images"].append({"id": 92, "file_name": "train/image/000001.jpg", "width": 1, "height": 1})
    done = run_import(place, tmp_path, document, code=3)
    assert done.stderr.splitlines() == [
        "Error: Nothing was written: 9 issues:",
        "  annotation 1 of 000001.jpg: expected polygons, found a mask (RLE) or a crowd",
        "  annotation 2 of 000001.jpg: expected a category of the dataset, found 77",
        "  annotation 3 of 000002.jpg: expected a bbox of 4 numbers (x, y, width, height), found 3",
        "  annotation 4: there is no image 55 in the file",
        "  annotation 5 of 000003.jpg: fits no item of the image, whose items are 1; a new item needs style, scale, "
        "occlusion, zoom_in, viewpoint too: give it attributes, or add it with 'df2 correct'",
        "  annotation 6 of 000004.jpg: expected 87 keypoint numbers for short sleeve dress, or 882, found 3",
        "  image '000099.jpg': train has no image 99 with an annotation",
        "  image 'photo.jpg': expected a file name with the number of the image, such as 000001.jpg",
        "  image 'train/image/000001.jpg': the file has image 1 twice, as '000001.jpg' too",
    ]
    assert not (tmp_path / "corrections").exists()


def test_numbers_of_items_that_are_none_or_that_new_items_share_are_issues(
    place: Path, export: Export, tmp_path: Path
) -> None:
    document = export("--attributes")
    records = document["annotations"]
    new = records[0] | {"bbox": [900, 900, 5, 5], "segmentation": [], "item_no": 7}
    records[0]["item_no"] = [1]
    records[1]["item_no"] = -2
    document["annotations"] += [new | {"id": 101}, new | {"id": 102}]
    done = run_import(place, tmp_path, document, code=3)
    assert done.stderr.splitlines() == [
        "Error: Nothing was written: 4 issues:",
        "  annotation 1 of 000001.jpg: expected a whole number from 1 as item_no, found [1]",
        "  annotation 101 of 000001.jpg: 2 new annotations of the image have item_no 7",
        "  annotation 102 of 000001.jpg: 2 new annotations of the image have item_no 7",
        "  annotation 2 of 000001.jpg: expected a whole number from 1 as item_no, found -2",
    ]


def test_a_new_item_without_number_stands_behind_those_with_one(place: Path, export: Export, tmp_path: Path) -> None:
    document = export("--attributes")
    new = document["annotations"][0] | {"segmentation": []}
    document["annotations"] += [
        new | {"id": 101, "bbox": [900, 900, 5, 5], "item_no": None},
        new | {"id": 102, "bbox": [700, 700, 5, 5], "item_no": 3},
    ]
    run_import(place, tmp_path, document)
    changes = edits_after_ingestion(place, tmp_path)
    assert {change["item_no"]: change["new"]["x1"] for change in changes} == {3: 700, 4: 900}


def test_two_images_of_one_id_are_an_issue(place: Path, export: Export, tmp_path: Path) -> None:
    document = export()
    document["images"][1]["id"] = 1
    done = run_import(place, tmp_path, document, code=3)
    assert "  image '000002.jpg': image '000001.jpg' has its id 1 too" in done.stderr


@pytest.mark.parametrize("option", ["--why", "--who"])
def test_a_blank_reason_or_author_is_refused_before_a_line_is_written(
    place: Path, export: Export, tmp_path: Path, option: str
) -> None:
    done = run_import(place, tmp_path, export(), option, " ", code=2)
    assert f"Invalid value for '{option}': expected a text, found none." in done.stderr


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}', '{"images": [], "annotations": [], "categories": 3}'])
def test_another_file_is_refused(place: Path, tmp_path: Path, text: str) -> None:
    assert "edited.json is not a COCO file: " in run_import(place, tmp_path, text, code=3).stderr


def test_images_of_another_split_are_counted(place: Path, export: Export, tmp_path: Path) -> None:
    document = export()
    document["images"][0]["file_name"] = "validation_000001.jpg"
    done = run_import(place, tmp_path, document)
    assert "1 image of other splits was not compared: import the file with their --split too" in done.stderr


@settings(max_examples=12)
@given(documents=st.dictionaries(st.integers(0, 999), annotations(), min_size=1, max_size=6))
def test_any_export_comes_back_without_edits(documents: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    ingest("train", str(write_split(folder / "train", documents)), str(folder / "registry"), jobs=1)
    opened = registry.open(str(folder / "registry"))
    registry.export(opened, "coco", str(folder / "out"), attributes=True)
    coco: EditedFile = read_coco(folder / "out" / "annotations" / "train.json")
    found = compare(coco, "train", lambda ids: read_states(opened, "train", ids), removes=True)
    edits = [edit for of_image in found.edits.values() for edit in of_image]
    # Numbers near 2^53 have no two decimals: x + width is another number there.
    assert [edit for edit in edits if edit.field != "bounding_box"] == []
    assert found.issues == []
