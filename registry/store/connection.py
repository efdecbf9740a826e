"""The one recipe for a DuckDB connection on a registry; with its siblings the only user of duckdb."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import duckdb

from registry import errors
from registry.dataset.tables import SCHEMA_VERSION, TABLES, Table, duckdb_type
from registry.dataset.views import View, load_views
from registry.errors import QueryError, RegistryError
from registry.snapshot.manifest import Manifest
from registry.storage.place import Place
from registry.store.paths import PROTOCOL, table_paths
from registry.store.settings import Limits, limit_error, open_database

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from registry.snapshot.blocks import Blocks

#: Of DuckDB on a remote registry: how many requests may be on their way.
_THREADS: Final = 16
#: Bytes of a local file up to which DuckDB reads it whole: reading costs, as each block is compared.
_LARGEST_READ: Final = 64 << 10
#: What a view's SQL reads.
_READS: Final = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")
#: The end of a traceback: the name of the exception and its text, before what DuckDB adds.
_BELOW: Final = re.compile(
    r"Traceback \(most recent call last\):\n(?: .*\n)+(?:[\w.]*\.)?(\w+): (.*?)(?:\n\nLINE \d|$)", re.DOTALL
)


def connect(
    place: Place, manifest: Manifest, blocks: Blocks | None = None, limits: Limits | None = None, *, spill: bool = False
) -> DuckDBPyConnection:
    """Return a connection to an in-memory database whose views read the registry, and nothing else.

    The views are made first; then the connection is confined to the registry's files and locked so.

    Args:
        place: folder or URL of the registry.
        manifest: names its files.
        blocks: reads them, and keeps what it read; without it, each connection keeps its own.
        limits: what a query may take.
        spill: see :func:`registry.store.settings.open_database`; not for a user's SQL.

    Raises:
        RegistryFormatError: the manifest is not one of a registry's files.
        duckdb.Error: a file is not there or cannot be read.
    """
    connection = open_database(limits or Limits.of(), spill=spill)
    try:
        register(connection, place, manifest, blocks)
        _make_views(connection, table_paths(manifest), manifest.schema_version)
        connection.execute(f"SET allowed_directories = ['{PROTOCOL}://']")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except BaseException:
        connection.close()
        raise
    return connection


def register(connection: DuckDBPyConnection, place: Place, manifest: Manifest, blocks: Blocks | None = None) -> None:
    """Let a connection read the files of a registry by the paths of :func:`registry.store.paths.table_paths`.

    Raises:
        RegistryFormatError: the manifest is not one of a registry's files.
    """
    from registry.snapshot.blocks import Blocks
    from registry.store.manifest_files import ManifestFiles

    files = ManifestFiles(manifest, blocks or Blocks(place))
    connection.register_filesystem(files)
    connection.execute(
        "SET GLOBAL parquet_metadata_cache = true"
    )  # files are named by their digests: a footer never changes
    if place.is_local:
        # DuckDB keeps what was read and checked, within its limit of memory.
        connection.execute("SET GLOBAL cache_local_files = true")
        connection.execute("SET GLOBAL validate_external_file_cache = 'NO_VALIDATION'")
        connection.execute(f"SET GLOBAL external_file_cache_local_max_block_size = {_LARGEST_READ}")
    else:
        files.read_ahead()
        # A thread waits for one answer at a time.
        connection.execute(f"SET threads = {max(_THREADS, os.cpu_count() or 1)}")


def view_columns() -> dict[str, list[tuple[str, str]]]:
    """Return the (name, DuckDB type) of the columns of every view."""
    with duckdb.connect() as connection:
        _make_views(connection, {})
        return {
            name: [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {name}").fetchall()]
            for name in load_views()
        }


def _make_views(
    connection: DuckDBPyConnection, paths: Mapping[str, Sequence[str]], version: int = SCHEMA_VERSION
) -> None:
    """Make a view for every table, on its files, and all views of ``schemas/views``."""
    for table in TABLES.values():
        connection.execute(f"CREATE VIEW {table.name} AS {table_sql(table, paths.get(table.name, ()), version)}")
    for view in views_in_order():
        connection.execute(f"CREATE VIEW {view.name} AS\n{view.sql}")


def quote(text: str) -> str:
    """Return a SQL string literal. ``CREATE VIEW`` and ``SET`` take no bound parameters."""
    return "'" + text.replace("'", "''") + "'"


def glob_escape(path: str) -> str:
    """Return a pattern for DuckDB that matches this path alone."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)


def table_sql(table: Table, paths: Iterable[str], version: int = SCHEMA_VERSION) -> str:
    """Return a SELECT of a table's columns from Parquet files; of no rows, with the right types, without files.

    Args:
        table: the table.
        paths: of its files.
        version: schema version of the registry they belong to; a later column is NULL.
    """
    listed = ", ".join(quote(path) for path in paths)
    if not listed:
        columns = ", ".join(f"NULL::{duckdb_type(c.field)} AS {c.name}" for c in table.columns)
        return f"SELECT {columns} WHERE false"
    columns = ", ".join(
        c.name if c.since <= version else f"NULL::{duckdb_type(c.field)} AS {c.name}" for c in table.columns
    )
    types = {c.name: duckdb_type(c.field) for c in table.columns if c.name in table.partition}
    hive = ", ".join(f"{quote(name)}: {quote(kind)}" for name, kind in types.items())
    options = f", hive_partitioning = true, hive_types = {{{hive}}}" if hive else ", hive_partitioning = false"
    return f"SELECT {columns} FROM read_parquet([{listed}]{options})"


def views_in_order() -> list[View]:
    """Return all views, each after those it reads."""
    waiting = dict(load_views())
    # DuckDB's parser says the same (a test compares them), but takes 10 ms of every start.
    reads = {name: set(_READS.findall(view.sql)) & set(waiting) for name, view in waiting.items()}
    ordered: list[View] = []
    while waiting:
        ready = [name for name in waiting if not reads[name] & set(waiting)]
        if not ready:
            raise QueryError(f"The views {', '.join(sorted(waiting))} read each other in a circle.")
        ordered += [waiting.pop(name) for name in ready]
    return ordered


@contextmanager
def duckdb_errors() -> Iterator[None]:
    """Turn DuckDB's errors inside the block into those of this package."""
    try:
        yield
    except duckdb.Error as error:
        raise own_error(error) from error


def own_error(error: duckdb.Error) -> RegistryError:
    """Return DuckDB's error as one of this package: with DuckDB's message, or as what went wrong below it.

    Of an error in reading a remote file, DuckDB passes on the traceback as text, and nothing else.
    """
    reached = limit_error(error)
    if reached is not None:
        return reached
    found = _BELOW.search(str(error))
    kind = getattr(errors, found[1], None) if found else None
    if found and isinstance(kind, type) and issubclass(kind, RegistryError):
        return kind(found[2])
    return QueryError(str(error))
