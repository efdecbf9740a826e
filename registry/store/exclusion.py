"""Leaves out the rows of checks from a subset (``--exclude-check``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from registry.dataset.checks import REMEDIES, load_checks
from registry.dataset.tables import TABLES
from registry.errors import UsageError
from registry.store.geometry import register_functions
from registry.store.sql import quote, quote_name
from registry.subset.options import Subset
from registry.wording import plural

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Columns of a unit -> its name in messages.
_NAMES: Final = {
    ("split", "image_id", "item_no"): ("item", "items"),
    ("split", "image_id"): ("photo", "photos"),
    ("split", "pair_id", "style"): ("identity", "identities"),
    ("split", "pair_id"): ("pair_id", "pair_ids"),
}


def create_excluded(connection: DuckDBPyConnection, subset: Subset, splits: Sequence[str]) -> list[str]:
    """Create a table of keys for each check that a subset excludes; return a notice for each with rows.

    The check runs over the whole splits, not over the subset: whether an item is odd does not depend on other options.

    Args:
        connection: has the tables and views of a registry.
        subset: the options.
        splits: that the subset may have images of.

    Raises:
        UsageError: a table that a check needs is empty.
    """
    notices = []
    for name in subset.exclude_check:
        check = load_checks()[name]
        for table in check.needs:
            filled = {split for (split,) in connection.execute(f"SELECT DISTINCT split FROM {table}").fetchall()}
            remedy = REMEDIES.get(table, "fill it")
            if not filled:
                raise UsageError(f"exclude_check {name}: the check needs the table {table}, which is empty: {remedy}.")
            if lacking := [split for split in splits if split not in filled]:
                place = f"{', '.join(lacking)}, of which the table {table} has no row"
                notices.append(f"the check {name} leaves out nothing of {place}: {remedy}")
        register_functions(connection, check.sql)
        listed = ", ".join(map(quote, splits))
        connection.execute(
            f"CREATE TABLE {_table(name)} AS SELECT DISTINCT {', '.join(check.unit)} FROM (\n{check.sql}\n) "
            f"WHERE split IN ({listed})"
        )
        ((number,),) = connection.execute(f"SELECT count(*) FROM {_table(name)}").fetchall()
        if number:
            of_splits = f"of {', '.join(splits)} {'is' if number == 1 else 'are'}"
            notices.append(f"{plural(number, *_NAMES[check.unit])} {of_splits} left out by the check {name}")
    return notices


def without_excluded(table: str, subset: Subset) -> str:
    """Return the rows of ``items`` or ``images`` for FROM, without those that the checks of a subset found."""
    columns = {column.name for column in TABLES[table].columns}
    joins = [
        f" ANTI JOIN {_table(name)} USING ({', '.join(load_checks()[name].unit)})"
        for name in subset.exclude_check
        if columns >= set(load_checks()[name].unit)
    ]
    return table + "".join(joins)


def _table(check: str) -> str:
    return quote_name(f"excluded by {check}")
