"""Hugging Face's ``load_dataset`` on the folder of an export: a split for each part with rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from registry.subset.resplit import Resplit
from tests.exports.releases import run_export

datasets = pytest.importorskip("datasets")

#: Format, its options, and the suffix of its files.
ROWS = [
    *((kind, {}, kind) for kind in ("parquet", "arrow", "csv", "jsonl")),
    *(("pairs", {"as": kind}, kind) for kind in ("parquet", "csv", "jsonl")),
]
FORMATS = [*ROWS, ("webdataset", {}, "tar"), ("huggingface", {}, "parquet")]


def export_rows(folder: Path, name: str, out: Path, **arguments: Any) -> dict[str, int]:
    """Export, and return the number of rows of each split that ``load_dataset`` finds in the folder."""
    images = "none" if name in ("webdataset", "huggingface") else None
    run_export(folder, name, out, images=images, **arguments)
    loaded = datasets.load_dataset(str(out), cache_dir=str(out.parent / "cache"))
    return {split: len(rows) for split, rows in loaded.items()}


@pytest.mark.parametrize(("name", "options", "suffix"), FORMATS)
def test_every_split_is_a_split(
    name: str, options: dict[str, Any], suffix: str, exportable: Path, tmp_path: Path
) -> None:
    numbers = export_rows(exportable, name, tmp_path / "out", **options)
    expected = {"train": 8, "validation": 2}
    if name == "pairs":
        expected = {"train": 5, "validation": 1}
    elif name in ("webdataset", "huggingface"):
        expected = {"train": 5, "validation": 2, "test": 2}
    assert numbers == expected


@pytest.mark.parametrize(("name", "options", "suffix"), FORMATS)
def test_every_part_of_a_resplit_is_a_split_whatever_its_name(
    name: str, options: dict[str, Any], suffix: str, drawn_registry: Path, tmp_path: Path
) -> None:
    resplit = Resplit.parse("fit=0.6,held-out=0.4")
    numbers = export_rows(drawn_registry, name, tmp_path / "out", resplit=resplit, **options)
    assert list(numbers) == ["fit", "held_out"]
    assert all(numbers.values())


@pytest.mark.parametrize(("name", "options", "suffix"), ROWS)
def test_a_subset_of_one_split_is_one_file(
    name: str, options: dict[str, Any], suffix: str, exportable: Path, tmp_path: Path
) -> None:
    manifest = run_export(exportable, name, tmp_path / "out", subset={"split": "validation"}, **options)
    assert [file.path for file in manifest.files] == [f"data/validation-00000-of-00001.{suffix}"]


def test_a_part_without_rows_has_no_file_unless_all_have_none(exportable: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "parquet", tmp_path / "out")
    assert len(manifest.files) == 2
    assert "1 part has no rows and so no file: test" in manifest.notices
    nothing = run_export(exportable, "parquet", tmp_path / "nothing", subset={"category": "sling"})
    assert len(nothing.files) == 3
    assert not any("no rows" in notice for notice in nothing.notices)


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_duckdb_reads_all_files_as_one_table(kind: str, exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, kind, tmp_path / "out")
    reader = {"parquet": "read_parquet", "csv": "read_csv", "jsonl": "read_json"}[kind]
    query = f"SELECT split, count(*) FROM {reader}('{tmp_path}/out/data/*.{kind}') GROUP BY split ORDER BY split"
    assert duckdb.sql(query).fetchall() == [("train", 8), ("validation", 2)]
