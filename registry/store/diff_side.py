"""The subset of one of two versions that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.tables import FIELDS, IMAGES, ITEMS
from registry.store.difference import COMPARED
from registry.store.selection import Selection
from registry.store.unknown import PAIRING
from registry.subset.options import Subset

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.snapshot import Snapshot

#: The columns of an item's key, as SQL has them.
KEY_SQL: Final = ", ".join(ITEMS.key)
_NO_ITEM: Final = Subset(where="false")


class Side(Selection):
    """The subset in one of the two versions."""

    @classmethod
    def of(cls, snapshot: Snapshot, subset: Subset) -> Side:
        """Return the items of a subset, which may name splits that this version lacks."""
        splits = tuple(split for split in subset.split if split in snapshot.manifest.splits)
        return cls(snapshot, replace(subset, split=splits) if splits or not subset.split else _NO_ITEM)

    def image_rows(self) -> pa.Table:
        """Return the images, all columns."""
        columns = ", ".join(column.name for column in IMAGES.columns)
        return self._table(f"SELECT {columns} FROM images SEMI JOIN chosen_images USING (split, image_id)")

    def item_keys(self) -> pa.Table:
        """Return key, content hash and category of the items, and the columns that decide their pairs."""
        columns = ", ".join((KEY_SQL, "content_hash", "category_id", *PAIRING))
        return self._table(f"SELECT {columns} FROM items SEMI JOIN chosen_items USING ({KEY_SQL})")

    def compared_columns(self, keys: pa.Table) -> pa.Table:
        """Return the columns to compare of some items; lists as DuckDB's hash, equal for equal lists in one process."""
        columns = ", ".join(
            f"hash({name}) AS {name}" if FIELDS[name].type.startswith("list") else name for name in COMPARED["items"]
        )
        return self._table(f"SELECT {KEY_SQL}, {columns} FROM items SEMI JOIN wanted USING ({KEY_SQL})", keys)

    def let_go(self) -> None:
        """Drop which images and items are chosen; what is read afterwards is read by key."""
        with self._snapshot.read_errors():
            for table in ("chosen_images", "chosen_items"):
                self._connection.execute(f"DROP TABLE {table}")

    def rows_of(self, keys: pa.RecordBatch, columns: Sequence[str]) -> dict[tuple[int, int], dict[str, Any]]:
        """Return columns of some items of one split, by (image_id, item_no)."""
        import pyarrow as pa
        import pyarrow.compute as pc

        bounds = pc.min_max(keys.column("image_id"))
        query = (
            f"SELECT image_id, item_no, {', '.join(columns)} FROM items SEMI JOIN wanted USING ({KEY_SQL}) "
            "WHERE split = $split AND image_id BETWEEN $low AND $high"
        )
        params = {
            "split": keys.column("split")[0].as_py(),
            "low": bounds["min"].as_py(),
            "high": bounds["max"].as_py(),
        }
        cursor = self._connection.cursor()
        with self._snapshot.read_errors():
            cursor.register("wanted", pa.Table.from_batches([keys]).select(list(ITEMS.key)))
            rows = cursor.execute(query, params).fetchall()
        return {(row[0], row[1]): dict(zip(columns, row[2:], strict=True)) for row in rows}

    def _table(self, query: str, wanted: pa.Table | None = None) -> pa.Table:
        """Return the rows of a query, which may read ``wanted``."""
        cursor = self._connection.cursor()
        with self._snapshot.read_errors():
            if wanted is not None:
                cursor.register("wanted", wanted)
            return cursor.sql(query).to_arrow_table()
