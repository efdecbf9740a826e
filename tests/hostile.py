"""Malicious registries: all digests are correct, but cells hold values that no ingestion writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from registry.snapshot.manifest import MANIFEST_NAME, DataFile, Manifest

#: (table, column, value): the value would write outside the destination, or break the syntax of an exported file.
POISON: tuple[tuple[str, str, Any], ...] = (
    ("images", "file_name", "../../../../evil.jpg"),
    ("images", "file_name", "/tmp/evil.jpg"),
    ("images", "file_name", "sub/000001.jpg"),
    ("images", "file_name", 'a"b.jpg'),
    ("images", "file_name", "000001.jpg\n"),
    ("images", "file_name", "000077.jpg"),
    ("images", "file_name", "٣.jpg"),
    ("images", "source", "../evil"),
    ("images", "image_id", -1),
    ("images", "width", -5),
    ("items", "category_name", "../../evil"),
    ("items", "category_name", "sling dress"),
    ("items", "source", '"}, {"evil": "'),
    ("items", "style", -1),
    ("items", "item_no", 0),
    ("items", "scale", 7),
    ("items", "x1", float("nan")),
    ("items", "y2", float("inf")),
    ("items", "landmarks", [1, 2, 2]),
    ("items", "segmentation", [[1.0, 2.0, float("nan"), 4.0, 5.0, 6.0]]),
    ("items", "segmentation", [[1.0, 2.0, 3.0]]),
)


def poisoned(registry: Path, folder: Path, table: str, column: str, value: Any) -> Path:
    """Return a copy of a registry with ``value`` in the first row of the first train file, and a manifest to match.

    Args:
        registry: folder of the registry.
        folder: folder of the copy.
        table: table to change.
        column: column to change.
        value: value to write.
    """

    def poison(rows: pa.Table) -> pa.Table:
        cells = rows.column(column).to_pylist()
        cells[0] = value
        position = rows.schema.get_field_index(column)
        field = rows.schema.field(position)
        return rows.set_column(position, field, pa.array(cells, field.type))

    return rewritten(registry, folder, table, poison)


def rewritten(registry: Path, folder: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> Path:
    """Return a copy of a registry with ``change`` applied to the first train file of a table; its manifest matches."""
    shutil.copytree(registry, folder)
    manifest = Manifest.from_json((folder / MANIFEST_NAME).read_bytes(), "x")
    old = next(file for file in manifest.of_table(table) if file.split == "train")
    rows = change(pq.read_table(folder / old.path, partitioning=None))
    (folder / old.path).unlink()
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, store_schema=False)
    data = sink.getvalue().to_pybytes()
    new = DataFile.of(data, old.path.rpartition("/")[0], table, "train", len(rows))
    (folder / new.path).write_bytes(data)
    files = tuple(sorted(new if file == old else file for file in manifest.files))
    (folder / MANIFEST_NAME).write_bytes(Manifest(files, manifest.sources).to_json())
    return folder
