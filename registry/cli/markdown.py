"""Tables in GitHub's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from registry.redaction import printable

#: Characters that begin a code span, emphasis, HTML or an entity in a cell.
_MARKUP: Final = re.compile(r"[\\`*]")


def cell(text: str) -> str:
    """Return a text that Markdown shows as it is in a cell of a table, where ``|`` still ends the cell."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    text = _MARKUP.sub(r"\\\g<0>", text)
    return "<br>".join(map(printable, text.splitlines()))


def table_lines(
    header: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[bool] | None = None
) -> Iterator[str]:
    """Yield the lines of a table whose cells are Markdown; ``|`` is escaped here.

    Args:
        header: names of the columns.
        rows: the cells of each row.
        numeric: which columns are aligned to the right; none without it.
    """
    yield _line(header)
    yield _line(["---:" if right else "---" for right in numeric or [False] * len(header)])
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"
