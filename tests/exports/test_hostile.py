"""Nothing in the rows of a registry leads an export out of its destination, or breaks the syntax of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry.errors import RegistryFormatError
from registry.exports.formats import MODULES, find_format
from tests.exports.releases import run_export
from tests.hostile import POISON, poisoned
from tests.ingest.packing import files_in

#: Cells that formats make paths of.
NAMES = [("images", "file_name", "../../../../evil.jpg"), ("items", "category_name", "../../evil")]


@pytest.mark.parametrize("name", MODULES)
def test_no_format_writes_beside_its_destination(name: str, exportable: Path, release: Path, tmp_path: Path) -> None:
    for number, (table, column, value) in enumerate(NAMES):
        folder = tmp_path / "a" / "b" / "c" / "d"
        registry = poisoned(exportable, tmp_path / f"registry-{number}", table, column, value)
        before = set(files_in(tmp_path))
        for images in find_format(name).images:
            try:
                run_export(registry, name, folder / f"{number}-{images}", images=images, photos=release)
            except RegistryFormatError as error:
                assert f" > train > image 1 > {column}: expected" in str(error)
            outside = {path for path in files_in(tmp_path) if path not in before and not path.startswith("a/b/c/d/")}
            assert not outside
            assert not [path for path in files_in(tmp_path) if "evil" in path]


@pytest.mark.parametrize(("table", "column", "value"), POISON)
def test_a_cell_that_no_ingestion_writes_is_one_error_with_its_place(
    table: str, column: str, value: Any, exportable: Path, tmp_path: Path
) -> None:
    registry = poisoned(exportable, tmp_path / "registry", table, column, value)
    with pytest.raises(RegistryFormatError, match=rf"registry > train > image -?\d+ > {column}: expected .*, found"):
        run_export(registry, "webdataset", tmp_path / "out", images="none")
    assert not (tmp_path / "out").exists()


def test_the_photos_of_pairs_are_looked_at_too(exportable: Path, tmp_path: Path) -> None:
    registry = poisoned(exportable, tmp_path / "registry", "images", "file_name", "../evil.jpg")
    with pytest.raises(RegistryFormatError, match=r"image 1 > file_name: .*found '\.\./evil\.jpg'"):
        run_export(registry, "pairs", tmp_path / "out")
