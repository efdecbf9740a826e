"""Databases with the declared tables, filled with inline VALUES, for tests of views and checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import duckdb

from registry.dataset.tables import TABLES, duckdb_type
from registry.store.views import create_views


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return the database of this process; to create it takes DuckDB 60 ms, and hundreds of tests need one."""
    connection = duckdb.connect()
    for table in TABLES.values():
        columns = ", ".join(f"{column.name} {duckdb_type(column.field)}" for column in table.columns)
        connection.execute(f"CREATE TABLE {table.name} ({columns})")
    create_views(connection)
    return connection


@contextmanager
def declared_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database with every table as declared and empty, and every view; at the end, changes are rolled back."""
    with _database().cursor() as cursor:
        cursor.begin()
        yield cursor
        cursor.rollback()


def rows_of(connection: duckdb.DuckDBPyConnection, view: str, **tables: str) -> list[tuple[Any, ...]]:
    """Fill tables with VALUES and return the rows of a view or of ``(SELECT ...)``, sorted by all columns."""
    for table, values in tables.items():
        connection.execute(f"INSERT INTO {table} {values}")
    return connection.execute(f"SELECT * FROM {view} ORDER BY ALL").fetchall()
