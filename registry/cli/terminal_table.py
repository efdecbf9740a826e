"""Rows as a table for a terminal: it fits the width, and shortens lists, long numbers and many rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, Final, Literal, TextIO

from registry.cli.context import note
from registry.cli.values import decimal_text, json_text
from registry.redaction import printable, printable_lines
from registry.wording import plural

#: Number of rows, and of values of a list, that a table shows.
_SHOWN_ROWS: Final = 100
_SHOWN_VALUES: Final = 6
#: Texts longer than this many characters may be broken into lines, between words.
_TEXT_WIDTH: Final = 12
#: Words longer than this many characters may be broken too.
_WORD_WIDTH: Final = 32
#: Width where standard output is no terminal and ``COLUMNS`` is not set.
_DEFAULT_WIDTH: Final = 80
_SEE_ALL: Final = "--format csv or -o FILE"


def write_table(columns: Sequence[str], values: Iterable[Sequence[Any]], file: TextIO) -> None:
    """Write the first rows; a note on standard error names the columns that do not fit and the number of rows shown.

    The table is as wide as ``COLUMNS`` says, else as the terminal, else 80 characters.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = list(islice(values, _SHOWN_ROWS + 1))
    is_cut = len(rows) > _SHOWN_ROWS
    all_columns = [
        _Column.of_values(printable(name), [row[position] for row in rows[:_SHOWN_ROWS]])
        for position, name in enumerate(columns)
    ]
    width = _width(file)
    fitting = _fitting(all_columns, width)
    console = Console(file=file, width=width, highlight=False, markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column, column_width in zip(fitting, _widths(fitting, width), strict=True):
        justify: Literal["left", "right"] = "right" if column.is_numeric else "left"
        table.add_column(column.name, justify=justify, width=column_width, overflow="fold")
    for cells in zip(*(column.cells for column in fitting), strict=True):
        table.add_row(*cells)
    console.print(table)
    hidden = [column.name for column in all_columns if column not in fitting]
    if hidden:
        verb = "does" if len(hidden) == 1 else "do"
        note(
            f"{plural(len(hidden), 'column')} {verb} not fit in {width} characters: {', '.join(hidden)}. "
            f"See all with {_SEE_ALL}."
        )
    if is_cut:
        note(f"These are the first {_SHOWN_ROWS} rows. See all with {_SEE_ALL}.")


def _width(file: TextIO) -> int:
    """Return the number of characters of a line."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(file.fileno()).columns or _DEFAULT_WIDTH
    except (OSError, ValueError):  # no terminal, or no file of the system
        return _DEFAULT_WIDTH


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """A column of a table.

    Attributes:
        name: the header.
        cells: a text for each row.
        is_numeric: whether all values are numbers or NULL.
        is_nested: whether a value is a list or a struct.
        width: characters of the longest line.
        min_width: characters of the longest line when long texts are broken between words; the header stays whole.
    """

    name: str
    cells: list[str]
    is_numeric: bool
    is_nested: bool
    width: int
    min_width: int

    @classmethod
    def of_values(cls, name: str, values: Sequence[Any]) -> _Column:
        """Return the column of a name and its values."""
        cells = [shown_value(value) for value in values]
        width = max([len(name), *(len(line) for cell in cells for line in cell.split("\n"))])
        is_nested = any(isinstance(value, list | tuple | dict) for value in values)
        min_width = width
        if is_nested or any(isinstance(value, str) and len(value) > _TEXT_WIDTH for value in values):
            longest_word = max((len(word) for cell in cells for word in cell.split()), default=0)
            min_width = min(width, max(len(name), _TEXT_WIDTH, min(longest_word, _WORD_WIDTH)))
        is_numeric = all(isinstance(value, int | float | Decimal | None) for value in values)
        return cls(name, cells, is_numeric, is_nested, width, min_width)


#: Blanks before and after a column.
_GAP: Final = 2


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    """Return the columns that fit: nested ones are left out first, then the last ones; one always stays."""
    fitting = list(columns)
    while len(fitting) > 1 and sum(column.min_width + _GAP for column in fitting) > width:
        fitting.remove(next((column for column in reversed(fitting) if column.is_nested), fitting[-1]))
    return fitting


def _widths(columns: list[_Column], width: int) -> list[int]:
    """Return the width of each column; columns of long texts share the missing characters by their slack."""
    missing = max(0, sum(column.width + _GAP for column in columns) - width)
    widths = []
    slack = sum(column.width - column.min_width for column in columns)
    for column in columns:
        share = -(-missing * (column.width - column.min_width) // slack) if slack else 0  # rounded up
        widths.append(max(column.min_width, column.width - share))
    return widths


def shown_value(value: Any) -> str:
    """Return the text of a value: floats with six digits, lists of more than six values shortened."""
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
        shown = ", ".join(map(shown_value, value if len(value) <= _SHOWN_VALUES else value[:3]))
        text = f"[{shown}]" if len(value) <= _SHOWN_VALUES else f"[{shown}, ... {len(value)} in all]"
    else:
        text = printable(str(value))
    return text
