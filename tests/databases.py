"""Databases with the declared tables, filled with inline VALUES, for tests of views and checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from registry.dataset.tables import TABLES, duckdb_type
from registry.store.views import views_in_order


@contextmanager
def declared_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database with every table as declared and empty, and every view."""
    connection = duckdb.connect()
    for table in TABLES.values():
        columns = ", ".join(f"{column.name} {duckdb_type(column.field)}" for column in table.columns)
        connection.execute(f"CREATE TABLE {table.name} ({columns})")
    for view in views_in_order():
        connection.execute(f"CREATE VIEW {view.name} AS {view.sql}")
    yield connection
    connection.close()


def rows_of(connection: duckdb.DuckDBPyConnection, view: str, **tables: str) -> list[tuple[Any, ...]]:
    """Fill tables with VALUES and return the rows of a view or of ``(SELECT ...)``, sorted by all columns."""
    for table, values in tables.items():
        connection.execute(f"INSERT INTO {table} {values}")
    return connection.execute(f"SELECT * FROM {view} ORDER BY ALL").fetchall()
