"""Compares a subset of one registry version with the same subset of another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORY_BY_ID, SPLITS
from registry.dataset.tables import FIELDS, IMAGES, ITEM_COLUMNS, ITEMS
from registry.errors import UnknownNameError
from registry.store.connection import duckdb_errors
from registry.store.difference import COMPARED, PAIR_COLUMNS, Change, Count, Summary
from registry.store.html import html_table
from registry.store.selection import Selection
from registry.store.settings import open_database
from registry.store.sql import SPLIT_ORDER
from registry.store.unknown import PAIRING
from registry.store.views import view_over
from registry.subset.options import Subset

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

    from registry.store.snapshot import Snapshot

#: Items whose rows are read and held at a time.
_BATCH: Final = 4_096
_KEY: Final = ", ".join(ITEMS.key)
#: Tables of the rows that differ: key, ``change``, and ``fields`` (the columns that differ) of images and items.
_CHANGE_TABLES: Final = {"images": "image_changes", "items": "item_changes", "instance_pairs": "instance_pair_changes"}
_NO_ITEM: Final = Subset(where="false")


class Diff:
    """The images, items and pairs of a subset that were added, removed or changed between two versions.

    Keys, content hashes and the columns that decide pairs are in memory for both sides, some hundred bytes an item;
    whole rows are read only where they differ. An item that a changed value brings into the subset counts as added,
    an item that leaves the subset as removed.

    Args:
        old: a version of a registry.
        new: another version, of the same registry or of another.
        subset: options for both sides; all items without it. A split that only one side has is empty on the other.

    Attributes:
        subset: as given.
        summary: counts of the changes.
        notices: of both sides, as those of a selection.

    Raises:
        UnknownNameError: the subset names a split that neither side has.
        UsageError: its condition is not allowed.
        RegistryFormatError: a file of either side cannot be read.
    """

    def __init__(self, old: Snapshot, new: Snapshot, subset: Subset | None = None) -> None:
        self.subset = subset or Subset()
        _check_splits(self.subset, old, new)
        self._sides = {"old": _Side.of(old, self.subset), "new": _Side.of(new, self.subset)}
        self.notices = list(dict.fromkeys(notice for side in self._sides.values() for notice in side.notices))
        # A column that one side is too old for is not known there, which is no difference.
        version = min(old.manifest.schema_version, new.manifest.schema_version)
        newer = {column.name for column in IMAGES.columns if column.since > version}
        self._image_columns = [name for name in COMPARED["images"] if name not in newer]
        self._connection = open_database(old.limits, spill=True)
        with duckdb_errors():
            for name, side in self._sides.items():
                self._load(f"{name}_images", side.image_rows())
                self._load(f"{name}_items", side.item_keys())
            self._compare_images()
            self._compare_items()
            self._compare_pairs()
            self.summary = self._summary()

    def __repr__(self) -> str:
        counts = self.summary.counts().items()
        numbers = (f"{of} {', '.join(f'{n} {change}' for change, n in changes.items())}" for of, changes in counts)
        return f"Diff({'; '.join(numbers)})"

    def _repr_html_(self) -> str:
        rows = [{"of": of, **changes} for of, changes in self.summary.counts().items()]
        return html_table(f"Difference {self.subset.text}", rows)

    def images(self) -> Iterator[Change]:
        """Yield the images that differ, in order of split and image_id."""
        return self._images_of(None)

    def _images_of(self, wanted: Collection[tuple[Any, ...]] | None) -> Iterator[Change]:
        """Yield all images that differ, or those of some keys."""
        condition, params = _among(("split", "image_id"), wanted)
        columns = COMPARED["images"]
        values = [f"{side}.{name}" for side in self._sides for name in columns]
        query = (
            f"SELECT split, image_id, change, fields, {', '.join(values)} FROM image_changes "
            "LEFT JOIN old_images AS old USING (split, image_id) LEFT JOIN new_images AS new USING (split, image_id) "
            f"WHERE {condition} ORDER BY {SPLIT_ORDER}, image_id"
        )
        for split, image_id, change, changed_columns, *both in self._relation(query, params).iter_rows():
            old = dict(zip(columns, both[: len(columns)], strict=True))
            new = dict(zip(columns, both[len(columns) :], strict=True))
            yield _change(change, {"split": split, "image_id": image_id}, changed_columns, old, new)

    def page(
        self,
        of: str,
        *,
        change: str | None = None,
        column: str | None = None,
        after: Sequence[int] | None = None,
        size: int = 24,
    ) -> tuple[list[Change], list[int] | None]:
        """Return some of the images or items that differ, in their order, and the place of the last if there are more.

        Args:
            of: ``images`` or ``items``.
            change: ``added``, ``removed`` or ``changed``; all of them without it.
            column: one in which they differ.
            after: a place that this method returned: number of the split, image_id, and item_no of items.
            size: the most rows.
        """
        keys = ["image_id"] if of == "images" else ["image_id", "item_no"]
        place = ", ".join([SPLIT_ORDER, *keys])
        conditions, params = ["true"], {}
        for name, condition, value in (
            ("change", "change = $change", change),
            ("column", "list_contains(fields, $column)", column),
            *((f"after_{number}", "", entry) for number, entry in enumerate(after or ())),
        ):
            if value is not None:
                params[name] = value
                conditions += [condition] if condition else []
        if after is not None:
            conditions.append(f"({place}) > ({', '.join(f'$after_{number}' for number in range(len(keys) + 1))})")
        query = (
            f"SELECT {place}, * FROM {_CHANGE_TABLES[of]} WHERE {' AND '.join(conditions)} "
            f"ORDER BY {place} LIMIT {size + 1:d}"
        )
        with duckdb_errors():
            rows = self._relation(query, params).fetchall()
        last = [*rows[size - 1][: len(keys) + 1]] if len(rows) > size else None
        wanted = {(SPLITS[row[0] - 1], *row[1 : len(keys) + 1]) for row in rows[:size]}
        if not wanted:
            return [], None
        with duckdb_errors():
            changes = list(self._images_of(wanted) if of == "images" else self._items_of(wanted))
        return changes, last

    def items(self) -> Iterator[Change]:
        """Yield the items that differ, in order of split, image_id and item_no."""
        return self._items_of(None)

    def _items_of(self, wanted: Collection[tuple[Any, ...]] | None) -> Iterator[Change]:
        """Yield all items that differ, or those of some keys."""
        condition, params = _among(ITEMS.key, wanted)
        names = ("image_id", "item_no", "change", "category_id", "fields")
        query = (
            f"SELECT split, {', '.join(names)} FROM item_changes WHERE split = $split AND {condition} "
            "ORDER BY image_id, item_no"
        )
        for split in self.summary.splits:
            for batch in self._relation(query, {"split": split, **params}).to_arrow_reader(_BATCH):
                columns = batch.select(names).to_pydict()
                read_columns = _columns_to_read(columns["change"], columns["fields"])
                old, new = (side.rows_of(batch, read_columns) for side in self._sides.values())
                for image_id, item_no, change, category_id, changed_columns in zip(*columns.values(), strict=True):
                    key = {
                        "split": split,
                        "image_id": image_id,
                        "item_no": item_no,
                        "category_name": CATEGORY_BY_ID[category_id].name,
                    }
                    row_key = (image_id, item_no)
                    yield _change(change, key, changed_columns, old.get(row_key), new.get(row_key))

    def instance_pairs(self) -> Iterator[dict[str, Any]]:
        """Yield the pairs of items that only one side has, in order: ``change`` and the columns of the pair."""
        columns = ", ".join(PAIR_COLUMNS)
        order = ", ".join(SPLIT_ORDER if name == "split" else name for name in PAIR_COLUMNS)
        rows = self._relation(f"SELECT change, {columns} FROM instance_pair_changes ORDER BY {order}, change")
        for row in rows.iter_rows():
            yield dict(zip(("change", *PAIR_COLUMNS), row, strict=True))

    def _compare_images(self) -> None:
        """Create ``image_changes``: key, change and fields of the images that differ."""
        self._connection.execute(
            f"""
            CREATE TABLE image_changes AS
            SELECT split, image_id, {_change_sql("file_name")} AS change, {_fields_sql(self._image_columns)} AS fields
            FROM old_images AS old FULL JOIN new_images AS new USING (split, image_id)
            WHERE change <> 'changed' OR len(fields) > 0
            """
        )

    def _compare_items(self) -> None:
        """Create ``item_changes``: key, change, category and fields of the items that differ."""
        # Without content hashes on one side, all items that are on both are candidates.
        self._connection.execute(
            f"""
            CREATE TABLE candidates AS
            SELECT {_KEY}, {_change_sql("category_id")} AS change,
                coalesce(new.category_id, old.category_id) AS category_id
            FROM old_items AS old FULL JOIN new_items AS new USING ({_KEY})
            WHERE coalesce(old.content_hash <> new.content_hash, true)
            """
        )
        keys = self._relation(f"SELECT {_KEY} FROM candidates WHERE change = 'changed'").to_arrow_table()
        for name, side in self._sides.items():
            self._load(f"{name}_compared", side.compared_columns(keys))
        self._connection.execute(
            f"""
            CREATE TABLE item_changes AS
            SELECT {_KEY}, change, category_id, coalesce(compared.fields, []) AS fields FROM candidates LEFT JOIN (
                SELECT {_KEY}, {_fields_sql(COMPARED["items"])} AS fields
                FROM old_compared AS old JOIN new_compared AS new USING ({_KEY})
            ) AS compared USING ({_KEY})
            WHERE change <> 'changed' OR len(fields) > 0
            """
        )
        for table in ("candidates", "old_compared", "new_compared"):
            self._connection.execute(f"DROP TABLE {table}")

    def _compare_pairs(self) -> None:
        """Create ``instance_pair_changes``: pairs that only one side has, of the identities of changed items."""
        moved = (
            f"(SELECT {_KEY} FROM item_changes WHERE change <> 'changed' "
            f"OR list_has_any(fields, {list(PAIRING)})) AS moved"
        )
        identities = " UNION ".join(
            f"SELECT split, pair_id, style FROM {side}_items SEMI JOIN {moved} USING ({_KEY}) WHERE style > 0"
            for side in self._sides
        )
        self._connection.execute(f"CREATE TABLE touched AS {identities}")
        for side in self._sides:
            items = f"FROM {side}_items SEMI JOIN touched USING (split, pair_id, style)"
            pairs = view_over("instance_pairs", items=items)
            self._connection.execute(f"CREATE TABLE {side}_pairs AS SELECT {', '.join(PAIR_COLUMNS)} FROM ({pairs})")
        self._connection.execute(
            """
            CREATE TABLE instance_pair_changes AS
            SELECT 'removed' AS change, * FROM (FROM old_pairs EXCEPT FROM new_pairs)
            UNION ALL
            SELECT 'added', * FROM (FROM new_pairs EXCEPT FROM old_pairs)
            """
        )
        for table in ("old_items", "new_items", "touched", "old_pairs", "new_pairs"):
            self._connection.execute(f"DROP TABLE {table}")

    def _summary(self) -> Summary:
        counts = []
        for kind, table in _CHANGE_TABLES.items():
            category = "category_id" if kind == "items" else "NULL"
            query = f"SELECT split, {category}, change, count(*) FROM {table} GROUP BY ALL ORDER BY ALL"
            counts += [Count(kind, *row) for row in self._relation(query).fetchall()]
        fields = {}
        for kind, columns in COMPARED.items():
            changed = f"(FROM {_CHANGE_TABLES[kind]} WHERE change = 'changed')"
            query = f"SELECT unnest(fields) AS field, count(*) FROM {changed} GROUP BY field"
            numbers = dict(self._relation(query).fetchall())
            fields[kind] = {name: numbers[name] for name in columns if name in numbers}
        splits = self.subset.split or {part.name for side in self._sides.values() for part in side.parts}
        return Summary([split for split in SPLITS if split in splits], counts, fields)

    def _load(self, table: str, rows: pa.Table) -> None:
        """Create a table with these rows."""
        self._connection.register("loaded", rows)
        self._connection.execute(f"CREATE TABLE {table} AS FROM loaded")
        self._connection.unregister("loaded")

    def _relation(self, query: str, params: Mapping[str, Any] | None = None) -> DuckDBPyRelation:
        return self._connection.cursor().sql(query, params=params)


class _Side(Selection):
    """The subset in one of the two versions."""

    @classmethod
    def of(cls, snapshot: Snapshot, subset: Subset) -> _Side:
        """Return the items of a subset, which may name splits that this version lacks."""
        splits = tuple(split for split in subset.split if split in snapshot.manifest.splits)
        return cls(snapshot, replace(subset, split=splits) if splits or not subset.split else _NO_ITEM)

    def image_rows(self) -> pa.Table:
        """Return the images, all columns."""
        columns = ", ".join(column.name for column in IMAGES.columns)
        return self._table(f"SELECT {columns} FROM images SEMI JOIN chosen_images USING (split, image_id)")

    def item_keys(self) -> pa.Table:
        """Return key, content hash and category of the items, and the columns that decide their pairs."""
        columns = ", ".join((_KEY, "content_hash", "category_id", *PAIRING))
        return self._table(f"SELECT {columns} FROM items SEMI JOIN chosen_items USING ({_KEY})")

    def compared_columns(self, keys: pa.Table) -> pa.Table:
        """Return the columns to compare of some items; lists as DuckDB's hash, equal for equal lists in one process."""
        columns = ", ".join(
            f"hash({name}) AS {name}" if FIELDS[name].type.startswith("list") else name for name in COMPARED["items"]
        )
        return self._table(f"SELECT {_KEY}, {columns} FROM items SEMI JOIN wanted USING ({_KEY})", keys)

    def rows_of(self, keys: pa.RecordBatch, columns: Sequence[str]) -> dict[tuple[int, int], dict[str, Any]]:
        """Return columns of some items of one split, by (image_id, item_no)."""
        import pyarrow as pa
        import pyarrow.compute as pc

        bounds = pc.min_max(keys.column("image_id"))
        query = (
            f"SELECT image_id, item_no, {', '.join(columns)} FROM items SEMI JOIN wanted USING ({_KEY}) "
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


def _among(key: Sequence[str], wanted: Collection[tuple[Any, ...]] | None) -> tuple[str, dict[str, Any]]:
    """Return a condition that a row is among those of some keys, or true; and what it binds."""
    if wanted is None:
        return "true", {}
    columns = list(zip(*wanted, strict=True))
    lists = ", ".join(f"unnest($key_{number})" for number in range(len(key)))
    params = {f"key_{number}": list(values) for number, values in enumerate(columns)}
    return f"({', '.join(key)}) IN (SELECT ({lists}))", params


def _check_splits(subset: Subset, old: Snapshot, new: Snapshot) -> None:
    splits = [split for split in SPLITS if split in {*old.manifest.splits, *new.manifest.splits}]
    for split in subset.split:
        if split not in splits:
            raise UnknownNameError(
                f"The split {split} is neither in {old.place} nor in {new.place}; there is: {', '.join(splits)}."
            )


def _change_sql(column: str) -> str:
    """Return SQL for the change of a row of a full join, by a column that is never NULL."""
    return f"CASE WHEN old.{column} IS NULL THEN 'added' WHEN new.{column} IS NULL THEN 'removed' ELSE 'changed' END"


def _fields_sql(columns: Sequence[str]) -> str:
    """Return SQL for the list of the columns that differ, in their order."""
    names = [f"CASE WHEN old.{name} IS DISTINCT FROM new.{name} THEN '{name}' END" for name in columns]
    return f"list_filter([{', '.join(names)}], lambda name: name IS NOT NULL)"


def _columns_to_read(changes: Sequence[str], changed_columns: Sequence[Sequence[str]]) -> list[str]:
    """Return the columns to read of items that differ: of changed items, those in which any of them differs."""
    if set(changes) != {"changed"}:
        return [name for name in ITEM_COLUMNS if name not in ITEMS.key]
    differing = {name for names in changed_columns for name in names}
    return [name for name in COMPARED["items"] if name in differing]


def _change(
    change: str,
    key: Mapping[str, Any],
    fields: Sequence[str],
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
) -> Change:
    """Return a change with the values of the sides that have it."""
    if change != "changed":
        return Change(change, key, (), old if change == "removed" else None, new if change == "added" else None)
    assert old is not None and new is not None
    return Change(change, key, fields, {name: old[name] for name in fields}, {name: new[name] for name in fields})
