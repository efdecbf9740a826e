"""Compares a subset of one registry version with the same subset of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORY_BY_ID, SPLITS
from registry.dataset.tables import EMBEDDINGS, IMAGES, ITEM_COLUMNS, ITEMS
from registry.errors import UnknownNameError, UsageError
from registry.store.comparison import Comparison
from registry.store.connection import duckdb_errors
from registry.store.diff_side import KEY_SQL, Side
from registry.store.difference import COMPARED, PAIR_COLUMNS, Change, ChangePage, Count, Summary
from registry.store.html import html_table
from registry.store.settings import open_database
from registry.store.sql import SPLIT_ORDER
from registry.subset.options import Subset

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from registry.snapshot.manifest import Manifest
    from registry.store.snapshot import Snapshot

#: Items whose rows are read and held at a time.
_BATCH: Final = 4_096
#: Columns that name a difference, the split first.
_KEYS: Final = {"images": IMAGES.key, "items": ITEMS.key, "instance_pairs": PAIR_COLUMNS}
#: Tables of the rows that differ: key, ``change``, and ``fields`` (the columns that differ) of images and items.
_CHANGE_TABLES: Final = {"images": "image_changes", "items": "item_changes", "instance_pairs": "instance_pair_changes"}
_ITEM_CHANGE: Final = f"{KEY_SQL}, change, category_id, fields"


class Diff:
    """The images, items and pairs of a subset that were added, removed or changed between two versions.

    Without options but ``split``, only the files that differ are read. Rows are compared a slice at a time: memory
    grows with the rows that differ and, with options, by some bytes an item of the subset. An item that a changed value
    brings into the subset counts as added, an item that leaves the subset as removed.

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
        self._sides = _sides_of(old, new, self.subset)
        self.notices = list(dict.fromkeys(notice for side in self._sides.values() for notice in side.notices))
        self.notices += _model_notices(old.manifest, new.manifest)
        # A column that one side is too old for is not known there, which is no difference.
        version = min(old.manifest.schema_version, new.manifest.schema_version)
        newer = {column.name for column in IMAGES.columns if column.since > version}
        image_columns = [name for name in COMPARED["images"] if name not in newer]
        self._connection = open_database(old.limits, spill=True)
        with duckdb_errors():
            Comparison(self._connection, self._sides, image_columns).run()
            self.summary = self._summary()
        for side in self._sides.values():
            side.let_go()

    def __repr__(self) -> str:
        counts = self.summary.counts().items()
        numbers = (f"{of} {', '.join(f'{n} {change}' for change, n in changes.items())}" for of, changes in counts)
        return f"Diff({'; '.join(numbers)})"

    def _repr_html_(self) -> str:
        rows = [{"of": of, **changes} for of, changes in self.summary.counts().items()]
        return html_table(f"Difference {self.subset.text}", rows)

    def images(self) -> Iterator[Change]:
        """Yield the images that differ, in order of split and image_id."""
        return self._image_changes("image_changes")

    def items(self) -> Iterator[Change]:
        """Yield the items that differ, in order of split, image_id and item_no."""
        query = f"SELECT {_ITEM_CHANGE} FROM item_changes WHERE split = $split ORDER BY image_id, item_no"
        for split in self.summary.splits:
            for batch in self._relation(query, {"split": split}).to_arrow_reader(_BATCH):
                yield from self._item_changes(batch)

    def instance_pairs(self) -> Iterator[dict[str, Any]]:
        """Yield the pairs of items that only one side has, in order: ``change`` and the columns of the pair."""
        columns = ", ".join(PAIR_COLUMNS)
        order = ", ".join(SPLIT_ORDER if name == "split" else name for name in PAIR_COLUMNS)
        rows = self._relation(f"SELECT change, {columns} FROM instance_pair_changes ORDER BY {order}, change")
        for row in rows.iter_rows():
            yield dict(zip(("change", *PAIR_COLUMNS), row, strict=True))

    def page(
        self,
        of: str,
        *,
        change: str | None = None,
        column: str | None = None,
        after: Sequence[Any] | None = None,
        before: Sequence[Any] | None = None,
        size: int = 60,
    ) -> ChangePage:
        """Return some of the differences in order, by key.

        Args:
            of: ``images``, ``items`` or ``instance_pairs``.
            change: only those that were ``added``, ``removed`` or ``changed``.
            column: only changed images or items that differ in this column.
            after: the key of the last difference before them.
            before: the key of the first difference after them; not both.
            size: number of differences at most.

        Raises:
            UsageError: ``after`` or ``before`` is no key.
        """
        key = _KEYS[of]
        order = (SPLIT_ORDER, *key[1:])
        table = f"SELECT {', '.join(PAIR_COLUMNS)}, change FROM {_CHANGE_TABLES[of]}"
        if of != "instance_pairs":
            more = ", category_id" if of == "items" else ""
            table = f"SELECT {', '.join(key)}, change, fields{more} FROM {_CHANGE_TABLES[of]}"
        conditions, params = ["true"], dict[str, Any]()
        if change is not None:
            conditions.append("change = $change")
            params["change"] = change
        if column is not None:
            conditions.append("list_contains(fields, $column)" if of in COMPARED else "false")
            params |= {"column": column} if of in COMPARED else {}
        chosen = f"{table} WHERE {' AND '.join(conditions)}"
        ((number,),) = self._relation(f"SELECT count(*) FROM ({chosen})", params).fetchall()
        place, is_back = (before, True) if before is not None else (after, False)
        if place is not None:
            params |= {f"key_{at}": value for at, value in enumerate(_place(place, key))}
            names = ", ".join(f"$key_{at}" for at in range(len(key)))
            chosen += f" AND ({', '.join(order)}) {'<' if is_back else '>'} ({names})"
        directions = ", ".join(f"{name} DESC" if is_back else name for name in order)
        rows = self._relation(f"{chosen} ORDER BY {directions} LIMIT {int(size) + 1}", params).to_arrow_table()
        has_more = rows.num_rows > size
        rows = rows.slice(0, size)
        if is_back and rows.num_rows:
            rows = rows.take(list(range(rows.num_rows))[::-1])
        keys = [list(row.values()) for row in rows.select(key).to_pylist()]
        has_previous, has_next = (has_more, True) if is_back else (place is not None, has_more)
        return ChangePage(
            number,
            self._changes_of(of, rows),
            keys[0] if keys and has_previous else None,
            keys[-1] if keys and has_next else None,
        )

    def _changes_of(self, of: str, rows: pa.Table) -> list[Change]:
        """Return the differences of some rows of a table of changes, in their order."""
        if of == "images":
            cursor = self._connection.cursor()
            cursor.register("wanted_changes", rows)
            return list(self._image_changes("wanted_changes", cursor))
        if of == "items":
            changes: list[Change] = []
            splits = rows.column("split").to_pylist()
            for split in dict.fromkeys(splits):
                part = rows.slice(splits.index(split), splits.count(split)).combine_chunks()
                for batch in part.to_batches():
                    changes += self._item_changes(batch)
            return changes
        return [Change(row.pop("change"), row, (), None, None) for row in rows.to_pylist()]

    def _image_changes(self, table: str, cursor: DuckDBPyConnection | None = None) -> Iterator[Change]:
        """Yield the differences in a table like ``image_changes``, in order of split and image_id."""
        columns = COMPARED["images"]
        values = [f"{side}.{name}" for side in self._sides for name in columns]
        query = (
            f"SELECT split, image_id, change, fields, {', '.join(values)} FROM {table} "
            "LEFT JOIN old_images AS old USING (split, image_id) LEFT JOIN new_images AS new USING (split, image_id) "
            f"ORDER BY {SPLIT_ORDER}, image_id"
        )
        relation = (cursor or self._connection.cursor()).sql(query)
        for split, image_id, change, changed_columns, *both in relation.iter_rows():
            old = dict(zip(columns, both[: len(columns)], strict=True))
            new = dict(zip(columns, both[len(columns) :], strict=True))
            yield _change(change, {"split": split, "image_id": image_id}, changed_columns, old, new)

    def _item_changes(self, batch: pa.RecordBatch) -> Iterator[Change]:
        """Yield the differences of rows of ``item_changes`` of one split, in their order."""
        columns = batch.select(["image_id", "item_no", "change", "category_id", "fields"]).to_pydict()
        read_columns = _columns_to_read(columns["change"], columns["fields"])
        old, new = (side.rows_of(batch, read_columns) for side in self._sides.values())
        split = batch.column("split")[0].as_py()
        for image_id, item_no, change, category_id, changed_columns in zip(*columns.values(), strict=True):
            key = {
                "split": split,
                "image_id": image_id,
                "item_no": item_no,
                "category_name": CATEGORY_BY_ID[category_id].name,
            }
            row_key = (image_id, item_no)
            yield _change(change, key, changed_columns, old.get(row_key), new.get(row_key))

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
        splits = self.subset.split or {split for side in self._sides.values() for split in side.splits}
        return Summary([split for split in SPLITS if split in splits], counts, fields)

    def _relation(self, query: str, params: Mapping[str, Any] | None = None) -> DuckDBPyRelation:
        return self._connection.cursor().sql(query, params=params)


def _sides_of(old: Snapshot, new: Snapshot, subset: Subset) -> dict[str, Side]:
    """Return the compared rows of both versions: of a subset, or of all files that only one of them has."""
    snapshots = {"old": old, "new": new}
    # Notices of the user's tables count their keys in all rows.
    if replace(subset, split=()) != Subset() or old.own_tables or new.own_tables:
        return {name: Side.of_subset(snapshot, subset) for name, snapshot in snapshots.items()}
    # A file of both has the same rows, if both give it the same columns.
    is_same_schema = old.manifest.schema_version == new.manifest.schema_version
    on_both = set(old.manifest.files) & set(new.manifest.files) if is_same_schema else set()
    sides = {}
    for name, snapshot in snapshots.items():
        splits = [split for split in subset.split or snapshot.manifest.splits if split in snapshot.manifest.splits]
        files = [file for file in snapshot.manifest.files if file.split in splits]
        with_images = {file.split for file in files if file.table == IMAGES.name and file.rows}
        splits = [split for split in splits if split in with_images] or splits
        sides[name] = Side.of_files(snapshot, [file for file in files if file not in on_both], splits)
    return sides


def _check_splits(subset: Subset, old: Snapshot, new: Snapshot) -> None:
    splits = [split for split in SPLITS if split in {*old.manifest.splits, *new.manifest.splits}]
    for split in subset.split:
        if split not in splits:
            raise UnknownNameError(
                f"The split {split} is neither in {old.place} nor in {new.place}; there is: {', '.join(splits)}."
            )


def _place(values: Sequence[Any], key: Sequence[str]) -> list[int]:
    """Return a key as numbers that sort as the differences do.

    Raises:
        UsageError: it is no key.
    """
    split, *numbers = values or [None]
    if (
        split not in SPLITS
        or len(values) != len(key)
        or not all(type(number) is int and abs(number) < 1 << 31 for number in numbers)
    ):
        raise UsageError(f"Expected a key of {', '.join(key)} as a place in the order, found {str(values)[:80]}.")
    return [SPLITS.index(split) + 1, *numbers]


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


def _model_notices(old: Manifest, new: Manifest) -> list[str]:
    """Return a sentence for each model whose vectors are in one of two registries only, or differ."""
    notices = []
    for model in sorted({*old.models, *new.models}):
        sides = [
            {(file.split, file.sha256) for file in manifest.of_model(model) if file.table == EMBEDDINGS.name}
            for manifest in (old, new)
        ]
        if sides[0] != sides[1]:
            change = "are new" if not sides[0] else "are gone" if not sides[1] else "changed"
            notices.append(f"the vectors of the model {model} {change}")
    return notices
