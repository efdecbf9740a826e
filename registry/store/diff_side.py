"""The rows of one of two versions that are compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.tables import FIELDS, IMAGES, ITEMS
from registry.store.difference import COMPARED
from registry.store.selection import Selection
from registry.store.slices import conditions_between, quantiles_sql
from registry.store.sql import quote
from registry.store.unknown import PAIRING
from registry.subset.options import Subset

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from registry.snapshot.manifest import DataFile
    from registry.store.snapshot import Snapshot

#: The columns of an item's key, as SQL has them.
KEY_SQL: Final = ", ".join(ITEMS.key)
_NO_ITEM: Final = Subset(where="false")
_ROWS_AT_ONCE: Final = 20_000


class Side:
    """The images and items of one version that are compared.

    Attributes:
        splits: of the version that have images among them.
        notices: of the selection.
        row_counts: split -> ``images`` and ``items`` -> number of rows.
    """

    def __init__(
        self, snapshot: Snapshot, connection: DuckDBPyConnection, splits: Collection[str], *, is_chosen: bool
    ) -> None:
        """Read rows of a connection: those in chosen_images and chosen_items, or all; see the class methods."""
        self.splits = splits
        self.notices: list[str] = []
        self.row_counts: dict[str, Mapping[str, int]] = {}
        self._snapshot = snapshot
        self._connection = connection
        self._is_chosen = is_chosen
        self._leaves_out_files = False

    @classmethod
    def of_subset(cls, snapshot: Snapshot, subset: Subset) -> Side:
        """Return the side of a subset, which may name splits that this version lacks."""
        splits = tuple(split for split in subset.split if split in snapshot.manifest.splits)
        selection = Selection(snapshot, replace(subset, split=splits) if splits or not subset.split else _NO_ITEM)
        side = cls(snapshot, selection.cursor(), [part.name for part in selection.parts], is_chosen=True)
        side.notices = selection.notices
        side.row_counts = {part.name: selection.counts(part) for part in selection.parts}
        return side

    @classmethod
    def of_files(cls, snapshot: Snapshot, files: Collection[DataFile], splits: Collection[str]) -> Side:
        """Return the side of all images and items in some files of a version."""
        tables = {name: [file for file in files if file.table == name] for name in (IMAGES.name, ITEMS.name)}
        read = (*tables[IMAGES.name], *tables[ITEMS.name])
        part = replace(snapshot, manifest=replace(snapshot.manifest, files=read, read_sha256=None))
        with snapshot.read_errors():
            side = cls(snapshot, part.connect(spill=True, views=False), splits, is_chosen=False)
        all_items = snapshot.manifest.of_table(ITEMS.name)
        side._leaves_out_files = not {file for file in all_items if file.split in splits} <= set(tables[ITEMS.name])
        side.row_counts = {
            split: {name: sum(f.rows for f in files if f.split == split) for name, files in tables.items()}
            for split in {file.split for file in read if file.split}
        }
        return side

    def bounds(self, split: str, size: int) -> list[int]:
        """Return image_ids that divide images and items of a split into parts of about ``size`` rows or fewer."""
        counts = self.row_counts.get(split, {IMAGES.name: 0})
        longer = max(counts, key=counts.__getitem__)
        number_of = -(-counts[longer] // size)
        if number_of < 2:
            return []
        table = f"{'chosen_' if self._is_chosen else ''}{longer}"
        query = f"SELECT {quantiles_sql('image_id', number_of)} FROM {table} WHERE split = $split"
        with self._snapshot.read_errors():
            ((bounds,),) = self._connection.cursor().execute(query, {"split": split}).fetchall()
        return [int(bound) for bound in bounds or []]

    def image_rows(self, condition: str) -> pa.Table:
        """Return the images that fit a condition on split and image_id, all columns."""
        columns = ", ".join(column.name for column in IMAGES.columns)
        return self._table(f"SELECT {columns} FROM {self._rows(IMAGES.name, condition)}")

    def item_keys(self, condition: str) -> pa.Table:
        """Return key, content hash and category of the items that fit a condition, and what decides their pairs."""
        columns = ", ".join((KEY_SQL, "content_hash", "category_id", *PAIRING))
        return self._table(f"SELECT {columns} FROM {self._rows(ITEMS.name, condition)}")

    def compared_columns(self, keys: pa.Table, condition: str) -> pa.Table:
        """Return the columns to compare of some items that fit a condition.

        Lists come as DuckDB's hash, which is equal for equal lists in one process.
        """
        columns = ", ".join(
            f"hash({name}) AS {name}" if FIELDS[name].type.startswith("list") else name for name in COMPARED["items"]
        )
        rows = f"(FROM items WHERE {condition}) AS items SEMI JOIN wanted USING ({KEY_SQL})"
        return self._table(f"SELECT {KEY_SQL}, {columns} FROM {rows}", keys)

    @contextmanager
    def items_of_identities(self, identities: pa.Table) -> Iterator[pa.RecordBatchReader]:
        """Yield a reader of the items of some identities: key, category and what decides their pairs.

        Args:
            identities: split, pair_id and style.
        """
        connection = self._connection
        if self._leaves_out_files and identities.num_rows:
            # The other items of an identity may be in files that both versions have.
            connection = self._snapshot.connect(spill=True, views=False)
        cursor = connection.cursor()
        columns = ", ".join((KEY_SQL, "category_id", *PAIRING))
        items = "chosen_items" if self._is_chosen else ITEMS.name
        with self._snapshot.read_errors():
            cursor.register("wanted", identities)
            query = f"SELECT {columns} FROM {items} SEMI JOIN wanted USING (split, pair_id, style)"
            yield cursor.sql(query).to_arrow_reader(_ROWS_AT_ONCE)

    def let_go(self) -> None:
        """Drop which images and items are chosen; what is read afterwards is read by key."""
        with self._snapshot.read_errors():
            for table in ("chosen_images", "chosen_items") if self._is_chosen else ():
                self._connection.execute(f"DROP TABLE {table}")

    def rows_of(self, keys: pa.RecordBatch, columns: Sequence[str]) -> dict[tuple[int, int], dict[str, Any]]:
        """Return columns of some compared items of one split, by (image_id, item_no)."""
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

    def _rows(self, table: str, condition: str) -> str:
        """Return the compared rows of a table that fit a condition on split and image_id, for FROM."""
        key = ", ".join(IMAGES.key if table == IMAGES.name else ITEMS.key)
        chosen = f" SEMI JOIN (FROM chosen_{table} WHERE {condition}) AS chosen USING ({key})"
        return f"(FROM {table} WHERE {condition}) AS {table}{chosen if self._is_chosen else ''}"

    def _table(self, query: str, wanted: pa.Table | None = None) -> pa.Table:
        """Return the rows of a query, which may read ``wanted``."""
        cursor = self._connection.cursor()
        with self._snapshot.read_errors():
            if wanted is not None:
                cursor.register("wanted", wanted)
            return cursor.sql(query).to_arrow_table()


def slices_of(sides: Sequence[Side], size: int) -> list[str]:
    """Return conditions on split and image_id: every row fits one of them, and about ``size`` rows of a side or fewer.

    Args:
        sides: both.
        size: rows.
    """
    if max(sum(max(counts.values()) for counts in side.row_counts.values()) for side in sides) <= size:
        return ["true"]
    conditions = []
    for split in sorted({split for side in sides for split in side.row_counts}):
        bounds = [bound for side in sides for bound in side.bounds(split, size)]
        conditions += [f"split = {quote(split)} AND {part}" for part in conditions_between("image_id", bounds)]
    return conditions
