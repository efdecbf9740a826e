"""A DuckDB database file over a registry, for other clients."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from registry.dataset.tables import TABLES, Column, Table, duckdb_type
from registry.dataset.views import load_views
from registry.errors import ConflictError, StorageError, UsageError, first_names
from registry.files.private_folder import private_folder
from registry.files.temporary import is_special, replacing
from registry.snapshot.manifest import MANIFEST_NAME, read_manifest
from registry.storage.place import Place
from registry.store.connection import duckdb_errors, register
from registry.store.paths import table_paths
from registry.store.settings import Limits, open_database
from registry.store.snapshot import open_blocks
from registry.store.sql import glob_escape, quote, table_sql
from registry.store.views import views_in_order

# Written so that clients from 1.0 on open the file.
_STORAGE_VERSION = "v1.0.0"
_RELATIONS: Final = ("table", "view")
#: Suffixes of DuckDB's logs of changes beside a database.
_LOGS: Final = (".wal", ".wal.checkpoint")
#: Objects of the user that a message names.
_MOST_NAMED: Final = 5
#: One row per object of a database: (kind, schema, table of a column or constraint, name, comment).
_OBJECTS: Final = " UNION ALL ".join(
    f"SELECT '{kind}', schema_name, {of}, {name}, {comment} FROM {function}() "
    f"WHERE database_name = current_database(){condition}"
    for kind, of, name, comment, function, condition in (
        ("schema", "''", "schema_name", "comment", "duckdb_schemas", ""),
        ("table", "''", "table_name", "comment", "duckdb_tables", ""),
        ("view", "''", "view_name", "comment", "duckdb_views", " AND NOT internal"),
        ("macro", "''", "function_name", "comment", "duckdb_functions", " AND NOT internal"),
        ("sequence", "''", "sequence_name", "comment", "duckdb_sequences", ""),
        ("type", "''", "type_name", "comment", "duckdb_types", " AND NOT internal"),
        ("index", "''", "index_name", "comment", "duckdb_indexes", ""),
        ("trigger", "''", "trigger_name", "comment", "duckdb_triggers", ""),
        ("column", "table_name", "column_name", "comment", "duckdb_columns", " AND NOT internal"),
        ("constraint", "table_name", "constraint_name", "NULL", "duckdb_constraints", ""),
    )
)


class _Object(NamedTuple):
    """An object in a database; ``of`` is the table of a column or constraint."""

    kind: str
    schema: str
    of: str
    name: str
    comment: str | None

    def __str__(self) -> str:
        schema = "" if self.schema == "main" or self.kind == "schema" else f"{self.schema}."
        return f"the {self.kind} {schema}{self.of}{'.' if self.of else ''}{self.name}"


def write_catalog(place: Place, file: Path, *, copy: bool = False, overwrite: bool = False) -> None:
    """Write a database with the tables and views of a registry; an earlier catalog is replaced.

    Args:
        place: folder of the registry; a URL only with ``copy``.
        file: the database file.
        copy: store the rows, instead of reading the registry's Parquet files by their absolute paths.
        overwrite: replace a file that is no catalog, too.

    Raises:
        NotFoundError: there is no registry.
        UsageError: other clients cannot read the registry at its path, the file is no catalog or has other objects,
            or a client left a log of changes beside it.
        ConflictError: another process has the file open for writing.
        StorageError: the file cannot be written; it is unchanged.
    """
    if not copy:
        _check_readable(place)
    _check_closed(file)
    if not overwrite:
        check_replaceable(file, str(file))
    manifest = read_manifest(place)
    try:
        # DuckDB's log (.wal) stays in this folder, and its misreading of paths with a question mark has no effect.
        with tempfile.TemporaryDirectory(dir=private_folder()) as folder:
            database = Path(folder, "catalog.duckdb")
            with open_database(Limits.of(), spill=True) as connection, duckdb_errors():
                register(connection, place, manifest, open_blocks(place))
                views = views_in_order()
                connection.execute(f"ATTACH {quote(str(database))} AS catalog (STORAGE_VERSION '{_STORAGE_VERSION}')")
                connection.execute("USE catalog")
                paths = table_paths(manifest)
                for table in TABLES.values():
                    if copy or not paths[table.name]:
                        select = table_sql(table, paths[table.name], manifest.schema_version)
                    else:
                        select = _pattern_sql(place, table, manifest.schema_version)
                    kind = "TABLE" if copy else "VIEW"
                    connection.execute(f"CREATE {kind} {table.name} AS {select}")
                    connection.execute(f"COMMENT ON {kind} {table.name} IS {quote(table.meaning)}")
                    for column in table.columns:
                        comment = quote(_column_comment(column))
                        connection.execute(f"COMMENT ON COLUMN {table.name}.{column.name} IS {comment}")
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
    """Check that a DuckDB client can read a registry by its path.

    Raises:
        UsageError: the registry is remote, or DuckDB's patterns cannot name its path.
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
    """Check that a file may be replaced: an earlier catalog, an empty file, a device or a pipe.

    Args:
        file: path of the file, or of a copy of it.
        name: path or URL for messages.

    Raises:
        UsageError: the file exists and is no catalog, or has other objects than a catalog. Changed rows in it are not
            detected.
    """
    try:
        is_empty = file.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"Cannot write {file}: {error.strerror}") from error
    if is_special(file) or is_empty:
        return
    foreign = _foreign(file) if file.is_file() else None
    if foreign is None or foreign:
        lost = f" Replacing it would lose {first_names(foreign, _MOST_NAMED)}." if foreign else ""
        raise UsageError(
            f"{name} is there and is not a catalog that 'df2 catalog' wrote: name another file, or replace it with "
            f"--overwrite.{lost}"
        )


def _check_closed(file: Path) -> None:
    """Check that no DuckDB client has unsaved changes of a file.

    Raises:
        UsageError: a log of changes (``.wal``) exists beside it.
        ConflictError: another process has it open for writing.
    """
    if is_special(file):
        return
    for suffix in _LOGS:
        log = Path(f"{file}{suffix}")
        if os.path.lexists(log):
            raise UsageError(
                f"{log} holds changes that are not in {file} yet: a DuckDB client has it open or was killed. Close the "
                f"client, or open {file} with DuckDB and close it; if there is no such database, move {log} away."
            )
    with suppress(OSError), open(file, "rb") as opened:  # whoever writes it tells why it cannot be opened
        try:
            import fcntl
        except ImportError:  # Windows replaces no file that another process has open
            return
        try:
            fcntl.lockf(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                return  # a file system without locks
            raise ConflictError(
                f"Another process has {file} open and may write to it: close it there, then run this again."
            ) from error


def _foreign(file: Path) -> list[str] | None:
    """Return the objects in a file that :func:`write_catalog` did not write; None if the file is no catalog."""
    with tempfile.TemporaryDirectory(dir=private_folder()) as folder:
        same = Path(folder, "catalog.duckdb")  # DuckDB misreads names with a question mark or a backslash
        try:
            shutil.copyfile(file, same)
            with duckdb.connect(str(same), read_only=True) as connection:
                objects = {_Object(*row) for row in connection.execute(_OBJECTS).fetchall()}
        except (duckdb.Error, OSError):
            return None
    relations = {item.name for item in objects if item.schema == "main" and item.kind in _RELATIONS}
    if not set(TABLES) <= relations:
        return None
    names = {*TABLES, *load_views()}
    foreign = {
        item
        for item in objects - _expected()
        # Columns of the user's tables are named with their table. A catalog gives columns of views no comment.
        if not item.of or (item.schema == "main" and item.of in (names if item.comment else TABLES))
    }
    return sorted({str(item) for item in foreign})


def _expected() -> set[_Object]:
    """Return all objects of a catalog; a table is a view if its rows are not copied."""
    objects = {_Object("schema", "main", "", "main", None)}
    for table in TABLES.values():
        objects |= {_Object(kind, "main", "", table.name, table.meaning) for kind in _RELATIONS}
        objects |= {_Object("column", "main", table.name, c.name, _column_comment(c)) for c in table.columns}
    return objects | {_Object("view", "main", "", view.name, view.meaning) for view in load_views().values()}


def _column_comment(column: Column) -> str:
    return column.field.meaning + (f" [{column.field.unit}]" if column.field.unit else "")


def _pattern_sql(place: Place, table: Table, version: int) -> str:
    """Return a SELECT of a table's columns from the files that the manifest names at the time of the query.

    It has a pattern instead of file names, so that the catalog stays valid after the next ingestion. Files that the
    manifest does not name (any more), as 'df2 sync' leaves them without --prune, do not count. The partition columns
    come from the end of each file's path, so no folder above the registry can become a column.
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
