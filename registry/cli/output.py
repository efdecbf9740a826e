"""The options ``--format`` and ``-o``, and rows written in the format and to the place that they name."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

import click

from registry.cli.paths import FileType
from registry.cli.row_formats import WRITERS, write_arrow, write_parquet
from registry.cli.values import as_arrow, as_text
from registry.errors import UsageError
from registry.files.temporary import replacing

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

#: Values of ``--format``.
TEXT_FORMATS: Final = tuple(WRITERS)
_BINARY_FORMATS: Final = {"parquet": write_parquet, "arrow": write_arrow}
_FORMATS_FOR_PEOPLE: Final = ("table", "md")


@dataclass(frozen=True, slots=True)
class Output:
    """The format of rows and their destination.

    Attributes:
        format: one of :data:`TEXT_FORMATS`, or None for the format of the file's suffix; for standard output, a table
            on a terminal and JSON elsewhere.
        path: file to write, or None for standard output.
    """

    format: str | None
    path: Path | None

    @property
    def chosen(self) -> str:
        """The format to write; the suffix of the file if the user chose none, which may be no format at all."""
        if self.format is not None:
            return self.format
        if self.path is not None:
            return self.path.suffix.lstrip(".")
        return "table" if sys.stdout.isatty() else "json"

    @property
    def is_table(self) -> bool:
        """Whether a person reads the output: then columns and order may differ from those for programs."""
        return self.chosen in _FORMATS_FOR_PEOPLE


Command = TypeVar("Command", bound=Callable[..., Any])


def output_options(command: Command, more_formats: Sequence[str] = ()) -> Command:
    """Add ``--format`` and ``-o`` to a command; it gets them as ``output``, an :class:`Output`.

    Args:
        command: the command.
        more_formats: formats that the command writes itself.
    """

    @functools.wraps(command)
    def with_output(*args: Any, text_format: str | None, output: str | None, **kwargs: Any) -> Any:
        if output in (None, "-"):
            return command(*args, output=Output(text_format, None), **kwargs)
        with click.get_current_context().obj.local_file(output) as path:
            return command(*args, output=Output(text_format, path), **kwargs)

    wrapped = click.option(
        "-o",
        "--output",
        type=FileType(dir_okay=False, url_okay=True, allow_dash=True),
        help="Write to a file or URL; its suffix chooses among .json .jsonl .csv .md .parquet .arrow. "
        "'-' is standard output.",
    )(with_output)
    return click.option(  # type: ignore[return-value]  # the options change the signature
        "--format",
        "text_format",
        type=click.Choice([*TEXT_FORMATS, *more_formats]),
        help="Format of the rows. Default: table on a terminal, json otherwise.",
    )(wrapped)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with named columns, fetched as they are needed."""

    columns: Sequence[str]
    values: Iterable[Sequence[Any]]
    arrow: Callable[[], pa.Table]

    @classmethod
    def of_relation(cls, relation: DuckDBPyRelation) -> Rows:
        """Return the rows of a relation, fetched in batches; a name that repeats gets a number (``a``, ``a_1``)."""
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
    yield from as_text(relation).iter_rows()  # runs the query at the first row: a file of Arrow runs it otherwise


def _distinct(names: Sequence[str]) -> list[str]:
    distinct: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in range(1, len(names)))
        distinct.append(name if name not in distinct else next(new for new in numbered if new not in names))
    return distinct


def write_rows(rows: Rows, output: Output) -> None:
    """Write rows in the chosen format to standard output or to the chosen file.

    Raises:
        UsageError: the file's suffix names no format, or the format cannot hold a value.
        QueryError: DuckDB fails while the rows are fetched.
        StorageError: the file cannot be written; an older file stays as it was.
    """
    write_tables([rows], output)


def write_tables(tables: Sequence[Rows], output: Output) -> None:
    """Write several tables for a person to read, below each other.

    Raises:
        UsageError: as :func:`write_rows`, or there are several tables and the format is for programs.
        QueryError: as :func:`write_rows`.
        StorageError: as :func:`write_rows`.
    """
    from registry.store.connection import duckdb_errors

    if len(tables) > 1 and not output.is_table:
        raise UsageError(f"The format {output.chosen} holds one table, and this command writes {len(tables)}.")
    with duckdb_errors():
        if output.chosen in _BINARY_FORMATS and output.path is not None:
            with replacing(output.path) as partial, _errors_of_arrow(output.chosen):
                _BINARY_FORMATS[output.chosen](tables[0].arrow(), partial)
            return
        with _text_file(output) as file:
            for number, rows in enumerate(tables):
                if number and output.chosen == "md":
                    file.write("\n")
                WRITERS[output.chosen](rows.columns, rows.values, file)


@contextmanager
def _text_file(output: Output) -> Iterator[TextIO]:
    """Yield standard output, or a file that replaces the file at the chosen path when it is complete.

    Raises:
        UsageError: the file's suffix names no format.
        StorageError: the file cannot be written.
    """
    if output.path is None:
        yield sys.stdout
        return
    if output.chosen not in WRITERS:
        raise UsageError(f"Unknown suffix of {output.path}: expected .json, .jsonl, .csv, .md, .parquet or .arrow.")
    with replacing(output.path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def _errors_of_arrow(chosen: str) -> Iterator[None]:
    """Raise :class:`UsageError` for values that have no type in Arrow or Parquet."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OverflowError) as error:
        raise UsageError(
            f"A value cannot be written as {chosen}: {error}. Cast it to another type, or choose another format."
        ) from error
