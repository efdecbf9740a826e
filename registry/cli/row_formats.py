"""Writers of rows by format: table, Markdown, JSON, JSON lines, CSV, Parquet and Arrow."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from registry.cli.markdown import cell, table_lines
from registry.cli.terminal_table import shown_value, write_table
from registry.cli.values import decimal_text, json_text

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Sequence[str]
Values = Iterable[Sequence[Any]]


def _records(columns: Columns, values: Values) -> Iterator[str]:
    return (json_text(dict(zip(columns, row, strict=True))) for row in values)


def _write_json(columns: Columns, values: Values, file: TextIO) -> None:
    separator = "["
    for record in _records(columns, values):
        file.write(f"{separator}{record}")
        separator = ",\n "
    file.write("[]\n" if separator == "[" else "]\n")


def _write_jsonl(columns: Columns, values: Values, file: TextIO) -> None:
    for record in _records(columns, values):
        file.write(f"{record}\n")


class _Lines:
    r"""A file for a csv writer: ends rows with a newline.

    With ``\r\n`` as its own line end, the csv writer quotes texts that hold either character.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> None:
        self._file.write(row.removesuffix("\r\n") + "\n")


def _write_csv(columns: Columns, values: Values, file: TextIO) -> None:
    writer = csv.writer(_Lines(file), lineterminator="\r\n")
    writer.writerow(columns)
    for row in values:
        writer.writerow([_flat(value) for value in row])


def _flat(value: Any) -> Any:
    """Return a value for CSV or Markdown: lists, structs and bytes as JSON, NULL as the empty text."""
    if isinstance(value, list | tuple | dict | bytes):
        return json_text(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    return "" if value is None else value


def _write_markdown(columns: Columns, values: Values, file: TextIO) -> None:
    """Write a GitHub table with shortened lists; a column is right-aligned if its first 100 values are numbers."""
    rows = iter(values)
    first = list(islice(rows, 100))
    numeric = [
        bool(first) and all(isinstance(row[column], int | float | Decimal | None) for row in first)
        for column in range(len(columns))
    ]
    cells = ([cell(_markdown_text(value)) for value in row] for row in chain(first, rows))
    for line in table_lines(list(map(cell, columns)), cells, numeric):
        file.write(f"{line}\n")


def _markdown_text(value: Any) -> str:
    return shown_value(value) if isinstance(value, list | tuple) else str(_flat(value))


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a Parquet file."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")


def write_arrow(table: pa.Table, path: Path) -> None:
    """Write a file in Arrow's IPC format."""
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


#: Writers of the text formats, by the name of the format.
WRITERS: Final[dict[str, Callable[[Columns, Values, TextIO], None]]] = {
    "table": write_table,
    "md": _write_markdown,
    "json": _write_json,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}
