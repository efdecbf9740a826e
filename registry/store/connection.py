"""DuckDB connections on a registry: confined to its files, with its tables and views."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from registry.dataset.tables import EMBEDDINGS, IMAGES, ITEMS, PHOTOS, TABLES
from registry.errors import QueryError, RegistryError
from registry.snapshot.manifest import Manifest
from registry.storage.place import Place
from registry.store.own_tables import OwnTable, create_tables
from registry.store.paths import PROTOCOL, table_paths
from registry.store.settings import Limits, limit_error, open_database
from registry.store.sql import quote, quote_name, table_sql
from registry.store.views import create_views

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from registry.snapshot.blocks import Blocks

#: DuckDB's threads on a remote registry, each of which waits for one request.
_THREADS: Final = 16
#: Bytes of a local file up to which DuckDB reads it whole: reading is expensive, as each block is compared.
_LARGEST_READ: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Keys:
    """The rows of a subset.

    Attributes:
        images: ``split``, ``image_id``, ``part``.
        items: ``split``, ``image_id``, ``item_no``, ``part``.
        schemas: name of a schema -> the part whose rows its tables and views have.
    """

    images: pa.Table
    items: pa.Table
    schemas: dict[str, str]


def connect(
    place: Place,
    manifest: Manifest,
    blocks: Blocks,
    limits: Limits,
    *,
    spill: bool = False,
    views: bool = True,
    keys: Keys | None = None,
    own_tables: Iterable[OwnTable] = (),
) -> DuckDBPyConnection:
    """Return a connection to a new in-memory database that reads a registry and tables of the user, and nothing else.

    Args:
        place: folder or URL of the registry.
        manifest: names its files.
        blocks: reads them.
        limits: memory and time for a query.
        spill: see :func:`registry.store.settings.open_database`; False for a user's SQL.
        views: whether to create the views, which takes DuckDB 40 ms; False for queries that read tables alone.
        keys: the tables ``images`` and ``items``, and so all views, have these rows only, ``photos``
            and ``embeddings`` those of these; the schema ``whole`` has all images and items.
        own_tables: tables of the user; a user's SQL finds them by their names.

    Raises:
        QueryError: tables of the user need more memory than the limit.
        RegistryFormatError: the manifest names a file by a path that no registry writes.
        duckdb.Error: a file is missing or cannot be read.
    """
    connection = open_database(limits, spill=spill)
    try:
        register(connection, place, manifest, blocks)
        paths = table_paths(manifest)
        tables = {name: table_sql(TABLES[name], paths[name], manifest.schema_version) for name in TABLES}
        if keys is not None:
            tables |= _create_subset_tables(connection, keys, tables)
        for name, query in tables.items():
            connection.execute(f"CREATE VIEW {name} AS {query}")
        for schema in ("main", *(keys.schemas if keys is not None else ())) if views else ():
            create_views(connection, schema)
        with duckdb_errors():
            create_tables(connection, own_tables, in_main=not spill)
        connection.execute(f"SET allowed_directories = ['{PROTOCOL}://']")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except BaseException:
        connection.close()
        raise
    return connection


def _create_subset_tables(connection: DuckDBPyConnection, keys: Keys, tables: dict[str, str]) -> dict[str, str]:
    """Create the schemas of a subset; return the queries of its tables for ``main``.

    These are ``images``, ``items``, ``photos`` of the chosen images and ``embeddings`` of the chosen items.
    """
    for schema in ("whole", "chosen", *keys.schemas):
        connection.execute(f"CREATE SCHEMA {quote_name(schema)}")
    queries = {}
    for name, rows in (("images", keys.images), ("items", keys.items)):
        key = ", ".join(TABLES[name].key)
        connection.register("rows", rows)
        connection.execute(f"CREATE TABLE chosen.{name} AS FROM rows")
        connection.unregister("rows")
        connection.execute(f"CREATE VIEW whole.{name} AS {tables[name]}")
        queries[name] = f"FROM whole.{name} SEMI JOIN chosen.{name} USING ({key})"
        for schema, part in keys.schemas.items():
            chosen = f"(FROM chosen.{name} WHERE part = {quote(part)}) AS chosen"
            connection.execute(
                f"CREATE VIEW {quote_name(schema)}.{name} AS FROM whole.{name} SEMI JOIN {chosen} USING ({key})"
            )
    key = ", ".join(ITEMS.key)
    queries[EMBEDDINGS.name] = f"FROM ({tables[EMBEDDINGS.name]}) SEMI JOIN chosen.{ITEMS.name} USING ({key})"
    key = ", ".join(IMAGES.key)
    queries[PHOTOS.name] = f"FROM ({tables[PHOTOS.name]}) SEMI JOIN chosen.{IMAGES.name} USING ({key})"
    return queries


def register(connection: DuckDBPyConnection, place: Place, manifest: Manifest, blocks: Blocks) -> None:
    """Let a connection read the files of a registry by the paths of :func:`registry.store.paths.table_paths`.

    Raises:
        RegistryFormatError: the manifest names a file by a path that no registry writes.
    """
    from registry.store.manifest_files import ManifestFiles

    files = ManifestFiles(manifest, blocks)
    connection.register_filesystem(files)
    # Files are named by their digests, so a footer never changes.
    connection.execute("SET GLOBAL parquet_metadata_cache = true")
    if place.is_local:
        # DuckDB keeps the compared blocks, within its memory limit.
        connection.execute("SET GLOBAL cache_local_files = true")
        connection.execute("SET GLOBAL validate_external_file_cache = 'NO_VALIDATION'")
        connection.execute(f"SET GLOBAL external_file_cache_local_max_block_size = {_LARGEST_READ}")
    else:
        files.read_ahead()
        connection.execute(f"SET threads = {max(_THREADS, os.cpu_count() or 1)}")


@contextmanager
def duckdb_errors() -> Iterator[None]:
    """Turn DuckDB's errors inside the block into errors of this package."""
    try:
        yield
    except duckdb.Error as error:
        raise own_error(error) from error


def own_error(error: duckdb.Error) -> RegistryError:
    """Return DuckDB's error as an error of this package.

    Returns:
        The error of reading a registry's file that DuckDB's text quotes, the limit that was reached, or a QueryError
        with DuckDB's text.
    """
    limit = limit_error(error)
    if limit is not None:
        return limit
    from registry.store.manifest_files import READ_ERRORS

    text = str(error)
    for cause in reversed(READ_ERRORS):
        if f"{type(cause).__name__}: {cause}" in text:
            return cause
    return QueryError(text)
