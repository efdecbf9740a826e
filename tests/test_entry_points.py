"""Entry points: looked up once, and again after a package came or went."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from registry.entry_points import entry_points

GROUP = "deepfashion2_registry.of_this_test"


def install(folder: Path, name: str) -> Path:
    """Return the metadata of a package with an entry point of its name, put in a folder."""
    data = folder / f"{name}-1.dist-info"
    data.mkdir(parents=True)
    (data / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (data / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {name}:VALUE\n")
    return data


def names() -> list[str]:
    return sorted(point.name for point in entry_points(GROUP))


def test_packages_that_come_and_go_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names() == []
    install(tmp_path / "one", "first")
    monkeypatch.syspath_prepend(str(tmp_path / "one"))
    assert names() == ["first"]
    second = install(tmp_path / "one", "second")
    assert names() == ["first", "second"]
    shutil.rmtree(second)
    assert names() == ["first"]
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(tmp_path / "one")])
    assert names() == []


def test_packages_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "first")
    monkeypatch.syspath_prepend(str(tmp_path))
    groups: list[str] = []
    look_up = metadata.entry_points

    def counted(**options: Any) -> Any:
        groups.append(options["group"])
        return look_up(**options)

    monkeypatch.setattr(metadata, "entry_points", counted)
    assert (names(), names(), groups) == (["first"], ["first"], [GROUP])


def test_a_folder_of_the_path_need_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "there", "first")
    for folder in ("there", "gone"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    assert names() == ["first"]
