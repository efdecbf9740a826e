"""Rows on their way out: a table on a terminal, JSON elsewhere, or a file in the format of its suffix."""

from __future__ import annotations

import csv
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

import click

from registry.cli.paths import FileType
from registry.cli.values import as_arrow, as_text, decimal_text, json_text
from registry.errors import UsageError
from registry.files.temporary import replacing
from registry.redaction import printable, printable_lines

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

TEXT_FORMATS: Final = ("table", "json", "jsonl", "csv")
#: Rows and values of a list that a table shows.
_SHOWN_ROWS: Final = 100
_SHOWN_VALUES: Final = 6
#: Text of a table's cell is broken into lines of at least this many characters where the terminal is narrow.
_TEXT_WIDTH: Final = 18


@dataclass(frozen=True, slots=True)
class Output:
    """Where rows go and how.

    Attributes:
        format: one of :data:`TEXT_FORMATS`, or None for a table on a terminal and JSON otherwise.
        path: file to write, or None for standard output.
    """

    format: str | None
    path: Path | None

    @property
    def is_table(self) -> bool:
        """Whether a person reads it: then columns and order may differ from what programs get."""
        return self.format == "table" or (self.format is None and self.path is None and sys.stdout.isatty())


Command = TypeVar("Command", bound=Callable[..., Any])


def output_options(command: Command) -> Command:
    """Add ``--format`` and ``-o`` to a command; it gets them as ``output``, an :class:`Output`."""

    @functools.wraps(command)
    def with_output(*args: Any, text_format: str | None, output: str | None, **kwargs: Any) -> Any:
        if output is None:
            return command(*args, output=Output(text_format, None), **kwargs)
        with click.get_current_context().obj.local_file(output) as path:
            return command(*args, output=Output(text_format, path), **kwargs)

    wrapped = click.option(
        "-o",
        "--output",
        type=FileType(dir_okay=False, url_okay=True),
        help="Write to a file or URL; its suffix chooses among .json .jsonl .csv .parquet .arrow.",
    )(with_output)
    return click.option(  # type: ignore[return-value]  # the options change the signature
        "--format",
        "text_format",
        type=click.Choice(TEXT_FORMATS),
        help="How rows are written. Default: table on a terminal, json otherwise.",
    )(wrapped)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with named columns, fetched as they are needed."""

    columns: Sequence[str]
    values: Iterable[Sequence[Any]]
    arrow: Callable[[], pa.Table]

    @classmethod
    def of_relation(cls, relation: DuckDBPyRelation) -> Rows:
        """Return the rows of a relation, fetched in batches; of columns of one name, the later get a number."""
        names = _distinct(relation.columns)
        return cls(names, _fetched(relation), lambda: as_arrow(relation).to_arrow_table().rename_columns(names))

    @classmethod
    def of_records(cls, records: Sequence[dict[str, Any]]) -> Rows:
        """Return the rows of dictionaries with the same keys."""

        def arrow() -> pa.Table:
            import pyarrow as pa

            return pa.Table.from_pylist(list(records))

        return cls(list(records[0]) if records else [], [list(record.values()) for record in records], arrow)


def _fetched(relation: DuckDBPyRelation) -> Iterator[Sequence[Any]]:
    yield from as_text(relation).iter_rows()  # not before they are wanted: a file of Arrow takes the relation itself


def _distinct(names: Sequence[str]) -> list[str]:
    distinct: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in range(1, len(names)))
        distinct.append(name if name not in distinct else next(new for new in numbered if new not in names))
    return distinct


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
            chosen = "table" if output.is_table else output.format or "json"
            _WRITERS[chosen](rows, sys.stdout)
            return
        chosen = output.format or output.path.suffix.lstrip(".")
        if chosen not in (*TEXT_FORMATS, "parquet", "arrow"):
            raise UsageError(f"Unknown suffix of {output.path}: expected .json, .jsonl, .csv, .parquet or .arrow.")
        with replacing(output.path) as partial:
            _write_file(rows, partial, chosen)


def _write_file(rows: Rows, path: Path, chosen: str) -> None:
    """Write rows to a file.

    Raises:
        UsageError: the format has no such type.
    """
    if chosen not in TEXT_FORMATS:
        import pyarrow as pa

        try:
            _write_arrow(rows, path, chosen)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OverflowError) as error:
            raise UsageError(
                f"A value cannot be written as {chosen}: {error}. Cast it to another type, or choose another format."
            ) from error
        return
    with open(path, "w", encoding="utf-8", newline="") as file:
        _WRITERS[chosen](rows, file)


def _write_arrow(rows: Rows, path: Path, chosen: str) -> None:
    if chosen == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(rows.arrow(), path, compression="zstd")
    else:
        import pyarrow as pa

        table = rows.arrow()
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)


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


class _Lines:
    """Takes the rows of a csv writer, which quotes nothing but its own line ends, and ends them with a newline."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> None:
        self._file.write(row.removesuffix("\r\n") + "\n")


def _write_csv(rows: Rows, file: TextIO) -> None:
    writer = csv.writer(_Lines(file), lineterminator="\r\n")
    writer.writerow(rows.columns)
    for row in rows.values:
        writer.writerow([_csv_value(value) for value in row])


def _csv_value(value: Any) -> Any:
    if isinstance(value, list | tuple | dict | bytes):
        return json_text(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    return "" if value is None else value


def _write_table(rows: Rows, file: TextIO) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    values = list(islice(rows.values, _SHOWN_ROWS + 1))
    more = len(values) > _SHOWN_ROWS
    columns = [
        _TableColumn.of_values(printable(name), [row[position] for row in values[:_SHOWN_ROWS]])
        for position, name in enumerate(rows.columns)
    ]
    # Without a terminal there is no width to fit into.
    console = Console(file=file, width=None if file.isatty() else 10_000, highlight=False, markup=False)
    fitting = _fitting(columns, console.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in fitting:
        table.add_column(
            column.name,
            justify="right" if column.numeric else "left",
            min_width=column.min_width,
            no_wrap=not column.wraps,
            overflow="fold",
        )
    for cells in zip(*(column.cells for column in fitting), strict=True):
        table.add_row(*cells)
    console.print(table)
    hidden = [column.name for column in columns if column not in fitting]
    if hidden:
        click.echo(f"Too wide to show: {', '.join(hidden)}; --format json or -o FILE has them.", err=True)
    if more:
        click.echo(f"These are the first {_SHOWN_ROWS} rows; --format csv or -o FILE has all.", err=True)


@dataclass(frozen=True, slots=True)
class _TableColumn:
    """A column of a table on a terminal."""

    name: str
    cells: list[str]
    numeric: bool
    nested: bool
    wraps: bool

    @classmethod
    def of_values(cls, name: str, values: Sequence[Any]) -> _TableColumn:
        cells = [_cell(value) for value in values]
        numeric = all(isinstance(value, int | float | Decimal | None) for value in values)
        nested = any(isinstance(value, list | tuple | dict) for value in values)
        wraps = nested or any(isinstance(value, str) and len(value) > _TEXT_WIDTH for value in values)
        return cls(name, cells, numeric, nested, wraps)

    @property
    def min_width(self) -> int:
        longest = max((len(line) for cell in self.cells for line in cell.split("\n")), default=0)
        return max(len(self.name), min(longest, _TEXT_WIDTH) if self.wraps else longest)


def _fitting(columns: list[_TableColumn], width: int) -> list[_TableColumn]:
    """Return the columns that fit; those of lists go first, then the last ones. At least one stays."""
    fitting = list(columns)
    while len(fitting) > 1 and sum(column.min_width + 2 for column in fitting) > width:
        fitting.remove(next((column for column in reversed(fitting) if column.nested), fitting[-1]))
    return fitting


def _cell(value: Any) -> str:
    if value is None:
        text = "NULL"
    elif isinstance(value, str):
        text = printable_lines(value)
    elif isinstance(value, Decimal):
        text = decimal_text(value)
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, dict):
        text = printable(json_text(value))
    elif isinstance(value, bytes):
        text = f"<{len(value)} bytes>"
    elif isinstance(value, list | tuple) and any(isinstance(member, list | tuple | dict) for member in value):
        text = f"[{len(value)} nested]"
    elif isinstance(value, list | tuple):
        first = ", ".join(map(_cell, value if len(value) <= _SHOWN_VALUES else value[:3]))
        text = f"[{first}]" if len(value) <= _SHOWN_VALUES else f"[{first}, ... {len(value)} in all]"
    else:
        text = printable(str(value))
    return text


_WRITERS: Final[dict[str, Callable[[Rows, TextIO], None]]] = {
    "table": _write_table,
    "json": _write_json,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}
