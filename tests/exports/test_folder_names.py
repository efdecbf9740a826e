"""No folder name above or below a registry or an export can change a column."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

import registry
from registry.dataset.tables import TABLES
from registry.exports.builtin import FORMATS
from registry.exports.find import find_format
from registry.exports.manifest import read_export
from registry.snapshot.manifest import rebuild_manifest
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from registry.store.catalog import write_catalog
from tests.exports.releases import Exported, run_export
from tests.sources.packing import files_in

COLUMNS = sorted({column.name for table in TABLES.values() for column in table.columns})


@pytest.fixture(scope="module", params=[str, str.upper], ids=["lower case", "upper case"])
def below(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder nested in a folder per column, named like partitions of DuckDB and Arrow."""
    folder = tmp_path_factory.mktemp("below").joinpath(*(f"{request.param(name)}=7" for name in COLUMNS))
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def there(below: Path, exportable: Path) -> Path:
    """Return a copy of ``exportable`` in that folder."""
    return Path(shutil.copytree(exportable, below / "registry"))


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_export_is_the_same(name: str, there: Path, below: Path, exported: Exported, release: Path) -> None:
    images = find_format(name).images[-1]
    expected = exported(name, images)
    actual = run_export(there, name, below / f"export-{name}", images=images, photos=release)
    assert actual == read_export(Place(str(expected)))
    assert files_in(below / f"export-{name}") == files_in(expected)


def test_a_synced_registry_and_its_manifest_are_the_same(there: Path, below: Path, exportable: Path) -> None:
    target = below / "split=train" / "category_id=3" / "items"
    sync(Place(str(there)), Place(str(target)))
    assert files_in(target) == files_in(exportable)
    assert verify_registry(Place(str(target))).is_whole
    assert rebuild_manifest(Place(str(target))) == registry.open(str(exportable)).manifest


def test_a_catalog_counts_no_file_that_the_manifest_does_not_name(exportable: Path, tmp_path: Path) -> None:
    target = Path(shutil.copytree(exportable, tmp_path / "registry"))
    file = next((target / "items" / "split=train").rglob("*.parquet"))
    write_catalog(Place(str(target)), tmp_path / "c.duckdb")
    shutil.copy(file, file.with_name("0123456789abcdef.parquet"))  # as an older version that sync left
    (target / "items" / "split=train" / "category_id=13").mkdir(exist_ok=True)
    shutil.copy(file, target / "items" / "split=train" / "category_id=13" / file.name)
    expected = registry.open(str(exportable))
    with duckdb.connect(str(tmp_path / "c.duckdb"), read_only=True) as catalog:
        for name in TABLES:
            query = f"SELECT * FROM {name} ORDER BY ALL"
            assert catalog.execute(query).fetchall() == expected.sql(query).fetchall()
