"""Photos with other suffixes, sizes and EXIF tags than the release's in every format."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from registry.exports.builtin import FORMATS
from registry.exports.find import find_format
from registry.ingest.build import ingest
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.helpers import annotation, item, photo, write_split
from tests.sources.packing import files_in

#: Name and bytes of the photo of each image. Photos of 300 x 400 px; the first is turned when it is shown.
PHOTOS = {
    "1.JPG": photo(300, 400, "JPEG", 6),
    "000002.jpeg": photo(300, 400),
    "000003.png": photo(300, 400, "PNG"),
    "000004.webp": photo(300, 400, "WEBP"),
}
BOX = [10, 20, 290, 390]
RING = [10, 20, 290, 20, 290, 390, 10, 390]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a release and its registry: train with a photo of each kind, in images/."""
    folder = tmp_path_factory.mktemp("names")
    sources = {1: "user", 2: "shop", 3: "user", 4: "shop"}
    annotations: dict[int | str, Any] = {
        k: annotation([item(bounding_box=BOX, segmentation=[RING])], source, 1) for k, source in sources.items()
    }
    train = write_split(folder / "release" / "train", annotations, dict(PHOTOS))
    (train / "image").rename(train / "images")
    ingest("train", str(train), str(folder / "registry"), jobs=1)
    return folder / "release", folder / "registry"


def exported(places: tuple[Path, Path], format: str, dest: Path, **options: Any) -> dict[str, bytes]:
    """Export with copied photos and return the files."""
    run_export(places[1], format, dest, photos=places[0], images="copy", **options)
    return files_in(dest)


@pytest.mark.parametrize("format", sorted(n for n in FORMATS if n != "crops" and "copy" in find_format(n).images))
def test_every_format_has_the_photos_as_they_are(format: str, places: tuple[Path, Path], tmp_path: Path) -> None:
    files = exported(places, format, tmp_path / "out")
    contents = list(files.values())
    if format == "webdataset":
        with tarfile.open(tmp_path / "out" / "train-000000.tar") as archive:
            contents = [archive.extractfile(member).read() for member in archive]  # type: ignore[union-attr]
    elif format == "huggingface":
        rows = pq.read_table(tmp_path / "out" / "data").column("image").to_pylist()
        assert [row["path"] for row in rows] == list(PHOTOS)
        contents = [row["bytes"] for row in rows]
    else:
        names = {path.rpartition("/")[2]: data for path, data in files.items()}
        assert {name: names[name] for name in PHOTOS} == PHOTOS
    assert all(data in contents for data in PHOTOS.values())


def test_labels_of_yolo_have_the_stem_of_the_photo_and_count_stored_pixels(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    files = exported(places, "yolo", tmp_path / "out")
    stems = ["1", "000002", "000003", "000004"]
    assert [path for path in files if path.startswith("labels/")] == sorted(f"labels/train/{k}.txt" for k in stems)
    assert {files[f"labels/train/{k}.txt"] for k in stems} == {b"0 0.5 0.5125 0.9333334 0.925\n"}


def test_segments_of_a_turned_photo_are_cut_at_its_stored_border(places: tuple[Path, Path], tmp_path: Path) -> None:
    files = exported(places, "yolo", tmp_path / "out", task="segment")
    (line,) = files["labels/train/1.txt"].decode().splitlines()
    shares = [float(text) for text in line.split()[1:]]
    pixels = [round(share * size, 2) for share, size in zip(shares, [300, 400] * 4, strict=True)]
    assert sorted(zip(pixels[::2], pixels[1::2], strict=True)) == sorted(zip(RING[::2], RING[1::2], strict=True))


def test_voc_names_the_photo_and_its_stored_size(places: tuple[Path, Path], tmp_path: Path) -> None:
    files = exported(places, "voc", tmp_path / "out")
    for name in PHOTOS:
        root = ElementTree.fromstring(files[f"Annotations/train/{name.rpartition('.')[0]}.xml"])
        assert root.findtext("filename") == name
        assert (root.findtext("size/width"), root.findtext("size/height")) == ("300", "400")
    assert files["ImageSets/Main/train.txt"] == b"train/1\ntrain/000002\ntrain/000003\ntrain/000004\n"


def test_coco_and_metric_learning_name_the_photo(places: tuple[Path, Path], tmp_path: Path) -> None:
    document = json.loads(exported(places, "coco", tmp_path / "coco")["annotations/train.json"])
    assert [(image["file_name"], image["width"], image["height"]) for image in document["images"]] == [
        (name, 300, 400) for name in PHOTOS
    ]
    text = exported(places, "metric-learning", tmp_path / "oml")["metric_learning.csv"].decode()
    assert {row["path"] for row in csv.DictReader(io.StringIO(text))} <= {f"images/train/{name}" for name in PHOTOS}


def test_the_suffix_of_a_photo_is_the_key_of_a_webdataset_field(places: tuple[Path, Path], tmp_path: Path) -> None:
    exported(places, "webdataset", tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as archive:
        suffixes = [name.rpartition(".")[2] for name in archive.getnames()]
        rows = [json.load(archive.extractfile(name)) for name in archive.getnames() if name.endswith(".json")]  # type: ignore[arg-type]
    assert suffixes == ["jpg", "json", "jpeg", "json", "png", "json", "webp", "json"]
    assert [row["file_name"] for row in rows] == list(PHOTOS)
    assert all("orientation" not in row for row in rows)


def test_crops_are_cut_in_stored_pixels(places: tuple[Path, Path], tmp_path: Path) -> None:
    from PIL import Image

    run_export(places[1], "crops", tmp_path / "out", photos=places[0])
    files = files_in(tmp_path / "out")
    crops = [Image.open(io.BytesIO(data)) for path, data in files.items() if path.endswith(".jpg")]
    assert [(crop.size, dict(crop.getexif())) for crop in crops] == [((280, 370), {})] * 4


def test_the_released_layout_is_read_back(places: tuple[Path, Path], tmp_path: Path) -> None:
    files = exported(places, "deepfashion2", tmp_path / "out")
    assert [path for path in files if "/image/" in path] == sorted(f"train/image/{name}" for name in PHOTOS)
    ingest("train", str(tmp_path / "out"), str(tmp_path / "again"), jobs=1)
    again = files_in(tmp_path / "again" / "images")
    assert again == files_in(places[1] / "images")


def test_a_part_of_several_splits_has_other_numbers_and_the_same_suffixes(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    registry_folder, release = tmp_path / "registry", tmp_path / "release"
    for split in ("train", "validation"):
        shutil.copytree(places[0] / "train", release / split)
        ingest(split, str(release), str(registry_folder), jobs=1)
    resplit = Resplit.parse("a=0.5,b=0.5", 1)
    run_export(registry_folder, "deepfashion2", tmp_path / "out", photos=release, images="copy", resplit=resplit)
    names = {path.rpartition("/")[2]: data for path, data in files_in(tmp_path / "out").items() if "/image/" in path}
    numbers = {"1.JPG": 1, "000002.jpeg": 2, "000003.png": 3, "000004.webp": 4}
    assert names == {
        f"{stride + numbers[name]}.{name.rpartition('.')[2]}": data
        for name, data in PHOTOS.items()
        for stride in (1_000_000, 2_000_000)
    }


@pytest.mark.parametrize("format", ["coco", "yolo", "webdataset", "huggingface", "pairs"])
def test_turned_photos_are_a_notice_of_formats_with_photos(
    format: str, places: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest = run_export(places[1], format, tmp_path / "out", photos=places[0], images="copy")
    assert [notice for notice in manifest.notices if "EXIF" in notice] == [
        "1 photo has an EXIF tag that some trainers turn or mirror it by (ultralytics, detectron2), and all numbers "
        "count the stored pixels: see docs/how-to/turned-photos.md"
    ]
    subset = {"image_id": "2-"}
    others = run_export(places[1], format, tmp_path / "others", subset=subset, photos=places[0], images="copy")
    assert not any("EXIF" in notice for notice in others.notices)


@pytest.mark.parametrize("format", ["coco", "coco-per-category", "webdataset", "deepfashion2"])
def test_photos_whose_names_were_not_known_at_ingestion_are_a_notice(
    format: str, places: tuple[Path, Path], tmp_path: Path
) -> None:
    ingest("train", str(places[0]), str(tmp_path / "registry"), image_sizes=False, jobs=1)
    manifest = run_export(tmp_path / "registry", format, tmp_path / "out", photos=places[0], images="copy")
    assert [notice for notice in manifest.notices if "suffix" in notice] == [
        "2 photos have another suffix at the place of the photos than in the registry, whose names stand here: ingest "
        "the split with its photos to have their own"
    ]
