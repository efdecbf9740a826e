"""The helper refuses what Ultralytics refuses or drops, so that a test that passes it proves something."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.exports.ultralytics_rules import check_dataset, check_labels, label_of

DETECT = "0 0.5 0.5 0.2 0.4\n1 0.25 0.5 0.5 1\n"
SEGMENT = "0 0.1 0.1 0.9 0.1 0.9 0.9\n1 0 0 1 0 1 1 0 1\n"
POSE = "0 0.5 0.5 0.2 0.4 0.5 0.5 2 0 0 0\n"
NAMES = "train: images/train\nval: images/val\nnames:\n  0: vest\n  1: sling\n"
KEYPOINTS = NAMES + "kpt_shape: [2, 3]\nflip_idx: [1, 0]\n"


def dataset(folder: Path, labels: Mapping[str, str], data: str = NAMES) -> Path:
    """Write ``data.yaml``, and a photo and a label for each key such as ``train/000001``."""
    for name, text in ({"train/000001": DETECT, "val/000001": ""} | dict(labels)).items():
        for kind, suffix in (("images", ".jpg"), ("labels", ".txt")):
            path = folder / kind / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if kind == "labels" else "")
    (folder / "data.yaml").write_text(data)
    return folder


@pytest.mark.parametrize(
    ("task", "label", "data"),
    [("detect", DETECT, NAMES), ("segment", SEGMENT, NAMES), ("pose", POSE, KEYPOINTS)],
)
def test_a_sound_dataset_is_counted(tmp_path: Path, task: str, label: str, data: str) -> None:
    dataset(tmp_path, {"train/000001": label}, data)
    rows = label.count("\n")

    assert check_dataset(tmp_path, task) == {
        "train": {"images": 1, "labels": 1, "backgrounds": 0, "rows": rows},
        "val": {"images": 1, "labels": 1, "backgrounds": 1, "rows": 0},
    }
    assert check_labels(tmp_path, task, 2, (2, 3)) == {"labels": 2, "backgrounds": 1, "rows": rows}


def test_a_photo_without_a_label_is_a_background(tmp_path: Path) -> None:
    dataset(tmp_path, {})
    (tmp_path / "labels/train/000001.txt").unlink()

    assert check_dataset(tmp_path, "detect")["train"] == {"images": 1, "labels": 0, "backgrounds": 1, "rows": 0}


def test_photos_may_be_links_and_listed_in_a_file(tmp_path: Path) -> None:
    dataset(tmp_path, {}, NAMES.replace("images/val", "val.txt"))
    photo = tmp_path / "images/val/000001.jpg"
    photo.rename(tmp_path / "elsewhere.jpg")
    photo.symlink_to(tmp_path / "elsewhere.jpg")
    (tmp_path / "val.txt").write_text("./images/val/000001.jpg\n")

    assert check_dataset(tmp_path, "detect")["val"]["labels"] == 1


def test_the_last_folder_images_becomes_labels() -> None:
    assert label_of(Path("/images/a/images/train/1.2.jpg")) == Path("/images/a/labels/train/1.2.txt")


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("detect", "0 0.5 0.5 0.2", "4 columns instead of 5"),
        ("detect", "0 0.5 0.5 0.2 0.4 0.5", "6 columns instead of 5"),
        ("detect", "2 0.5 0.5 0.2 0.4", "class 2 of 2"),
        ("detect", "-1 0.5 0.5 0.2 0.4", "class -1 is not a whole number"),
        ("detect", "0.5 0.5 0.5 0.2 0.4", "class 0.5 is not a whole number"),
        ("detect", "0 0.5 1.001 0.2 0.4", "not in [0, 1]"),
        ("detect", "0 0.5 -0.001 0.2 0.4", "not in [0, 1]"),
        ("detect", "0 0.5 nan 0.2 0.4", "not in [0, 1]"),
        ("detect", "0 0.5 a 0.2 0.4", "could not convert"),
        ("detect", " ", "an empty row"),
        ("detect", "1 0.250000001 0.5 0.5 1", "dropped as a duplicate of row 2"),
        ("segment", "0 0.1 0.1 0.9 0.1", "5 columns; a polygon has the class and three points"),
        ("segment", "0 0.1 0.1 0.9 0.1 0.9 0.9 0.5", "8 columns; a polygon has the class and pairs"),
        ("segment", "0 0.1 0.1 0.9 0.1 0.9 1.1", "not in [0, 1]"),
        ("segment", "0 0.1 0.10 0.9 0.1 0.9 0.9", "dropped as a duplicate of row 1"),
        ("pose", "0 0.5 0.5 0.2 0.4", "5 columns instead of 11"),
        ("pose", "0 0.5 0.5 0.2 0.4 0.5 0.5 3 0 0 0", "a visibility is not 0, 1 or 2"),
        ("pose", "0 0.5 0.5 0.2 0.4 0.5 1.1 2 0 0 0", "not in [0, 1]"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, task: str, row: str, message: str) -> None:
    sound = {"detect": DETECT, "segment": SEGMENT, "pose": POSE}[task]
    dataset(tmp_path, {"train/000001": f"{sound}{row}\n"}, KEYPOINTS)

    for check in (lambda: check_dataset(tmp_path, task), lambda: check_labels(tmp_path, task, 2, (2, 3))):
        with pytest.raises(AssertionError) as caught:
            check()
        number = sound.count("\n") + 1
        assert str(caught.value).startswith(f"{tmp_path / 'labels/train/000001.txt'}:{number}: ")
        assert message in str(caught.value)


def test_later_releases_tolerate_one_per_cent(tmp_path: Path) -> None:
    dataset(tmp_path, {"train/000001": "0 1.009 -0.009 0.2 0.4\n"})

    assert check_dataset(tmp_path, "detect", tolerance=0.01)["train"]["rows"] == 1
    assert check_labels(tmp_path, "detect", 2, tolerance=0.01)["rows"] == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (KEYPOINTS.replace("val: images/val\n", ""), "key val is missing"),
        (KEYPOINTS.replace("images/val", "images/validation"), "does not exist"),
        (KEYPOINTS.replace("images/val", "labels/val"), "val: no photo in labels/val"),
        (KEYPOINTS + "path: .\n", "path . is relative to the working directory"),
        (KEYPOINTS.replace("1: sling", "2: sling"), "names are not numbered 0 to 1"),
        (KEYPOINTS.replace("sling", "vest"), "a name occurs twice"),
        (KEYPOINTS.replace("sling", "1"), "a name is not a text"),
        (KEYPOINTS + "nc: 3\n", "nc 3 for 2 names"),
        (NAMES, "no kpt_shape"),
        (KEYPOINTS.replace("[2, 3]", "[2, 4]"), "kpt_shape [2, 4]"),
        (KEYPOINTS.replace("[2, 3]", "[3, 3]"), "flip_idx has 2 entries for 3 keypoints"),
        (KEYPOINTS.replace("[1, 0]", "[1, 1]"), "flip_idx is not a permutation"),
        (
            KEYPOINTS.replace("[2, 3]", "[3, 3]").replace("[1, 0]", "[1, 2, 0]"),
            "flip_idx[0] is 1, flip_idx[1] is 2",
        ),
        (KEYPOINTS + "kpt_oks_sigmas: [0.1]\n", "kpt_oks_sigmas has 1 entries for 2 keypoints"),
        (KEYPOINTS + "kpt_oks_sigmas: [0.1, 0]\n", "a value of kpt_oks_sigmas is not above 0"),
        (KEYPOINTS + "kpt_names:\n  0: [left]\n", "kpt_names[0] has 1 entries for 2 keypoints"),
    ],
)
def test_a_broken_data_yaml_is_named(tmp_path: Path, data: str, message: str) -> None:
    dataset(tmp_path, {"train/000001": POSE}, data)

    with pytest.raises(AssertionError) as caught:
        check_dataset(tmp_path, "pose")
    assert str(caught.value).startswith(f"{tmp_path / 'data.yaml'}: ")
    assert message in str(caught.value)


def test_a_label_without_a_photo_is_named(tmp_path: Path) -> None:
    dataset(tmp_path, {})
    (tmp_path / "images/val/000001.jpg").rename(tmp_path / "images/val/000002.jpg")

    with pytest.raises(AssertionError, match=r"val/000001\.txt: a label without a photo"):
        check_dataset(tmp_path, "detect")


def test_a_dataset_without_labels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no label file"):
        check_labels(tmp_path, "detect", 2)
