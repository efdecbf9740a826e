"""Finds what became different between a subset of one registry and the same subset of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORY_BY_ID, SPLITS
from registry.dataset.tables import FIELDS, IMAGES, ITEM_COLUMNS, ITEMS
from registry.errors import UnknownNameError
from registry.store.connection import duckdb_errors
from registry.store.difference import COMPARED, PAIR_COLUMNS, Change, Count, Summary
from registry.store.html import html_table
from registry.store.selection import Selection
from registry.store.settings import open_database
from registry.subset.options import Subset

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

    from registry.store.snapshot import Snapshot

#: Items whose rows are read and held at a time.
_BATCH: Final = 4_096
#: Splits in their order, which is not that of the alphabet.
_SPLIT_ORDER: Final = f"list_position({list(SPLITS)}, split)"
_KEY: Final = ", ".join(ITEMS.key)
#: What decides whether an item is part of a pair, besides its being there.
_OF_PAIRS: Final = ("source", "pair_id", "style")
_NOTHING: Final = Subset(where="false")


class Diff:
    """What became different: which images, items and pairs of a subset were added, removed or changed.

    Keys, content hashes and the columns that pairs depend on are held for both sides, some hundred bytes an item;
    whole rows are read only of what differs, and handed out as they are read. An item that a changed value brings
    into the subset counts as added, one that it takes out as removed.

    Args:
        old: a version of a registry.
        new: another version, of the same registry or of another.
        subset: which items are compared; all without it. A split that only one side has is empty on the other.

    Raises:
        UnknownNameError: the subset names a split that neither side has.
        UsageError: its condition is not one that may be asked.
        RegistryFormatError: a file of either side cannot be read.
    """

    def __init__(self, old: Snapshot, new: Snapshot, subset: Subset | None = None) -> None:
        self.subset = subset or Subset()
        _check_splits(self.subset, old, new)
        self._sides = {"old": _Side.of(old, self.subset), "new": _Side.of(new, self.subset)}
        self._connection = open_database(old.limits, spill=True)
        with duckdb_errors():
            for name, side in self._sides.items():
                self._load(f"{name}_images", side.images())
                self._load(f"{name}_items", side.keys())
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
        columns = COMPARED["images"]
        values = [f"{side}.{name}" for side in self._sides for name in columns]
        query = (
            f"SELECT split, image_id, change, mask, {', '.join(values)} FROM image_changes "
            "LEFT JOIN old_images AS old USING (split, image_id) LEFT JOIN new_images AS new USING (split, image_id) "
            f"ORDER BY {_SPLIT_ORDER}, image_id"
        )
        for row in self._relation(query).iter_rows():
            split, image_id, change, mask, *both = row
            old, new = (dict(zip(columns, part, strict=True)) for part in (both[: len(columns)], both[len(columns) :]))
            yield _change(change, {"split": split, "image_id": image_id}, _fields("images", mask), old, new)

    def items(self) -> Iterator[Change]:
        """Yield the items that differ with what each side says of them, in order of split, image and number."""
        query = (
            "SELECT split, image_id, item_no, change, category_id, mask FROM item_changes WHERE split = $split "
            "ORDER BY image_id, item_no"
        )
        for split in self.summary.splits:
            for batch in self._relation(query, {"split": split}).to_arrow_reader(_BATCH):
                columns = batch.select(["image_id", "item_no", "change", "category_id", "mask"]).to_pydict()
                names = _read_names(columns["change"], columns["mask"])
                old, new = (side.rows(batch, names) for side in self._sides.values())
                for image_id, item_no, change, category_id, mask in zip(*columns.values(), strict=True):
                    key = {
                        "split": split,
                        "image_id": image_id,
                        "item_no": item_no,
                        "category_name": CATEGORY_BY_ID[category_id].name,
                    }
                    at = (image_id, item_no)
                    yield _change(change, key, _fields("items", mask), old.get(at), new.get(at))

    def instance_pairs(self) -> Iterator[dict[str, Any]]:
        """Yield the pairs of items that are on one side only, in order: ``change`` and the columns of the pair."""
        columns = ", ".join(PAIR_COLUMNS)
        order = columns.replace("split", _SPLIT_ORDER)
        found = self._relation(f"SELECT change, {columns} FROM instance_pair_changes ORDER BY {order}, change")
        for row in found.iter_rows():
            yield dict(zip(("change", *PAIR_COLUMNS), row, strict=True))

    def _compare_images(self) -> None:
        """Make ``image_changes``: key, change and mask of the images that differ."""
        self._connection.execute(
            f"""
            CREATE TABLE image_changes AS
            SELECT split, image_id, {_change_sql("file_name")} AS change, {_mask_sql("images")} AS mask
            FROM old_images AS old FULL JOIN new_images AS new USING (split, image_id)
            WHERE change <> 'changed' OR mask <> 0
            """
        )

    def _compare_items(self) -> None:
        """Make ``item_changes``: key, change, category and mask of the items that differ."""
        # Where a side has no content hashes, all items that are on both are looked at.
        self._connection.execute(
            f"""
            CREATE TABLE candidates AS
            SELECT {_KEY}, {_change_sql("source")} AS change, coalesce(new.category_id, old.category_id) AS category_id
            FROM old_items AS old FULL JOIN new_items AS new USING ({_KEY})
            WHERE coalesce(old.content_hash <> new.content_hash, true)
            """
        )
        wanted = self._relation(f"SELECT {_KEY} FROM candidates WHERE change = 'changed'").to_arrow_table()
        for name, side in self._sides.items():
            self._load(f"{name}_compared", side.compared(wanted))
        self._connection.execute(
            f"""
            CREATE TABLE item_changes AS
            SELECT {_KEY}, change, category_id, coalesce(masks.mask, 0) AS mask FROM candidates LEFT JOIN (
                SELECT {_KEY}, {_mask_sql("items")} AS mask
                FROM old_compared AS old JOIN new_compared AS new USING ({_KEY})
            ) AS masks USING ({_KEY})
            WHERE change <> 'changed' OR mask <> 0
            """
        )
        for table in ("candidates", "old_compared", "new_compared"):
            self._connection.execute(f"DROP TABLE {table}")

    def _compare_pairs(self) -> None:
        """Make ``instance_pair_changes``: the pairs on one side only, of identities that have to do with a change."""
        of_pairs = sum(1 << COMPARED["items"].index(name) for name in _OF_PAIRS)
        moved = f"(SELECT {_KEY} FROM item_changes WHERE change <> 'changed' OR mask & {of_pairs} <> 0) AS moved"
        identities = " UNION ".join(
            f"SELECT split, pair_id, style FROM {side}_items SEMI JOIN {moved} USING ({_KEY}) WHERE style > 0"
            for side in self._sides
        )
        self._connection.execute(f"CREATE TABLE touched AS {identities}")
        for side in self._sides:
            self._connection.execute(
                f"""
                CREATE TABLE {side}_pairs AS
                SELECT split, pair_id, style, users.image_id AS user_image_id, users.item_no AS user_item_no,
                    shops.image_id AS shop_image_id, shops.item_no AS shop_item_no
                FROM (FROM {side}_items SEMI JOIN touched USING (split, pair_id, style) WHERE source = 'user') AS users
                JOIN (FROM {side}_items WHERE source = 'shop') AS shops USING (split, pair_id, style)
                """
            )
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
        numbers = [
            Count(of, *row)
            for of, category in (("images", "NULL"), ("items", "category_id"), ("instance_pairs", "NULL"))
            for row in self._relation(
                f"SELECT split, {category} AS category, change, count(*) FROM {of.removesuffix('s')}_changes "
                "GROUP BY ALL ORDER BY ALL"
            ).fetchall()
        ]
        fields = {}
        for of, columns in COMPARED.items():
            sums = ", ".join(
                f"count(*) FILTER (change = 'changed' AND mask & {1 << bit} <> 0)" for bit in range(len(columns))
            )
            (found,) = self._relation(f"SELECT {sums} FROM {of.removesuffix('s')}_changes").fetchall()
            fields[of] = {name: number for name, number in zip(columns, found, strict=True) if number}
        named = self.subset.split or {part.name for side in self._sides.values() for part in side.parts}
        return Summary([split for split in SPLITS if split in named], numbers, fields)

    def _load(self, table: str, rows: pa.Table) -> None:
        self._connection.register("loaded", rows)
        self._connection.execute(f"CREATE TABLE {table} AS FROM loaded")
        self._connection.unregister("loaded")

    def _relation(self, query: str, params: Mapping[str, Any] | None = None) -> DuckDBPyRelation:
        return self._connection.cursor().sql(query, params=params)


class _Side(Selection):
    """One side of a difference: a selection, and what is asked of it."""

    @classmethod
    def of(cls, snapshot: Snapshot, subset: Subset) -> _Side:
        """Return the items of a subset, which may name splits that this version lacks."""
        there = tuple(split for split in subset.split if split in snapshot.manifest.splits)
        return cls(snapshot, replace(subset, split=there) if there or not subset.split else _NOTHING)

    def images(self) -> pa.Table:
        """Return the images."""
        columns = ", ".join(column.name for column in IMAGES.columns)
        return self._table(f"SELECT {columns} FROM images SEMI JOIN chosen_images USING (split, image_id)")

    def keys(self) -> pa.Table:
        """Return key and content hash of the items, and what pairs and counts depend on."""
        columns = ", ".join((_KEY, "content_hash", "category_id", *_OF_PAIRS))
        return self._table(f"SELECT {columns} FROM items SEMI JOIN chosen_items USING ({_KEY})")

    def compared(self, wanted: pa.Table) -> pa.Table:
        """Return the columns to compare of some items; a hash of each list, which both sides make in one process."""
        columns = ", ".join(
            f"hash({name}) AS {name}" if FIELDS[name].type.startswith("list") else name for name in COMPARED["items"]
        )
        return self._table(f"SELECT {_KEY}, {columns} FROM items SEMI JOIN wanted USING ({_KEY})", wanted)

    def rows(self, wanted: pa.RecordBatch, names: Sequence[str]) -> dict[tuple[int, int], dict[str, Any]]:
        """Return columns of some items of one split, by image and number."""
        import pyarrow as pa
        import pyarrow.compute as pc

        bounds = pc.min_max(wanted.column("image_id"))
        query = (
            f"SELECT image_id, item_no, {', '.join(names)} FROM items SEMI JOIN wanted USING ({_KEY}) "
            "WHERE split = $split AND image_id BETWEEN $low AND $high"
        )
        params = {
            "split": wanted.column("split")[0].as_py(),
            "low": bounds["min"].as_py(),
            "high": bounds["max"].as_py(),
        }
        cursor = self._connection.cursor()
        with self._errors():
            cursor.register("wanted", pa.Table.from_batches([wanted]))
            found = cursor.execute(query, params).fetchall()
        return {(row[0], row[1]): dict(zip(names, row[2:], strict=True)) for row in found}

    def _table(self, query: str, wanted: pa.Table | None = None) -> pa.Table:
        cursor = self._connection.cursor()
        with self._errors():
            if wanted is not None:
                cursor.register("wanted", wanted)
            return cursor.sql(query).to_arrow_table()


def _check_splits(subset: Subset, old: Snapshot, new: Snapshot) -> None:
    there = [split for split in SPLITS if split in {*old.manifest.splits, *new.manifest.splits}]
    for split in subset.split:
        if split not in there:
            raise UnknownNameError(
                f"The split {split} is neither in {old.place} nor in {new.place}; there is: {', '.join(there)}."
            )


def _change_sql(present: str) -> str:
    """Return SQL for what became of a row of a full join, by a column that is never NULL."""
    return f"CASE WHEN old.{present} IS NULL THEN 'added' WHEN new.{present} IS NULL THEN 'removed' ELSE 'changed' END"


def _mask_sql(of: str) -> str:
    """Return SQL for a number with a bit for each compared column that differs, the first column lowest."""
    return " + ".join(
        f"((old.{name} IS DISTINCT FROM new.{name})::INTEGER << {bit})" for bit, name in enumerate(COMPARED[of])
    )


def _read_names(changes: Sequence[str], masks: Sequence[int]) -> list[str]:
    """Return the columns to read for items that became different: of changed ones alone those that any differs in."""
    if set(changes) != {"changed"}:
        return [name for name in ITEM_COLUMNS if name not in ITEMS.key]
    return _fields("items", reduce(or_, masks))


def _fields(of: str, mask: int) -> list[str]:
    return [name for bit, name in enumerate(COMPARED[of]) if mask >> bit & 1]


def _change(
    change: str,
    key: Mapping[str, Any],
    fields: Sequence[str],
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
) -> Change:
    """Return a change with of either side what belongs to it."""
    if change != "changed":
        return Change(change, key, (), old if change == "removed" else None, new if change == "added" else None)
    assert old is not None and new is not None
    return Change(change, key, fields, {name: old[name] for name in fields}, {name: new[name] for name in fields})
