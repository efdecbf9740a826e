"""supervision reads the exports; it resolves links and refuses a photo that is then outside the folder of photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import registry
from tests.sources.packing import files_in, write_zip


@pytest.fixture
def archives(release: Path, tmp_path: Path) -> Path:
    """Return the release as one zip of its three splits."""
    return write_zip(tmp_path / "release.zip", files_in(release))


#: Ways to have photos in an export, but for symbolic links.
MODES = ("copy", "link from a zip", "link through a cache")


def export_photos(mode: str, name: str, exportable: Path, release: Path, archives: Path, tmp_path: Path) -> Path:
    """Export in a format with photos and return the folder."""
    options: dict[str, Any] = {"images": "copy" if mode == "copy" else "link", "photos": str(release)}
    if mode == "link from a zip":
        options["photos"] = dict.fromkeys(("train", "validation", "test"), str(archives))
    if mode != "copy":
        options["photo_cache"] = str(tmp_path / "cache")
    registry.export(registry.open(str(exportable)), name, str(tmp_path / "out"), **options)
    return tmp_path / "out"


@pytest.mark.parametrize("mode", MODES)
def test_supervision_reads_coco(mode: str, exportable: Path, release: Path, archives: Path, tmp_path: Path) -> None:
    dataset = pytest.importorskip("supervision").DetectionDataset
    out = export_photos(mode, "coco", exportable, release, archives, tmp_path)
    read = dataset.from_coco(str(out / "images" / "train"), str(out / "annotations" / "train.json"))
    assert (len(read), sum(len(detections) for _, _, detections in read)) == (5, 8)
    assert {photo.shape for _, photo, _ in read} == {(300, 200, 3)}


@pytest.mark.parametrize("mode", MODES)
def test_supervision_reads_yolo(mode: str, exportable: Path, release: Path, archives: Path, tmp_path: Path) -> None:
    dataset = pytest.importorskip("supervision").DetectionDataset
    out = export_photos(mode, "yolo", exportable, release, archives, tmp_path)
    paths = (out / folder / "train" for folder in ("images", "labels"))
    read = dataset.from_yolo(*map(str, paths), str(out / "data.yaml"))
    assert (len(read), sum(len(detections) for _, _, detections in read)) == (5, 7), "one box is outside of its photo"


@pytest.mark.parametrize("mode", MODES)
def test_supervision_reads_voc(mode: str, exportable: Path, release: Path, archives: Path, tmp_path: Path) -> None:
    dataset = pytest.importorskip("supervision").DetectionDataset
    out = export_photos(mode, "voc", exportable, release, archives, tmp_path)
    read = dataset.from_pascal_voc(str(out / "JPEGImages" / "train"), str(out / "Annotations" / "train"))
    assert (len(read), sum(len(detections) for _, _, detections in read)) == (5, 7), "one box is outside of its photo"


def test_supervision_refuses_symbolic_links_in_coco_as_the_note_says(
    exportable: Path, release: Path, tmp_path: Path
) -> None:
    dataset = pytest.importorskip("supervision").DetectionDataset
    manifest = registry.export(
        registry.open(str(exportable)), "coco", str(tmp_path / "out"), images="link", photos=str(release)
    )
    assert "some loaders (supervision) refuse" in " ".join(manifest.notices)
    with pytest.raises(ValueError, match="outside"):
        dataset.from_coco(str(tmp_path / "out/images/train"), str(tmp_path / "out/annotations/train.json"))
