"""Photos as people have them: turned by EXIF, in other formats and folders, beside files of other tools."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

import registry
from registry.errors import SourceError
from registry.ingest.build import ingest
from registry.ingest.fingerprint import fingerprint_source
from registry.sources.photo_headers import image_size, size_from_start
from tests.helpers import SMALL_SPLIT, annotation, jpeg, make_version_1, notices_of, photo, write_split
from tests.registries import make_three_splits, make_version_2
from tests.sources.ingesting import refusal
from tests.sources.packing import files_in, packed

KINDS = ("", ".zip", ".tar", ".tar.gz", "memory")
_ROWS = "SELECT file_name, width, height, orientation FROM images ORDER BY image_id"


def as_kind(kind: str, folder: Path, tmp_path: Path) -> str:
    """Return the path or URL of a split in a kind of place: a local folder, an archive, or a remote folder."""
    if kind == "memory":
        fs: Any = fsspec.filesystem("memory")
        fs.store.clear()
        fs.pseudo_dirs[:] = [""]
        fs.pipe({f"/raw/{folder.name}/{name}": data for name, data in files_in(folder).items()})
        return f"memory://raw/{folder.name}"
    return str(packed(kind, files_in(folder), tmp_path)) if kind else str(folder)


def noticed(source: str, target: Path, split: str = "train") -> list[str]:
    """Ingest and return the notices."""
    return notices_of(ingest(split, source, str(target), jobs=1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_turned_photo_has_the_size_of_its_stored_pixels_and_its_tag(kind: str, tmp_path: Path) -> None:
    formats = {1: ("jpg", "JPEG", 6), 2: ("jpg", "JPEG", None), 3: ("png", "PNG", 5), 4: ("webp", "WEBP", 8)}
    photos = {f"{k:06d}.{suffix}": photo(300, 400, form, tag) for k, (suffix, form, tag) in formats.items()}
    source = write_split(tmp_path / "train", {k: annotation() for k in formats}, photos)
    assert noticed(as_kind(kind, source, tmp_path), tmp_path / "r") == [
        "train: 3 photos have an EXIF tag that turns or mirrors the photo when it is shown (orientation 2 to 8 in "
        "images); width, height and annotations count the stored pixels, and trainers that turn photos by the tag see "
        "other ones: see docs/how-to/turned-photos.md"
    ]
    assert registry.open(str(tmp_path / "r")).sql(_ROWS).fetchall() == [
        ("000001.jpg", 300, 400, 6),
        ("000002.jpg", 300, 400, None),
        ("000003.png", 300, 400, 5),
        ("000004.webp", 300, 400, 8),
    ]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("tag", [None, *range(10)])
def test_size_and_orientation_are_those_that_pillow_reads(format: str, tag: int | None) -> None:
    from PIL import Image

    data = photo(300, 200, format, tag)
    with Image.open(io.BytesIO(data)) as opened:
        assert image_size(data) == (*opened.size, tag if tag and tag < 9 else None)


def test_the_tag_behind_the_pixels_of_a_large_webp_is_read(tmp_path: Path) -> None:
    from PIL import Image

    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((300, 200), 90).convert("RGB").save(out, "WEBP", exif=exif, quality=100)
    data = out.getvalue()
    assert len(data) > 2 * (16 << 10)
    assert size_from_start(data[: 16 << 10], lambda: data) == (300, 200, 6)


def test_a_damaged_tag_is_no_tag(tmp_path: Path) -> None:
    for format in ("JPEG", "PNG", "WEBP"):
        data = photo(300, 200, format, 6)
        start = data.index(b"MM\0*") if b"MM\0*" in data else data.index(b"II*\0")
        for length in (4, 8, 26):
            assert image_size(data[:start] + b"\xff" * length + data[start + length :]) == (300, 200, None)


@pytest.mark.parametrize("make_old", [make_version_1, make_version_2])
def test_an_earlier_registry_has_no_orientation_which_is_no_difference(
    make_old: Callable[[Path], Path], tmp_path: Path
) -> None:
    for split in ("old", "new"):
        source = write_split(tmp_path / split / "train", SMALL_SPLIT, {1: photo(300, 400, "JPEG", 6)})
        ingest("train", str(source), str(tmp_path / f"r-{split}"), jobs=1)
    new = registry.open(str(tmp_path / "r-new"))
    assert new.manifest.schema_version == 3
    old = registry.open(str(make_old(tmp_path / "r-old")))
    assert old.sql("SELECT DISTINCT orientation, typeof(orientation) FROM images").fetchall() == [(None, "TINYINT")]
    assert old.diff(new).summary.is_same
    assert old.sql("FROM split_counts").fetchall() == new.sql("FROM split_counts").fetchall()
    other = write_split(tmp_path / "other" / "train", SMALL_SPLIT, {1: photo(300, 400, "JPEG", 3)})
    ingest("train", str(other), str(tmp_path / "r-other"), jobs=1)
    changes = list(new.diff(registry.open(str(tmp_path / "r-other"))).images())
    assert [(change.key["image_id"], change.old, change.new) for change in changes] == [
        (1, {"orientation": 6}, {"orientation": 3})
    ]


def test_a_fingerprint_says_how_photos_are_read(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", SMALL_SPLIT, {1: jpeg()})
    assert json.loads(fingerprint_source(str(source), "train"))["photos"]["reader"] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_photos_are_registered_under_their_own_names(kind: str, tmp_path: Path) -> None:
    annotations: dict[int | str, Any] = {name: annotation() for name in ("1.json", "000002.JSON", "000003.json")}
    annotations |= {"4.json": annotation(), "000005.json": annotation()}
    photos = {"000001.jpg": jpeg(), "000002.JPG": jpeg(), "000003.jpeg": jpeg(), "000005.PNG": photo(format="PNG")}
    source = write_split(tmp_path / "train", annotations, photos)
    assert noticed(as_kind(kind, source, tmp_path), tmp_path / "r") == [
        "train/annos/4.json: the annotation has no photo; width and height are NULL"
    ]
    rows = registry.open(str(tmp_path / "r")).sql("SELECT file_name FROM images ORDER BY image_id").fetchall()
    assert rows == [("000001.jpg",), ("000002.JPG",), ("000003.jpeg",), ("4.jpg",), ("000005.PNG",)]


def test_two_photos_with_the_same_number_are_an_issue(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation()}, {"000001.jpg": jpeg(), "000001.png": jpeg()})
    assert refusal(source, tmp_path) == ["train/image/000001.png: has the same number as 000001.jpg"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image", ["images", "Image", "IMAGES"])
def test_a_renamed_folder_of_photos_is_read_and_noticed(image: str, kind: str, tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation()}, {1: jpeg(44, 33)})
    (source / "image").rename(source / image)
    assert noticed(as_kind(kind, source, tmp_path), tmp_path / "r") == [
        f"train: the photos are read from {image}/, as there is no image/; exports with --images reference name "
        "image/ all the same"
    ]
    assert registry.open(str(tmp_path / "r")).sql(_ROWS).fetchall() == [("000001.jpg", 44, 33, None)]


@pytest.mark.parametrize("kind", ["", "memory"])
def test_a_folder_that_is_passed_over_beside_the_right_one_is_noticed(kind: str, tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation()}, {1: jpeg(44, 33)})
    (source / "images").mkdir()
    (source / "images" / "000001.jpg").write_bytes(jpeg(88, 66))
    assert noticed(as_kind(kind, source, tmp_path), tmp_path / "r") == [
        "train: images/ is not read, as there is image/"
    ]
    assert registry.open(str(tmp_path / "r")).sql(_ROWS).fetchall() == [("000001.jpg", 44, 33, None)]


@pytest.mark.parametrize("kind", KINDS)
def test_other_renamed_folders_are_found(kind: str, tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation()})
    (source / "annos").rename(source / "Annotations")
    assert noticed(as_kind(kind, source, tmp_path), tmp_path / "r") == [
        "train: the annotations are read from Annotations/, as there is no annos/"
    ]
    test = write_split(tmp_path / "test", {}, {1: jpeg(44, 33)})
    (test / "image").rename(test / "images")
    noticed(as_kind(kind, test, tmp_path), tmp_path / "t", "test")
    assert registry.open(str(tmp_path / "t")).sql(_ROWS).fetchall() == [("000001.jpg", 44, 33, None)]


@pytest.mark.parametrize("kind", KINDS)
def test_two_folders_that_could_be_meant_are_refused(kind: str, tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation()}, {1: jpeg()})
    (source / "image").rename(source / "images")
    (source / "Images").mkdir()
    (source / "Images" / "000001.jpg").write_bytes(jpeg())
    with pytest.raises(SourceError, match=r"several folders that could be image/: Images, images\. Rename"):
        noticed(as_kind(kind, source, tmp_path), tmp_path / "r")


@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_an_archive_of_all_splits_has_a_split_with_a_renamed_folder(kind: str, tmp_path: Path) -> None:
    train = write_split(tmp_path / "a", {1: annotation()})
    members = {f"all/train/{name}": data for name, data in files_in(train).items()}
    members["all/test/images/000001.jpg"] = jpeg(44, 33)
    archive = packed(kind, members, tmp_path)
    noticed(str(archive), tmp_path / "r", "test")
    assert registry.open(str(tmp_path / "r")).sql(_ROWS).fetchall() == [("000001.jpg", 44, 33, None)]


def test_a_renamed_folder_is_fingerprinted(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation()}, {1: jpeg()})
    expected = fingerprint_source(str(source), "train")
    (source / "image").rename(source / "images")
    output = tmp_path / "f.json"
    assert fingerprint_source(str(source), "train", output=output) == expected
    (source / "images" / "000002.PNG").write_bytes(photo(format="PNG"))
    assert json.loads(fingerprint_source(str(source), "train", output=output))["photos"]["files"] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_annotations_without_any_photo_are_one_notice(kind: str, tmp_path: Path) -> None:
    source = as_kind(kind, write_split(tmp_path / "train", SMALL_SPLIT), tmp_path)
    assert ingest("train", source, str(tmp_path / "r"), jobs=1).notices == [
        "train: no photos were found in image/ beside 5 annotations, so width and height are NULL; ingest from a place "
        "with the photos if you need them (yolo and voc do)"
    ]
    assert ingest("train", source, str(tmp_path / "r"), jobs=1, image_sizes=False).notices == []


@pytest.mark.parametrize("kind", KINDS)
def test_side_files_are_one_notice_and_likely_data_stays_an_issue(kind: str, tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", SMALL_SPLIT, {k: jpeg() for k in SMALL_SPLIT})
    names = ["000001.txt", "000002.txt", "Thumbs.db", "desktop.ini", "000001.jpg~", "000003.jpg.swp"]
    for name in (*names, "000009.jpg.part", "000010.jpg.crdownload"):
        (source / "image" / name).write_bytes(b"x")
    (source / "annos" / "notes.txt").write_bytes(b"x")
    assert noticed(as_kind(kind, source, tmp_path), tmp_path / "r") == [
        "train/annos: 1 other file is not read: notes.txt",
        "train/image: 2 files look like unfinished downloads and are not read; finish or remove: 000009.jpg.part, "
        "000010.jpg.crdownload",
        "train/image: 6 other files are not read: 000001.jpg~, 000001.txt, 000002.txt, 000003.jpg.swp, Thumbs.db and "
        "1 more",
    ]
    (source / "image" / "image (1).jpg").write_bytes(jpeg())
    (source / "annos" / "abc.json").write_bytes(b"{}")
    assert [line.partition(":")[0] for line in refusal(as_kind(kind, source, tmp_path), tmp_path)] == [
        "train/annos/abc.json",
        "train/image/image (1).jpg",
    ]


def test_side_files_change_neither_the_registry_nor_its_fingerprint(tmp_path: Path) -> None:
    folder = make_three_splits(tmp_path)
    before = files_in(folder)
    fingerprint = fingerprint_source(str(tmp_path / "test"), "test")
    (tmp_path / "test" / "image" / "000001.txt").write_bytes(b"x")
    ingest("test", str(tmp_path / "test"), str(folder), jobs=1)
    assert files_in(folder) == before
    assert fingerprint_source(str(tmp_path / "test"), "test") == fingerprint
