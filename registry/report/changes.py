"""Changes since another version: counts, the columns that differ, and examples of each kind of change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID
from registry.report.elements import Html, bullets, element, section, table
from registry.wording import plural

if TYPE_CHECKING:
    from registry.store.changes import Diff
    from registry.store.difference import Change

#: Examples of each kind of change: the same change of the same columns.
_OF_KIND: Final = 3
_EXAMPLES: Final = 12
#: Changed items among which the examples are looked for.
_LOOKED_AT: Final = 5_000
_CHANGES: Final = ("added", "removed", "changed")


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
    changed = {row["split"] for row in rows if any(row[change] for change in _CHANGES)}
    same = [split for split in summary.splits if split not in changed]
    totals = [row for row in rows if row["category_name"] is None and row["split"] in changed]
    by_category = [row for row in rows if row["category_name"]]
    columns = [
        {"column": column, "of": of, "rows": number}
        for of, numbers in summary.fields.items()
        for column, number in numbers.items()
    ]
    examples = [_example(change, pictures) for change in _examples(difference.items())]
    return section(
        "changes",
        title,
        element("p", f"Nothing changed in {' and '.join(same)}.") if same else None,
        table("Changes by split", [_row(row, "of", row["of"].replace("_", " ")) for row in totals]),
        table("Changed items by category", [_row(row, "category", row["category_name"]) for row in by_category])
        if by_category
        else None,
        table("Columns that differ", columns) if columns else None,
        notices,
        element("h3", "Examples of changed items") if examples else None,
        element("div", *examples, class_="examples") if examples else None,
    )


def _row(row: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    return {"split": row["split"], name: value} | {change: row[change] for change in _CHANGES}


def _examples(items: Iterable[Change]) -> list[Change]:
    """Return the first items of each kind of change."""
    numbers: Counter[tuple[str, ...]] = Counter()
    examples: list[Change] = []
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
    values = [_value_change(name, (change.old or {}).get(name), (change.new or {}).get(name)) for name in change.fields]
    return element("article", element("h4", title), bullets(values), pictures(change))


def _value_change(name: str, old: Any, new: Any) -> str:
    """Return how the value of a column changed, in words."""
    if name == "landmarks" and old and new and len(old) == len(new):
        pairs = zip(_points(old), _points(new), strict=True)
        return f"landmarks: {sum(a != b for a, b in pairs)} of {plural(len(old) // 3, 'point')} differ"
    if name == "segmentation":
        return f"segmentation: from {_polygons(old)} to {_polygons(new)}"
    return f"{name}: from {_value(name, old)} to {_value(name, new)}"


def _points(flat: list[int]) -> list[tuple[int, ...]]:
    """Return the landmarks of a flat list: x, y, v each."""
    return list(zip(flat[0::3], flat[1::3], flat[2::3], strict=True))


def _polygons(polygons: list[list[float]] | None) -> str:
    """Return number, points and place of polygons, by which people tell them apart."""
    if not polygons:
        return "no polygon"
    points = sum(len(polygon) // 2 for polygon in polygons)
    x, y = (min(number for polygon in polygons for number in polygon[start::2]) for start in (0, 1))
    return f"{plural(len(polygons), 'polygon')} of {plural(points, 'point')} from ({x:.6g}, {y:.6g})"


def _value(name: str, value: Any) -> str:
    """Return a value of a column, with the meaning of a code."""
    if name == "category_id" and value in CATEGORY_BY_ID:
        return f"{value} ({CATEGORY_BY_ID[value].name})"
    if value in ATTRIBUTE_CODES.get(name, ()):
        return f"{value} ({ATTRIBUTE_CODES[name][value]})"
    if isinstance(value, list):
        return plural(len(value), "number")
    return "NULL" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
