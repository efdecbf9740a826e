"""A DuckDB database file over a registry, for other clients."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb

from registry.errors import StorageError, UsageError
from registry.manifest import Manifest, read_manifest
from registry.schemas import load_views
from registry.storage import Place
from registry.store.connection import check_location, glob_escape, quote, register, table_sql, views_in_order
from registry.tables import TABLES, Table
from registry.temporary import is_special, replacing, temporary

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
    if is_special(file):
        with tempfile.TemporaryDirectory(prefix="df2-") as folder, temporary(Path(folder)):
            whole = Path(folder, "catalog.duckdb")
            _write(place, manifest, whole, copy=copy)
            with replacing(file) as device:
                device.write_bytes(whole.read_bytes())
        return
    with replacing(file) as partial, temporary(Path(f"{partial}.wal")) as log:
        try:
            _write(place, manifest, partial, copy=copy)
        except duckdb.Error as error:
            raise StorageError(f"Cannot write {file}: {error}") from error
        finally:
            log.unlink(missing_ok=True)


def check_replaceable(file: Path, name: str) -> None:
    """Raise if a file is there that is no catalog.

    Args:
        file: where the file, or a copy of it, is.
        name: path or URL that the message names.

    Raises:
        UsageError: it is not a database with tables and views of a registry alone.
    """
    if not file.is_file() or not file.stat().st_size:
        return
    with duckdb.connect() as connection:
        try:
            connection.execute(f"ATTACH {quote(str(file))} AS catalog_file (READ_ONLY)")
            rows = connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'catalog_file' UNION ALL "
                "SELECT view_name FROM duckdb_views() WHERE database_name = 'catalog_file' AND NOT internal"
            ).fetchall()
        except duckdb.Error:
            rows = []
    names = {row[0] for row in rows}
    if not names.issuperset(TABLES) or names - {*TABLES, *load_views()}:
        raise UsageError(
            f"{name} is there and is not a catalog that 'df2 catalog' wrote: name another file, or replace it with "
            "--overwrite."
        )


def _write(place: Place, manifest: Manifest, file: Path, *, copy: bool) -> None:
    connection = duckdb.connect()
    try:
        root = register(connection, place, manifest)
        views = views_in_order(connection)
        connection.execute(f"ATTACH {quote(str(file))} AS made (STORAGE_VERSION '{_STORAGE_VERSION}')")
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
    finally:
        connection.close()


def _pattern(place: Place, table: Table) -> str:
    folders = "".join(f"/{name}=*" for name in table.partition)
    return f"{glob_escape(place.absolute_url)}/{table.name}{folders}/*.parquet"
