"""The views of ``schemas/views``: created in a database, or as SQL over other rows."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import duckdb

from registry.dataset.tables import TABLES
from registry.dataset.views import View, load_views
from registry.errors import QueryError
from registry.store.sql import quote_name, table_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Tables and views after FROM or JOIN.
_READS: Final = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")


def views_in_order() -> list[View]:
    """Return all views, each after the views it reads."""
    waiting = dict(load_views())
    # DuckDB's parser says the same (a test compares them), but takes 10 ms of every start.
    reads = {name: relations(view.sql) & set(waiting) for name, view in waiting.items()}
    ordered: list[View] = []
    while waiting:
        ready = [name for name in waiting if not reads[name] & set(waiting)]
        if not ready:
            raise QueryError(f"The views {', '.join(sorted(waiting))} read each other in a circle.")
        ordered += [waiting.pop(name) for name in ready]
    return ordered


def create_views(connection: DuckDBPyConnection, schema: str = "main") -> None:
    """Create the views that a schema lacks. They read its tables, and those of ``main`` that it does not have."""
    for view in views_in_order():
        connection.execute(f"CREATE VIEW IF NOT EXISTS {quote_name(schema)}.{view.name} AS\n{view.sql}")


def view_over(name: str, **queries: str) -> str:
    """Return a SELECT: the rows a view has when queries take the place of tables or views that it reads.

    ``view_over("instance_pairs", items="SELECT ... FROM chosen_items")`` are the positive pairs among those items, by
    the rule in ``instance_pairs.sql``. A query needs only the columns that the view uses, and names a table that it
    replaces with its schema (``main.items``).
    """
    parts = dict(queries)
    for view in views_in_order():
        if view.name not in parts and (view.name == name or relations(view.sql) & set(parts)):
            parts[view.name] = view.sql
        if view.name == name:
            break
    needed = _needed(name, parts)
    listed = ",\n".join(f"{relation} AS (\n{query}\n)" for relation, query in parts.items() if relation in needed)
    return f"WITH {listed}\nSELECT * FROM {name}"


def view_columns() -> dict[str, list[tuple[str, str]]]:
    """Return the (name, DuckDB type) of the columns of every view."""
    with duckdb.connect() as connection:
        for table in TABLES.values():
            connection.execute(f"CREATE VIEW {table.name} AS {table_sql(table, ())}")
        create_views(connection)
        return {
            name: [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {name}").fetchall()]
            for name in load_views()
        }


def relations(sql: str) -> set[str]:
    """Return the names after FROM and JOIN in the SQL of a view."""
    return set(_READS.findall(sql))


def _needed(name: str, parts: dict[str, str]) -> set[str]:
    """Return a view and the parts that it reads, directly or through others."""
    needed = {name}
    for relation in reversed(parts):
        if relation in needed:
            needed |= relations(parts[relation]) & set(parts)
    return needed


#: Bound value -> what it says of a row of instance_pairs.
_PAIR_CONDITIONS: Final = {
    "split": "split = $split",
    "pair_id": "pair_id = $pair_id",
    "style": "style = $style",
    "categories": "(list_contains($categories, user_category_id) OR list_contains($categories, shop_category_id))",
}


def pairs_query(params: Collection[str], *, of_images: bool = False) -> str:
    """Return a SELECT of the positive pairs that fit bound values, sorted.

    Args:
        params: names of the values: split, pair_id, style, categories (a list of ids) and limit.
        of_images: pairs of images; by default pairs of items.
    """
    condition = " AND ".join(sql for name, sql in _PAIR_CONDITIONS.items() if name in params) or "true"
    pairs = f"SELECT * FROM main.instance_pairs WHERE {condition}"
    if "pair_id" in params:
        # The view reads items twice. The few items of a pair_id are read once and kept.
        of_items = " AND ".join(_PAIR_CONDITIONS[name] for name in ("split", "pair_id", "style") if name in params)
        items = f"FROM main.items WHERE {of_items}"
        pairs = f"SELECT * FROM ({view_over('instance_pairs', items=items)}) WHERE {condition}"
    order = "split, pair_id, style, user_image_id, user_item_no, shop_image_id, shop_item_no"
    if of_images:
        pairs, order = view_over("image_pairs", instance_pairs=pairs), "split, pair_id, user_image_id, shop_image_id"
    return f"{pairs} ORDER BY {order}" + (" LIMIT $limit" if "limit" in params else "")
