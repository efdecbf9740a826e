"""Items as rows: parquet, arrow, csv, jsonl."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import registry
from registry.dataset.tables import ITEM_COLUMNS, ITEMS, arrow_schema
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export

CSV = """\
split,image_id,item_no,category_name,x1,landmarks,segmentation
validation,1,1,shorts,10.0,"[11,21,2,12,22,2,13,23,2,14,24,2,15,25,2,16,26,2,17,27,2,18,28,2,19,29,2,20,30,2]",\
"[[10.5,20.25,110.0,20.0,110.0,220.125]]"
validation,2,1,shorts,10.0,"[11,21,2,12,22,2,13,23,2,14,24,2,15,25,2,16,26,2,17,27,2,18,28,2,19,29,2,20,30,2]",\
"[[10.5,20.25,110.0,20.0,110.0,220.125]]"
"""
JSONL = """\
{"item_no": 1, "split": "validation", "style": 1, "y2": 220.0, "segmentation": [[10.5,20.25,110.0,20.0,110.0,220.125]]}
{"item_no": 1, "split": "validation", "style": 1, "y2": 220.0, "segmentation": [[10.5,20.25,110.0,20.0,110.0,220.125]]}
"""
VALIDATION = {"split": "validation"}


def path_of(folder: Path, part: str, kind: str) -> Path:
    return folder / "data" / f"{part}-00000-of-00001.{kind}"


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of any kind, its values as the table has them."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".arrow":
        return pa.ipc.open_file(path).read_all().to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with open(path, newline="", encoding="utf-8") as file:
        actual = list(csv.DictReader(file))
    texts = {column.name for column in ITEMS.columns if column.field.type == "string"}
    return [{name: value if name in texts else json.loads(value) for name, value in row.items()} for row in actual]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "jsonl"])
def test_rows_equal_the_table_in_file_order(kind: str, drawn_registry: Path, tmp_path: Path) -> None:
    run_export(drawn_registry, kind, tmp_path / "out")
    relation = registry.open(str(drawn_registry)).sql(
        f"SELECT {', '.join(ITEM_COLUMNS)} FROM items "
        "ORDER BY list_position(['train', 'validation'], split), image_id, item_order"
    )
    actual = [row for split in ("train", "validation") for row in rows_of(path_of(tmp_path / "out", split, kind))]
    assert actual == relation.to_arrow_table().to_pylist()


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_types_equal_those_of_the_table(kind: str, exportable: Path, tmp_path: Path) -> None:
    for name, options in (("all", {}), ("some", {"columns": "style, split,landmarks"}), ("none", {})):
        subset = {"category": "sling"} if name == "none" else {}
        run_export(exportable, kind, tmp_path / name, subset=subset, **options)
        path = path_of(tmp_path / name, "train", kind)
        schema = pq.read_schema(path) if kind == "parquet" else pa.ipc.open_file(path).schema
        full = arrow_schema(ITEMS, stored=False)
        wanted = ["style", "split", "landmarks"] if options else list(ITEM_COLUMNS)
        assert schema.names == wanted
        assert [schema.field(entry).type for entry in wanted] == [full.field(entry).type for entry in wanted]


def test_exact_text_files(exportable: Path, tmp_path: Path) -> None:
    columns = "split,image_id,item_no,category_name,x1,landmarks,segmentation"
    run_export(exportable, "csv", tmp_path / "csv", subset=VALIDATION, columns=columns)
    assert path_of(tmp_path / "csv", "validation", "csv").read_text() == CSV
    columns = "item_no,split,style,y2,segmentation"
    run_export(exportable, "jsonl", tmp_path / "jsonl", subset=VALIDATION, columns=columns)
    assert path_of(tmp_path / "jsonl", "validation", "jsonl").read_text() == JSONL


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "jsonl"])
def test_a_resplit_gives_a_file_for_each_part(kind: str, exportable: Path, tmp_path: Path) -> None:
    resplit = Resplit.parse("train=0.5,held=0.5", 1)
    manifest = run_export(exportable, kind, tmp_path / "out", subset={"split": "train"}, resplit=resplit)
    assert [file.path for file in manifest.files] == [
        f"data/held-00000-of-00001.{kind}",
        f"data/train-00000-of-00001.{kind}",
    ]
    actual = [row for file in manifest.files for row in rows_of(tmp_path / "out" / file.path)]
    assert len(actual) == 8
    assert {row["split"] for row in actual} == {"train"}
