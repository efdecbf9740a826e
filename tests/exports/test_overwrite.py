"""--overwrite replaces an export with what trainers left in it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import UsageError
from registry.exports.manifest import verify_export
from registry.exports.run import Plan, export
from registry.storage.place import Place
from tests.exports.releases import run_export
from tests.sources.packing import files_in

#: What ultralytics, YOLOv5 and file managers leave in an export for YOLO with photos.
LEFT = (
    "labels/train.cache", "labels/validation.cache", "labels/train.cache.npy", "images/train/000001.npy",
    ".DS_Store", "images/.DS_Store", "images/train/Thumbs.db",
)  # fmt: skip


def overwrite(folder: Path, dest: str, release: Path) -> list[str]:
    """Replace an export for YOLO by one with polygons; return the notices of what went with it."""
    plan = Plan.of("yolo", images="copy", options={"task": "segment"})
    manifest = export(registry.open(str(folder)), plan, dest, photos=str(release), overwrite=True)
    return [notice for notice in manifest.notices if "old export" in notice]


@pytest.mark.parametrize("dest", ["out", "memory://left-by-trainers"])
def test_what_trainers_left_goes_with_the_old_export(
    dest: str, exportable: Path, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_export(exportable, "yolo", dest, images="copy", photos=release)
    place = Place(dest)
    assert overwrite(exportable, dest, release) == []
    for path in LEFT:
        place.write(path, b"cache")
    assert overwrite(exportable, dest, release) == [
        "7 files that trainers or file managers left in the old export went with it: .DS_Store, images/.DS_Store, "
        "images/train/000001.npy and 4 more"
    ]
    assert not set(LEFT) & set(place.list(""))
    assert verify_export(place).is_whole


def test_the_cache_of_a_dataset_for_classification_goes_with_it(
    exportable: Path, release: Path, tmp_path: Path
) -> None:
    for options in ({}, {"overwrite": True}):
        run_export(exportable, "crops", tmp_path / "out", photos=release, **options)  # type: ignore[arg-type]
        (tmp_path / "out" / "train.cache").write_bytes(b"cache")


@pytest.mark.parametrize(
    "path",
    [
        "my.cache", "labels/other.cache", "images/train/embeddings.npy", "labels/train/000001.npy", "data.npy",
        "best.pt", "labels/train/mine.txt", "notes/.DS_Store", "labels/train.cache.txt", "runs/train/weights/best.pt",
    ],
)  # fmt: skip
def test_other_files_are_still_refused(path: str, exportable: Path, release: Path, tmp_path: Path) -> None:
    run_export(exportable, "yolo", tmp_path / "out", images="copy", photos=release)
    for name in (path, "labels/train.cache"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(b"mine")
    before: dict[str, Any] = files_in(tmp_path / "out")
    with pytest.raises(UsageError, match=rf"holds {path}, which no export wrote: move or remove it first"):
        overwrite(exportable, str(tmp_path / "out"), release)
    assert files_in(tmp_path / "out") == before
