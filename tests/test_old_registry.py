"""A registry that version 0.1.0 wrote (``tests/data/registry-0.1.0``), beside the same data ingested now."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main
from registry.dataset.tables import TABLES
from registry.dataset.views import load_views
from registry.exports.builtin import FORMATS
from registry.exports.find import find_format
from registry.exports.manifest import MANIFEST_NAME, read_export, verify_export
from registry.exports.run import export_again
from registry.ingest.build import ingest
from registry.sample import write_sample
from registry.snapshot.manifest import read_manifest
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from registry.store.registry import Registry
from tests.exports.releases import run_export
from tests.helpers import columns_since
from tests.sources.packing import files_in

DATA = Path(__file__).parent / "data"
SPLITS = ("train", "validation", "test")
#: Answers of version 0.1.0 itself.
NUM_ROWS = json.loads((DATA / "registry-0.1.0-rows.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the release that version 0.1.0 ingested, drawn now."""
    folder: Path = tmp_path_factory.mktemp("sample") / "sample"
    write_sample(folder, num_images=12)
    return folder


def copy_old(folder: Path) -> Path:
    """Return a copy of the registry of version 0.1.0 in a folder."""
    return Path(shutil.copytree(DATA / "registry-0.1.0", folder / "old"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a copy of the registry of version 0.1.0 that the test may change."""
    return copy_old(tmp_path)


@pytest.fixture(scope="module")
def kept_old(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a copy of the registry of version 0.1.0, open; no test changes it."""
    return registry.open(str(copy_old(tmp_path_factory.mktemp("old"))))


@pytest.fixture(scope="module")
def opened_new(new: Path) -> Registry:
    """Return ``new``, open."""
    return registry.open(str(new))


@pytest.fixture(scope="module")
def new(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of the same release, ingested now."""
    folder = tmp_path_factory.mktemp("new") / "registry"
    for split in SPLITS:
        ingest(split, str(sample), str(folder), jobs=1)
    return folder


def rows_of(opened: Registry, table: str) -> list[str]:
    """Return the sorted rows of a table or view as text, without the columns that later schema versions added."""
    columns = [name for name in opened.sql(f"FROM {table} LIMIT 0").columns if name not in columns_since(2)]
    return sorted(str(row) for row in opened.sql(f"SELECT {', '.join(columns)} FROM {table}").fetchall())


def test_it_has_schema_version_1() -> None:
    manifest = read_manifest(Place(str(DATA / "registry-0.1.0")))
    assert (manifest.schema_version, sorted(manifest.sources)) == (1, sorted(SPLITS))


def test_its_tables_and_views_have_the_rows_that_version_0_1_0_counted(old: Path) -> None:
    opened = registry.open(str(old))
    counts = {name: opened.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in NUM_ROWS}
    assert counts == NUM_ROWS


@pytest.mark.parametrize("name", sorted({*TABLES, *load_views()} - {"photos", "similar_photos"}))
def test_every_table_and_view_has_the_rows_of_a_registry_ingested_now(
    name: str, kept_old: Registry, opened_new: Registry
) -> None:
    assert rows_of(kept_old, name) == rows_of(opened_new, name)


def test_a_registry_ingested_now_is_no_other_version_of_the_data(old: Path, new: Path) -> None:
    for places in ((old, new), (new, old)):
        result = CliRunner().invoke(main, ["diff", *map(str, places)])
        assert (result.exit_code, result.stderr) == (0, "")


def test_a_change_of_the_data_is_still_told(old: Path, new: Path, sample: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(sample, tmp_path / "changed"))
    file = changed / "train" / "annos" / "000001.json"
    annotation = json.loads(file.read_text())
    annotation["item1"]["zoom_in"] = 3 if annotation["item1"]["zoom_in"] != 3 else 1
    file.write_text(json.dumps(annotation))
    newer = Path(shutil.copytree(new, tmp_path / "newer"))
    ingest("train", str(changed), str(newer), jobs=1)
    counts = registry.open(str(old)).diff(registry.open(str(newer))).summary.counts()
    assert counts["items"] == {"added": 0, "removed": 0, "changed": 1}


def test_a_copy_has_the_same_bytes_and_both_verify(old: Path, tmp_path: Path) -> None:
    sync(Place(str(old)), Place(str(tmp_path / "copy")))
    copy = files_in(tmp_path / "copy")
    assert copy == files_in(DATA / "registry-0.1.0")
    for folder in (old, tmp_path / "copy"):
        report = verify_registry(Place(str(folder)))
        assert report.is_whole
        assert report.num_files == len(read_manifest(Place(str(folder))).files)


@pytest.mark.parametrize("name", FORMATS)
def test_exports_have_the_same_bytes(name: str, old: Path, new: Path, sample: Path, tmp_path: Path) -> None:
    images = find_format(name).images[-1]
    exports = []
    for source in (old, new):
        dest = tmp_path / f"export-{source.name}"
        run_export(source, name, dest, images=images, photos=sample)
        assert verify_export(Place(str(dest))).is_whole
        files = files_in(dest)
        assert files.pop(MANIFEST_NAME)  # names the manifest of the registry
        exports.append(files)
    assert exports[0]
    assert exports[0] == exports[1]


@pytest.mark.parametrize("name", sorted(path.name for path in (DATA / "exports-0.1.0").iterdir()))
def test_an_export_of_version_0_1_0_is_repeated_with_the_same_bytes(
    name: str, old: Path, sample: Path, tmp_path: Path
) -> None:
    before = read_export(Place(str(DATA / "exports-0.1.0" / name)))
    after, differing = export_again(registry.open(str(old)), before, str(tmp_path / "again"), photos=str(sample))
    if name == "csv":  # rows have a file for each part now, as docs/reference/compatibility.md says
        assert differing == ["data/train-00000-of-00001.csv", "data/validation-00000-of-00001.csv", "items.csv"]
    else:
        assert differing == []
        assert after.files == before.files


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_ingested_into_it_leaves_the_files_of_other_splits(
    split: str, old: Path, opened_new: Registry, sample: Path
) -> None:
    before = read_manifest(Place(str(old)))
    ingest(split, str(sample), str(old), jobs=1)
    after = read_manifest(Place(str(old)))
    others = [file for file in before.files if file.split not in (None, split)]
    assert others
    assert [file for file in after.files if file in others] == others
    assert verify_registry(Place(str(old))).is_whole
    mixed = registry.open(str(old))
    for name in NUM_ROWS:
        assert rows_of(mixed, name) == rows_of(opened_new, name)
    assert mixed.diff(opened_new).summary.is_same
