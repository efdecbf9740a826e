"""SQL of users: a single statement that reads, as a lazy relation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import duckdb

from registry.dataset.tables import TABLES
from registry.dataset.views import load_views
from registry.errors import QueryError
from registry.store.connection import own_error
from registry.store.geometry import register_functions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

#: Values for ``$name`` (a mapping) or ``?`` (a sequence).
Params = Mapping[str, Any] | Sequence[Any]

#: DuckDB's own limit for expressions.
_DEEPEST: Final = 1_000
_BRACKET: Final = re.compile(r"[(\[{)\]}]")
#: A text in quotes; brackets in it do not nest.
_TEXT: Final = re.compile(r"'[^']*'")
#: Tables of the user.
_OWN_TABLES: Final = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'own' ORDER BY ALL"
_EXPLAIN: Final = re.compile(r"\s*EXPLAIN\b\s*(ANALYZE\b|\([^()]*\))?", re.IGNORECASE)


def read_query(cursor: DuckDBPyConnection, query: str, params: Params | None = None) -> DuckDBPyRelation:
    """Return the rows of a statement that reads, as a lazy relation.

    Args:
        cursor: on a connection that is confined to the files of a registry.
        query: one SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.
        params: values for ``$name`` (a mapping) or ``?`` (a sequence).

    Raises:
        QueryError: DuckDB refuses the query, or it does more than read.
    """
    _check_nesting(query)
    try:
        if not _only_reads(cursor, query):
            raise QueryError("Expected one statement that reads (SELECT, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN).")
        register_functions(cursor, query)
        relation = cursor.sql(query, params=params)
    except duckdb.CatalogException as error:
        own_tables = [name for (name,) in cursor.execute(_OWN_TABLES).fetchall()]
        names = f"\n\nThere is: {', '.join([*TABLES, *load_views(), *own_tables])}."
        raise QueryError(f"{error}{names if 'Table with name' in str(error) else ''}") from error
    except duckdb.Error as error:
        raise own_error(error) from error
    assert relation is not None  # every statement that reads has a result
    return relation


def records(relation: DuckDBPyRelation) -> list[dict[str, Any]]:
    """Return the rows of a relation as dictionaries."""
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def _check_nesting(query: str) -> None:
    """Raise QueryError where brackets are nested more deeply than DuckDB's expressions may be.

    DuckDB's parser takes quadratic time where some of them are not closed, and no signal or limit interrupts it.
    """
    depth = 0
    for bracket in _BRACKET.findall(_TEXT.sub("", query)):
        depth += 1 if bracket in "([{" else -1
        if depth > _DEEPEST:
            raise QueryError(f"The query nests brackets too deeply: expected at most {_DEEPEST:,} levels.")


def _only_reads(connection: DuckDBPyConnection, query: str) -> bool:
    """Return whether a text is one statement that reads. EXPLAIN counts as the statement after it, which it may run."""
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        return False
    kind = statements[0].type
    is_pivot = kind == duckdb.StatementType.MULTI  # DuckDB lists the values of a PIVOT by a statement of its own
    explained = _EXPLAIN.match(query) if is_pivot or kind == duckdb.StatementType.EXPLAIN else None
    if explained:
        return _only_reads(connection, query[explained.end() :])
    return _is_subquery(connection, statements[0].query) if is_pivot else bool(kind == duckdb.StatementType.SELECT)


def _is_subquery(connection: DuckDBPyConnection, statement: str) -> bool:
    """Return whether a statement can stand in FROM, as queries can and statements that change anything cannot."""
    try:
        return len(connection.extract_statements(f"FROM ({statement.strip().rstrip(';')}\n)")) == 1
    except duckdb.Error:
        return False
