"""Columns of a user's tables in an export: their names in the options, their values as text, and their features."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from registry.errors import UsageError
from registry.exports.columns.text import concat, number_lists, typed_numbers
from registry.exports.work import ChunkWork

_SPECIAL_IN_CSV = r'[",\r\n]'


def own_columns(options: Mapping[str, Any]) -> list[str]:
    """Return the columns of the user's tables, ``TABLE.COLUMN``, in the option ``columns`` of a format."""
    return [name for name in column_names(options) if "." in name]


def column_names(options: Mapping[str, Any]) -> list[str]:
    """Return the names in the option ``columns``; none without it.

    Raises:
        UsageError: a name is repeated.
    """
    text = options.get("columns")
    names = [name.strip() for name in text.split(",")] if text is not None else []
    if len(set(names)) < len(names):
        raise UsageError(f"columns: expected each column once, found {text}.")
    return names


def check_own(options: Mapping[str, Any], images: str) -> None:
    """Raise a UsageError unless all names in the option ``columns`` are ``TABLE.COLUMN``, each once."""
    for name in column_names(options):
        table, _, column = name.partition(".")
        if not table or not column:
            raise UsageError(
                f"columns: expected columns of your tables as TABLE.COLUMN, such as scores.loss; found {name!r}."
            )


def json_texts(values: pa.Array) -> pa.Array:
    """Return the values of a column as JSON, with null for NULL and for numbers that JSON has not (NaN, infinity)."""
    kind, types = values.type, pa.types
    if types.is_boolean(kind) or types.is_integer(kind):
        return pc.cast(values, pa.string()).fill_null("null")
    if types.is_floating(kind):
        return typed_numbers(pc.if_else(pc.is_finite(values), values, None)).fill_null("null")
    is_plain = types.is_list(kind) and types.is_floating(kind.value_type) and not values.flatten().null_count
    if is_plain and not pc.invert(pc.is_finite(values.flatten())).true_count:
        return number_lists(values, texts_of=typed_numbers).fill_null("null")
    _check_text(kind)
    return pa.array([json.dumps(_plain(value), default=str) for value in values.to_pylist()], pa.string())


def csv_texts(values: pa.Array) -> pa.Array:
    """Return the values of a column as cells of CSV: NULL is empty, the empty text is ``""``, lists are JSON."""
    kind, types = values.type, pa.types
    if types.is_floating(kind):
        return typed_numbers(values).fill_null("")
    if types.is_nested(kind):
        texts = pc.if_else(values.is_null(), None, json_texts(values))
    else:
        _check_text(kind)
        texts = pc.cast(values, pa.string())
    quoted = concat('"', pc.replace_substring(texts, '"', '""'), '"')
    is_special = pc.or_(pc.match_substring_regex(texts, _SPECIAL_IN_CSV), pc.equal(texts, ""))
    return pc.if_else(is_special, quoted, texts).fill_null("")


def csv_name(name: str) -> str:
    """Return the name of a column for the header of a CSV file."""
    return str(csv_texts(pa.array([name]))[0])


def note_no_numbers(work: ChunkWork, items: pa.RecordBatch) -> None:
    """Report numbers of the user's tables that JSON has not."""
    for name in own_columns(work.options):
        number = _num_not_finite(items.column(name))
        why = "NaN or infinite, which JSON has not: null stands there"
        work.notice(number, f"number of {name} is {why}", f"numbers of {name} are {why}")


def _num_not_finite(values: pa.Array) -> int:
    """Return how many numbers of a column, also in its lists and structs, are NaN or infinite."""
    kind, types = values.type, pa.types
    if types.is_floating(kind):
        return int(pc.invert(pc.is_finite(values)).true_count)
    if types.is_struct(kind):
        return sum(map(_num_not_finite, values.flatten()))
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return _num_not_finite(values.flatten()) if is_list else 0


def feature_type(name: str, kind: pa.DataType) -> str:
    """Return the type of a column as Hugging Face's ``datasets`` names it, lists as ``list<...>``.

    Raises:
        UsageError: the column is neither numbers, texts, booleans nor lists of these.
    """
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return f"list<{feature_type(name, kind.value_type)}>"
    if types.is_boolean(kind) or types.is_integer(kind):
        return str(kind)
    if types.is_floating(kind):
        return f"float{kind.bit_width}"
    if types.is_string(kind) or types.is_large_string(kind):
        return "string"
    raise UsageError(
        f"{name} has the type {kind}: this format takes columns of numbers, texts, booleans and lists of these."
    )


def feature(type_name: str) -> Any:
    """Return the feature of a type of a column, in the JSON form of ``datasets``."""
    if type_name.startswith("list<"):
        return [feature(type_name[5:-1])]
    return {"dtype": type_name, "_type": "Value"}


def check_parquet(schema: pa.Schema) -> None:
    """Raise a UsageError if a column is a time span, which Parquet has not.

    Args:
        schema: of the columns of the user's tables.
    """
    for field in schema:
        if _holds(field.type, types=(pa.types.is_interval,)):
            raise UsageError(f"{field.name} holds time spans, which Parquet has not: export it as arrow.")


def _check_text(kind: pa.DataType) -> None:
    types = pa.types
    if _holds(kind, types=(types.is_interval,)):
        raise UsageError("A column of time spans cannot be written as text: export it as arrow.")
    if _holds(kind, types=(types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_map)):
        raise UsageError(f"A column of the type {kind} cannot be written as text: export it as parquet or arrow.")


def _holds(kind: pa.DataType, types: Sequence[Callable[[pa.DataType], bool]]) -> bool:
    """Return whether a type, or one of those in its lists and structs, is one of some types."""
    inner = (kind.field(k).type for k in range(kind.num_fields))
    return any(is_type(kind) for is_type in types) or any(_holds(part, types) for part in inner)


def _plain(value: Any) -> Any:
    """Return a value without NaN and infinities."""
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, dict):
        return {name: _plain(element) for name, element in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
