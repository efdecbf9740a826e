"""Releases as people have them: zips of any make, a mirror's single zip, paths in Cyrillic, folders on a web server."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.ingest.build import ingest
from tests.helpers import SMALL_SPLIT, jpeg, write_split
from tests.registries import VALIDATION
from tests.servers.http import HTTPServer
from tests.sources.packing import files_in


def tables(source: object, folder: Path, split: str = "train", **options: Any) -> dict[str, bytes]:
    """Ingest and return the files of the registry's tables; no bad file is expected."""
    report = ingest(split, str(source), str(folder), jobs=1, **options)
    assert report.bad_files == []
    return {name: data for name, data in files_in(folder).items() if name.endswith(".parquet")}


class Pipe(io.RawIOBase):
    """A file that can only be written on, like a pipe."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def write_zip(
    path: Path,
    members: Mapping[str, bytes],
    method: int = zipfile.ZIP_DEFLATED,
    *,
    zip64: bool = False,
    streamed: bool = False,
) -> Path:
    """Write a zip.

    Args:
        path: the zip.
        members: content by name.
        method: compression of the members.
        zip64: whether sizes of members have 64 bits.
        streamed: whether sizes and checksums follow the members, because the file could not be written twice.
    """
    with Pipe(path) if streamed else path.open("wb") as file, zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(data)
    return path


def use_end_of_zip64(path: Path) -> None:
    """Replace the end of a zip by that of a zip with more than 65,535 members: a record of 64 bits and its locator."""
    data = path.read_bytes()
    start = data.rindex(b"PK\x05\x06")
    number, size, offset = struct.unpack("<HII", data[start + 10 : start + 20])
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, number, number, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(data[:start] + record + locator + end)


METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


@pytest.mark.parametrize("form", ["plain", "zip64", "streamed", "streamed zip64", "end of zip64"])
@pytest.mark.parametrize("method", METHODS)
def test_a_zip_of_any_make_gives_the_same_bytes(method: str, form: str, photographed: Path, tmp_path: Path) -> None:
    members = {f"train/{name}": data for name, data in files_in(photographed).items()}
    path = tmp_path / "made.zip"
    write_zip(path, members, METHODS[method], zip64=form.endswith("zip64"), streamed="streamed" in form)
    if form == "end of zip64":
        use_end_of_zip64(path)
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[0]
        assert first.compress_type == METHODS[method]
        assert bool(first.flag_bits & 8) == ("streamed" in form)
        assert (b"\x01\x00\x10\x00" in path.read_bytes()[:100]) == form.endswith("zip64")
        assert archive.testzip() is None
    assert tables(path, tmp_path / "a") == tables(photographed, tmp_path / "b")


def test_a_member_that_is_another_than_its_checksum_says_is_not_read(photographed: Path, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "made.zip", files_in(photographed), zipfile.ZIP_STORED, streamed=True)
    path.write_bytes(path.read_bytes().replace(b'"pair_id": 1', b'"pair_id": 9', 1))
    report = ingest("train", str(path), str(tmp_path / "r"), jobs=1, on_error="quarantine")
    assert [str(issue) for issue in report.issues] == [
        "train/annos/000001.json: cannot be read: the archive is damaged here: its bytes do not fit its checksum"
    ]


#: The folders of the mirror on Kaggle; its tables are no part of the release.
MIRROR = "DeepFashion2/deepfashion2_original_images"
MIRROR_TABLES = {f"DeepFashion2/img_info_dataframes/{split}.csv": b"path,category\n" for split in ("train", "test")}


@pytest.fixture
def mirror(tmp_path: Path) -> tuple[Path, Path]:
    """Return a release of three splits as a folder, and as the single zip of the mirror."""
    release = tmp_path / "release"
    for split, files in (("train", SMALL_SPLIT), ("validation", VALIDATION)):
        write_split(release / split, files, {key: jpeg(120, 230) for key in files})
    write_split(release / "test", {}, {1: jpeg(), 2: jpeg(50, 20)})
    members = {f"{MIRROR}/{name}": data for name, data in files_in(release).items()}
    return release, write_zip(tmp_path / "archive.zip", {**MIRROR_TABLES, **members}, zip64=True)


def test_every_split_is_read_in_place_from_the_mirrors_zip(mirror: tuple[Path, Path], tmp_path: Path) -> None:
    release, archive = mirror
    for split in ("train", "validation", "test"):
        assert tables(archive, tmp_path / "a", split) == tables(release, tmp_path / "b", split)


@pytest.mark.parametrize("format", ["coco", "yolo", "webdataset", "deepfashion2", "crops"])
def test_photos_of_an_export_are_read_in_place_from_the_mirrors_zip(
    format: str, mirror: tuple[Path, Path], tmp_path: Path
) -> None:
    release, archive = mirror
    for split in ("train", "validation", "test"):
        ingest(split, str(archive), str(tmp_path / "r"), jobs=1)
    opened = registry.open(str(tmp_path / "r"))
    images = {} if format == "crops" else {"images": "copy"}
    registry.export(opened, format, str(tmp_path / "a"), photos=str(archive), **images)
    registry.export(opened, format, str(tmp_path / "b"), photos=str(release), **images)
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")


@pytest.mark.parametrize("form", ["folder", "train.zip", "release"])
def test_paths_may_be_in_cyrillic(form: str, photographed: Path, tmp_path: Path) -> None:
    home = tmp_path / "Рабочий стол" / "данные"
    home.mkdir(parents=True)
    members = files_in(photographed)
    if form == "train.zip":
        write_zip(home / form, {f"Датасет/train/{name}": data for name, data in members.items()})
    else:
        photographed.rename(home / ("одежда" if form == "folder" else "train"))
    source = {"folder": home / "одежда", "train.zip": home / form, "release": home}[form]
    assert tables(source, home / "реестр")
    manifest = registry.export(
        registry.open(str(home / "реестр")), "coco", str(home / "выгрузка"), images="copy", photos=str(source)
    )
    assert manifest.counts["train"] == {"images": 5, "items": 8}
    photo = home / "выгрузка" / "images" / "train" / "000001.jpg"
    assert photo.read_bytes() == members["image/000001.jpg"]


def test_a_zip_with_names_of_an_old_windows_is_read(photographed: Path, tmp_path: Path) -> None:
    # Such names are bytes of the code page 866 without the flag for UTF-8.
    members = {f"aaaaaaa/train/{name}": data for name, data in files_in(photographed).items()}
    path = write_zip(tmp_path / "made.zip", members)
    path.write_bytes(path.read_bytes().replace(b"aaaaaaa", "Датасет".encode("cp866")))
    assert tables(path, tmp_path / "a") == tables(photographed, tmp_path / "b")


@pytest.mark.xdist_group("http")
@pytest.mark.parametrize("form", ["train", "", "made.zip"])
def test_a_release_on_a_web_server_gives_the_same_bytes(
    form: str, http_server: HTTPServer, photographed: Path, tmp_path: Path
) -> None:
    folder = http_server.root / f"releases {form}"
    members = files_in(photographed)
    for name, data in members.items():
        (folder / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "train" / name).write_bytes(data)
    write_zip(folder / "made.zip", members)
    url = http_server.url(f"releases {form}/{form}")
    assert tables(url, tmp_path / "a") == tables(photographed, tmp_path / "b")
    opened = registry.open(str(tmp_path / "a"))
    registry.export(opened, "webdataset", str(tmp_path / "c"), photos=url)
    registry.export(opened, "webdataset", str(tmp_path / "d"), photos=str(photographed))
    assert files_in(tmp_path / "c") == files_in(tmp_path / "d")
