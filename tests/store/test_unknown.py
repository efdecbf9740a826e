"""The number of values that items do not have."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main
from registry.snapshot.manifest import DataFile
from registry.store.unknown import PAIRING, unknown_texts
from tests.ingest.coco_files import ingest_coco, one_item, write_coco


def items(folder: Path, source: str) -> duckdb.DuckDBPyConnection:
    """Return a connection whose ``items`` are 20,000 of train, in two files of the folder."""
    connection = duckdb.connect()
    for number in range(2):
        connection.execute(
            f"COPY (SELECT 'train' AS split, {source} AS source, range AS pair_id, range % 3 AS style "
            f"FROM range({10_000 * number}, {10_000 * (number + 1)})) TO '{folder}/{number}.parquet' (FORMAT parquet)"
        )
    connection.execute(f"CREATE VIEW items AS FROM '{folder}/*.parquet'")
    return connection


def test_values_that_are_missing_are_counted_by_column(tmp_path: Path) -> None:
    (text,) = unknown_texts(items(tmp_path, "CASE WHEN range > 3 THEN 'user' END"), PAIRING)
    assert text.startswith("4 items of train have no source: ingest train with --source-of")


def test_no_row_of_a_column_without_null_is_read(tmp_path: Path) -> None:
    connection = items(tmp_path, "'user'")
    for path in tmp_path.iterdir():
        data = bytearray(path.read_bytes())
        # All but the magic number and the footer, which has the numbers of NULL.
        pages = slice(4, len(data) - int.from_bytes(data[-8:-4], "little") - 8)
        data[pages] = bytes(len(data[pages]))
        path.write_bytes(data)
    with pytest.raises(duckdb.Error):
        connection.sql("SELECT sum(pair_id) FROM items").fetchall()
    assert unknown_texts(connection, PAIRING) == []


def test_a_split_is_asked_for_alone(few_registry: Path, tmp_path: Path, files_read: list[DataFile]) -> None:
    ingest_coco(write_coco(tmp_path / "new.json", one_item()), few_registry, "validation")
    opened = registry.open(str(few_registry))
    texts = opened.unknown_pairing()
    assert texts[0].startswith("1 item of validation has no source: ")
    assert opened.unknown_pairing("validation") == texts
    files_read.clear()
    assert registry.open(str(few_registry)).unknown_pairing("train") == []
    splits = {file.split for file in files_read}
    assert "train" in splits and "validation" not in splits
    result = CliRunner().invoke(main, ["-r", str(few_registry), "pairs", "--split", "train"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert texts[0] in CliRunner().invoke(main, ["-r", str(few_registry), "pairs"]).stderr
