"""Publishing exchanges a registry as a whole, and the manifest can be made again from the files."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.dataset.tables import (
    IMAGES,
    ITEMS,
    LANDMARK_SLOTS_TABLE,
    SCHEMA_VERSION,
    TABLES,
    arrow_schema,
    record_batch,
)
from registry.errors import NotFoundError, RegistryFormatError, StorageError
from registry.files.staging import claim
from registry.ingest.build import ingest
from registry.snapshot.manifest import DataFile, Manifest, read_manifest, rebuild_manifest
from registry.snapshot.parquet import TableWriter
from registry.snapshot.publish import publication
from registry.storage.place import Place
from tests.helpers import annotation, item, write_split
from tests.sources.packing import files_in


def refuse(*args: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["manifest.json", ".parquet"])
def test_a_publication_that_fails_at_its_end_leaves_nothing(
    name: str, small_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_split(tmp_path / "other" / "train", {1: annotation([item(2), item(3)])})
    before = files_in(small_registry)
    replace = os.replace
    moved = []

    def sometimes(old: Path, new: Path) -> None:
        moved.append(new)
        if str(new).endswith(name) and (name != ".parquet" or len(moved) == 3):
            refuse()
        replace(old, new)

    monkeypatch.setattr(os, "replace", sometimes)
    with pytest.raises(StorageError, match="No space left on device"):
        ingest("train", str(source), str(small_registry), jobs=1)
    assert len(moved) >= 3
    left = files_in(small_registry)
    left.pop(".manifest.json.partial", None)  # the next writing replaces it
    assert left == before
    monkeypatch.undo()
    ingest("train", str(source), str(small_registry), jobs=1)
    ingest("train", str(source), str(tmp_path / "clean"), jobs=1)
    assert files_in(small_registry) == files_in(tmp_path / "clean")


def test_an_error_while_rows_are_written_leaves_nothing(small_registry: Path) -> None:
    before = files_in(small_registry)
    rows = pa.RecordBatch.from_pylist([], arrow_schema(IMAGES))
    told = pytest.raises(StorageError, match=r"No space left on device\. It is as it was before")
    with told, publication(Place(str(small_registry)), "train") as made:
        made.writer(IMAGES, split="train").write(rows)
        assert (small_registry / ".staging").exists()
        refuse()
    assert files_in(small_registry) == before
    assert not (small_registry / ".staging").exists()


def test_files_of_a_killed_writer_are_removed(small_registry: Path, small_source: Path) -> None:
    before = files_in(small_registry)
    left = f"{'0' * 16}.parquet"
    claim(small_registry / ".staging")
    (small_registry / ".staging" / "images").mkdir()
    for name in (
        ".staging/images/new.parquet",
        f"items/split=train/category_id=1/{left}",
        ".manifest.json.partial",
    ):
        (small_registry / name).write_bytes(b"half")
    (small_registry / "items" / "split=train" / "category_id=5").mkdir()
    (small_registry / "items" / "split=train" / "category_id=5" / left).write_bytes(b"half")
    ingest("train", str(small_source), str(small_registry), jobs=1)
    assert files_in(small_registry) == before
    assert not (small_registry / "items" / "split=train" / "category_id=5").exists()


def test_files_of_the_user_are_left_alone(small_registry: Path, small_source: Path) -> None:
    for name in ("README.md", "items/notes.txt"):
        (small_registry / name).write_bytes(b"mine")
    ingest("train", str(small_source), str(small_registry), jobs=1)
    assert (small_registry / "README.md").exists()
    assert (small_registry / "items" / "notes.txt").exists()


def test_files_carry_the_declared_schema_and_row_groups(small_registry: Path) -> None:
    for file in read_manifest(Place(str(small_registry))).files:
        actual = pq.ParquetFile(small_registry / file.path)
        assert actual.schema_arrow.equals(arrow_schema(TABLES[file.table]))
        assert actual.metadata.metadata[b"df2.table"] == file.table.encode()
        assert actual.metadata.num_rows == file.rows


def test_row_groups_have_exactly_the_declared_size(tmp_path: Path) -> None:
    documents = {k: annotation([item(7)]) for k in range(1, 2 * ITEMS.row_group_size + 2)}
    ingest("train", str(write_split(tmp_path / "train", documents)), str(tmp_path / "r"), jobs=1)
    [path] = (tmp_path / "r" / "items").rglob("*.parquet")
    metadata = pq.read_metadata(path)
    sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    assert sizes == [ITEMS.row_group_size, ITEMS.row_group_size, 1]


def test_row_groups_double_in_size_as_a_file_grows(tmp_path: Path) -> None:
    table = dataclasses.replace(LANDMARK_SLOTS_TABLE, row_group_size=2, max_row_group_size=8)
    writer = TableWriter(tmp_path / "slots.parquet", table, None)
    row = record_batch(table, [[0], [1], [1], [0], [0.1]])
    for _ in range(180):
        writer.write(row)
    writer.close()
    metadata = pq.read_metadata(tmp_path / "slots.parquet")
    sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    assert sizes == [2] * 16 + [4] * 8 + [8] * 14 + [4]
    at_once = TableWriter(tmp_path / "at_once.parquet", table, None)
    at_once.write(record_batch(table, [[0] * 180, [1] * 180, [1] * 180, [0] * 180, [0.1] * 180]))
    at_once.close()
    assert at_once.path.read_bytes() == writer.path.read_bytes()


def test_the_manifest_is_rebuilt_from_the_files(small_registry: Path, tmp_path: Path) -> None:
    other = write_split(tmp_path / "validation", {1: annotation(), 2: b""})
    ingest("validation", str(other), str(small_registry), on_error="quarantine")
    place = Place(str(small_registry))
    assert rebuild_manifest(place) == read_manifest(place)
    (small_registry / "manifest.json").unlink()
    assert rebuild_manifest(place).splits == ["train", "validation"]
    assert rebuild_manifest(Place(str(tmp_path / "nothing"))) == Manifest()


def test_a_file_of_any_size_is_in_a_rebuilt_manifest(small_registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(str(small_registry))
    monkeypatch.setattr(Place, "read", lambda *_: pytest.fail("has more bytes than are read whole"))
    assert rebuild_manifest(place).files


def test_files_that_contradict_their_path_are_refused(small_registry: Path) -> None:
    place = Place(str(small_registry))
    [images] = (small_registry / "images").rglob("*.parquet")
    foreign = small_registry / "images" / "split=test"
    foreign.mkdir()
    images.rename(foreign / images.name)
    with pytest.raises(RegistryFormatError, match="belongs to the split train"):
        rebuild_manifest(place)
    (foreign / images.name).rename(small_registry / "categories" / images.name)
    with pytest.raises(RegistryFormatError, match="is not a file of the table categories"):
        rebuild_manifest(place)
    (small_registry / "categories" / images.name).write_bytes(b"PAR1")
    with pytest.raises(RegistryFormatError, match="is not a Parquet file"):
        rebuild_manifest(place)


def test_a_manifest_is_read_as_it_was_written() -> None:
    file = DataFile.of(b"rows", "items/split=train/category_id=9", "items", "train", 1)
    made = Manifest().with_split("train", [file], "abc")
    assert Manifest.from_json(made.to_json(), "x") == made
    assert made.to_json() == Manifest.from_json(made.to_json(), "x").to_json()
    assert made.of_table("items") == [file]
    assert made.of_table("images") == []
    assert made.with_split("train", [], "def") == Manifest(sources={"train": "def"})
    assert made.with_split("test", [], "def").files == (file,)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "x is not a manifest of a registry"),
        (b"[]", "x is not a manifest of a registry"),
        (b"{}", "x is not a manifest of a registry:\nx > schema_version: missing\nx > files: missing"),
        (b"\xff", "x is not a manifest of a registry"),
        (b'{"schema_version": "1"}', "x is not a manifest of a registry"),
        (b'{"schema_version": 1, "files": [{"a": 1}], "sources": {}}', "x is not a manifest of a registry"),
        (
            json.dumps({"schema_version": SCHEMA_VERSION + 1}).encode(),
            f"x has schema version {SCHEMA_VERSION + 1}, .* upgrade it",
        ),
    ],
)
def test_a_text_that_is_no_manifest_is_an_error(data: bytes, text: str) -> None:
    with pytest.raises(RegistryFormatError, match=text):
        Manifest.from_json(data, "x")


def test_a_damaged_manifest_is_never_overwritten(small_registry: Path, small_source: Path) -> None:
    (small_registry / "manifest.json").write_bytes(b"{")
    before = files_in(small_registry)
    with pytest.raises(RegistryFormatError, match=r"manifest\.json is not a manifest"):
        ingest("train", str(small_source), str(small_registry), jobs=1)
    assert files_in(small_registry) == before


def test_the_error_of_a_missing_registry_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no registry at .* 'dvc repro' or 'df2 ingest'"):
        read_manifest(Place(str(tmp_path)))


def test_data_of_other_splits_without_a_manifest_is_never_cleared_away(small_registry: Path, tmp_path: Path) -> None:
    source = write_split(tmp_path / "validation", {1: annotation([item(2)])})
    (small_registry / "manifest.json").unlink()
    before = files_in(small_registry)
    with pytest.raises(RegistryFormatError, match=r"no manifest\.json.* run 'df2 manifest"):
        ingest("validation", str(source), str(small_registry), jobs=1)
    assert files_in(small_registry) == before
    place = Place(str(small_registry))
    place.write("manifest.json", rebuild_manifest(place).to_json())
    ingest("validation", str(source), str(small_registry), jobs=1)
    assert read_manifest(place).splits == ["train", "validation"]


def test_the_split_of_a_writer_killed_before_the_first_manifest_can_be_ingested_again(
    small_registry: Path, small_source: Path
) -> None:
    before = files_in(small_registry)
    (small_registry / "manifest.json").unlink()
    ingest("train", str(small_source), str(small_registry), jobs=1)
    assert files_in(small_registry) == before
