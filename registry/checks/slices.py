"""Slices of a check: conditions that divide its rows, so that DuckDB holds the keys of a slice at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registry.dataset.checks import Check
from registry.dataset.tables import ITEMS
from registry.store.connection import duckdb_errors
from registry.store.slices import conditions_between, quantiles_sql
from registry.store.sql import quote_name

if TYPE_CHECKING:
    from registry.checks.tables import Tables

#: Items of a slice, about: the released train has two slices.
SLICE_ITEMS: Final = 200_000


def slices_of(tables: Tables, check: Check, size: int = SLICE_ITEMS) -> list[str]:
    """Return conditions on ``found``, the rows of a check: each row fits a single condition.

    Args:
        tables: a registry, or a selection of one.
        check: a check without ``slices`` has the single condition ``true``. The rows of others have no NULL in that
            column: DuckDB would read all rows to look for it.
        size: items of a slice, about.
    """
    number_of = -(-sum(file.rows for file in tables.manifest.of_table(ITEMS.name)) // size)
    if not check.slices or number_of < 2:
        return ["true"]
    with duckdb_errors():
        ((bounds,),) = tables.sql(f"SELECT {quantiles_sql(check.slices, number_of)} FROM images").fetchall()
    # A subset without images has no bounds.
    return conditions_between(f"found.{quote_name(check.slices)}", map(int, bounds or []))
