"""The data at a glance: the counts of the splits, and the terms that they use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from registry.report.elements import Html, bullets, element, join, section, table
from registry.store.query import records
from registry.store.sql import SPLIT_ORDER
from registry.wording import plural

if TYPE_CHECKING:
    from registry.report.thumbnails import Thumbnails
    from registry.store.selection import Selection

_TERMS: Final = (
    ("pair_id", "a group of consumer and shop photos; it is not a pair."),
    ("identity", "the items of a split with the same pair_id and the same style above 0."),
    ("instance pair", "a consumer item and a shop item of one identity; their categories may differ."),
    ("image pair", "a consumer photo and a shop photo with an instance pair between them."),
    ("query item", "a consumer item with a style above 0; a gallery item is any item of a shop."),
)
#: An item of each category that is easy to see.
_EXAMPLES: Final = f"""
    SELECT split, image_id, item_no, category_name AS category, source FROM items
    QUALIFY row_number() OVER (
        PARTITION BY category_id
        ORDER BY occlusion <> 1, viewpoint <> 2, zoom_in <> 1, scale DESC, {SPLIT_ORDER}, image_id, item_no
    ) = 1
    ORDER BY category_id
"""
_LEGEND: Final = (
    "The box, the mask (the union of the item's polygons) and the landmarks with the skeleton of the category: a disc "
    "is a visible landmark, a white diamond an occluded one."
)
_HIDDEN_WHERE_ZERO: Final = ("num_quarantined",)


def overview(selection: Selection, thumbnails: Thumbnails) -> Html:
    """Return the section on the counts.

    Args:
        selection: the subset.
        thumbnails: draws an item of each category.
    """
    examples = thumbnails.of_items(records(selection.sql(_EXAMPLES)))
    counts = records(selection.sql(f"FROM split_counts ORDER BY {SPLIT_ORDER}"))
    definitions = element("ul", *(element("li", element("strong", name), f": {text}") for name, text in _TERMS))
    return section(
        "data",
        "What is in the data",
        element("p", _lead(selection, counts), class_="lead"),
        table("Counts by split", _by_split(counts)) if counts else None,
        element("details", element("summary", "What the words mean"), definitions),
        join(element("h3", "To be told"), bullets(selection.notices)) if selection.notices else None,
        join(element("h3", "An item of each category"), element("p", _LEGEND, class_="muted"), examples)
        if examples
        else None,
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
