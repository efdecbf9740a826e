"""Rows on their way out: a table on a terminal, JSON elsewhere, or a file in the format of its suffix."""

from __future__ import annotations

import base64
import csv
import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

import click

from registry.errors import StorageError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

TEXT_FORMATS: Final = ("table", "json", "jsonl", "csv")
#: Rows shown on a terminal before the rest is only counted.
_SHOWN_ROWS: Final = 100
_SHOWN_VALUES: Final = 6


@dataclass(frozen=True, slots=True)
class Output:
    """Where rows go and how.

    Attributes:
        format: one of :data:`TEXT_FORMATS`, or None for a table on a terminal and JSON otherwise.
        path: file to write, or None for standard output.
    """

    format: str | None
    path: Path | None


Command = TypeVar("Command", bound=Callable[..., Any])


def output_options(command: Command) -> Command:
    """Add ``--format`` and ``-o`` to a command; it gets them as ``output``, an :class:`Output`."""

    @functools.wraps(command)
    def with_output(*args: Any, text_format: str | None, output: Path | None, **kwargs: Any) -> Any:
        return command(*args, output=Output(text_format, output), **kwargs)

    wrapped = click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write to a file; its suffix chooses among .json .jsonl .csv .parquet .arrow.",
    )(with_output)
    wrapped = click.option(
        "--format",
        "text_format",
        type=click.Choice(TEXT_FORMATS),
        help="How rows are written. Default: table on a terminal, json otherwise.",
    )(wrapped)
    return wrapped  # type: ignore[return-value]  # the options change the signature


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with named columns, fetched as they are needed."""

    columns: Sequence[str]
    values: Iterable[Sequence[Any]]
    arrow: Callable[[], pa.Table]

    @classmethod
    def of_relation(cls, relation: DuckDBPyRelation) -> Rows:
        """Return the rows of a relation; they stream."""
        return cls(relation.columns, relation.iter_rows(), relation.to_arrow_table)

    @classmethod
    def of_records(cls, records: Sequence[dict[str, Any]]) -> Rows:
        """Return the rows of dictionaries with the same keys."""

        def arrow() -> pa.Table:
            import pyarrow as pa

            return pa.Table.from_pylist(list(records))

        return cls(list(records[0]) if records else [], [list(record.values()) for record in records], arrow)


def write_rows(rows: Rows, output: Output) -> None:
    """Write rows where and how the options say.

    Raises:
        UsageError: the file's suffix names no format.
        QueryError: DuckDB fails while the rows are fetched.
        StorageError: the file cannot be written; nothing half-written is left.
    """
    from registry.store.connection import duckdb_errors

    with duckdb_errors():
        if output.path is None:
            chosen = output.format or ("table" if sys.stdout.isatty() else "json")
            _WRITERS[chosen](rows, sys.stdout)
            return
        chosen = output.format or output.path.suffix.lstrip(".")
        if chosen not in (*TEXT_FORMATS, "parquet", "arrow"):
            raise UsageError(f"Unknown suffix of {output.path}: expected .json, .jsonl, .csv, .parquet or .arrow.")
        partial = output.path.with_name(f".{output.path.name}.partial")
        try:
            _write_file(rows, partial, chosen)
            os.replace(partial, output.path)
        except OSError as error:
            raise StorageError(f"Cannot write {output.path}: {error.strerror or error}") from error
        finally:
            partial.unlink(missing_ok=True)


def _write_file(rows: Rows, path: Path, chosen: str) -> None:
    if chosen == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(rows.arrow(), path, compression="zstd")
    elif chosen == "arrow":
        import pyarrow as pa

        table = rows.arrow()
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            _WRITERS[chosen](rows, file)


def _plain(value: Any) -> Any:
    """Return a JSON form of a value that JSON does not know."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON; bytes as base64, dates and decimals as text."""
    return json.dumps(value, default=_plain, ensure_ascii=False, indent=indent)


def _records(rows: Rows) -> Iterator[str]:
    return (json_text(dict(zip(rows.columns, row, strict=True))) for row in rows.values)


def _write_json(rows: Rows, file: TextIO) -> None:
    separator = "["
    for record in _records(rows):
        file.write(f"{separator}{record}")
        separator = ",\n "
    file.write("[]\n" if separator == "[" else "]\n")


def _write_jsonl(rows: Rows, file: TextIO) -> None:
    for record in _records(rows):
        file.write(f"{record}\n")


def _write_csv(rows: Rows, file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows.columns)
    for row in rows.values:
        nested = (json_text(value) if isinstance(value, list | dict | bytes) else value for value in row)
        writer.writerow(["" if value is None else value for value in nested])


def _write_table(rows: Rows, file: TextIO) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown: list[Sequence[Any]] = []
    num_more = 0
    for row in rows.values:
        if len(shown) < _SHOWN_ROWS:
            shown.append(row)
        else:
            num_more += 1
    for position, column in enumerate(rows.columns):
        numeric = all(isinstance(row[position], int | float | None) for row in shown)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        table.add_row(*map(_cell, row))
    # Without a terminal there is no width to fit into.
    console = Console(file=file, width=None if file.isatty() else 10_000, highlight=False, markup=False)
    console.print(table)
    if num_more:
        click.echo(f"... and {num_more:,} more rows: --limit, --format csv or -o FILE shows them.", err=True)


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > _SHOWN_VALUES:
        first = ", ".join(map(_cell, value[:3]))
        return f"[{first}, ... {len(value)} in all]"
    if isinstance(value, list):
        return f"[{', '.join(map(_cell, value))}]"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return str(value)


_WRITERS: Final[dict[str, Callable[[Rows, TextIO], None]]] = {
    "table": _write_table,
    "json": _write_json,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}
