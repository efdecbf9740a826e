"""The checks on the drawn sample and on real annotations."""

from __future__ import annotations

import shutil
from pathlib import Path

import registry
from registry.ingest.build import ingest


def test_the_drawn_sample_has_the_box_without_area_and_no_other_error(drawn_hundred: Path, tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        ingest(split, str(drawn_hundred), str(tmp_path / "registry"), jobs=1)
    run = registry.check(registry.open(str(tmp_path / "registry")))
    counts = {result.name: result.count for result in run if result.severity == "error" and result.count is not None}
    assert counts.pop("degenerate-box") == 1
    assert set(counts.values()) == {0}
    odd = {result.name for result in run if result.count}
    assert odd >= {"mixed-category-identity", "orphan-identity", "style-repeated-in-image"}


def test_real_annotations_have_no_error_and_no_warning(real_samples: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        folder = tmp_path / "real" / split
        shutil.copytree(real_samples / split / "annos", folder / "annos")
        ingest(split, str(folder), str(tmp_path / "registry"), jobs=1)
    run = registry.check(registry.open(str(tmp_path / "registry")), severity=["error", "warning"])
    assert {result.name: result.count for result in run if result.count} == {}
