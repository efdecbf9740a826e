"""Statistics of a registry or a subset: counts by any attributes, and statistics by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, unknown_name
from registry.dataset.statistics import CROSSED_ATTRIBUTES, IMAGE_ATTRIBUTES, MASK_AREAS, STATISTICS
from registry.errors import UsageError
from registry.store.mask_areas import mask_area_statistics
from registry.store.query import records
from registry.store.sql import SPLIT_ORDER, quote

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

#: Returns the rows of a SELECT over the tables and views of a registry or a subset.
Sql = Callable[[str], "DuckDBPyRelation"]


def statistic(sql: Sql, by: str | Sequence[str] = (), of: str | None = None) -> DuckDBPyRelation:
    """Return the rows of a statistic.

    Args:
        sql: reads the registry or the subset.
        by: attributes to cross: a row for each combination of their values that occurs, with ``num_images``,
            ``num_items``, ``share_of_all`` (of all counted items) and ``share_of_group`` (of the items with the same
            values of all attributes but the last).
        of: name of a statistic, one of :data:`registry.dataset.statistics.STATISTICS`.

    Raises:
        UnknownNameError: there is no such attribute or statistic.
        UsageError: both are given, or neither, or an attribute twice.
    """
    names = [by] if isinstance(by, str) else list(by)
    if (of is None) == (not names):
        raise UsageError("Expected attributes to count by, or the name of a statistic, not both.")
    if of is None:
        return sql(crossing(names))
    if of not in STATISTICS:
        raise unknown_name("statistic", of, list(STATISTICS))
    return mask_area_statistics(sql) if of == MASK_AREAS else sql(f"FROM {of}")


def crossing(by: Sequence[str]) -> str:
    """Return a SELECT that counts images and items by attributes.

    Images are counted where only attributes of images are crossed, also those without items, such as photos of test.

    Raises:
        UnknownNameError: there is no such attribute.
        UsageError: an attribute is named twice.
    """
    for name in by:
        if name not in CROSSED_ATTRIBUTES:
            raise unknown_name("attribute", name, list(CROSSED_ATTRIBUTES))
    if len(set(by)) < len(by):
        raise UsageError(f"Expected every attribute once, found {', '.join(by)}.")
    of_images = set(by) <= set(IMAGE_ATTRIBUTES)
    columns = ", ".join(_column(name, "images" if of_images else "items") for name in by)
    relation = "images LEFT JOIN items" if of_images else "items JOIN images"
    rows = f"SELECT {columns}, split, image_id, item_no FROM {relation} USING (split, image_id)"
    keys = [f"{name}_key" for name in by]
    group = f"PARTITION BY {', '.join(keys[:-1])}" if keys[:-1] else ""
    labels = ", ".join(f"{_label(name)} AS {name}" for name in by)
    counts = f"SELECT {', '.join(keys)}, count(DISTINCT (split, image_id)) AS num_images, count(item_no) AS num_items"
    return (
        f"WITH counted AS ({counts} FROM ({rows}) GROUP BY {', '.join(keys)})\n"
        f"SELECT {labels}, num_images, num_items, num_items / nullif(sum(num_items) OVER (), 0) AS share_of_all, "
        f"num_items / nullif(sum(num_items) OVER ({group}), 0) AS share_of_group\n"
        f"FROM counted ORDER BY {', '.join(_order(name) for name in by)}"
    )


def _column(name: str, relation: str) -> str:
    """Return the column by which an attribute is grouped, as ``NAME_key``."""
    table = "images" if name == "orientation" else relation
    return f"{table}.{'category_id' if name == 'category' else name} AS {name}_key"


def _label(name: str) -> str:
    """Return the value of an attribute for people: the meaning of a code, the name of a category."""
    if name == "category":
        return "(SELECT categories.name FROM categories WHERE categories.id = category_key)"
    if name not in ATTRIBUTE_CODES:
        return f"{name}_key"
    meanings = " ".join(f"WHEN {code} THEN {quote(meaning)}" for code, meaning in ATTRIBUTE_CODES[name].items())
    return f"CASE {name}_key {meanings} END"


def _order(name: str) -> str:
    return SPLIT_ORDER if name == "split" else f"{name}_key NULLS LAST"


def nested_counts(sql: Sql) -> dict[str, Any]:
    """Return the counts of the views split_counts, category_counts and attribute_counts, nested by split."""
    stats: dict[str, Any] = {}
    for row in records(sql("FROM split_counts")):
        split = row.pop("split")
        stats[split] = {**row, "categories": {}, "attributes": {}}
    for row in records(sql("SELECT split, category_name, num_items FROM category_counts")):
        stats[row["split"]]["categories"][row["category_name"]] = row["num_items"]
    for row in records(sql("SELECT split, attribute, meaning, num_items FROM attribute_counts")):
        values = stats[row["split"]]["attributes"].setdefault(row["attribute"], {})
        values[row["meaning"]] = row["num_items"]
    return stats
