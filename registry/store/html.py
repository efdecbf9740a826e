"""Tables in HTML, which notebooks show for a registry, a selection and a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def html_table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as an HTML table with a caption; every text is escaped.

    Args:
        title: the caption.
        rows: values by the name of their column; columns stand in the order of their first occurrence.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    header = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_cell(row.get(column)) for column in columns)}</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    """Return a cell: counts with separators and aligned to the right, None as an empty cell."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td style="text-align: right">{value:,}</td>'
    return f"<td>{escape(str(value)) if value is not None else ''}</td>"
