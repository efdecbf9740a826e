"""An export of a registry that is replaced meanwhile holds the version that its ``export.json`` names, or fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import RegistryError
from registry.exports.manifest import ExportManifest
from registry.ingest.build import ingest
from registry.store import chunks as chunks_module
from registry.store import selection as selection_module
from tests.helpers import SMALL_SPLIT, write_split


def versions(folder: Path) -> tuple[Path, Path]:
    """Return two raw sources of the split train, whose items have different boxes."""
    changed = deepcopy(SMALL_SPLIT)
    for document in changed.values():
        for key, value in document.items():
            if key.startswith("item"):
                value["bounding_box"] = [1, 2, 30, 40]
    return write_split(folder / "old", SMALL_SPLIT), write_split(folder / "new", changed)


def digest(place: Path) -> str:
    """Return the SHA-256 of a registry's manifest."""
    return hashlib.sha256((place / "manifest.json").read_bytes()).hexdigest()


def contents(manifest: ExportManifest) -> dict[str, Any]:
    """Return path -> sha256 of the files of an export."""
    return {file.path: file.sha256 for file in manifest.files}


def replace_before_choosing(monkeypatch: pytest.MonkeyPatch, replace: Callable[[], None]) -> None:
    """Replace the registry after an export has opened it and before it finds its items."""
    choose = selection_module.choose

    def replaced(*arguments: Any) -> Any:
        replace()
        return choose(*arguments)

    monkeypatch.setattr(selection_module, "choose", replaced)


def replace_after_choosing(monkeypatch: pytest.MonkeyPatch, replace: Callable[[], None]) -> None:
    """Replace the registry after an export has found its items and before it reads them."""
    choose = selection_module.choose

    def replaced(*arguments: Any) -> Any:
        choice = choose(*arguments)
        replace()
        return choice

    monkeypatch.setattr(selection_module, "choose", replaced)


def replace_between_chunks(monkeypatch: pytest.MonkeyPatch, replace: Callable[[], None]) -> None:
    """Replace the registry after the first chunk of an export."""
    monkeypatch.setattr(chunks_module, "READ_IMAGES", 2)
    chunks = chunks_module.ChunkReader.chunks

    def replaced(*arguments: Any) -> Any:
        for number, chunk in enumerate(chunks(*arguments)):
            if number == 1:
                replace()
            yield chunk

    monkeypatch.setattr(chunks_module.ChunkReader, "chunks", replaced)


@pytest.mark.parametrize(
    "moment", [replace_before_choosing, replace_after_choosing, replace_between_chunks], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("reopens", [False, True], ids=["", "and another call reopens it"])
def test_export_names_the_version_that_it_holds(
    moment: Callable[..., None], reopens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "registry"
    expected = {}
    sources = versions(tmp_path)
    for number in (1, 0):
        ingest("train", str(sources[number]), str(place), jobs=1)
        export = registry.export(registry.open(str(place)), "coco", str(tmp_path / f"expected-{number}"))
        expected[digest(place)] = contents(export)
    assert len(expected) == 2
    assert len({tuple(files.items()) for files in expected.values()}) == 2
    opened = registry.open(str(place))
    times = []

    def replace() -> None:
        if not times:
            times.append(1)
            ingest("train", str(sources[1]), str(place), jobs=1)
            if reopens:
                opened.stats()

    moment(monkeypatch, replace)
    try:
        manifest = registry.export(opened, "coco", str(tmp_path / "export"))
    except RegistryError as error:
        assert str(place) in str(error)
        assert not (tmp_path / "export").exists()
    else:
        assert contents(manifest) == expected[manifest.registry["manifest_sha256"]]
    assert times


def test_a_selection_stays_in_its_version_when_the_registry_is_reopened(tmp_path: Path) -> None:
    place = tmp_path / "registry"
    old, new = versions(tmp_path)
    ingest("train", str(old), str(place), jobs=1)
    opened = registry.open(str(place))
    selection = opened.select()
    before = digest(place)
    ingest("train", str(new), str(place), jobs=1)
    assert opened.sql("SELECT DISTINCT x1 FROM items").fetchall() == [(1.0,)]
    assert hashlib.sha256(selection.manifest.to_json()).hexdigest() == before != digest(place)
