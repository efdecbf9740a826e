"""What is in the data: the counts of the splits, and the terms that they use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from registry.report.elements import Html, bullets, element, join, section, table
from registry.report.statistics import records
from registry.store.sql import SPLIT_ORDER
from registry.wording import plural

if TYPE_CHECKING:
    from registry.store.selection import Selection

_TERMS: Final = (
    ("pair_id", "a group of consumer and shop photos; it is not a pair."),
    ("identity", "the items of a split with the same pair_id and the same style above 0."),
    ("instance pair", "a consumer item and a shop item of one identity; their categories may differ."),
    ("image pair", "a consumer photo and a shop photo with an instance pair between them."),
    ("query item", "a consumer item with a style above 0; a gallery item is any item of a shop."),
)
_HIDDEN_WHERE_ZERO: Final = ("num_quarantined",)


def overview(selection: Selection, pictures: Html | None) -> Html:
    """Return the section on the counts.

    Args:
        selection: the subset.
        pictures: examples of the data.
    """
    counts = records(selection, f"FROM split_counts ORDER BY {SPLIT_ORDER}")
    definitions = element("ul", *(element("li", element("strong", name), f": {text}") for name, text in _TERMS))
    return section(
        "data",
        "What is in the data",
        element("p", _lead(selection, counts), class_="lead"),
        table("Counts by split", _by_split(counts)),
        element("details", element("summary", "What the words mean"), definitions),
        join(element("h3", "To be told"), bullets(selection.notices)) if selection.notices else None,
        pictures,
    )


def _lead(selection: Selection, counts: list[dict[str, Any]]) -> str:
    total = {name: sum(row[name] for row in counts) for name in (counts[0] if counts else ()) if name != "split"}
    if not total:
        return "No image belongs to this subset."
    ((categories,),) = selection.sql("SELECT count(DISTINCT category_id) FROM items").fetchall()
    return (
        f"{plural(total['num_images'], 'image')} with {plural(total['num_items'], 'item')} of "
        f"{plural(categories, 'category', 'categories')}, in {plural(len(counts), 'split')}: "
        f"{plural(total['num_identities'], 'identity', 'identities')}, "
        f"{plural(total['num_instance_pairs'], 'pair')} of a consumer item and a shop item."
    )


def _by_split(counts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each count with a column for each split."""
    names = [name for name in (counts[0] if counts else ()) if name != "split"]
    return [
        {"count": name.removeprefix("num_").replace("_", " ").replace("pair ids", "pair_ids")}
        | {row["split"]: row[name] for row in counts}
        for name in names
        if name not in _HIDDEN_WHERE_ZERO or any(row[name] for row in counts)
    ]
