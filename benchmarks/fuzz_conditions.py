"""Fuzzer of ``--where``: random conditions made of pieces of SQL; see :mod:`benchmarks.fuzz`.

A condition that ``check_condition`` accepts has to be a single SELECT that reads only ``items`` and that DuckDB runs.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import duckdb

from registry.dataset.tables import ITEMS
from registry.errors import RegistryError
from registry.store import conditions
from registry.store.conditions import FUNCTIONS, check_condition
from registry.store.sql import table_sql

#: Pieces of conditions: columns, values, forbidden or odd expressions, operators, and text that breaks the syntax.
_COLUMNS = [column.name for column in ITEMS.columns]
_NUMBERS = [column.name for column in ITEMS.columns if column.field.type[:3] in ("int", "flo")]
_VALUES = (
    "0", "1", "9", "-1", "1.5", "1e10", "2147483647", "9223372036854775808", "'user'", "'skirt'", "''", "NULL",
    "true", "$a",
    "?", "#1", "[1, 2]", "{'a': 1}", "(1, 2)", "'x'::INTEGER", "DATE '2020-01-01'", "INTERVAL 1 DAY", "E'\\n'",
    "*", "x'00'",
)  # fmt: skip
_OTHERS = (
    "read_text('/etc/passwd')", "read_csv('/etc/passwd')", "glob('*')", "getenv('HOME')",
    "current_setting('home_directory')",
    "query('SELECT 1')", "nextval('s')", "random()", "now()", "version()", "(SELECT 1)",
    "(SELECT count(*) FROM images)",
    "EXISTS (FROM images)", "row_number() OVER ()", "sum(style)", "unnest(landmarks)", "COLUMNS('x.')",
    "main.items.style",
    "items.style", "'/etc/passwd'", "getvariable('a')", "repeat('a', 1000000000)", "range(1000000000)", "pg_sleep(1)",
)  # fmt: skip
_OPERATORS = (
    "AND", "OR", "=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "||", "LIKE", "ILIKE", "SIMILAR TO",
    "IN", "NOT IN",
    "IS", "IS NOT", "BETWEEN", "~", "->", "->>", "::", ".", ",", "COLLATE", "AT TIME ZONE", "**", "//", "<<",
    "&", "|", "@>",
)  # fmt: skip
_BREAKS = (
    ";", ") OR (1 = 1", "--", "/*", "*/", ")", "(", "'",
    '"', "\0", "\n", "; DROP TABLE items", ") UNION SELECT 1 FROM items (",
    "ORDER BY 1", "LIMIT 1", "GROUP BY ALL", "HAVING true", ") FROM images WHERE (true", "$$", "\\", "\u2028",
    "\xa0", "\ud800",
    "QUALIFY true", "WINDOW w AS ()", "USING SAMPLE 1", ", (SELECT 1)", "INTO x", "; COPY items TO '/tmp/x'",
    "[", "]", "{",
)  # fmt: skip


def condition(rng: random.Random, depth: int = 0) -> str:  # noqa: PLR0911
    """Return a random condition; most are syntactically correct."""
    kind = rng.random()
    if depth > 3 or kind < 0.2:
        numbers = (*_NUMBERS, "1", "-1", "2.5", "x2 - x1", "landmarks[1]", "len(segmentation)", "abs(x1)", "1e10")
        return f"{rng.choice(numbers)} {rng.choice(('=', '<>', '<', '>', '<=', '>='))} {rng.choice(numbers)}"
    if kind < 0.3:
        first, second = (rng.choice(_COLUMNS) if rng.random() < 0.7 else rng.choice(_VALUES) for _ in range(2))
        if rng.random() < 0.08:
            first = rng.choice(_OTHERS)
        return f"{first} {rng.choice(_OPERATORS)} {second}"
    if kind < 0.5:
        return f"({condition(rng, depth + 1)}) {rng.choice(('AND', 'OR'))} {condition(rng, depth + 1)}"
    if kind < 0.6:
        return f"NOT ({condition(rng, depth + 1)})"
    if kind < 0.8:
        name = rng.choice(sorted(FUNCTIONS))
        arguments = [rng.choice((*_COLUMNS, *_VALUES)) for _ in range(rng.randrange(1, 4))]
        return f"{name}({', '.join(arguments)}) {rng.choice(_OPERATORS)} {rng.choice(_VALUES)}"
    if kind < 0.85:
        return f"list_filter(landmarks, lambda n: {rng.choice(('n > 1', 'n', condition(rng, depth + 1)))}) IS NOT NULL"
    if kind < 0.9:
        when = condition(rng, depth + 1)
        return f"CASE WHEN {when} THEN {rng.choice(_VALUES)} ELSE {rng.choice(_COLUMNS)} END = {rng.choice(_VALUES)}"
    return f"{rng.choice(_COLUMNS)} IN ({', '.join(rng.choice(_VALUES) for _ in range(rng.randrange(1, 4)))})"


def where_text(rng: random.Random) -> str:
    """Return a random condition with some pieces inserted, or (10 %) a sequence of random pieces."""
    if rng.random() < 0.1:
        pieces = (*_COLUMNS, *_VALUES, *_OTHERS, *_OPERATORS, *_BREAKS)
        return rng.choice(("", " ", "\n")).join(rng.choice(pieces) for _ in range(rng.randrange(1, 12)))
    text = condition(rng)
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        position = rng.randrange(len(text) + 1)
        piece = rng.choice((*_BREAKS, *_OPERATORS, *_OTHERS))
        text = f"{text[:position]}{piece}{text[position + rng.randrange(4) :]}"
    return text


class _SharedConnection:
    """Replaces the module ``duckdb`` in ``conditions``: all checks share a connection, since opening is slow."""

    Error = duckdb.Error

    def __init__(self) -> None:
        self._connection: Any = None

    def connect(self, config: dict[str, str]) -> _SharedConnection:
        """Open the connection on the first call, and return self."""
        self._connection = self._connection or duckdb.connect(config=config)
        return self

    def execute(self, *arguments: Any) -> Any:
        """Run a statement."""
        return self._connection.execute(*arguments)

    def __enter__(self) -> _SharedConnection:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.execute("DROP TABLE IF EXISTS items")


_SHARED_CONNECTION = _SharedConnection()


def fuzz_conditions(seed: int, first: int, number: int) -> tuple[Counter[str], list[str]]:
    """Check random conditions and run the accepted ones.

    Args:
        seed: seed of the cases.
        first: number of the first case.
        number: number of cases.

    Returns:
        The number of cases by outcome, and a message for each fault.
    """
    counts: Counter[str] = Counter()
    faults: list[str] = []
    conditions.duckdb = _SHARED_CONNECTION  # type: ignore[attr-defined]
    connection = duckdb.connect(config={"memory_limit": "500MB", "threads": "1", "enable_external_access": "false"})
    connection.execute(f"CREATE TABLE items AS {table_sql(ITEMS, ())}")
    connection.execute("CREATE TABLE images AS SELECT 42 AS secret")
    connection.execute(
        f"INSERT INTO items ({', '.join(_ROW)}) SELECT {', '.join(_ROW.values())} FROM range(20) AS r(n)"
    )
    for k in range(first, first + number):
        text = where_text(random.Random(f"{seed}-{k}"))
        try:
            check_condition(text)
        except RegistryError:
            counts["where: refused"] += 1
            continue
        except BaseException as error:  # noqa: BLE001
            counts["where: crashed"] += 1
            faults.append(f"case {k}: {type(error).__name__} of {text!r}: {error}")
            continue
        outcome, fault = _run_condition(connection, text)
        counts[f"where: accepted, {outcome}"] += 1
        if fault:
            faults.append(f"case {k}: {fault} of {text!r}")
    return counts, faults


#: SQL expression of each column for row ``n`` of the table ``items``.
_ROW = {
    "split": "'train'", "image_id": "n", "item_no": "1", "item_order": "1", "source": "if(n % 2 = 0, 'user', 'shop')",
    "pair_id": "n // 3", "style": "n % 3", "category_id": "9", "category_name": "'skirt'", "x1": "n", "y1": "n + 0.5",
    "x2": "n * 10", "y2": "n * 20", "scale": "1", "occlusion": "2", "zoom_in": "3", "viewpoint": "1",
    "landmarks": "[n, 2, 2]",
    "num_landmarks_labelled": "1", "segmentation": "[[n, 1, 2, 3, 4, 5.5]]", "content_hash": "hash(n) // 2",
}  # fmt: skip


def _run_condition(connection: duckdb.DuckDBPyConnection, text: str) -> tuple[str, str | None]:
    """Return the outcome of running a condition, and a message if that is a fault."""
    sql = f"SELECT image_id FROM items WHERE (\n{text}\n)"
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        return "not one SELECT", f"{len(statements)} statements"
    tables = connection.get_table_names(sql)
    if tables != {"items"}:
        return "reads more", f"reads {tables}"
    timer = threading.Timer(5, connection.interrupt)
    timer.start()
    try:
        rows = connection.execute(sql).fetchall()
    except (duckdb.FatalException, duckdb.InternalException) as error:
        return "crashed", f"{type(error).__name__}: {error}"
    except duckdb.InterruptException:
        return "interrupted", None
    except duckdb.Error:
        return "an error of values", None
    finally:
        timer.cancel()
    return "run", None if len(rows) <= 20 else f"{len(rows)} rows"
