"""The declaration of tables and columns, and that it is what ingestion writes and DuckDB reads."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.dataset.tables import DUCKDB_TYPES, FIELDS, MODEL_TABLES, TABLES, arrow_schema, arrow_type, duckdb_type
from registry.dataset.views import load_views
from registry.snapshot.manifest import read_manifest
from registry.storage.place import Place


def test_every_field_is_declared_once_and_says_what_it_means() -> None:
    for name, field in FIELDS.items():
        assert field.name == name
        assert field.type in DUCKDB_TYPES
        assert field.meaning.endswith(".")
        assert field.source


def test_every_field_is_used_by_a_table_or_a_view() -> None:
    used = {column.name for table in TABLES.values() for column in table.columns}
    connection = duckdb.connect()
    for table in TABLES.values():
        columns = ", ".join(f"{column.name} {duckdb_type(column.field)}" for column in table.columns)
        connection.execute(f"CREATE TABLE {table.name} ({columns})")
    waiting = dict(load_views())
    while waiting:
        name = next(name for name, view in waiting.items() if not connection.get_table_names(view.sql) & set(waiting))
        connection.execute(f"CREATE VIEW {name} AS {waiting.pop(name).sql}")
        used |= set(connection.sql(f"FROM {name}").columns)
    assert set(FIELDS) - used == set()
    assert used - set(FIELDS) == set()


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_keys_partitions_and_orders_are_columns(table) -> None:  # type: ignore[no-untyped-def]
    names = [column.name for column in table.columns]
    assert len(names) == len(set(names))
    assert set(table.key) <= set(names)
    assert set(table.partition) <= set(names)
    assert set(table.order) <= {column.name for column in table.stored_columns}
    assert table.partition[:1] in ((), ("split",))
    assert not any(column.nullable for column in table.columns if column.name in (*table.key, *table.partition))
    assert table.meaning.startswith("One row per ")


@pytest.mark.parametrize("name", DUCKDB_TYPES)
def test_arrow_and_duckdb_types_are_the_same(name: str) -> None:
    empty = pa.table({"a": pa.array([], arrow_type(name))})
    described = duckdb.connect().from_arrow(empty).types
    assert [str(kind) for kind in described] == [DUCKDB_TYPES[name]]


def test_the_schema_of_a_table_has_its_columns_with_or_without_partitions() -> None:
    items = TABLES["items"]
    assert arrow_schema(items, stored=False).names == [column.name for column in items.columns]
    assert set(arrow_schema(items, stored=False).names) - set(arrow_schema(items).names) == {"split", "category_id"}
    assert not arrow_schema(items).field("item_no").nullable
    assert arrow_schema(items).field("style").nullable
    assert arrow_schema(TABLES["images"]).field("width").nullable


def test_the_files_of_a_registry_have_the_declared_schema(small_registry: Path) -> None:
    manifest = read_manifest(Place(str(small_registry)))
    assert {file.table for file in manifest.files} == set(TABLES) - {table.name for table in MODEL_TABLES}
    for file in manifest.files:
        actual = pq.read_schema(small_registry / file.path)
        declared = arrow_schema(TABLES[file.table])
        assert actual.names == declared.names
        # How Parquet names the values of a list is its own affair.
        assert [str(t).replace("element", "item") for t in actual.types] == [
            str(t).replace("element", "item") for t in declared.types
        ]
        assert [field.nullable for field in actual] == [field.nullable for field in declared]
