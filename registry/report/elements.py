"""Elements of HTML. A plain text is escaped wherever it stands; only :class:`Html` is taken as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

#: Elements without content and end tag.
_VOID: Final = frozenset({"img", "link", "meta"})
#: Between the words of a name, so that a narrow column can break it.
_BREAK: Final = "\u200b"


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str | None, **attributes: str | int | bool | None) -> Html:
    """Return an element.

    Args:
        tag: its name.
        children: texts, which are escaped, and :class:`Html`; None is left out.
        attributes: ``class_`` is the attribute class, ``aria_label`` is aria-label; None and False are left out.
    """
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: str | None) -> Html:
    """Return the children behind each other: texts escaped, :class:`Html` as it is, None left out."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children if child))


def section(anchor: str, title: str, *children: str | None) -> Html:
    """Return a section of the page below a heading of the second level."""
    heading = element("h2", title, id=f"{anchor}-title")
    return element("section", heading, *children, id=anchor, aria_labelledby=f"{anchor}-title")


def table(caption: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> Html:
    """Return rows as a table that scrolls in its own box; the first column heads its row.

    Args:
        caption: of the table.
        rows: values by the name of their column; a value may be :class:`Html`.
        columns: the columns, in order; those of the first row by default.
    """
    names = list(columns or (rows[0] if rows else ()))
    numeric = {name for name in names[1:] if all(_is_number(row.get(name)) for row in rows)}
    head = element(
        "tr",
        *(element("th", _breakable(name), scope="col", class_="number" if name in numeric else None) for name in names),
    )
    body = [
        element(
            "tr",
            *(
                element("td", text(row.get(name)), class_="number" if name in numeric else None)
                if number
                else element("th", text(row.get(name)), scope="row")
                for number, name in enumerate(names)
            ),
        )
        for row in rows
    ]
    content = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", content, class_="scroll", tabindex=0, role="region", aria_label=caption)


def definitions(rows: Mapping[str, str]) -> Html:
    """Return names with their values, as a list of definitions."""
    pairs = (element("div", element("dt", name), element("dd", value)) for name, value in rows.items())
    return element("dl", *pairs)


def bullets(sentences: Sequence[str]) -> Html | None:
    """Return sentences as a list; None without any."""
    return element("ul", *(element("li", sentence) for sentence in sentences)) if sentences else None


def text(value: Any) -> str:
    """Return a value as a text for people: separators in numbers, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else f"{value:,.6g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _breakable(name: str) -> str:
    """Return the name of a column with a place for a line break after each underscore."""
    return name.replace("_", f"_{_BREAK}")
