"""A DuckDB database file over a registry, for other clients."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from registry.errors import StorageError, UsageError
from registry.manifest import read_manifest
from registry.schemas import load_views
from registry.storage import Place
from registry.store.connection import check_location, glob_escape, quote, register, table_sql, views_in_order
from registry.tables import TABLES, Table

# Written so that clients from 1.0 on open the file.
_STORAGE_VERSION = "v1.0.0"


def write_catalog(place: Place, file: Path, *, copy: bool = False) -> None:
    """Write a database with the tables and views of a registry; an existing one is replaced.

    Args:
        place: folder of the registry; a remote one only to be copied.
        file: the database file.
        copy: hold the rows, instead of reading the registry's Parquet files by their absolute paths.

    Raises:
        NotFoundError: there is no registry.
        UsageError: the registry is remote, or lies where DuckDB would misread its paths.
        StorageError: the file cannot be written.
    """
    if not (place.is_local or copy):
        raise UsageError(
            f"DuckDB clients cannot open {place} by themselves: copy its rows into the catalog with --copy."
        )
    check_location(place)
    manifest = read_manifest(place)
    partial = file.with_name(f".{file.name}.partial")
    partial.unlink(missing_ok=True)
    connection = duckdb.connect()
    root = register(connection, place, manifest)
    try:
        views = views_in_order(connection)
        connection.execute(f"ATTACH {quote(str(partial))} AS made (STORAGE_VERSION '{_STORAGE_VERSION}')")
        connection.execute("USE made")
        for table in TABLES.values():
            named = [f"{root}{data.path}" for data in manifest.of_table(table.name)]
            # A pattern instead of the names of today: the catalog outlives the next ingestion.
            paths = named if copy or not named else [_pattern(place, table)]
            what = "TABLE" if copy else "VIEW"
            connection.execute(f"CREATE {what} {table.name} AS {table_sql(table, paths, manifest.schema_version)}")
            connection.execute(f"COMMENT ON {what} {table.name} IS {quote(table.meaning)}")
            for column in table.columns:
                comment = column.field.meaning + (f" [{column.field.unit}]" if column.field.unit else "")
                connection.execute(f"COMMENT ON COLUMN {table.name}.{column.name} IS {quote(comment)}")
        for view in views:
            connection.execute(f"CREATE VIEW {view.name} AS\n{view.sql}")
            connection.execute(f"COMMENT ON VIEW {view.name} IS {quote(load_views()[view.name].meaning)}")
        connection.execute("USE memory")
        connection.execute("DETACH made")
        os.replace(partial, file)
    except (duckdb.Error, OSError) as error:
        raise StorageError(f"Cannot write {file}: {error}") from error
    finally:
        connection.close()
        partial.unlink(missing_ok=True)


def _pattern(place: Place, table: Table) -> str:
    folders = "".join(f"/{name}=*" for name in table.partition)
    return f"{glob_escape(place.absolute_url)}/{table.name}{folders}/*.parquet"
