"""Columns of the user's tables in exports, and exports made again with the same tables and lists."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import registry
from registry.errors import UnknownNameError, UsageError
from registry.exports.manifest import ExportManifest, read_manifest_file
from registry.exports.run import export_again
from registry.store.registry import Registry
from tests.own_rows import table

COLUMNS = "image_id,item_no,scores.loss,scores.tag"
#: Image and item of train -> loss and tag; NULL for items without a row.
EXPECTED = {
    (1, 1): (0.5, "easy"), (1, 2): (3.5, 'a "b", c'), (2, 2): (2.5, ""), (2, 5): (None, None), (3, 1): (1.0, None),
    (4, 1): (4.0, "é"), (4, 2): (None, "x"), (7, 1): (None, None),
}  # fmt: skip


@pytest.fixture
def scored(exportable: Path) -> Registry:
    return registry.open(str(exportable), tables={"scores": table()})


def export(df2: Registry, format: str, dest: Path, **options: Any) -> ExportManifest:
    return registry.export(df2, format, str(dest), subset={"split": "train"}, **options)


def by_key(rows: list[dict[str, Any]]) -> dict[tuple[int, int], tuple[Any, Any]]:
    return {(row["image_id"], row["item_no"]): (row["scores.loss"], row["scores.tag"]) for row in rows}


@pytest.mark.parametrize("kind", ["parquet", "arrow", "jsonl"])
def test_rows_have_the_columns(scored: Registry, tmp_path: Path, kind: str) -> None:
    manifest = export(scored, kind, tmp_path / "out", columns=COLUMNS)
    path = tmp_path / "out" / manifest.files[0].path
    if kind == "jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        rows = (pq.read_table(path) if kind == "parquet" else pa.feather.read_table(path)).to_pylist()
    assert by_key(rows) == EXPECTED
    assert manifest.tables == {"scores": scored.own_tables["scores"].sha256}


def test_csv_has_the_columns_with_quotes(scored: Registry, tmp_path: Path) -> None:
    export(scored, "csv", tmp_path / "out", columns=COLUMNS)
    text = (tmp_path / "out/data/train-00000-of-00001.csv").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == COLUMNS
    assert {'1,2,3.5,"a ""b"", c"', '2,2,2.5,""', "3,1,1.0,", "4,2,,x", "7,1,,"} <= set(lines)
    assert [row["scores.tag"] for row in csv.DictReader(lines) if row["image_id"] == "4"] == ["x", "é"]


@pytest.mark.parametrize("format", ["coco", "coco-per-category"])
def test_annotations_of_coco_have_the_columns(scored: Registry, tmp_path: Path, format: str) -> None:
    export(scored, format, tmp_path / "out", columns="scores.loss,scores.tag", attributes=True)
    paths = (tmp_path / "out/annotations").rglob("*.json")
    annotations = [annotation for path in paths for annotation in json.loads(path.read_bytes())["annotations"]]
    assert by_key(annotations) == EXPECTED


def test_metric_learning_has_the_columns(scored: Registry, tmp_path: Path) -> None:
    export(scored, "metric-learning", tmp_path / "out", columns="scores.loss", images="reference")
    rows = csv.DictReader((tmp_path / "out/metric_learning.csv").read_text(encoding="utf-8").splitlines())
    losses = {(int(row["image_id"]), int(row["item_no"])): row["scores.loss"] for row in rows}
    assert losses[1, 2] == "3.5"
    assert losses[4, 2] == ""


def test_items_of_webdataset_have_the_columns(scored: Registry, tmp_path: Path) -> None:
    import tarfile

    export(scored, "webdataset", tmp_path / "out", columns="scores.loss,scores.tag", images="none")
    with tarfile.open(tmp_path / "out/train-000000.tar") as tar:
        samples = [json.load(tar.extractfile(name) or pytest.fail(name)) for name in tar.getnames()]
    rows = [{"image_id": sample["image_id"], **item} for sample in samples for item in sample["items"]]
    assert by_key(rows) == EXPECTED
    assert "scores.loss" in (tmp_path / "out/README.md").read_text(encoding="utf-8")


def test_objects_of_huggingface_have_the_columns(scored: Registry, tmp_path: Path) -> None:
    export(scored, "huggingface", tmp_path / "out", columns="scores.loss,scores.tag", images="none")
    images = pq.read_table(tmp_path / "out/data/train-00000-of-00001.parquet").to_pylist()
    assert (
        by_key([{"image_id": image["image_id"], **item} for image in images for item in image["objects"]]) == EXPECTED
    )


@pytest.mark.parametrize("kind", ["webdataset", "huggingface"])
def test_datasets_loads_the_columns(scored: Registry, tmp_path: Path, kind: str) -> None:
    datasets = pytest.importorskip("datasets")
    export(scored, kind, tmp_path / "out", columns="scores.loss,scores.tag", images="none")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train")
    assert "scores.loss" in str(loaded.features)


@pytest.mark.parametrize(("kind", "without_row"), [("jsonl", '"scores.point": null'), ("csv", "3,1,\n")])
def test_a_list_of_an_item_without_a_row_is_not_empty_but_missing(
    exportable: Path, tmp_path: Path, kind: str, without_row: str
) -> None:
    rows = pa.table({
        "split": ["train"] * 2, "image_id": [1, 1], "item_no": [1, 2], "point": [[], [1.0, 2.0]],
    })  # fmt: skip
    df2 = registry.open(str(exportable), tables={"scores": rows})
    export(df2, kind, tmp_path / "out", columns="image_id,item_no,scores.point")
    text = (tmp_path / f"out/data/train-00000-of-00001.{kind}").read_text(encoding="utf-8")
    assert without_row in text
    assert text.count("[]") == 1


def test_numbers_that_json_has_not_are_null_and_counted(exportable: Path, tmp_path: Path) -> None:
    rows = pa.table({
        "split": ["train"] * 2, "image_id": [1, 3], "item_no": [1, 1], "loss": [math.nan, 1.0],
        "vector": [[1.0, math.inf], [2.0, 0.5]],
    })  # fmt: skip
    df2 = registry.open(str(exportable), tables={"scores": rows})
    manifest = export(df2, "jsonl", tmp_path / "out", columns="image_id,item_no,scores.loss,scores.vector")
    lines = (tmp_path / "out/data/train-00000-of-00001.jsonl").read_text(encoding="utf-8").splitlines()
    values = {(row["image_id"], row["item_no"]): row for row in map(json.loads, lines)}
    assert values[1, 1] == {"image_id": 1, "item_no": 1, "scores.loss": None, "scores.vector": [1.0, None]}
    assert values[3, 1]["scores.vector"] == [2.0, 0.5]
    assert manifest.notices[:2] == [
        "1 number of scores.loss is NaN or infinite, which JSON has not: null stands there",
        "1 number of scores.vector is NaN or infinite, which JSON has not: null stands there",
    ]


def test_numbers_that_json_has_not_are_counted_in_structs(exportable: Path, tmp_path: Path) -> None:
    rows = pa.table(
        {"split": ["train"], "image_id": [1], "item_no": [1], "pose": [{"yaw": math.nan, "at": [math.inf]}]}
    )
    df2 = registry.open(str(exportable), tables={"scores": rows})
    manifest = export(df2, "coco", tmp_path / "out", columns="scores.pose")
    assert "2 numbers of scores.pose are NaN or infinite, which JSON has not: null stands there" in manifest.notices


@pytest.mark.parametrize(
    ("values", "format", "message"),
    [
        (pa.array([[b"a"]]), "jsonl", "cannot be written as text: export it as parquet or arrow"),
        (pa.array([{"a": b"a"}]), "csv", "cannot be written as text: export it as parquet or arrow"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "jsonl", "cannot be written as text"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "coco", "cannot be written as text"),
        (pa.array([1], pa.duration("us")), "csv", "time spans cannot be written as text: export it as arrow"),
        (pa.array([1], pa.duration("us")), "coco", "time spans cannot be written as text: export it as arrow"),
        (pa.array([1], pa.duration("us")), "parquet", "scores.x holds time spans, which Parquet has not"),
    ],
)
def test_a_column_that_a_format_cannot_hold_leaves_no_export(
    exportable: Path, tmp_path: Path, values: pa.Array, format: str, message: str
) -> None:
    rows = pa.table({"split": ["train"], "image_id": [1], "item_no": [1], "x": values})
    df2 = registry.open(str(exportable), tables={"scores": rows})
    columns = "scores.x" if format == "coco" else "image_id,scores.x"
    with pytest.raises(UsageError, match=message):
        export(df2, format, tmp_path / "out", columns=columns)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("format", "columns", "message"),
    [
        ("csv", "image_id,score.loss", "there is no table 'score' of yours"),
        ("csv", "scores.los", "Unknown column of the table scores 'los'"),
        ("csv", "los", "Unknown column of items 'los'"),
        ("coco", "image_id", "columns: expected columns of your tables as TABLE.COLUMN"),
        ("coco", "scores.loss,scores.loss", "columns: expected each column once"),
    ],
)
def test_a_column_that_there_is_not_leaves_no_export(
    scored: Registry, tmp_path: Path, format: str, columns: str, message: str
) -> None:
    with pytest.raises((UsageError, UnknownNameError), match=message):
        export(scored, format, tmp_path / "out", columns=columns)
    assert not (tmp_path / "out").exists()


def test_an_export_is_made_again_with_the_same_table_alone(scored: Registry, exportable: Path, tmp_path: Path) -> None:
    where = {"where": "scores.loss > 1"}
    registry.export(scored, "csv", str(tmp_path / "out"), subset=where, columns=COLUMNS)
    old = read_manifest_file(str(tmp_path / "out"))
    sha256 = scored.own_tables["scores"].sha256
    assert old.tables == {"scores": sha256}
    _, changed = export_again(scored, old, str(tmp_path / "again"))
    assert changed == []
    with pytest.raises(UsageError, match=rf"scores \(sha256 {sha256}\) is not given: add --table scores=FILE"):
        export_again(registry.open(str(exportable)), old, str(tmp_path / "without"))
    other = registry.open(str(exportable), tables={"scores": table({"loss": 9.0})})
    found = other.own_tables["scores"].sha256
    with pytest.raises(UsageError, match=f"scores had the sha256 {sha256}, and the table that is given has {found}"):
        export_again(other, old, str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_an_export_is_made_again_with_the_same_list_alone(exportable: Path, tmp_path: Path) -> None:
    df2 = registry.open(str(exportable))
    items = pa.table({"split": ["train"], "image_id": [1], "item_no": [2]})
    manifest = registry.export(df2, "csv", str(tmp_path / "out"), subset={"items": items})
    old = read_manifest_file(str(tmp_path / "out"))
    assert list(old.subset) == ["items"]
    assert manifest.counts["train"]["items"] == 1
    assert export_again(df2, old, str(tmp_path / "again"), items=items)[1] == []
    with pytest.raises(UsageError, match="add --items FILE with the same keys"):
        export_again(df2, old, str(tmp_path / "without"))
    other = items.set_column(2, "item_no", pa.array([1]))
    with pytest.raises(UsageError, match=r"the list of items sha256:\w+; the list that is given is sha256:\w+"):
        export_again(df2, old, str(tmp_path / "other"), items=other)
