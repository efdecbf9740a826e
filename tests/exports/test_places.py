"""Exports to and from the places people have: a bucket, zips with a password, a process that is killed."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import NotFoundError, PasswordError, SourceError, StorageError, UsageError
from registry.exports.manifest import verify_export
from registry.sources.photos import Photos
from registry.storage.place import Place
from tests.exports.releases import run_export
from tests.forks import Forks
from tests.helpers import jpeg
from tests.sources.packing import files_in, write_tar, write_zip, write_zipcrypto


def test_an_export_to_a_bucket_equals_the_local_export(
    bucket: dict[str, Any], exportable: Path, release: Path, tmp_path: Path
) -> None:
    opened = registry.open(str(exportable))
    for name, options in (("coco", {}), ("yolo", {"images": "copy"}), ("parquet", {})):
        url = f"s3://df2/exports/{name}"
        place = Place(url, bucket)
        for overwrite in (False, True):
            registry.export(
                opened, name, url, photos=str(release), overwrite=overwrite, storage_options=bucket, **options
            )
        run_export(exportable, name, tmp_path / name, photos=release, **options)
        assert {path: place.read(path) for path in place.list("")} == files_in(tmp_path / name)
        assert verify_export(place).is_whole
        with pytest.raises(UsageError, match=r"is not empty\. --overwrite replaces it\."):
            registry.export(opened, name, url, storage_options=bucket)
    with pytest.raises(UsageError, match="cannot be linked"):
        registry.export(opened, "coco", "s3://df2/links", images="link", photos=str(release), storage_options=bucket)
    assert Place("s3://df2/links", bucket).list("") == []


def test_an_export_to_a_missing_bucket_is_an_error(bucket: dict[str, Any], exportable: Path) -> None:
    with pytest.raises(StorageError, match="s3://nobody/out"):
        registry.export(registry.open(str(exportable)), "csv", "s3://nobody/out", storage_options=bucket)
    with pytest.raises(NotFoundError, match="There is no export at"):
        verify_export(Place("s3://nobody/out", bucket))


@pytest.mark.parametrize("kind", ["zip", "zipcrypto", "aes", "tar"])
def test_photos_are_read_directly_from_archives(kind: str, exportable: Path, release: Path, tmp_path: Path) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    password = None
    for split in ("train", "validation", "test"):
        files = {f"{split}/{path}": data for path, data in files_in(release / split).items()}
        if kind == "tar":
            write_tar(archives / f"{split}.tar", files)
        elif kind == "zipcrypto":
            password = "secret"
            write_zipcrypto(archives / f"{split}.zip", files, password)
        else:
            password = "secret" if kind == "aes" else None
            write_zip(archives / f"{split}.zip", files, aes=password)
    opened = registry.open(str(exportable))
    registry.export(opened, "yolo", str(tmp_path / "a"), images="copy", photos=str(archives), password=password)
    registry.export(opened, "yolo", str(tmp_path / "b"), images="copy", photos=str(release))
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")
    if password:
        for wrong in (None, "wrong"):
            with pytest.raises(PasswordError):
                registry.export(
                    opened, "yolo", str(tmp_path / "c"), images="copy", photos=str(archives), password=wrong
                )
    assert not (tmp_path / "c").exists()


def test_photos_in_a_compressed_tar_are_refused(release: Path, tmp_path: Path) -> None:
    write_tar(tmp_path / "train.tar.gz", files_in(release))
    with pytest.raises(SourceError, match="unpack it, or use the zip"):
        list(Photos(str(tmp_path)).read("train", [1]))


def test_a_photo_that_cannot_be_read_is_named(release: Path, tmp_path: Path) -> None:
    (tmp_path / "train" / "image" / "000002.jpg").mkdir(parents=True)
    (tmp_path / "train" / "image" / "000001.jpg").write_bytes(jpeg())
    with pytest.raises(SourceError, match=r"Cannot read train/image/000002\.jpg in"):
        list(Photos(str(tmp_path)).read("train", [1, 2]))


def test_a_killed_export_leaves_no_finished_export(drawn: Path, drawn_registry: Path, tmp_path: Path) -> None:
    words = ["-r", str(drawn_registry), "export", "voc", str(tmp_path / "out")]
    words += ["--images", "copy", "--photos", str(drawn)]
    rng = random.Random(0)
    with Forks("tests.exports.killed") as forks:
        assert forks.call("export", words) == 0  # waits until the process has loaded what its forks need
        started = time.monotonic()
        assert forks.call("export", [*words, "--overwrite"]) == 0
        whole, expected = time.monotonic() - started, files_in(tmp_path / "out")
        killed = 0
        for _ in range(6):
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            killed += forks.call("export_until_killed", words, whole * rng.uniform(0.1, 1)) == signal.SIGKILL
            actual = files_in(tmp_path / "out") if (tmp_path / "out").exists() else None
            assert actual in (None, expected)
        assert killed
        assert forks.call("export", [*words, "--overwrite"]) == 0
    assert files_in(tmp_path / "out") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
