"""Tables of the user's own beside those of a registry: loaded, and joined to items and images by key.

A connection has each table in two schemas: ``own`` as it was loaded, and ``by_key``, if it has a key, with the key in
the registry's types and at most one row a key, so that no join multiplies rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import duckdb

from registry.dataset.deepfashion2 import unknown_name
from registry.dataset.tables import IMAGES, ITEMS, TABLES
from registry.dataset.views import load_views
from registry.errors import UsageError
from registry.storage.options import StorageOptions
from registry.store.sql import SPLIT_ORDER, quote_name
from registry.subset.row_files import double_keys, frame_rows, key_of, key_problem, read_row_file
from registry.wording import plural

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
#: Names of schemas; parts of a division are schemas too (part_val).
_SCHEMAS: Final = frozenset(["main", "temp", "system", "information_schema", "own", "by_key", "whole", "chosen"])
_DUCKDB_TYPES: Final = {"split": "VARCHAR", "image_id": "BIGINT", "item_no": "BIGINT"}


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table of the user.

    Attributes:
        name: in queries and conditions.
        rows: all of them.
        sha256: of the bytes of its file, or of the Arrow IPC bytes of a frame; hex digits.
        key: name in the registry -> name in the table, of the columns that name an item or an image.
        problem: why its rows cannot be joined; empty if they can.
    """

    name: str
    rows: pa.Table = field(repr=False, compare=False)
    sha256: str
    key: Mapping[str, str]
    problem: str

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.rows.column_names)

    def in_by_key(self, column: str) -> str:
        """Return the name of a column in the schema ``by_key``, where those of the key have the registry's names."""
        return next((name for name, spelled in self.key.items() if spelled == column), column)

    def column(self, name: str) -> str:
        """Return the name of a column as the table spells it.

        Raises:
            UnknownNameError: there is no such column.
            UsageError: the table has no key by which its columns could be joined.
        """
        spelled = {column.lower(): column for column in self.columns if column}.get(name.lower())
        if spelled is None:
            raise unknown_name(f"column of the table {self.name}", name, self.columns)
        if self.problem:
            raise UsageError(
                f"The table {self.name} cannot be joined to items: {self.problem}. 'df2 sql' can query it as it is."
            )
        return spelled


def load_tables(
    tables: Mapping[str, Any], most: int, storage_options: StorageOptions | None = None
) -> dict[str, OwnTable]:
    """Return tables by name.

    Args:
        tables: name -> path or URL of a file, Arrow table, frame of pandas or polars, or table that is loaded already.
        most: bytes that each may have.
        storage_options: passed to fsspec for URLs.

    Raises:
        UsageError: a name cannot be that of a table, or a file or frame cannot be read.
        NotFoundError, StorageError: a file does not exist or cannot be read.
    """
    loaded: dict[str, OwnTable] = {}
    for name, value in tables.items():
        _check_name(name, loaded)
        if isinstance(value, OwnTable):
            loaded[name] = value
            continue
        what = f"table {name}"
        if isinstance(value, str) or hasattr(value, "__fspath__"):
            rows, sha256 = read_row_file(str(value), what, most, storage_options)
        else:
            rows, sha256 = frame_rows(value, what, most)
        _check_types(rows, what)
        problem = key_problem(rows)
        loaded[name] = OwnTable(name, rows, sha256, key_of(rows), problem)
    return loaded


def _check_types(rows: pa.Table, what: str) -> None:
    """Raise UsageError if columns have types that DuckDB has not; the message names all of them."""
    with duckdb.connect() as connection:

        def has(names: list[str]) -> bool:
            try:
                connection.register("no rows", rows.slice(0, 0).select(names))
            except duckdb.NotImplementedException:
                return False
            return True

        if has(rows.column_names):
            return
        unknown = [f"{field.name} ({field.type})" for field in rows.schema if not has([field.name])]
    raise UsageError(
        f"{what}: no query can read columns of these types: {', '.join(unknown)}. Leave them out, or write them in "
        "another type."
    )


def _check_name(name: str, others: Iterable[str]) -> None:
    """Raise UsageError unless a name can be that of another table."""
    expected = "letters, digits and _, not beginning with a digit"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a table: expected {expected}.")
    lower = name.lower()
    if lower in {other.lower() for other in others}:
        raise UsageError(f"There are two tables {name}: expected each name once, in upper or lower case.")
    for reserved, kind in (
        ({*TABLES, *load_views()}, "a table or view of the registry"),
        ({column.name for column in (*ITEMS.columns, *IMAGES.columns)}, "a column of the registry"),
        (_SCHEMAS, "a schema of the registry"),
        (_keywords(), "a word of SQL"),
    ):
        if lower in reserved or (kind.startswith("a schema") and lower.startswith("part_")):
            raise UsageError(f"{name!r} cannot name a table: it is the name of {kind}. Choose another name.")


@lru_cache
def _keywords() -> frozenset[str]:
    """Return the words that DuckDB takes for no name."""
    with duckdb.connect() as connection:
        query = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        return frozenset(word for (word,) in connection.execute(query).fetchall())


def create_tables(connection: DuckDBPyConnection, tables: Iterable[OwnTable], *, in_main: bool) -> None:
    """Create tables in a connection, which has the tables of the registry.

    Args:
        connection: gets the schemas ``own`` and ``by_key``.
        tables: of the user.
        in_main: whether queries find them by their names alone.

    Raises:
        QueryError: they need more memory or time than the limits of the connection.
    """
    for number, table in enumerate(tables):
        if not number:
            connection.execute("CREATE SCHEMA own; CREATE SCHEMA by_key")
        name = quote_name(table.name)
        connection.register("own rows", table.rows)
        connection.execute(f'CREATE TABLE own.{name} AS FROM "own rows"')
        connection.unregister("own rows")
        if in_main:
            connection.execute(f"CREATE VIEW main.{name} AS FROM own.{name}")
        if table.problem:
            continue
        rows = _keyed(table)
        if _num_repeated(connection, table)[0]:
            of_key = f"count(*) OVER (PARTITION BY {', '.join(table.key)})"
            query = f"FROM (SELECT DISTINCT * FROM ({rows})) QUALIFY {of_key} = 1"
            connection.execute(f"CREATE TABLE by_key.{name} AS {query}")
        else:
            connection.execute(f"CREATE VIEW by_key.{name} AS {rows}")


def _keyed(table: OwnTable) -> str:
    """Return a query for the rows of a table with its key in the types of the registry."""
    key = [f"TRY_CAST({quote_name(column)} AS {_DUCKDB_TYPES[name]}) AS {name}" for name, column in table.key.items()]
    # No query can name a column without a name, such as the index that pandas writes into a CSV file.
    values = [quote_name(column) for column in table.columns if column and column not in table.key.values()]
    return f"SELECT {', '.join([*key, *values])} FROM own.{quote_name(table.name)}"


def _num_repeated(connection: DuckDBPyConnection, table: OwnTable) -> tuple[int, int]:
    """Return the number of keys that stand in several rows, and of those whose rows differ."""
    key = ", ".join(table.key)
    keyed = _keyed(table)
    is_key = " AND ".join(f"{name} IS NOT NULL" for name in table.key)
    repeated = f"SELECT {key} FROM ({keyed}) WHERE {is_key} GROUP BY {key} HAVING count(*) > 1"
    ((number,),) = connection.execute(f"SELECT count(*) FROM ({repeated})").fetchall()
    if not number:
        return 0, 0
    distinct = f"SELECT DISTINCT * FROM ({keyed}) SEMI JOIN ({repeated}) USING ({key})"
    ((differing,),) = connection.execute(
        f"SELECT count(*) FROM (SELECT {key} FROM ({distinct}) GROUP BY {key} HAVING count(*) > 1)"
    ).fetchall()
    return number, differing


def notices(connection: DuckDBPyConnection, tables: Iterable[OwnTable]) -> list[str]:
    """Return plain sentences on keys of tables that fit no row or stand twice.

    Args:
        connection: has the tables, and those of the registry.
        tables: of the user; those without a key have no notice.
    """
    return [notice for table in tables if not table.problem for notice in _notices(connection, table)]


def _notices(connection: DuckDBPyConnection, table: OwnTable) -> Iterator[str]:
    name = f"the table {table.name}"
    if not table.rows.num_rows:
        yield f"{name} has no rows, so its columns have no value (NULL) in conditions and exports"
    for column in double_keys(table.rows):
        yield f"{column} of {name} holds doubles, all of them whole numbers, and was read as such"
    key = ", ".join(table.key)
    of = "items" if "item_no" in table.key else "images"
    unmatched = f"FROM ({_keyed(table)}) ANTI JOIN {of} USING ({key})"
    ((number,),) = connection.execute(f"SELECT count(*) {unmatched}").fetchall()
    if number:
        query = f"SELECT {key} {unmatched} ORDER BY {SPLIT_ORDER}, {key} LIMIT 1"
        (first,) = connection.execute(query).fetchall()
        values = ("NULL" if value is None else value for value in first)
        where = ", ".join(f"{column} {value}" for column, value in zip(table.key, values, strict=True))
        yield (
            f"{plural(number, 'row')} of {name} {'has a key that fits' if number == 1 else 'have keys that fit'} no "
            f"row of {of} (the first: {where})"
        )
    repeated, differing = _num_repeated(connection, table)
    if repeated > differing:
        yield (
            f"{plural(repeated - differing, 'key')} of {name} "
            f"{'stands' if repeated - differing == 1 else 'stand'} in several equal rows, which count once in "
            "conditions and exports"
        )
    if differing:
        yield (
            f"{plural(differing, 'key')} of {name} {'stands' if differing == 1 else 'stand'} in rows with different "
            "values, so in conditions and exports its columns have no value (NULL) there: keep one row a key"
        )


def check_digests(expected: Mapping[str, str], tables: Mapping[str, OwnTable]) -> None:
    """Check that tables are those of an earlier export.

    Args:
        expected: name -> SHA-256 in its manifest.
        tables: of the user, by name.

    Raises:
        UsageError: a table is missing or is another; the message names all of them with both digests.
    """
    problems = []
    for name, digest in expected.items():
        table = tables.get(name)
        if table is None:
            problems.append(f"{name} (sha256 {digest}) is not given: add --table {name}=FILE")
        elif table.sha256 != digest:
            problems.append(f"{name} had the sha256 {digest}, and the table that is given has {table.sha256}")
    if problems:
        raise UsageError(f"The export was made with other tables: {'; '.join(problems)}.")
