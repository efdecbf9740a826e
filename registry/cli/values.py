"""Values of DuckDB for output: exact, and as DuckDB's text where Python has no such type.

Python has no interval of months, no nanoseconds, no infinite date and no 32-bit float. DuckDB casts such values to
text, and 32-bit floats to the shortest double, before they reach Python.
"""

from __future__ import annotations

import base64
import functools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

#: DuckDB's types that become text in a text format, and those that become text in Arrow and Parquet.
_TEXT_TYPES: Final = frozenset(
    {
        *("date", "time", "time_ns", "time with time zone", "interval"),
        *("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"),
    }
)
_TEXT_TYPES_IN_ARROW: Final = frozenset({"interval", "time with time zone", "bit", "bignum"})
_FLOAT: Final = frozenset({"float"})


def as_text(relation: DuckDBPyRelation) -> DuckDBPyRelation:
    """Return a relation with dates, times and intervals as text, and 32-bit floats as the shortest doubles."""
    # FLOAT -> VARCHAR -> DOUBLE keeps 0.1 as 0.1.
    return _cast(
        relation,
        dict.fromkeys(_TEXT_TYPES | _FLOAT, "VARCHAR"),
        {**dict.fromkeys(_TEXT_TYPES, "VARCHAR"), "float": "DOUBLE"},
    )


def as_arrow(relation: DuckDBPyRelation) -> DuckDBPyRelation:
    """Return a relation with text instead of the types that Arrow or Parquet do not have."""
    return _cast(relation, dict.fromkeys(_TEXT_TYPES_IN_ARROW, "VARCHAR"))


def _cast(relation: DuckDBPyRelation, *steps: Mapping[str, str]) -> DuckDBPyRelation:
    """Return a relation whose columns are cast in steps; a step maps names of types to their new types."""
    columns = [_column(f"#{number}", kind, steps) for number, kind in enumerate(relation.types, 1)]
    if all(column.startswith("#") for column in columns):
        return relation
    return relation.project(", ".join(columns))


def _column(sql: str, kind: Any, steps: Sequence[Mapping[str, str]]) -> str:
    for step in steps:
        # The second step casts floats only: the other types are text by then.
        if _holds(kind, step if step is steps[0] else _FLOAT):
            sql = f"CAST({sql} AS {_type(kind, step)})"
    return sql


def _children(kind: Any) -> list[tuple[str, Any]]:
    """Return names and types of the members of a type; for an array also its length, under ``size``."""
    return list(kind.children) if kind.id in ("list", "array", "struct", "map", "union") else []


def _holds(kind: Any, names: Collection[str]) -> bool:
    return kind.id in names or any(_holds(child, names) for _, child in _children(kind) if hasattr(child, "id"))


def _type(kind: Any, step: Mapping[str, str]) -> str:
    if kind.id in step:
        return step[kind.id]
    if not _holds(kind, step):
        return str(kind)
    children = _children(kind)
    if kind.id == "struct":
        return f"STRUCT({', '.join(f'{_identifier(name)} {_type(child, step)}' for name, child in children)})"
    if kind.id == "map":
        return f"MAP({', '.join(_type(child, step) for _, child in children)})"
    if kind.id == "union":
        return "VARCHAR"
    size = next((child for name, child in children if name == "size"), "")
    return f"{_type(children[0][1], step)}[{size}]"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def decimal_text(value: Decimal) -> str:
    """Return a decimal with all its digits, as DuckDB writes it."""
    return format(value, "f")


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON: bytes as base64, decimals as exact numbers, dates as text, NaN and infinity as null."""
    dump = functools.partial(json.dumps, default=_plain, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        return dump(value)
    except (_NotPlainError, TypeError):  # a decimal, or a key of a map that is no text
        return _exact(value)
    except ValueError:
        return json_text(_finite(value), indent)


class _NotPlainError(Exception):
    """A decimal, which Python's json would round."""


def _plain(value: Any) -> Any:
    """Return bytes as base64 and any other value as text, for types that JSON does not have."""
    if isinstance(value, Decimal):
        raise _NotPlainError
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)


def _exact(value: Any) -> str:
    if isinstance(value, Decimal):
        return _json_decimal(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(_key(key), ensure_ascii=False)}: {_exact(member)}" for key, member in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_exact, value))}]"
    return json_text(value)


def _json_decimal(value: Decimal) -> str:
    """Return the decimal as a float where that is exact, else with all digits."""
    usual = repr(float(value))
    return usual if Decimal(usual) == value else decimal_text(value)


def _key(key: Any) -> str:
    """Return a key of a map as text."""
    if isinstance(key, Decimal):
        return decimal_text(key)
    return key if isinstance(key, str) else json_text(key)


def _finite(value: Any) -> Any:
    """Return a value with None instead of NaN and infinity."""
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
