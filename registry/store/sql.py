"""Pieces of SQL text that several queries share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import SCHEMA_VERSION, Table, duckdb_type

#: Sorts rows by split: train, validation, test.
SPLIT_ORDER: Final = f"list_position({list(SPLITS)}, split)"


def quote(text: str) -> str:
    """Return a SQL string literal. ``CREATE VIEW`` and ``SET`` take no bound parameters."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """Return a SQL identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def glob_escape(path: str) -> str:
    """Return a pattern for DuckDB that matches only this path."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)


def table_sql(table: Table, paths: Iterable[str], version: int = SCHEMA_VERSION) -> str:
    """Return a SELECT of a table's columns from Parquet files.

    Args:
        table: the table.
        paths: of its files; without any, the SELECT has no rows and the same column types.
        version: schema version of the registry; columns that were added later are NULL.
    """
    path_list = ", ".join(quote(path) for path in paths)
    if not path_list:
        columns = ", ".join(f"NULL::{duckdb_type(c.field)} AS {c.name}" for c in table.columns)
        return f"SELECT {columns} WHERE false"
    columns = ", ".join(
        c.name if c.since <= version else f"NULL::{duckdb_type(c.field)} AS {c.name}" for c in table.columns
    )
    types = {c.name: duckdb_type(c.field) for c in table.columns if c.name in table.partition}
    hive = ", ".join(f"{quote(name)}: {quote(kind)}" for name, kind in types.items())
    options = f", hive_partitioning = true, hive_types = {{{hive}}}" if hive else ", hive_partitioning = false"
    return f"SELECT {columns} FROM read_parquet([{path_list}]{options})"
