"""What changed since another version: counts, the columns that differ, and examples of each kind of change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from registry.report.elements import Html, bullets, element, join, section, table, text

if TYPE_CHECKING:
    from registry.store.changes import Diff
    from registry.store.difference import Change

#: Examples of each kind of change: the same change of the same columns.
_OF_KIND: Final = 3
_EXAMPLES: Final = 12
#: Changed items among which the examples are looked for.
_LOOKED_AT: Final = 5_000
_LONGEST: Final = 60


def changes(difference: Diff, name: str, pictures: Callable[[Change], Html | None]) -> Html:
    """Return the section on the differences from another version.

    Args:
        difference: the other version is its old side.
        name: of the other version.
        pictures: gives the pictures of a changed item, old and new.
    """
    title = f"What changed since {name}"
    summary = difference.summary
    notices = bullets(difference.notices)
    if summary.is_same:
        return section("changes", title, element("p", "Nothing: images, items and pairs are the same."), notices)
    rows = summary.rows()
    totals = [{key: row[key] for key in _columns("of")} for row in rows if row["category_name"] is None]
    by_category = [{key: row[key] for key in _columns("category_name")} for row in rows if row["category_name"]]
    fields = [
        {"column": column, "of": of, "rows": number}
        for of, numbers in summary.fields.items()
        for column, number in numbers.items()
    ]
    examples = [_example(change, pictures) for change in _examples(difference.items())]
    return section(
        "changes",
        title,
        table("Changes by split", [{**row, "of": row["of"].replace("_", " ")} for row in totals]),
        table("Changed items by category", by_category) if by_category else None,
        table("Columns that differ", fields) if fields else None,
        notices,
        element("h3", "Examples of changed items") if examples else None,
        *examples,
    )


def _columns(name: str) -> tuple[str, ...]:
    return ("split", name, "added", "removed", "changed")


def _examples(items: Iterable[Change]) -> list[Change]:
    """Return the first items of each kind of change."""
    numbers: Counter[tuple[str, ...]] = Counter()
    examples = []
    for change in islice(items, _LOOKED_AT):
        kind = (change.change, *change.fields)
        numbers[kind] += 1
        if numbers[kind] <= _OF_KIND and len(examples) < _EXAMPLES:
            examples.append(change)
    return examples


def _example(change: Change, pictures: Callable[[Change], Html | None]) -> Html:
    """Return a changed item: its key, the old and new values, and its pictures."""
    key = change.key
    title = f"{key['split']}, image {key['image_id']}, item {key['item_no']} ({key['category_name']}): {change.change}"
    values = [
        {"column": name, "old": _value(name, (change.old or {})[name]), "new": _value(name, (change.new or {})[name])}
        for name in change.fields
    ]
    return element(
        "article",
        element("h4", title),
        table(f"Values of item {key['item_no']} of image {key['image_id']}", values) if values else None,
        pictures(change),
    )


def _value(name: str, value: Any) -> str:
    """Return a value of a column in short."""
    if name == "category_id" and value in CATEGORY_BY_ID:
        return f"{value} ({CATEGORY_BY_ID[value].name})"
    if isinstance(value, list):
        shown = ", ".join(map(_value_of_list, value))
        return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} ... ({len(value)} values)"
    return join(text(value)) or "NULL"


def _value_of_list(value: Any) -> str:
    return f"[{', '.join(map(_value_of_list, value))}]" if isinstance(value, list) else f"{value:g}"
