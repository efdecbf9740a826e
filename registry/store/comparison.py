"""Compares the rows of two versions, a slice of image_ids at a time, and keeps those that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from registry.store.diff_side import KEY_SQL, Side, slices_of
from registry.store.difference import COMPARED, PAIR_COLUMNS
from registry.store.unknown import PAIRING
from registry.store.views import view_over

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

#: Items of a side that are compared at a time, some hundred bytes each.
SLICE_ITEMS: Final = 400_000


class Comparison:
    """Creates tables of the rows that differ between two sides.

    Memory grows with the rows of a slice and with those that differ.

    Args:
        connection: an empty database, which gets the tables ``image_changes`` (split, image_id, change, fields),
            ``item_changes`` (key, change, category_id, fields) and ``instance_pair_changes`` (change and the columns of
            a pair), and ``old_images`` and ``new_images``, the rows of the images that differ. ``fields`` are the
            columns that differ.
        sides: ``old`` and ``new``.
        image_columns: to compare.
    """

    def __init__(self, connection: DuckDBPyConnection, sides: Mapping[str, Side], image_columns: Sequence[str]) -> None:
        self._connection = connection
        self._sides = sides
        self._image_columns = image_columns

    def run(self) -> None:
        """Compare all rows."""
        for condition in slices_of(list(self._sides.values()), SLICE_ITEMS):
            for name, side in self._sides.items():
                self._load(f"{name}_image_slice", side.image_rows(condition))
                self._load(f"{name}_item_slice", side.item_keys(condition))
            self._compare_images()
            self._compare_items(condition)
            for name in self._sides:
                for rows in ("image", "item"):
                    self._connection.execute(f"DROP TABLE {name}_{rows}_slice")
        self._compare_pairs()

    def _compare_images(self) -> None:
        """Add the images of the slice that differ to ``image_changes``, and their rows to those of their side."""
        self._connection.execute(
            f"""
            CREATE OR REPLACE TABLE changed_slice AS
            SELECT split, image_id, {_change_sql("file_name")} AS change, {_fields_sql(self._image_columns)} AS fields
            FROM old_image_slice AS old FULL JOIN new_image_slice AS new USING (split, image_id)
            WHERE change <> 'changed' OR len(fields) > 0
            """
        )
        self._append("image_changes", "FROM changed_slice")
        for name in self._sides:
            differing = f"FROM {name}_image_slice SEMI JOIN changed_slice USING (split, image_id)"
            self._append(f"{name}_images", differing)

    def _compare_items(self, condition: str) -> None:
        """Add the items of the slice that differ to ``item_changes``; to ``touched`` the identities of their pairs."""
        # Without content hashes on one side, all items that are on both are candidates.
        self._connection.execute(
            f"""
            CREATE TABLE candidates AS
            SELECT {KEY_SQL}, {_change_sql("category_id")} AS change,
                coalesce(new.category_id, old.category_id) AS category_id
            FROM old_item_slice AS old FULL JOIN new_item_slice AS new USING ({KEY_SQL})
            WHERE coalesce(old.content_hash <> new.content_hash, true)
            """
        )
        keys = self._connection.sql(f"SELECT {KEY_SQL} FROM candidates WHERE change = 'changed'").to_arrow_table()
        for name, side in self._sides.items():
            self._load(f"{name}_compared", side.compared_columns(keys, condition))
        self._connection.execute(
            f"""
            CREATE OR REPLACE TABLE changed_slice AS
            SELECT {KEY_SQL}, change, category_id, coalesce(compared.fields, []) AS fields FROM candidates LEFT JOIN (
                SELECT {KEY_SQL}, {_fields_sql(COMPARED["items"])} AS fields
                FROM old_compared AS old JOIN new_compared AS new USING ({KEY_SQL})
            ) AS compared USING ({KEY_SQL})
            WHERE change <> 'changed' OR len(fields) > 0
            """
        )
        self._append("item_changes", "FROM changed_slice")
        moved = (
            f"(SELECT {KEY_SQL} FROM changed_slice WHERE change <> 'changed' "
            f"OR list_has_any(fields, {list(PAIRING)})) AS moved"
        )
        for name in self._sides:
            items = f"{name}_item_slice SEMI JOIN {moved} USING ({KEY_SQL})"
            self._append("touched", f"SELECT DISTINCT split, pair_id, style FROM {items} WHERE style > 0")
        for table in ("candidates", "old_compared", "new_compared"):
            self._connection.execute(f"DROP TABLE {table}")

    def _compare_pairs(self) -> None:
        """Create ``instance_pair_changes``: pairs that only one side has, of the identities of changed items."""
        identities = self._connection.sql("SELECT DISTINCT * FROM touched").to_arrow_table()
        pairs = view_over("instance_pairs", items="FROM items_of_identities")
        for name, side in self._sides.items():
            with side.items_of_identities(identities) as items:
                self._load("items_of_identities", items)
            self._connection.execute(f"CREATE TABLE {name}_pairs AS SELECT {', '.join(PAIR_COLUMNS)} FROM ({pairs})")
            self._connection.execute("DROP TABLE items_of_identities")
        self._connection.execute(
            """
            CREATE TABLE instance_pair_changes AS
            SELECT 'removed' AS change, * FROM (FROM old_pairs EXCEPT FROM new_pairs)
            UNION ALL
            SELECT 'added', * FROM (FROM new_pairs EXCEPT FROM old_pairs)
            """
        )
        for table in ("changed_slice", "touched", "old_pairs", "new_pairs"):
            self._connection.execute(f"DROP TABLE {table}")

    def _load(self, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Create a table with these rows."""
        self._connection.register("loaded", rows)
        self._connection.execute(f"CREATE TABLE {table} AS FROM loaded")
        self._connection.unregister("loaded")

    def _append(self, table: str, query: str) -> None:
        """Add the rows of a query to a table, which the first of them creates."""
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {table} AS {query} WITH NO DATA")
        self._connection.execute(f"INSERT INTO {table} {query}")


def _change_sql(column: str) -> str:
    """Return SQL for the change of a row of a full join, by a column that is never NULL."""
    return f"CASE WHEN old.{column} IS NULL THEN 'added' WHEN new.{column} IS NULL THEN 'removed' ELSE 'changed' END"


def _fields_sql(columns: Sequence[str]) -> str:
    """Return SQL for the list of the columns that differ, in their order."""
    names = [f"CASE WHEN old.{name} IS DISTINCT FROM new.{name} THEN '{name}' END" for name in columns]
    return f"list_filter([{', '.join(names)}], lambda name: name IS NOT NULL)"
