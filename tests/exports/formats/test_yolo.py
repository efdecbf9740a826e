"""YOLO exports: exact files, the rules of ultralytics, and the counts of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import supervision as sv

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, LANDMARK_SLOTS
from registry.errors import UnknownNameError, UsageError
from registry.ingest.build import ingest
from registry.subset.resplit import Resplit
from tests.exports.releases import PHOTO_SIZE, run_export
from tests.exports.ultralytics_rules import check_dataset
from tests.helpers import annotation, item, jpeg, landmarks, write_split

TASKS: list[dict[str, Any]] = [
    {"task": "detect"},
    {"task": "segment"},
    {"task": "pose"},
    {"task": "pose", "landmarks": "padded"},
]
SIZE = (400, 200)  # px of the photos of the tests with their own release
SKIRT = item(
    9,
    bounding_box=[100, 50, 300, 150],
    segmentation=[[100, 50, 300.5, 50, 200, 150]],
    landmarks=[100, 50, 2, 200, 50, 1, 0, 0, 0, *[300, 150, 2] * 5],
)
#: Overlapping squares and one apart, px.
SQUARES = [[20, 20, 60, 20, 60, 60, 20, 60], [40, 40, 80, 40, 80, 80, 40, 80], [100, 100, 120, 100, 120, 120, 100, 120]]
NAMES = "".join(f"  {k}: {category.name}\n" for k, category in enumerate(CATEGORIES))


def make(folder: Path, annotations: Mapping[int | str, Any], size: tuple[int, int] | None = SIZE) -> tuple[Path, Path]:
    """Return a release with a train split, and its registry; without a size it has no photos."""
    release = folder / "release"
    write_split(release / "train", annotations, {key: jpeg(*size) for key in annotations} if size else {})
    ingest("train", str(release), str(folder / "registry"), jobs=1)
    return release, folder / "registry"


def export_one(folder: Path, *items: dict[str, Any], **options: Any) -> tuple[list[str], dict[str, int]]:
    """Return the rows of an image with these items, and the number left out by the first words of the reason."""
    _, registry = make(folder, {1: annotation(items)})
    manifest = run_export(registry, "yolo", folder / "out", **options)
    rows = (folder / "out/labels/train/000001.txt").read_text().splitlines()
    return rows, {f"{entry['what']} {entry['why']}": entry["number"] for entry in manifest.left_out}


@pytest.mark.parametrize(
    ("options", "row"),
    [
        ({}, "8 0.5 0.5 0.5 0.5"),
        ({"task": "segment"}, "8 0.25 0.25 0.75125 0.25 0.5 0.75"),
        (
            {"task": "pose"},
            f"8 0.5 0.5 0.5 0.5{' 0 0 0' * 182} 0.25 0.25 2 0.5 0.25 1 0 0 0{' 0.75 0.75 2' * 5}{' 0 0 0' * 104}",
        ),
        (
            {"task": "pose", "landmarks": "padded"},
            f"8 0.5 0.5 0.5 0.5 0.25 0.25 2 0.5 0.25 1 0 0 0{' 0.75 0.75 2' * 5}{' 0 0 0' * 31}",
        ),
    ],
)
def test_the_exact_row_of_an_item(tmp_path: Path, options: dict[str, Any], row: str) -> None:
    assert export_one(tmp_path, SKIRT, **options) == ([row], {})


def test_the_exact_data_yaml(tmp_path: Path, exportable: Path) -> None:
    for options in TASKS:
        run_export(exportable, "yolo", tmp_path / "-".join(options.values()), **options)

    head = f"train: images/train\nval: images/validation\ntest: images/test\nnames:\n{NAMES}"
    assert (tmp_path / "detect/data.yaml").read_text() == head
    assert (tmp_path / "segment/data.yaml").read_text() == head
    assert (tmp_path / "pose/data.yaml").read_text() == head + (
        f"kpt_shape: [294, 3]\nflip_idx: {[slot.swap_slot for slot in LANDMARK_SLOTS]}\n"
        f"kpt_oks_sigmas: {[slot.oks_sigma for slot in LANDMARK_SLOTS]}\n"
    )
    assert (tmp_path / "pose-padded/data.yaml").read_text() == (
        f"{head}kpt_shape: [39, 3]\n# no flip_idx: there is none that is right for every class\n"
    )


def test_each_category_has_a_dataset_of_its_own(tmp_path: Path) -> None:
    release, registry = make(tmp_path, {1: annotation([SKIRT, item(5)]), 2: annotation([item(5)])})
    manifest = run_export(
        registry, "yolo", tmp_path / "out", images="copy", photos=release, task="pose", landmarks="per-category"
    )

    assert [file.path for file in manifest.files] == [
        "skirt/data.yaml",
        "skirt/images/train/000001.jpg",
        "skirt/labels/train/000001.txt",
        "vest/data.yaml",
        "vest/images/train/000001.jpg",
        "vest/images/train/000002.jpg",
        "vest/labels/train/000001.txt",
        "vest/labels/train/000002.txt",
    ]
    assert (tmp_path / "out/skirt/labels/train/000001.txt").read_text() == (
        f"0 0.5 0.5 0.5 0.5 0.25 0.25 2 0.5 0.25 1 0 0 0{' 0.75 0.75 2' * 5}\n"
    )
    assert (tmp_path / "out/skirt/data.yaml").read_text() == (
        "train: images/train\nval: # no images\nnames:\n  0: skirt\nkpt_shape: [8, 3]\n"
        "flip_idx: [2, 1, 0, 7, 6, 5, 4, 3]\n"
        "kpt_oks_sigmas: [0.0253, 0.0195, 0.0253, 0.0513, 0.0543, 0.0415, 0.0543, 0.0513]\n"
    )
    assert manifest.counts == {"train": {"images": 2, "items": 3, "rows": 3}}
    for name in ("skirt", "vest"):
        check_dataset(tmp_path / "out" / name, "pose")


@pytest.mark.parametrize("options", TASKS)
def test_ultralytics_accepts_the_export(
    tmp_path: Path, exportable: Path, release: Path, options: dict[str, Any]
) -> None:
    run_export(exportable, "yolo", tmp_path / "out", images="link", photos=release, **options)

    # Of train 000007, the only item has the box 0, 0, 0, 0 and a polygon.
    has_box = options["task"] != "segment"
    assert check_dataset(tmp_path / "out", options["task"]) == {
        "train": {"images": 5, "labels": 5, "backgrounds": int(has_box), "rows": 8 - has_box},
        "val": {"images": 2, "labels": 2, "backgrounds": 0, "rows": 2},
        "test": {"images": 2, "labels": 2, "backgrounds": 2, "rows": 0},
    }


@pytest.mark.parametrize("options", [{"task": "detect"}, {"task": "pose"}])
def test_supervision_reads_the_same_boxes(
    tmp_path: Path, exportable: Path, release: Path, options: dict[str, Any]
) -> None:
    actual = load(tmp_path / "out", exportable, release, **options)

    assert actual.classes == [category.name for category in CATEGORIES]
    boxes = actual.annotations[str(tmp_path / "out/images/train/000002.jpg")]
    np.testing.assert_allclose(boxes.xyxy, [[10, 20, 110, 220]] * 2, atol=1e-3)
    assert boxes.class_id is not None
    assert boxes.class_id.tolist() == [1, 8]  # item5 stands first in the file


def test_supervision_reads_the_same_masks(tmp_path: Path, exportable: Path, release: Path) -> None:
    actual = load(tmp_path / "out", exportable, release, task="segment")

    mask = actual.annotations[str(tmp_path / "out/images/train/000003.jpg")].mask
    assert mask is not None
    expected = np.zeros(PHOTO_SIZE[::-1], np.uint8)
    cv2.fillPoly(expected, [np.array([[10, 20], [110, 20], [110, 220]])], (1,))
    np.testing.assert_array_equal(np.asarray(mask)[0], expected.astype(bool))


def load(out: Path, registry: Path, release: Path, **options: str) -> sv.DetectionDataset:
    run_export(registry, "yolo", out, images="copy", photos=release, subset={"split": ("train",)}, **options)
    return sv.DetectionDataset.from_yolo(str(out / "images/train"), str(out / "labels/train"), str(out / "data.yaml"))


@pytest.mark.parametrize(
    ("mode", "num_rows", "note"),
    [
        ("bridge", 2, {"items have several polygons: joined into one ring around what they cover": 1}),
        (None, 2, {"items have several polygons: joined into one ring around what they cover": 1}),
        ("split", 4, {"items have several polygons: each is a row, so that readers take it for an item": 1}),
        ("largest", 2, {"polygons were left out: not the largest of the item": 2}),
    ],
)
def test_several_polygons_are_counted(tmp_path: Path, mode: str | None, num_rows: int, note: dict[str, int]) -> None:
    several = item(1, segmentation=[*SQUARES[::-1]])
    rows, left_out = export_one(tmp_path, SKIRT, several, task="segment", multipolygon=mode)

    # The order of the released files: item2 stands before item1.
    assert rows[-1] == "8 0.25 0.25 0.75125 0.25 0.5 0.75"
    assert [row.split()[0] for row in rows] == ["0"] * (num_rows - 1) + ["8"]
    assert left_out == note
    parts = [(np.array(row.split()[1:], float).reshape(-1, 2) * SIZE).round().astype(int) for row in rows[:-1]]
    drawn, expected = np.zeros(SIZE[::-1], np.uint8), np.zeros(SIZE[::-1], np.uint8)
    for polygon in SQUARES[1:2] if mode == "largest" else SQUARES:
        cv2.fillPoly(expected, [np.array(polygon).reshape(-1, 2)], (1,))
    for part in parts:
        cv2.fillPoly(drawn, [part], (1,))
    if num_rows == 2 and mode != "largest":  # OpenCV draws the bridge as a line of one px
        assert (drawn[expected == 1] == 1).all()
        assert 0 < (drawn != expected).sum() <= 30
    else:
        np.testing.assert_array_equal(drawn, expected)


def test_several_polygons_can_be_refused(tmp_path: Path) -> None:
    _, registry = make(tmp_path, {k: annotation([SKIRT, item(1, segmentation=SQUARES)]) for k in range(1, 6)})
    with pytest.raises(UsageError) as caught:
        run_export(registry, "yolo", tmp_path / "out", task="segment", multipolygon="fail")

    assert str(caught.value) == (
        "5 items have several polygons, which do not fit a row of a YOLO label: train/000001.jpg item2, "
        "train/000002.jpg item2, train/000003.jpg item2 and 2 more. --multipolygon bridge joins them, split writes a "
        "row for each, largest keeps the largest."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["registry", "release"]


def test_a_single_polygon_with_area_is_not_several(tmp_path: Path) -> None:
    line, behind = [10, 10, 50, 50, 30, 30], [-30, 10, -10, 10, -10, 40]
    only_lines = item(1, segmentation=[line, [10, 10, 90, 10, 10, 10]])
    rows, left_out = export_one(
        tmp_path,
        only_lines,
        item(2, segmentation=[line, SQUARES[0], behind]),
        item(3, segmentation=[]),
        task="segment",
        multipolygon="fail",
    )
    assert rows == ["1 0.05 0.1 0.15 0.1 0.15 0.3 0.05 0.3"]
    assert left_out == {
        "items were left out, as they have no polygon that covers something": 2,
        "polygons were left out, as all of their points inside the image lie on one line": 4,
    }


def test_a_box_without_width_or_height_has_no_row(tmp_path: Path) -> None:
    flat = [[10, 10, 90, 10], [10, 10, 10, 90], [0, 0, 0, 0], [90, 90, 10, 10], [-50, 0, 0, 50], [400, 0, 500, 100]]
    rows, left_out = export_one(tmp_path, *(item(1, bounding_box=box) for box in flat))

    assert rows == []
    assert left_out == {"items were left out, as the box has no width or no height inside the image": 6}


def test_coordinates_outside_the_image_are_cut_and_counted(tmp_path: Path) -> None:
    outside = item(
        9,
        bounding_box=[-10, 50, 100, 201],
        segmentation=[[-0.5, 0, 100, 60, 400.5, 200.25]],
        landmarks=[0, 0, 2, 400, 200, 1, 401, 10, 2, 10, -1, 1, *[0, 0, 0] * 4],
    )
    boxes = {"boxes reach outside the image: cut at its border": 1}
    assert export_one(tmp_path / "a", outside) == (["8 0.125 0.625 0.25 0.75"], boxes)
    assert export_one(tmp_path / "b", outside, task="segment") == (
        ["8 0 0 0.25 0.3 1 1"],
        {"polygons reach outside the image: points outside were moved to its border": 1},
    )
    assert export_one(tmp_path / "c", outside, task="pose", landmarks="padded") == (
        [f"8 0.125 0.625 0.25 0.75 0 0 2 1 1 1{' 0 0 0' * 37}"],
        {**boxes, "landmarks lie outside the image: written as not labelled (0 0 0)": 2},
    )


def test_a_photo_whose_annotation_was_never_released_is_counted(tmp_path: Path, exportable: Path) -> None:
    manifest = run_export(exportable, "yolo", tmp_path / "out", subset={"split": ("test",)})

    assert (tmp_path / "out/labels/test/000001.txt").read_bytes() == b""
    assert manifest.left_out == [
        {
            "what": "images",
            "why": "have no annotation in the release: an empty label does not say that no clothes are shown",
            "number": 2,
        }
    ]


def test_names_of_several_splits_in_one_part_are_kept_apart(tmp_path: Path, exportable: Path, release: Path) -> None:
    resplit = Resplit.parse("all=0.99,val=0.01", 0, False)
    subset = {"split": ["train", "validation", "test"]}
    run_export(exportable, "yolo", tmp_path / "out", subset=subset, resplit=resplit, images="copy", photos=release)

    for kind, suffix in (("images", "jpg"), ("labels", "txt")):
        actual = {path.name for path in (tmp_path / "out" / kind).glob("*/*")}
        assert {f"train_000001.{suffix}", f"validation_000001.{suffix}", f"test_000001.{suffix}"} <= actual
    train, validation = (
        (next((tmp_path / "out/labels").glob(f"*/{split}_000001.txt"))).read_text() for split in ("train", "validation")
    )
    assert train == "7 0.3 0.4 0.5 0.6666666\n0 0.3 0.4 0.5 0.6666666\n"
    assert validation == "6 0.3 0.4 0.5 0.6666666\n"


@pytest.mark.parametrize(
    ("choice", "head"),
    [
        ({"subset": {"split": ("validation",)}}, "train: # no images\nval: images/validation\n"),
        ({"subset": {"split": ("train",)}}, "train: images/train\nval: # no images\n"),
        ({"subset": {"category": ("sling",)}}, "train: # no images\nval: # no images\n"),
        (
            {"resplit": Resplit.parse("train=0.4,a=0.3,download=0.3", 0, False)},
            "train: images/train\nval: # no images\n# in none of these: images/a, images/download\n",
        ),
        (
            {"resplit": Resplit.parse("train=0.4,Val=0.3,valid=0.3", 0, False)},
            "train: images/train\nval: [images/Val, images/valid]\n",
        ),
    ],
)
def test_parts_stand_under_the_keys_of_their_names(tmp_path: Path, choice: dict[str, Any], head: str) -> None:
    # So many groups that no part is empty.
    annotations: dict[int | str, Any] = {k: annotation([SKIRT], pair_id=k) for k in range(1, 30)}
    _, registry = make(tmp_path, annotations)
    write_split(tmp_path / "release/validation", {1: annotation([SKIRT])}, {1: jpeg(*SIZE)})
    ingest("validation", str(tmp_path / "release"), str(registry), jobs=1)
    run_export(registry, "yolo", tmp_path / "out", **choice)

    assert (tmp_path / "out/data.yaml").read_text() == f"{head}names:\n{NAMES}"


def test_unknown_image_sizes_are_refused(tmp_path: Path) -> None:
    _, registry = make(tmp_path, {k: annotation([SKIRT]) for k in range(1, 6)}, None)
    with pytest.raises(UsageError) as caught:
        run_export(registry, "yolo", tmp_path / "out")

    assert str(caught.value) == (
        "YOLO labels are shares of the image, and the size of images is not known: 5 of train (000001.jpg, "
        "000002.jpg, 000003.jpg and 2 more). Their photos were not there when they were ingested. Ingest with the "
        "photos: 'df2 ingest --split train RELEASE REGISTRY'."
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tasks": "pose"}, UnknownNameError, "Unknown option of the format yolo 'tasks'. Did you mean 'task'?"),
        ({"task": "poses"}, UnknownNameError, "Unknown value of task 'poses'. Did you mean 'pose'?"),
        ({"landmarks": "union"}, UsageError, "landmarks is for the task pose, not for detect: leave it out."),
        (
            {"task": "pose", "multipolygon": "split"},
            UsageError,
            "multipolygon is for the task segment, not for pose: leave it out.",
        ),
        ({"images": "reference"}, UsageError, "The format yolo takes --images none or link or copy, not reference."),
    ],
)
def test_options_that_do_not_fit_the_task_are_refused(
    tmp_path: Path, exportable: Path, options: dict[str, Any], error: type[UsageError], message: str
) -> None:
    with pytest.raises(error) as caught:
        run_export(exportable, "yolo", tmp_path / "out", **options)
    assert str(caught.value).startswith(message)


def test_landmarks_without_a_label_are_zeros(tmp_path: Path) -> None:
    rows, _ = export_one(tmp_path, item(13, landmarks=landmarks(13, 0)), task="pose")

    assert rows == [f"12 0.15 0.55 0.25 0.9{' 0 0 0' * 294}"]
    assert CATEGORY_BY_ID[13].landmark_offset + CATEGORY_BY_ID[13].num_landmarks == 294


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, exportable: Path) -> None:
    result = [
        run_export(exportable, "yolo", tmp_path / name, task="pose", landmarks="per-category") for name in ("a", "b")
    ]
    assert result[0].files == result[1].files
