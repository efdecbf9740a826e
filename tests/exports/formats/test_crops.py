"""Crops: the right pixels, in the right folders, and a list that says where they come from."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

import registry
from registry.errors import SourceError, UsageError
from registry.exports.formats.crops import cut
from registry.exports.run import Plan, export
from registry.ingest.build import ingest
from registry.sources.photo_crops import crop_within
from registry.subset.options import Subset
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.helpers import annotation, item, write_split
from tests.sources.packing import files_in, write_zipcrypto

#: A red and a blue rectangle on white, in whole squares of a JPEG.
RED, BLUE = (16, 32, 64, 96), (80, 16, 112, 48)


@pytest.fixture(autouse=True)
def _four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut with four threads, whatever the machine has."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)


def photo(kind: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    """Return a photo of 128 x 160 px with the two rectangles."""
    image = Image.new("RGB", (128, 160), "white")
    draw = ImageDraw.Draw(image)
    for (x1, y1, x2, y2), colour in ((RED, "red"), (BLUE, "blue")):
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=colour)
    out = io.BytesIO()
    image.convert(mode).save(out, kind, **({"quality": 95, "subsampling": 0} | options))
    return out.getvalue()


def colours(data: bytes) -> list[str]:
    """Return the colours in a crop, most frequent first, without colours of fewer than 2 % of the pixels."""
    image = Image.open(io.BytesIO(data))
    names = {(255, 0, 0): "red", (0, 0, 255): "blue", (255, 255, 255): "white"}
    actual = dict.fromkeys(names, 0)
    for pixel in zip(*[iter(image.convert("RGB").tobytes())] * 3, strict=True):
        actual[min(names, key=lambda name: sum(abs(a - b) for a, b in zip(name, pixel, strict=True)))] += 1
    least = image.width * image.height / 50
    return [names[colour] for colour in sorted(actual, key=lambda colour: -actual[colour]) if actual[colour] > least]


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a release and its registry: pair 7 with a red item on both sides, a blue item, and boxes without area."""
    folder = tmp_path_factory.mktemp("painted")
    annotations: dict[int | str, Any] = {
        1: annotation([item(1, 2, bounding_box=list(RED)), item(9, 0, bounding_box=list(BLUE))], "user", 7),
        2: annotation([item(1, 2, bounding_box=list(RED)), item(8, 3, bounding_box=[0, 0, 0, 0])], "shop", 7),
        3: annotation([item(12, 1, bounding_box=[128, 0, 200, 50])], "shop", 8),
    }
    write_split(folder / "release" / "train", annotations, dict.fromkeys(annotations, photo()))
    ingest("train", str(folder / "release"), str(folder / "registry"), jobs=1)
    return folder / "release", folder / "registry"


def test_every_item_has_its_crop_and_its_line(painted: tuple[Path, Path], tmp_path: Path) -> None:
    release, folder = painted
    manifest = run_export(folder, "crops", tmp_path / "out", photos=release)
    assert (tmp_path / "out" / "crops.csv").read_text() == (
        "path,part,split,image_id,item_no,pair_id,style,identity,category,source,x1,y1,x2,y2\n"
        # items stand in the order of their file
        "train/skirt/000007_0_000001_2/user/000001_2.jpg,train,train,1,2,7,0,000007_0_000001_2,skirt,user,"
        "80,16,112,48\n"
        "train/short_sleeve_top/000007_2/user/000001_1.jpg,train,train,1,1,7,2,000007_2,short sleeve top,user,"
        "16,32,64,96\n"
        "train/short_sleeve_top/000007_2/shop/000002_1.jpg,train,train,2,1,7,2,000007_2,short sleeve top,shop,"
        "16,32,64,96\n"
    )
    files = files_in(tmp_path / "out")
    assert sorted(files) == [
        "crops.csv",
        "export.json",
        "train/short_sleeve_top/000007_2/shop/000002_1.jpg",
        "train/short_sleeve_top/000007_2/user/000001_1.jpg",
        "train/skirt/000007_0_000001_2/user/000001_2.jpg",
    ]
    assert manifest.counts == {"train": {"images": 3, "items": 5, "crops": 3}}
    assert manifest.left_out == [
        {"what": "crops", "why": "were left out, as the box has no area within the photo", "number": 2}
    ]


def test_a_crop_has_the_pixels_of_its_box(painted: tuple[Path, Path], tmp_path: Path) -> None:
    release, folder = painted
    run_export(folder, "crops", tmp_path / "out", photos=release)
    files = files_in(tmp_path / "out" / "train")
    red = files["short_sleeve_top/000007_2/user/000001_1.jpg"]
    blue = files["skirt/000007_0_000001_2/user/000001_2.jpg"]
    assert (Image.open(io.BytesIO(red)).size, colours(red)) == ((48, 64), ["red"])
    assert (Image.open(io.BytesIO(blue)).size, colours(blue)) == ((32, 32), ["blue"])


def test_a_margin_adds_the_surroundings_of_the_box(painted: tuple[Path, Path], tmp_path: Path) -> None:
    release, folder = painted
    run_export(folder, "crops", tmp_path / "out", photos=release, margin=0.5)
    lines = (tmp_path / "out" / "crops.csv").read_text().splitlines()
    assert [line.split(",")[-4:] for line in lines[1:3]] == [["64", "0", "128", "64"], ["0", "0", "88", "128"]]
    red = (tmp_path / "out" / "train" / "short_sleeve_top" / "000007_2" / "user" / "000001_1.jpg").read_bytes()
    assert (Image.open(io.BytesIO(red)).size, colours(red)) == ((88, 128), ["white", "red", "blue"])


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((10, 20, 30, 60), 0, (10, 20, 30, 60)),
        ((10.5, 20.5, 30.5, 60.5), 0, (10, 20, 31, 61)),
        ((10, 20, 30, 60), 0.25, (5, 10, 35, 70)),
        ((-5, -0.25, 30, 60), 0, (0, 0, 30, 60)),
        ((10, 20, 300, 600), 2, (0, 0, 100, 80)),
        ((99.5, 79.5, 300, 600), 0, (99, 79, 100, 80)),
        ((10, 20, 10, 60), 0.5, None),
        ((30, 20, 10, 60), 0.5, None),
        ((100, 20, 120, 60), 1, None),
        ((10, -20, 30, 0), 1, None),
        ((0, 0, 0, 0), 1, None),
    ],
)
def test_a_box_becomes_the_pixels_it_touches(box: Any, margin: float, expected: Any) -> None:
    assert crop_within(box, margin, 100, 80) == expected


def test_boxes_count_the_pixels_as_they_are_stored() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    for data in (photo(), photo(exif=turned), photo("PNG", quality=0, exif=turned), photo("WEBP", exif=turned)):
        (crop,) = cut(data, [RED], 0, 95, "a")
        assert crop is not None
        assert 0x0112 not in Image.open(io.BytesIO(crop.data)).getexif()
        assert (crop.box, colours(crop.data)) == (RED, ["red"])


def test_only_pixels_are_copied_from_a_photo() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    noted = photo(comment=b"by me", exif=exif, dpi=(300, 300), icc_profile=b"a profile")
    assert cut(noted, [RED], 0, 95, "a") == cut(photo(), [RED], 0, 95, "a")


@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "L")])
def test_photos_of_other_kinds_become_rgb(kind: str, mode: str) -> None:
    (crop,) = cut(photo(kind, mode) if kind == "JPEG" else photo(kind, mode, quality=0), [RED], 0, 95, "a")
    assert crop is not None
    image = Image.open(io.BytesIO(crop.data))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (48, 64))
    assert mode == "L" or colours(crop.data) == ["red"]


def test_a_lower_quality_makes_smaller_files(painted: tuple[Path, Path], tmp_path: Path) -> None:
    release, folder = painted
    sizes = {}
    for quality in (10, 95):
        manifest = run_export(folder, "crops", tmp_path / str(quality), photos=release, quality=quality, margin=1)
        sizes[quality] = sum(file.size for file in manifest.files)
    assert sizes[10] < sizes[95]


def test_identities_of_a_resplit_keep_their_split(exportable: Path, release: Path, tmp_path: Path) -> None:
    subset = {"category": "shorts", "split": ["train", "validation"], "whole_images": True}
    resplit = Resplit.parse("fit=0.999,held=0.001", 1)
    manifest = run_export(exportable, "crops", tmp_path / "out", subset=subset, resplit=resplit, photos=release)
    paths = [file.path for file in manifest.files if file.path.endswith(".jpg")]
    assert paths == [
        "fit/shorts/validation_000001_1/shop/validation_000002_1.jpg",
        "fit/shorts/validation_000001_1/user/validation_000001_1.jpg",
    ]


def test_an_empty_subset_gives_a_list_with_only_a_header(exportable: Path, release: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "crops", tmp_path / "out", subset={"category": "sling"}, photos=release)
    assert [file.path for file in manifest.files] == ["crops.csv"]
    assert (tmp_path / "out" / "crops.csv").read_text().count("\n") == 1


def test_photos_without_items_are_not_read(exportable: Path, release: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "crops", tmp_path / "out", subset={"split": "test"}, photos=tmp_path)
    assert manifest.counts == {"test": {"images": 2, "items": 0, "crops": 0}}


def test_bytes_do_not_depend_on_threads_and_chunks(
    exportable: Path, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_export(exportable, "crops", tmp_path / "first", photos=release)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    monkeypatch.setattr("registry.exports.formats.crops._AHEAD", 1)
    monkeypatch.setattr("registry.store.chunks.CHUNK_IMAGES", 2)
    run_export(exportable, "crops", tmp_path / "second", photos=release)
    assert files_in(tmp_path / "first") == files_in(tmp_path / "second")


def test_photos_are_read_from_a_protected_zip(painted: tuple[Path, Path], tmp_path: Path) -> None:
    release, folder = painted
    (tmp_path / "zips").mkdir()
    packed = {f"train/{path}": data for path, data in files_in(release / "train").items()}
    write_zipcrypto(tmp_path / "zips" / "train.zip", packed, "secret")
    plan = Plan.of("crops", Subset())
    opened = registry.open(str(folder))
    of_zip = export(opened, plan, str(tmp_path / "zipped"), photos=str(tmp_path / "zips"), password="secret")
    assert of_zip == export(opened, plan, str(tmp_path / "out"), photos=str(release))


def test_a_photo_that_cannot_be_decoded_is_named(painted: tuple[Path, Path], tmp_path: Path) -> None:
    _, folder = painted
    for image_id, data in ((1, photo()), (2, photo()[:-400]), (3, photo())):
        write_split(tmp_path / "release" / "train", {}, {image_id: data})
    with pytest.raises(SourceError, match=r"Cannot decode train/image/000002\.jpg: "):
        run_export(folder, "crops", tmp_path / "out", photos=tmp_path / "release")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


@pytest.mark.parametrize(
    "options", [{"quality": 0}, {"quality": 101}, {"margin": -0.1}, {"margin": float("inf")}, {"margin": float("nan")}]
)
def test_options_have_bounds(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"(quality|margin): expected"):
        Plan.of("crops", options=options)
