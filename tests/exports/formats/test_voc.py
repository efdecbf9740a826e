"""Pascal VOC exports: exact files, the expectations of VOC readers, and the counts of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import supervision as sv
from hypothesis import given
from hypothesis import strategies as st

from registry.dataset.deepfashion2 import CATEGORIES
from registry.errors import UnknownNameError, UsageError
from registry.ingest.build import ingest
from registry.subset.resplit import Resplit
from tests.exports.recorder import Recorder, one_image
from tests.exports.releases import run_export
from tests.helpers import annotation, item, jpeg, write_split

SIZE = (400, 200)  # px of the photos of the tests with their own release
HEAVY = item(12, 3, bounding_box=[0, 10, 400, 200], viewpoint=3, zoom_in=2, occlusion=3)


def make(folder: Path, annotations: Mapping[int | str, Any], size: tuple[int, int] | None = SIZE) -> tuple[Path, Path]:
    """Return a release with a train split, and its registry; without a size it has no photos."""
    release = folder / "release"
    write_split(release / "train", annotations, {key: jpeg(*size) for key in annotations} if size else {})
    ingest("train", str(release), str(folder / "registry"), jobs=1)
    return release, folder / "registry"


def check_voc(folder: Path) -> dict[str, int]:
    """Check the assumptions of the development kit's reader; return the number of objects of each list.

    Source: VOC2012 devkit, ``VOCcode/PASreadrecord.m`` and ``VOCreadrecxml.m``, and its description of annotations.
    """
    classes = [line.split(":")[0] for line in (folder / "labelmap.txt").read_text().splitlines()[1:]]
    assert classes == [category.name for category in CATEGORIES]
    listed = set()
    counts = {}
    for path in sorted((folder / "ImageSets/Main").iterdir()):
        counts[path.stem] = 0
        for line in path.read_text().splitlines():
            xml = folder / f"Annotations/{line}.xml"
            listed.add(xml)
            counts[path.stem] += check_xml(xml, classes) if xml.exists() else 0
    assert set(folder.glob("Annotations/*/*")) <= listed
    return counts


def check_xml(path: Path, classes: list[str]) -> int:
    """Check an annotation file; return its number of objects."""
    root = ElementTree.parse(path).getroot()
    assert [child.tag for child in root][:5] == ["folder", "filename", "source", "size", "segmented"]
    assert root.findtext("folder") == path.parent.name
    assert Path(root.findtext("filename") or "").stem == path.stem
    width, height, depth = (int(root.findtext(f"size/{tag}") or "") for tag in ("width", "height", "depth"))
    assert depth == 3
    for actual in root.iterfind("object"):
        assert actual.findtext("name") in classes
        assert actual.findtext("pose") in ("Frontal", "Rear", "Left", "Right", "Unspecified")
        assert all(actual.findtext(flag) in ("0", "1") for flag in ("truncated", "occluded", "difficult"))
        x1, y1, x2, y2 = (int(actual.findtext(f"bndbox/{tag}") or "") for tag in ("xmin", "ymin", "xmax", "ymax"))
        assert 1 <= x1 <= x2 <= width
        assert 1 <= y1 <= y2 <= height
    return len(root.findall("object"))


def test_the_exact_files_of_an_image(tmp_path: Path) -> None:
    _, registry = make(tmp_path, {1: annotation([HEAVY])})
    manifest = run_export(registry, "voc", tmp_path / "out")

    assert [file.path for file in manifest.files] == [
        "Annotations/train/000001.xml", "ImageSets/Main/train.txt", "labelmap.txt"
    ]  # fmt: skip
    assert (tmp_path / "out/ImageSets/Main/train.txt").read_text() == "train/000001\n"
    assert (
        (tmp_path / "out/labelmap.txt")
        .read_text()
        .startswith("# label:color_rgb:parts:actions\nshort sleeve top:::\nlong sleeve top:::\n")
    )
    assert (tmp_path / "out/Annotations/train/000001.xml").read_text() == (
        "<annotation>\n"
        "\t<folder>train</folder>\n"
        "\t<filename>000001.jpg</filename>\n"
        "\t<source>\n"
        "\t\t<database>DeepFashion2</database>\n"
        "\t</source>\n"
        "\t<size>\n"
        "\t\t<width>400</width>\n"
        "\t\t<height>200</height>\n"
        "\t\t<depth>3</depth>\n"
        "\t</size>\n"
        "\t<segmented>0</segmented>\n"
        "\t<object>\n"
        "\t\t<name>vest dress</name>\n"
        "\t\t<pose>Unspecified</pose>\n"
        "\t\t<truncated>1</truncated>\n"
        "\t\t<occluded>1</occluded>\n"
        "\t\t<difficult>1</difficult>\n"
        "\t\t<bndbox>\n"
        "\t\t\t<xmin>1</xmin>\n"
        "\t\t\t<ymin>11</ymin>\n"
        "\t\t\t<xmax>400</xmax>\n"
        "\t\t\t<ymax>200</ymax>\n"
        "\t\t</bndbox>\n"
        "\t</object>\n"
        "</annotation>\n"
    )
    assert manifest.left_out == []


def test_attributes_are_written_as_cvat_does(tmp_path: Path) -> None:
    _, registry = make(tmp_path, {1: annotation([HEAVY], "shop", 7)})
    run_export(registry, "voc", tmp_path / "out", attributes=True)

    root = ElementTree.parse(tmp_path / "out/Annotations/train/000001.xml").getroot()
    actual = {
        attribute.findtext("name"): attribute.findtext("value")
        for attribute in root.iterfind("object/attributes/attribute")
    }
    assert actual == {
        "item_no": "1", "pair_id": "7", "style": "3", "source": "shop", "scale": "2", "occlusion": "3", "zoom_in": "2",
        "viewpoint": "3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"viewpoint": 1, "zoom_in": 1, "occlusion": 1}, ("Unspecified", "0", "0", "0")),
        ({"viewpoint": 2, "zoom_in": 2, "occlusion": 2}, ("Frontal", "1", "1", "0")),
        ({"viewpoint": 3, "zoom_in": 3, "occlusion": 3}, ("Unspecified", "1", "1", "1")),
    ],
)
def test_attributes_become_pose_truncated_occluded_and_difficult(
    codes: dict[str, int], expected: tuple[str, ...]
) -> None:
    (actual,) = objects(SIZE, [[0, 0, 9, 9]], **codes)

    assert tuple(actual.findtext(tag) for tag in ("pose", "truncated", "occluded", "difficult")) == expected


def test_supervision_reads_the_same_boxes(tmp_path: Path, exportable: Path, release: Path) -> None:
    run_export(exportable, "voc", tmp_path / "out", images="copy", photos=release)

    assert check_voc(tmp_path / "out") == {"train": 7, "validation": 2, "test": 0}
    actual = sv.DetectionDataset.from_pascal_voc(
        str(tmp_path / "out/JPEGImages/train"), str(tmp_path / "out/Annotations/train")
    )
    boxes = actual.annotations[str(tmp_path / "out/JPEGImages/train/000002.jpg")]
    np.testing.assert_array_equal(boxes.xyxy, [[10, 20, 110, 220]] * 2)
    assert boxes.class_id is not None
    assert [actual.classes[k] for k in boxes.class_id] == ["long sleeve top", "skirt"]  # item5 stands first in the file


def test_photos_without_annotations_are_listed(tmp_path: Path, exportable: Path) -> None:
    manifest = run_export(exportable, "voc", tmp_path / "out", subset={"split": ("test",)})

    assert (tmp_path / "out/ImageSets/Main/test.txt").read_text() == "test/000001\ntest/000002\n"
    assert not (tmp_path / "out/Annotations").exists()
    why = "have no annotation in the release: on the list, without an XML"
    assert manifest.left_out == [{"what": "images", "why": why, "number": 2}]


def test_an_empty_subset_has_empty_lists(tmp_path: Path, exportable: Path) -> None:
    manifest = run_export(exportable, "voc", tmp_path / "out", subset={"category": ("sling",)})

    assert check_voc(tmp_path / "out") == {"train": 0, "validation": 0, "test": 0}
    assert manifest.left_out == []


def test_names_of_several_splits_in_one_part_are_kept_apart(tmp_path: Path, exportable: Path, release: Path) -> None:
    resplit = Resplit.parse("all=0.99,val=0.01", 0, False)
    run_export(exportable, "voc", tmp_path / "out", resplit=resplit, images="link", photos=release, attributes=True)

    assert sum(check_voc(tmp_path / "out").values()) == 9
    (path,) = (tmp_path / "out/Annotations").glob("*/validation_000001.xml")
    root = ElementTree.parse(path).getroot()
    assert root.findtext("filename") == "validation_000001.jpg"
    assert (tmp_path / f"out/JPEGImages/{path.parent.name}/validation_000001.jpg").is_symlink()
    assert root.findall("object/attributes/attribute/value")[1].text == "2000001"  # pair_id


def test_unknown_image_sizes_are_refused(tmp_path: Path) -> None:
    _, registry = make(tmp_path, {k: annotation() for k in (3, 8)}, None)
    with pytest.raises(UsageError) as caught:
        run_export(registry, "voc", tmp_path / "out")

    assert str(caught.value) == (
        "Pascal VOC files hold the size of the image, and the size of images is not known: 2 of train (000003.jpg, "
        "000008.jpg). Their photos were not there when they were ingested. Ingest with the photos: 'df2 ingest --split "
        "train RELEASE REGISTRY'."
    )
    assert not (tmp_path / "out").exists()


def test_an_unknown_option_is_refused(tmp_path: Path, exportable: Path) -> None:
    with pytest.raises(UnknownNameError, match="Unknown option of the format voc 'task'"):
        run_export(exportable, "voc", tmp_path / "out", task="detect")


def write_one(size: tuple[int, int], boxes: list[list[float]], name: str = "000001.jpg", **codes: int) -> Recorder:
    """Return the job that wrote an image with these boxes."""
    base = {"category_id": 1, "viewpoint": 2, "zoom_in": 1, "occlusion": 1} | codes
    items = [base | dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True)) for box in boxes]
    return one_image("voc", size, items, name, attributes=False)


def objects(size: tuple[int, int], boxes: list[list[float]], **codes: int) -> list[ElementTree.Element]:
    job = write_one(size, boxes, **codes)
    return ElementTree.fromstring(job.written["Annotations/train/000001.xml"]).findall("object")


@pytest.mark.parametrize(
    ("box", "expected", "left_out"),
    [
        ([10, 20, 110, 120], [11, 21, 110, 120], {}),
        ([0, 0, 400, 200], [1, 1, 400, 200], {}),
        ([9.2, 9.8, 9.4, 12.1], [10, 10, 10, 13], {"boxes: have fractions of a pixel: widened to whole pixels": 1}),
        ([-5, 10, 401, 20], [1, 11, 400, 20], {"boxes: reach outside the image: cut at its border": 1}),
        ([7, 10, 7, 20], None, {"items: were left out, as the box has no width or no height inside the image": 1}),
        (
            [400, 10, 500, 20],
            None,
            {"items: were left out, as the box has no width or no height inside the image": 1},
        ),
    ],
)
def test_boxes_are_the_pixels_they_touch(
    box: list[float], expected: list[int] | None, left_out: dict[str, int]
) -> None:
    job = write_one(SIZE, [box])
    actual = ElementTree.fromstring(job.written["Annotations/train/000001.xml"]).findall("object/bndbox")

    assert [[int(side.text or "") for side in entry] for entry in actual] == ([expected] if expected else [])
    assert {f"{what}: {why}": number for (what, why), number in job.left_out.items()} == left_out


SIDES = st.integers(1, 65_535)
COORDINATES = st.one_of(st.integers(-20, 65_600).map(float), st.floats(-20, 65_600), st.floats(-1e15, 1e15))


@given(st.tuples(SIDES, SIDES), st.lists(st.lists(COORDINATES, min_size=4, max_size=4), min_size=1, max_size=4))
def test_boxes_contain_the_part_of_the_items_box_inside_the_image(
    size: tuple[int, int], boxes: list[list[float]]
) -> None:
    actual = [[int(side.text or "") for side in entry.findall("bndbox/*")] for entry in objects(size, boxes)]
    cut = [box for box in np.clip(boxes, 0, (*size, *size)).tolist() if box[2] > box[0] and box[3] > box[1]]
    assert len(actual) == len(cut)
    for (xmin, ymin, xmax, ymax), sides in zip(actual, cut, strict=True):
        x1, y1, x2, y2 = map(Fraction, sides)  # exact: as doubles, 1 - 1e-220 is 1
        assert 1 <= xmin <= xmax <= size[0]
        assert 1 <= ymin <= ymax <= size[1]
        assert 0 <= x1 - (xmin - 1) < 1
        assert 0 <= y1 - (ymin - 1) < 1
        assert 0 <= xmax - x2 < 1
        assert 0 <= ymax - y2 < 1


def test_names_are_escaped() -> None:
    job = write_one(SIZE, [], "a&b<c>.jpg")

    (path,) = (path for path in job.written if path.endswith(".xml"))
    assert path == "Annotations/train/a&b<c>.xml"
    assert ElementTree.fromstring(job.written[path]).findtext("filename") == "a&b<c>.jpg"


def test_a_part_with_annotated_images_lists_those_alone(tmp_path: Path, exportable: Path) -> None:
    subset = {"split": ("train", "validation", "test")}
    resplit = Resplit.parse("all=0.999999,none=0.000001")
    manifest = run_export(exportable, "voc", tmp_path / "out", subset=subset, resplit=resplit)

    check_voc(tmp_path / "out")
    listed = (tmp_path / "out/ImageSets/Main/all.txt").read_text().split()
    assert sorted(listed) == sorted(f"all/{path.stem}" for path in (tmp_path / "out/Annotations/all").iterdir())
    assert len(listed) == 7
    why = "have no annotation in the release: not on the list, without an XML"
    assert {"what": "images", "why": why, "number": 2} in manifest.left_out
