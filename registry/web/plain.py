"""Values of tables as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def plain(value: Any) -> Any:
    """Return a value as JSON has it: dates and bytes as texts, numbers that are none as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def plain_rows(table: pa.Table) -> list[list[Any]]:
    """Return the rows of any answer to SQL as lists: a query may name two columns alike."""
    columns = [_plain_column(column) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _plain_column(column: pa.ChunkedArray) -> list[Any]:
    try:
        return [plain(value) for value in column.to_pylist()]
    except (ValueError, OverflowError, ArithmeticError, NotImplementedError, TypeError):
        # Python has no such date; Arrow may have a text for it.
        import pyarrow as pa

        try:
            texts: list[Any] = column.cast(pa.string()).to_pylist()
        except pa.ArrowException:
            texts = ["?"] * len(column)
        return texts
