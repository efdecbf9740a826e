"""Local registries that are damaged, before they are opened or while they are open: errors, never other answers."""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import registry
from benchmarks.bit_flips import flips, make_registry
from registry.cli.main import main
from registry.dataset.tables import TABLES
from registry.errors import RegistryError, StorageError
from registry.ingest.build import ingest
from registry.snapshot.manifest import MANIFEST_NAME, DataFile, Manifest, read_manifest
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from registry.store.connection import duckdb_errors
from tests.helpers import SMALL_SPLIT, make_version_1, write_split
from tests.registries import make_three_splits


@pytest.fixture(scope="module")
def every_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry with files of every table."""
    return make_registry(tmp_path_factory.mktemp("damage"), images=12)


@pytest.fixture(scope="module")
def version_1(every_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same registry as schema version 1 wrote it."""
    return make_version_1(Path(shutil.copytree(every_table, tmp_path_factory.mktemp("old") / "registry")))


@pytest.mark.parametrize("table", TABLES)
def test_no_flipped_bit_changes_an_answer_in_silence(every_table: Path, version_1: Path, table: str) -> None:
    for folder in (every_table, version_1):
        if table not in {file.table for file in read_manifest(Place(str(folder))).files}:
            continue  # version 1 has no such table
        counts = Counter(flips(folder, table, 8, seed=1))
        # Of two files with the same content only the first is read, so damage of the second changes nothing.
        assert counts["error"] > 0 and counts["error"] + counts["same"] == 8


def _item_file(folder: Path) -> Path:
    return next((folder / "items" / "split=train" / "category_id=9").iterdir())


def _replaced(make: Any) -> Any:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _replaced(os.mkfifo),
        _replaced(os.mkdir),
        _replaced(lambda path: path.symlink_to("/dev/zero")),
        _replaced(lambda path: path.symlink_to("/etc/hostname")),
        _replaced(lambda path: None),
        lambda path: os.truncate(path, 100),
        lambda path: os.truncate(path, 0),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
    ],
    ids=["fifo", "folder", "device", "link", "gone", "cut", "empty", "zeros"],
)
@pytest.mark.parametrize("is_open", [False, True])
def test_a_damaged_file_is_an_error_with_its_name_and_a_remedy(tmp_path: Path, damage: Any, is_open: bool) -> None:
    folder = make_three_splits(tmp_path)
    opened = registry.open(str(folder)) if is_open else None
    path = _item_file(folder)
    damage(path)
    with pytest.raises(RegistryError, match=f"{path.name}") as caught, duckdb_errors():
        (opened or registry.open(str(folder))).sql("SELECT * FROM items").fetchall()
    assert "'dvc checkout'" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    check = verify_registry(Place(str(folder)))
    assert [*check.missing, *check.changed] == [path.relative_to(folder).as_posix()]


def test_links_into_the_cache_of_dvc_are_files_of_the_registry(tmp_path: Path) -> None:
    folder = make_three_splits(tmp_path)
    expected = registry.open(str(folder)).stats()
    for file in read_manifest(Place(str(folder))).files:
        cached = tmp_path / "cache" / file.sha256
        cached.parent.mkdir(exist_ok=True)
        (folder / file.path).rename(cached)
        (folder / file.path).symlink_to(cached)
    assert registry.open(str(folder)).stats() == expected
    assert verify_registry(Place(str(folder))).is_whole
    cached.write_bytes(bytes(cached.stat().st_size))
    assert not verify_registry(Place(str(folder))).is_whole


def test_a_file_that_was_read_whole_goes_on_to_answer(tmp_path: Path) -> None:
    folder = make_three_splits(tmp_path)
    opened = registry.open(str(folder))
    rows = opened.sql("SELECT * FROM items ORDER BY ALL").fetchall()
    os.truncate(_item_file(folder), 0)
    assert opened.sql("SELECT * FROM items ORDER BY ALL").fetchall() == rows


def test_a_registry_of_schema_version_1_is_compared_with_its_digests(tmp_path: Path) -> None:
    folder = make_version_1(make_three_splits(tmp_path))
    assert registry.open(str(folder)).sql("SELECT count(*) FROM items").fetchall() == [(10,)]
    path = _item_file(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(StorageError, match=path.name), duckdb_errors():
        registry.open(str(folder)).sql("SELECT * FROM items").fetchall()


@pytest.mark.parametrize("rows", [0, 1, 2**53 - 1])
def test_rows_that_a_manifest_makes_up_change_no_answer_and_verify_tells_them(tmp_path: Path, rows: int) -> None:
    folder = make_three_splits(tmp_path)
    counts, whole = registry.open(str(folder)).stats(), read_manifest(Place(str(folder)))
    subset = registry.open(str(folder)).select(category="trousers").summary()
    forged = tuple(replace(file, rows=rows) if file.table == "items" else file for file in whole.files)
    (folder / MANIFEST_NAME).write_bytes(Manifest(forged, whole.sources).to_json())
    opened = registry.open(str(folder))
    assert opened.stats() == counts
    assert opened.select(category="trousers").summary() == subset
    wrong = [(old, new) for old, new in zip(whole.files, forged, strict=True) if old != new]
    check = verify_registry(Place(str(folder)))
    assert not check.is_whole
    assert check.miscounted == tuple(f"{old.path}: {old.rows} rows, {rows:,} in the manifest" for old, _ in wrong)
    result = CliRunner().invoke(main, ["verify", str(folder)])
    assert result.exit_code == 1
    assert f"miscounted: {check.miscounted[0]}\n" in result.output
    summary = f"0 files missing, 0 changed, {len(wrong)} miscounted, of {check.num_files}.\n"
    assert result.output.endswith(f"{folder}: {summary}")


def test_verify_counts_a_footer_of_any_size_and_tells_a_file_without_one(tmp_path: Path) -> None:
    folder = make_three_splits(tmp_path)
    manifest = read_manifest(Place(str(folder)))
    rows = pa.table({"image_id": pa.array([1, 2, 3], pa.int32())})
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata({"long": "x" * 50_000}), sink)
    large = sink.getvalue().to_pybytes()
    ends = large, b"no footer", large[:-8] + b"\xff\xff\xff\x7fPAR1", large[:-5000] + large[-8:]
    files = [DataFile.of(data, "images/split=train", "images", "train", 3) for data in ends]
    for file, data in zip(files, ends, strict=True):
        (folder / file.path).write_bytes(data)
    (folder / MANIFEST_NAME).write_bytes(Manifest((*manifest.files, *files), manifest.sources).to_json())
    check = verify_registry(Place(str(folder)))
    assert check.miscounted == tuple(f"{file.path}: no Parquet file, 3 in the manifest" for file in files[1:])


def test_verify_beside_an_ingest_finds_the_old_registry_or_the_new_one_whole(tmp_path: Path) -> None:
    folder = make_three_splits(tmp_path)
    sources = [
        str(write_split(tmp_path / name / "train", {**SMALL_SPLIT, number: SMALL_SPLIT[1]}))
        for name, number in (("one", 20), ("two", 21))
    ]
    ended = threading.Event()
    checks = []

    def verify() -> None:
        while not ended.is_set():
            checks.append(verify_registry(Place(str(folder))))

    thread = threading.Thread(target=verify)
    thread.start()
    try:
        for number in range(12):
            ingest("train", sources[number % 2], str(folder), jobs=1)
    finally:
        ended.set()
        thread.join()
    assert len(checks) > 12
    assert [check for check in checks if not check.is_whole] == []
