"""A DuckDB database file over a registry, for other clients."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import duckdb

from registry.errors import StorageError, UsageError
from registry.manifest import MANIFEST_NAME, read_manifest
from registry.private_folder import private_folder
from registry.schemas import load_views
from registry.storage import Place
from registry.store.connection import duckdb_errors, glob_escape, quote, register, table_sql, views_in_order
from registry.store.paths import table_paths
from registry.store.settings import Limits, open_database
from registry.tables import TABLES, Table, duckdb_type
from registry.temporary import is_special, replacing

# Written so that clients from 1.0 on open the file.
_STORAGE_VERSION = "v1.0.0"


def write_catalog(place: Place, file: Path, *, copy: bool = False, overwrite: bool = False) -> None:
    """Write a database with the tables and views of a registry; an earlier catalog is replaced.

    Args:
        place: folder of the registry; a remote one only to be copied.
        file: the database file.
        copy: hold the rows, instead of reading the registry's Parquet files by their absolute paths.
        overwrite: replace a file that is no catalog, too.

    Raises:
        NotFoundError: there is no registry.
        UsageError: the registry cannot be read by other clients where it lies, or the file is something else.
        StorageError: the file cannot be written; it is as it was.
    """
    if not copy:
        _check_readable(place)
    if not overwrite:
        check_replaceable(file, str(file))
    manifest = read_manifest(place)
    try:
        # DuckDB's own files (.wal) stay in there, and so does what it makes of a path with a question mark.
        with tempfile.TemporaryDirectory(dir=private_folder()) as folder:
            database = Path(folder, "catalog.duckdb")
            with open_database(Limits.of(), spill=True) as connection, duckdb_errors():
                register(connection, place, manifest)
                views = views_in_order()
                connection.execute(f"ATTACH {quote(str(database))} AS catalog (STORAGE_VERSION '{_STORAGE_VERSION}')")
                connection.execute("USE catalog")
                paths = table_paths(manifest)
                for table in TABLES.values():
                    if copy or not paths[table.name]:
                        select = table_sql(table, paths[table.name], manifest.schema_version)
                    else:
                        select = _pattern_sql(place, table, manifest.schema_version)
                    what = "TABLE" if copy else "VIEW"
                    connection.execute(f"CREATE {what} {table.name} AS {select}")
                    connection.execute(f"COMMENT ON {what} {table.name} IS {quote(table.meaning)}")
                    for column in table.columns:
                        comment = column.field.meaning + (f" [{column.field.unit}]" if column.field.unit else "")
                        connection.execute(f"COMMENT ON COLUMN {table.name}.{column.name} IS {quote(comment)}")
                for view in views:
                    connection.execute(f"CREATE VIEW {view.name} AS\n{view.sql}")
                    connection.execute(f"COMMENT ON VIEW {view.name} IS {quote(load_views()[view.name].meaning)}")
                connection.execute("USE memory")
                connection.execute("DETACH catalog")
            # Not shutil.copyfile, which refuses a pipe.
            with replacing(file) as partial, database.open("rb") as finished, partial.open("wb") as target:
                shutil.copyfileobj(finished, target, 1 << 20)
    except OSError as error:
        raise StorageError(f"Cannot write {file}: {error.strerror or error}") from error


def _check_readable(place: Place) -> None:
    """Refuse a registry that a DuckDB client cannot read by its path.

    Raises:
        UsageError: the registry is remote, or its path is one that DuckDB's patterns cannot name.
    """
    if not place.is_local:
        raise UsageError(
            f"DuckDB clients cannot open {place} by themselves: copy its rows into the catalog with --copy."
        )
    path = place.absolute_url
    if "\\" in path or not path.isprintable():
        raise UsageError(
            f"DuckDB clients cannot read the registry {str(place)!r} by its path, which holds a backslash, a control "
            "character or bytes that are not UTF-8: copy its rows into the catalog with --copy, or move it."
        )


def check_replaceable(file: Path, name: str) -> None:
    """Refuse to replace anything but an earlier catalog; an empty file, a device or a pipe may be written to.

    Args:
        file: where the file, or a copy of it, is.
        name: path or URL that the message names.

    Raises:
        UsageError: the file is there, and is no database with the tables and views of a registry alone.
    """
    try:
        is_empty = file.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"Cannot write {file}: {error.strerror}") from error
    if is_special(file) or is_empty:
        return
    if not (file.is_file() and _is_catalog(file)):
        raise UsageError(
            f"{name} is there and is not a catalog that 'df2 catalog' wrote: name another file, or replace it with "
            "--overwrite."
        )


def _is_catalog(file: Path) -> bool:
    """Return whether a file is a DuckDB database that holds what :func:`write_catalog` writes and nothing else."""
    with tempfile.TemporaryDirectory(dir=private_folder()) as folder:
        same = Path(folder, "catalog.duckdb")  # DuckDB misreads names with a question mark or a backslash
        try:
            shutil.copyfile(file, same)
            with duckdb.connect(str(same), read_only=True) as connection:
                rows = connection.execute(
                    "SELECT table_name FROM duckdb_tables() WHERE NOT internal "
                    "UNION SELECT view_name FROM duckdb_views() WHERE NOT internal"
                ).fetchall()
        except (duckdb.Error, OSError):
            return False
    names = {name for (name,) in rows}
    return set(TABLES) <= names <= {*TABLES, *load_views()}


def _pattern_sql(place: Place, table: Table, version: int) -> str:
    """Return a SELECT of a table's columns from the files that the manifest names whenever it is asked.

    A pattern, instead of the names of today: the catalog outlives the next ingestion. Files that the manifest does not
    name (any more), as 'df2 sync' leaves them without --prune, do not count. The partition columns come from the end
    of each file's path, so no folder above the registry can become a column.
    """
    folders = "".join(f"/{name}=*" for name in table.partition)
    root = glob_escape(place.absolute_url)
    path_end = rf"({re.escape(table.name)}{''.join(f'/{name}=([^/]*)' for name in table.partition)}/[^/]*)$"
    columns = []
    for column in table.columns:
        kind = duckdb_type(column.field)
        if column.name in table.partition:
            group = table.partition.index(column.name) + 2
            columns.append(f"regexp_extract(filename, {quote(path_end)}, {group})::{kind} AS {column.name}")
        else:
            columns.append(column.name if column.since <= version else f"NULL::{kind} AS {column.name}")
    files = quote(f"{root}/{table.name}{folders}/*.parquet")
    manifest = quote(f"{root}/{MANIFEST_NAME}")
    return (
        f"SELECT {', '.join(columns)} FROM read_parquet([{files}], hive_partitioning = false, filename = true) "
        f"WHERE regexp_extract(filename, {quote(path_end)}, 1) IN "
        f"(SELECT unnest(json_extract_string(content, '$.files[*].path')) FROM read_text({manifest}))"
    )
