"""Checks a user's condition (``--where``): a single SQL expression over the columns of items and of the user's tables.

DuckDB parses the text, and the tree is compared with lists of allowed functions, types and expressions. So a condition
cannot contain a query, read anything but its item, or give another answer tomorrow, and it can stand in parentheses
after WHERE. (``duckdb.SQLExpression`` also refuses statements and modifiers, but gives no tree; the lists and the
bounds of :mod:`registry.store.growth` need the tree.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import duckdb

from registry.dataset.deepfashion2 import unknown_name
from registry.dataset.tables import ITEMS, TABLES
from registry.errors import UnknownNameError, UsageError
from registry.store.growth import check_growth
from registry.store.own_columns import column_shape, find_column
from registry.store.own_tables import OwnTable
from registry.store.settings import Limits, limit_error, open_database
from registry.store.sql import quote_name, table_sql


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Functions that a condition may call: their results depend on the arguments only and are not much larger.
FUNCTIONS: Final = _words(
    # Operators, as DuckDB names them.
    "+ - * / // % ^ ** @ & | ~ << >> || ^@ @> <@ && "
    "~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape ilike_escape not_ilike_escape "
    # Numbers.
    "abs acos asin atan atan2 cbrt ceil ceiling cos degrees even exp floor fmod gcd isfinite isinf isnan lcm ln log "
    "log10 log2 mod pi pow power radians round sign sin sqrt tan trunc "
    # Choices.
    "greatest if least nullif "
    # Text.
    "concat contains ends_with instr left length lower ltrim position prefix regexp_extract regexp_full_match "
    "regexp_matches regexp_replace replace reverse right rtrim split_part starts_with string_split strlen strpos "
    "substr substring suffix trim upper "
    # Lists and structs; DuckDB also calls some of them for [1, 2], (1, 2), {'a': 1} and [x for x in list].
    "array_extract flatten len list_apply list_avg list_bool_and list_bool_or list_concat list_contains list_count "
    "list_element list_extract list_filter list_first list_has list_has_all list_has_any list_indexof list_last "
    "list_max list_min list_position list_product list_reduce list_slice list_sum list_transform list_unique "
    "list_value list_zip row struct_extract struct_pack"
)
#: Types of casts. None of them depends on a clock or a time zone.
TYPES: Final = _words(
    "boolean bool tinyint int1 smallint int2 short integer int int4 int32 signed bigint int8 int64 long hugeint "
    "utinyint usmallint uinteger ubigint uhugeint float float4 real double float8 decimal numeric dec "
    "varchar char bpchar text string list"
)

_COLUMNS: Final = [column.name for column in ITEMS.columns]
#: Allowed classes of DuckDB's expressions, and the allowed types of the class OPERATOR.
_CLASSES: Final = _words("BETWEEN CASE CAST COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA TYPE")
_OPERATORS: Final = _words(
    "ARRAY_CONSTRUCTOR ARRAY_EXTRACT ARRAY_SLICE COMPARE_IN COMPARE_NOT_IN OPERATOR_COALESCE OPERATOR_IS_NOT_NULL "
    "OPERATOR_IS_NULL OPERATOR_NOT OPERATOR_TRY STRUCT_EXTRACT"
)
_CALLED: Final = {
    "COLLATE": "COLLATE",
    "PARAMETER": "a parameter ($name or ?)",
    "POSITIONAL_REFERENCE": "a position (#1)",
    "STAR": "* or COLUMNS",
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
}
_EXPECTED: Final = "one SQL expression over the columns of items, such as: category_id = 1 AND x2 - x1 > 200"
_GOES_ON: Final = f"The condition goes on behind its expression: expected {_EXPECTED}."

_FRAME: Final = "SELECT 1 FROM items WHERE\n"
#: DuckDB's own limit of 1000 is more than Python's json and the recursion here can follow.
_MAX_DEPTH: Final = 150

#: Limits of the trial on a single item, which needs little.
_TRIAL: Final = Limits(memory=256 << 20, timeout=10)

#: An item for the trial of a condition: errors that only values show (style = 'x') appear before any file is read.
_ITEM: Final[dict[str, Any]] = {
    "split": "train",
    "image_id": 1,
    "item_no": 1,
    "item_order": 1,
    "source": "user",
    "pair_id": 1,
    "style": 1,
    "category_id": 9,
    "category_name": "skirt",
    "x1": 100.0,
    "y1": 200.0,
    "x2": 300.0,
    "y2": 600.0,
    "scale": 2,
    "occlusion": 1,
    "zoom_in": 1,
    "viewpoint": 2,
    "landmarks": [110, 210, 2, 200, 205, 2, 290, 210, 1, 105, 400, 2, 100, 590, 2, 200, 600, 2, 300, 590, 2, 0, 0, 0],
    "num_landmarks_labelled": 7,
    "segmentation": [[100.5, 200.5, 299.5, 200.5, 299.5, 599.5, 100.5, 599.5]],
    "content_hash": 1,
    "num_corrections": 0,
}


def check_condition(text: str, tables: Mapping[str, OwnTable] = {}) -> dict[str, list[str]]:
    r"""Check that a text is a condition on an item; return the columns that it names of each table of the user.

    A text that passes can stand as ``WHERE (\n<text>\n)`` in a query that reads ``items``, with the joins of
    :func:`registry.store.own_columns.struct_joins` for the columns.

    Args:
        text: the condition.
        tables: of the user, by name.

    Raises:
        UnknownNameError: it names a column that items does not have, or a table or column that there is not.
        UsageError: it is not a single expression, calls a function that is not in :data:`FUNCTIONS`, has a subquery or
            anything else that reads more than its item, is not BOOLEAN, or may create very large values.
    """
    with open_database(_TRIAL) as connection:
        connection.execute("SET enable_external_access = false")
        connection.execute(f"SET max_expression_depth = {_MAX_DEPTH}")
        condition = _parsed(connection, text)
        check = _Check(tables)
        check.node(condition, frozenset())
        own_columns = check.own_columns
        shapes = {
            (name.lower(), column.lower()): column_shape(tables[name], column)
            for name, columns in own_columns.items()
            for column in columns
        }
        check_growth(condition, shapes)
        _try_out(connection, text, [(tables[name], columns) for name, columns in own_columns.items()])
    return own_columns


def _parsed(connection: duckdb.DuckDBPyConnection, text: str) -> Any:
    """Return DuckDB's tree of the expression in a text."""
    if "\0" in text:
        raise UsageError(f"The condition holds a zero byte: expected {_EXPECTED}.")
    # Without parentheses around the text, an unbalanced closing parenthesis is an error; with them, everything after an
    # expression is an error (ORDER BY, another statement). A text that parses both ways is an expression.
    (plain_statement,) = _statements(connection, _FRAME, "true", "")
    plain_statement.pop("where_clause")
    for before, after in ((_FRAME, "\n"), (f"{_FRAME}(\n", "\n)")):
        first, *more_statements = _statements(connection, before, text, after)
        condition = first.pop("where_clause", None)
        if more_statements or first != plain_statement:
            raise UsageError(_GOES_ON)
    return condition


def _statements(connection: duckdb.DuckDBPyConnection, before: str, text: str, after: str) -> list[dict[str, Any]]:
    """Return the trees of the statements in ``before``, the text and ``after``."""
    sql = f"{before}{text}{after}"
    try:
        ((answer,),) = connection.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchall()
    except duckdb.Error as error:  # such as half of a surrogate pair
        raise UsageError(f"The condition cannot be read: {error}. Expected {_EXPECTED}.") from error
    if not answer:  # DuckDB's message would contain half of a character
        raise UsageError(f"The condition cannot be read: it holds a wrong literal. Expected {_EXPECTED}.")
    tree = json.loads(answer)
    if not tree["error"]:
        return [statement["node"] for statement in tree["statements"]]
    message = tree["error_message"]
    if message.startswith("Only SELECT statements"):
        raise UsageError(_GOES_ON)
    if message.startswith("Max expression depth"):
        raise UsageError(f"The condition is nested too deeply: expected at most some {_MAX_DEPTH} levels.")
    where = ""
    if "position" in tree:
        place = int(tree["position"]) - len(before)  # in bytes
        if place < 0:
            raise UsageError(f"The condition is empty: expected {_EXPECTED}.")
        where = f" (character {len(text.encode()[:place].decode(errors='ignore')) + 1})"
    raise UsageError(f"The condition cannot be read: {message}{where}. Expected {_EXPECTED}.")


class _Check:
    """Checks the parts of a condition.

    Attributes:
        own_columns: name of a table of the user -> its columns that the condition names.
    """

    def __init__(self, tables: Mapping[str, OwnTable]) -> None:
        self.own_columns: dict[str, list[str]] = {}
        self._tables = tables

    def node(self, node: Any, variables: frozenset[str]) -> None:
        """Check that a subexpression is allowed in a condition.

        Args:
            node: a part of DuckDB's tree.
            variables: parameters of the lambdas around it, in lower case.

        Raises:
            UsageError: it is not allowed.
        """
        if isinstance(node, list):
            for part in node:
                self.node(part, variables)
        if not isinstance(node, dict):
            return
        kind = node.get("class")
        if kind == "COLUMN_REF":
            self._name(node["column_names"], variables)
        elif kind == "FUNCTION":
            _check_function(node["qualified_name"]["path"])
        elif kind == "TYPE":
            _check_type(node["qualified_name"]["path"])
        elif kind == "LAMBDA":
            if node["syntax_type"] != "LAMBDA_KEYWORD":  # the arrow is JSON's operator, or a lambda in old syntax
                raise UsageError(
                    "The condition holds ->: expected a lambda as in list_filter(landmarks, lambda n: n > 0)."
                )
            variables |= _variables(node["lhs"])
        elif kind == "OPERATOR":
            kind = None if node["type"] in _OPERATORS else node["type"]
        if kind and kind not in _CLASSES:
            raise UsageError(f"The condition holds {_CALLED.get(kind, kind)}: expected {_EXPECTED}.")
        for part in node.values():
            self.node(part, variables)

    def _name(self, path: list[str], variables: frozenset[str]) -> None:
        first, *rest = [name.lower() for name in path]
        if first in variables or (not rest and first in _COLUMNS):
            return
        if first == "items" and len(rest) == 1 and rest[0] in _COLUMNS:
            return
        if len(rest) == 1 and first not in TABLES:
            table, column = find_column(self._tables, ".".join(path))
            columns = self.own_columns.setdefault(table.name, [])
            if column not in columns:
                columns.append(column)
            return
        hints = [
            f" The table {table.name} has a column {path[0]}: write {table.name}.{path[0]}."
            for table in self._tables.values()
            if not rest and first in map(str.lower, table.columns)
        ]
        raise UnknownNameError(
            f"{unknown_name('column', '.'.join(path), _COLUMNS)} Text stands in single quotes.{''.join(hints)}"
        )


def _variables(node: dict[str, Any]) -> frozenset[str]:
    """Return the names of a lambda's parameters."""
    is_single = node["class"] == "COLUMN_REF"
    nodes = [node] if is_single else [argument["expression"] for argument in node.get("arguments", ())]
    return frozenset(part["column_names"][0].lower() for part in nodes if len(part.get("column_names", ())) == 1)


def _check_function(path: list[str]) -> None:
    if len(path) > 1:
        raise UsageError(
            f"The condition calls {'.'.join(path)}(): expected a function without a prefix: f(x), not x.f()."
        )
    name = path[0].lower()
    if name not in FUNCTIONS:
        names = sorted(function for function in FUNCTIONS if function[0].isalpha())
        nearest = get_close_matches(name, names, n=1, cutoff=0.7)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise UsageError(f"The condition calls {name!r}, which it may not.{hint} It may call: {', '.join(names)}.")


def _check_type(path: list[str]) -> None:
    if len(path) > 1 or path[0].lower() not in TYPES:
        raise UsageError(
            f"The condition casts to {'.'.join(path)}: expected BOOLEAN, VARCHAR, a type of numbers or a list of these."
        )


def _try_out(
    connection: duckdb.DuckDBPyConnection, text: str, own_columns: Sequence[tuple[OwnTable, list[str]]]
) -> None:
    """Check that a condition fits the column types of items and of tables of the user, and is BOOLEAN."""
    connection.execute(f"CREATE TABLE items AS {table_sql(ITEMS, ())}")
    places = ", ".join(f"${column}" for column in _COLUMNS)
    connection.execute(f"INSERT INTO items VALUES ({places})", _ITEM)
    for table, columns in own_columns:
        name = quote_name(table.name)
        fields = ", ".join(f"{quote_name(column)} := sample.{quote_name(column)}" for column in columns)
        connection.register("first row", table.rows.slice(0, 1).select(columns))
        joined = f'SELECT items.*, struct_pack({fields}) AS {name} FROM items LEFT JOIN "first row" AS sample ON true'
        connection.execute(f"CREATE OR REPLACE TABLE items AS {joined}")
        connection.unregister("first row")
    try:
        ((_, kind, *_),) = connection.execute(f"DESCRIBE SELECT (\n{text}\n) FROM items").fetchall()
        if kind != "BOOLEAN":
            raise UsageError(f"The condition gives {kind}, not BOOLEAN: expected {_EXPECTED}.")
        connection.execute(f"SELECT count(*) FROM items WHERE (\n{text}\n)").fetchall()
    except duckdb.Error as error:
        if limit_error(error):
            raise UsageError(
                "The condition takes too much memory or time on a single item: expected one that looks at each "
                "landmark and polygon a few times."
            ) from error
        # DuckDB counts a line before the user's text.
        message = re.sub(r"\bLINE (\d+):", lambda match: f"LINE {int(match[1]) - 1}:", str(error))
        names = ", ".join(["items", *(table.name for table, _ in own_columns)])
        raise UsageError(f"The condition does not fit the columns of {names}. {message}") from error
