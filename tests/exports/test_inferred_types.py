"""Readers that infer types from the first rows read every value of text files as it is.

The first rows hold whole coordinates alone and an item without polygons; later rows hold fractions, large numbers and
photos without annotation.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow.csv
import pyarrow.json
import pytest

import registry
from registry.ingest.build import ingest
from tests.exports.releases import run_export
from tests.helpers import annotation, item, jpeg, write_split

datasets = pytest.importorskip("datasets")
webdataset = pytest.importorskip("webdataset")

Row = dict[str, Any]
#: Columns of doubles, and columns with other types whose values a reader must not change.
DOUBLES = ("x1", "y1", "x2", "y2")
CORNERS = (
    [10, 20, 110, 220],
    [10.5, 20.25, 110.125, 220.1],
    [0, -1, 4095, 4096],
    [1e14, 1e15, 1234567890123456, 3e15],
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of train and test: 150 items of whole numbers, then others."""
    folder = tmp_path_factory.mktemp("mixed")
    annotations: dict[int | str, Any] = {1: annotation([item(1, 1, segmentation=[])], "user", 1)}
    for image_id in range(2, 151):
        whole = item(1, 1, segmentation=[[1, 2, 30, 40, 5, 6], [7, 8, 9, 10, 11, 12]])
        annotations[image_id] = annotation([whole], "user", 1)
    for image_id, corners in enumerate(CORNERS, 151):
        polygon = [0, -0.0, 3, 4.5, *corners]
        other = item(1, 1, bounding_box=corners, segmentation=[polygon])
        annotations[image_id] = annotation([other], "shop", 1)
    ingest("train", str(write_split(folder / "train", annotations)), str(folder / "r"), jobs=1)
    photos: dict[int | str, bytes] = {image_id: jpeg() for image_id in range(1, 10)}
    ingest("test", str(write_split(folder / "test", {}, photos)), str(folder / "r"), jobs=1)
    return folder / "r"


@pytest.fixture(scope="module")
def expected(mixed: Path) -> list[Row]:
    """Return the items as the table has them."""
    rows = registry.open(str(mixed)).sql(
        "SELECT * EXCLUDE (content_hash, num_corrections) FROM items ORDER BY image_id, item_order"
    )
    actual: list[Row] = rows.to_arrow_table().to_pylist()
    assert len(actual) == 154
    return actual


def with_duckdb(path: Path) -> list[Row]:
    reader = "read_csv" if path.suffix == ".csv" else "read_json"
    # Few rows, so that types are inferred from whole numbers alone.
    relation = duckdb.sql(f"FROM {reader}('{path}', sample_size = 10)")
    rows: list[Row] = relation.to_arrow_table().to_pylist()
    return rows


def with_datasets(path: Path) -> list[Row]:
    kind = {".jsonl": "json", ".csv": "csv"}[path.suffix]
    options = {"chunksize": 4096} if kind == "json" else {"chunksize": 10}  # bytes, rows
    loaded = datasets.load_dataset(
        kind, data_files=str(path), cache_dir=str(path.parent / "cache"), split="train", **options
    )
    rows: list[Row] = loaded.to_list()
    return rows


READERS: dict[str, dict[str, Callable[[Path], list[Row]]]] = {
    "jsonl": {
        "polars": lambda path: polars.read_ndjson(path).to_dicts(),
        "polars, lazily": lambda path: polars.scan_ndjson(path, infer_schema_length=10).collect().to_dicts(),
        "pandas": lambda path: pandas.read_json(path, lines=True, precise_float=True).to_dict("records"),
        "pandas, in chunks": lambda path: pandas.concat(
            pandas.read_json(path, lines=True, precise_float=True, chunksize=10)
        ).to_dict("records"),
        "duckdb": with_duckdb,
        "pyarrow": lambda path: pyarrow.json.read_json(
            path, read_options=pyarrow.json.ReadOptions(block_size=4096)
        ).to_pylist(),
        "datasets": with_datasets,
    },
    "csv": {
        "polars": lambda path: polars.read_csv(path, infer_schema_length=10).to_dicts(),
        "pandas": lambda path: pandas.read_csv(path).to_dict("records"),
        "pandas, in chunks": lambda path: pandas.concat(pandas.read_csv(path, chunksize=10)).to_dict("records"),
        "duckdb": with_duckdb,
        "pyarrow": lambda path: pyarrow.csv.read_csv(
            path, read_options=pyarrow.csv.ReadOptions(block_size=4096)
        ).to_pylist(),
        "datasets": with_datasets,
    },
}


def plain(row: Row, *, from_csv: bool) -> Row:
    """Return a row with lists; in CSV they are JSON."""
    lists = {name: json.loads(row[name]) for name in ("landmarks", "segmentation")} if from_csv else {}
    return row | {name: [] if value is None else value for name, value in row.items()} | lists


@pytest.mark.parametrize(("kind", "reader"), [(kind, name) for kind, readers in READERS.items() for name in readers])
def test_every_value_of_every_row_is_read_as_it_is(
    kind: str, reader: str, mixed: Path, expected: list[Row], tmp_path: Path
) -> None:
    run_export(mixed, kind, tmp_path / "out", subset={"split": "train"})
    rows = READERS[kind][reader](tmp_path / "out" / "data" / f"train-00000-of-00001.{kind}")
    assert [plain(row, from_csv=kind == "csv") for row in rows] == expected
    assert all(isinstance(row[name], float) for row in rows for name in DOUBLES)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_pairs_are_read_as_they_are(kind: str, mixed: Path, tmp_path: Path) -> None:
    for form in (kind, "parquet"):
        run_export(mixed, "pairs", tmp_path / form, **{"as": form})
    path = tmp_path / kind / "data" / f"train-00000-of-00001.{kind}"
    frame = polars.read_ndjson(path) if kind == "jsonl" else polars.read_csv(path, infer_schema_length=10)
    assert frame.to_dicts() == polars.read_parquet(tmp_path / "parquet" / "data" / "*.parquet").to_dicts()


def samples(folder: Path) -> list[Row]:
    """Return the JSON of all samples of train by the standard library."""
    with tarfile.open(folder / "train-000000.tar") as archive:
        return [json.load(archive.extractfile(member)) for member in archive]  # type: ignore[arg-type]


def test_a_webdataset_is_read_as_it_is(mixed: Path, expected: list[Row], tmp_path: Path) -> None:
    run_export(mixed, "webdataset", tmp_path / "out", images="none")
    documents = samples(tmp_path / "out")
    assert [actual for document in documents for actual in document["items"]] == expected
    assert all(
        type(actual[name]) is float for document in documents for actual in document["items"] for name in DOUBLES
    )
    shard = str(tmp_path / "out" / "train-000000.tar")
    assert [sample["json"] for sample in webdataset.WebDataset(shard, shardshuffle=False).decode()] == documents

    # By the card, also the photos of test, which have nulls alone; and of a shard alone, by its first samples.
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert [sample["json"] for sample in loaded["train"]] == documents
    assert [sample["json"]["source"] for sample in loaded["test"]] == [None] * 9
    assert [sample["json"]["items"] for sample in loaded["test"]] == [[]] * 9


def test_shards_without_the_card_are_inferred_to_hold_doubles(mixed: Path, tmp_path: Path) -> None:
    run_export(mixed, "webdataset", tmp_path / "out", images="none", subset={"split": "train", "image_id": "2-"})
    shard = str(tmp_path / "out" / "train-000000.tar")
    loaded = datasets.load_dataset("webdataset", data_files=shard, cache_dir=str(tmp_path / "cache"), split="train")
    assert [sample["json"] for sample in loaded] == samples(tmp_path / "out")


def test_rows_of_queries_hold_doubles_in_every_format(mixed: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from registry.cli.main import main

    query = "SELECT x1, segmentation, 2 * x2 AS doubled FROM items ORDER BY image_id"
    for kind in ("json", "jsonl", "csv"):
        path = tmp_path / f"rows.{kind}"
        result = CliRunner().invoke(main, ["-r", str(mixed), "sql", query, "-o", str(path)])
        assert result.exit_code == 0, result.output
        text = path.read_text()
        assert "10.0" in text and "220.0" in text
        if kind == "jsonl":
            assert polars.read_ndjson(path)["doubled"].dtype == polars.Float64
