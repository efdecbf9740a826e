"""A subset of a registry: its counts, its rows in file order, and SQL within it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, overload

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import ITEMS
from registry.errors import UsageError
from registry.store.choice import choose
from registry.store.conditions import check_condition
from registry.store.connection import Keys
from registry.store.html import html_table
from registry.store.own_columns import OwnColumns, struct_joins
from registry.store.own_tables import notices
from registry.store.query import Params, read_query
from registry.store.shown import Thumbnails
from registry.store.sql import SPLIT_ORDER, quote
from registry.store.statistics import nested_counts, statistic
from registry.store.unknown import PAIRING, unknown_texts
from registry.store.views import view_over
from registry.subset.options import Subset

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from registry.store.chunks import ChunkReader
    from registry.store.snapshot import Snapshot
    from registry.subset.resplit import Resplit
    from registry.subset.rows import Chunk, Part, Slice

#: The chosen items of a part with the columns that views of counts and pairs read, without reading a file.
_ITEMS_OF_PART: Final = """
    SELECT split, image_id, item_no, source, pair_id, style, category_id, categories.name AS category_name
    FROM chosen_items JOIN main.categories ON categories.id = category_id WHERE part = $part
"""
#: Rows of a batch of items with their lists, some 20 MB.
_ROWS_AT_ONCE: Final = 20_000


class Selection:
    """The images and items of a subset in one version of a registry; a :class:`registry.subset.rows.SubsetRows`.

    The keys of the subset are found at once and held in memory (some bytes an item). Rows are read from the files of
    the same version when they are needed.

    Args:
        snapshot: the version of the registry.
        subset: the options; without it, everything.
        resplit: divides the subset into new parts, by pair_id.
        category_ids: leaves out the items of all other categories, also with ``whole_images``; () for no such limit.
        columns: columns of the user's tables, ``TABLE.COLUMN``, that :meth:`chunks` can give.

    Attributes:
        subset, resplit: as given.
        place: the registry.
        manifest: of the version.
        parts: the splits that the subset has images of, or the parts of the re-split.
        divided: whether ``parts`` are those of a re-split.
        balance: shares of the parts of a re-split; see :func:`registry.subset.resplit.balance`.
        notices: plain sentences with a count of what the options do not say: photos that a re-split leaves out, items
            that ``category_ids`` leaves out, keys of the user's tables that fit no row.
        thumbnails: shows the first items with pictures in notebooks; None without.
        used_tables: SHA-256 of each table of the user that the condition or ``columns`` name, by name.

    Raises:
        UnknownNameError: the subset names a split that is not in the registry.
        UsageError: its condition is not allowed, or its list of items is known by its digest alone.
        RegistryFormatError: a file cannot be read, or the tables contradict each other.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        subset: Subset | None = None,
        resplit: Resplit | None = None,
        category_ids: Sequence[int] = (),
        columns: Sequence[str] = (),
    ) -> None:
        self.subset = subset or Subset()
        self.resplit = resplit
        self._arguments = snapshot, self.subset, resplit, category_ids, columns
        tables = snapshot.own_tables
        in_condition = check_condition(self.subset.where, tables) if self.subset.where else {}
        self._own_columns = OwnColumns.of(columns, tables)
        used = {*in_condition, *(table.name for table, _ in self._own_columns.found.values())}
        self.used_tables = {name: tables[name].sha256 for name in sorted(used)}
        if self.subset.items and self.subset.items.keys is None:
            raise UsageError(
                f"items: only the digest of the list is known, {self.subset.items.text}: give the list itself "
                "(--items FILE)."
            )
        for split in self.subset.split:
            snapshot.check_split(split)
        self.place, self.manifest = snapshot.place, snapshot.manifest
        self._snapshot = snapshot
        self.thumbnails: Thumbnails | None = None
        self._lock = threading.Lock()
        self._sql_connection: DuckDBPyConnection | None = None
        splits = [split for split in SPLITS if split in (self.subset.split or self.manifest.splits)]
        with snapshot.read_errors():
            self._connection = snapshot.connect(spill=True, views=False)
            joins = struct_joins(in_condition, tables)
            self._choice = choose(self._connection, self.place, self.subset, resplit, splits, category_ids, joins)
            of_tables = notices(self._connection, tables.values())
        self.parts = self._choice.parts
        self.divided = resplit is not None
        self.balance = self._choice.balance
        self.notices = [*self._choice.notices, *of_tables]
        if self.subset.paired or self.subset.source or resplit:
            # Without pair_id, images of one group may come into several parts.
            needed = PAIRING if self.subset.paired or self.subset.source else ("pair_id",)
            with snapshot.read_errors():
                self.notices += unknown_texts(self._connection.cursor(), needed)

    def __reduce__(self) -> tuple[Any, ...]:
        """Choose the same items of the same version where this is unpickled, as in a worker process."""
        return Selection, self._arguments

    def __repr__(self) -> str:
        counts = {part.name: self.counts(part) for part in self.parts}
        shown = ", ".join(f"{name} {count['images']} images, {count['items']} items" for name, count in counts.items())
        return f"Selection({self.subset.text}: {shown})"

    def _repr_html_(self) -> str:
        table = html_table(f"Subset {self.subset.text}", self._totals())
        return table + (self.thumbnails(self.items(ITEMS.key)) if self.thumbnails else "")

    def counts(self, part: Part) -> dict[str, int]:
        """Return ``images`` and ``items`` of a part."""
        query = "SELECT count(*), coalesce(sum(num_items), 0)::BIGINT FROM chosen_images WHERE part = $part"
        ((images, items),) = self._rows(query, {"part": part.name})
        return {"images": images, "items": items}

    def category_counts(self, part: Part) -> dict[int, int]:
        """Return the number of items of each category_id that occurs in a part."""
        query = "SELECT category_id, count(*) FROM chosen_items WHERE part = $part GROUP BY ALL ORDER BY ALL"
        return dict(self._rows(query, {"part": part.name}))

    def num_turned_photos(self) -> int:
        """Return the number of images whose photo has an EXIF tag that turns or mirrors it."""
        query = "SELECT count(*) FROM images SEMI JOIN chosen_images USING (split, image_id) WHERE orientation > 1"
        ((number,),) = self._rows(query)
        return int(number)

    def unknown(self, columns: Sequence[str]) -> list[str]:
        """Return a sentence for each split and column of items in which chosen items have NULL, with its remedy."""
        rows = (
            "chosen_items"
            if set(columns) <= set(PAIRING)
            else "items SEMI JOIN chosen_items USING (split, image_id, item_no)"
        )
        with self._snapshot.read_errors():
            return unknown_texts(self._connection.cursor(), columns, rows)

    def unknown_pairing(self) -> list[str]:
        """Return a sentence for each split with chosen items that no pair can have, as that of the registry."""
        return self.unknown(PAIRING)

    def summary(self) -> list[dict[str, Any]]:
        """Return counts by part and category, by the views of the registry.

        Returns:
            For each part an entry for every category that occurs (part, category_name, user_items, shop_items, items,
            images), then an entry with category_name None for the whole part, which also has identities,
            instance_pairs and image_pairs. Pairs have both items in the part.
        """
        names = ("category_name", "user_items", "shop_items", "items", "images")
        sums = ", ".join(f"sum(num_{name})::BIGINT" for name in names[1:])
        categories = (
            f"SELECT category_name, {sums} FROM ({view_over('category_counts', items=_ITEMS_OF_PART)}) "
            "GROUP BY category_name, category_id ORDER BY category_id"
        )
        identities_and_pairs = (
            "SELECT count(*), coalesce(sum(num_user_items * num_shop_items), 0)::BIGINT "
            f"FROM ({view_over('identities', items=_ITEMS_OF_PART)})"
        )
        image_pair_count = f"SELECT count(*) FROM ({view_over('image_pairs', items=_ITEMS_OF_PART)})"
        summary: list[dict[str, Any]] = []
        for part in self.parts:
            params = {"part": part.name}
            rows = [dict(zip(names, row, strict=True)) for row in self._rows(categories, params)]
            summary += [{"part": part.name, **row} for row in rows]
            ((identities, instance_pairs),) = self._rows(identities_and_pairs, params)
            ((image_pairs,),) = self._rows(image_pair_count, params)
            summary.append(
                {
                    "part": part.name,
                    "category_name": None,
                    **self.counts(part),
                    "user_items": sum(row["user_items"] for row in rows),
                    "shop_items": sum(row["shop_items"] for row in rows),
                    "identities": identities,
                    "instance_pairs": instance_pairs,
                    "image_pairs": image_pairs,
                }
            )
        return summary

    def _totals(self) -> list[dict[str, Any]]:
        """Return the counts of each part, without those of its categories."""
        return [
            {name: value for name, value in row.items() if name != "category_name"}
            for row in self.summary()
            if row["category_name"] is None
        ]

    def sql(self, query: str, params: Params | None = None) -> DuckDBPyRelation:
        """Return the rows of one SELECT within the subset, as :meth:`registry.store.registry.Registry.sql`.

        The tables ``images`` and ``items`` have the rows of the subset, and all views follow: ``instance_pairs`` are
        pairs with both items in the subset. ``whole.images`` and ``whole.items`` have all rows of the registry. Each
        part of a re-split has a schema with the same tables and views: ``part_val.instance_pairs``.

        Args:
            query: one SELECT (or DESCRIBE, SHOW, SUMMARIZE, EXPLAIN).
            params: values for ``$name`` (a mapping) or ``?`` (a sequence).

        Raises:
            QueryError: DuckDB refuses the query, or it does more than read.
        """
        with self._lock:
            if self._sql_connection is None:
                with self._snapshot.read_errors():
                    self._sql_connection = self._snapshot.connect(keys=self._keys())
        return read_query(self._sql_connection.cursor(), query, params)

    @overload
    def stats(self) -> dict[str, Any]: ...
    @overload
    def stats(self, by: str | Sequence[str] = ..., of: str | None = ...) -> DuckDBPyRelation: ...
    def stats(self, by: str | Sequence[str] = (), of: str | None = None) -> dict[str, Any] | DuckDBPyRelation:
        """Return statistics of the subset, as :meth:`registry.store.registry.Registry.stats` does of the registry."""
        with self._snapshot.read_errors():
            return statistic(self.sql, by, of) if by or of is not None else nested_counts(self.sql)

    def cursor(self) -> DuckDBPyConnection:
        """Return a cursor with the tables ``images``, ``items``, ``chosen_images`` and ``chosen_items``."""
        return self._connection.cursor()

    def chunks(self, part: Part, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield the images of a part with these columns of their items, in chunks of bounded size and file order.

        A column may be one of a table of the user, ``TABLE.COLUMN``, that the selection was made with.
        """
        with self._snapshot.read_errors():
            yield from self._reader().chunks(part, columns)

    def slices(self, part: Part, num_images: int) -> Sequence[Slice]:
        """Return the images of a part in slices of at most ``num_images``, in the order of :meth:`chunks`.

        Another process that unpickles the selection can read them by :meth:`read_slice`.
        """
        with self._snapshot.read_errors():
            return self._reader().slices(part, num_images)

    def read_slice(self, piece: Slice, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the images of a slice, as :meth:`chunks` does."""
        with self._snapshot.read_errors():
            yield from self._reader().read(piece, columns)

    def _reader(self) -> ChunkReader:
        from registry.store.chunks import ChunkReader

        return ChunkReader(self._connection, self.place, self._choice.category_ids, self._own_columns)

    def pairs(self, part: Part, negatives: int, hard_negatives: int, seed: int) -> Iterator[pa.RecordBatch]:
        """Yield the pairs of items within a part; see :func:`registry.store.pairs.read_pairs`."""
        from registry.store.pairs import read_pairs

        with self._snapshot.read_errors():
            yield from read_pairs(self._connection.cursor(), part, negatives, hard_negatives, seed, self.place)

    def items(self, columns: Sequence[str]) -> DuckDBPyRelation:
        """Return columns of the chosen items as a lazy relation, in order of split, image and file order.

        Args:
            columns: of the table items, or ``TABLE.COLUMN`` of a table of the user: NULL for items without a row in it.
        """
        own_columns = OwnColumns.of((name for name in columns if "." in name), self._snapshot.own_tables)
        return self._connection.cursor().sql(
            f"SELECT {own_columns.select(columns)} FROM items SEMI JOIN chosen_items USING (split, image_id, item_no)"
            f"{own_columns.joins(columns)} ORDER BY {SPLIT_ORDER}, image_id, items.item_order"
        )

    def item_table(self, columns: Sequence[str], part: str | None = None) -> pa.Table:
        """Return columns of the chosen items as an Arrow table in the order of :meth:`items`.

        Args:
            columns: as for :meth:`items`; also ``width`` and ``height`` of the photo.
            part: of this part only.
        """
        sizes = [name for name in columns if name in ("width", "height")]
        wanted = [name for name in columns if name not in sizes]
        own_columns = OwnColumns.of((name for name in wanted if "." in name), self._snapshot.own_tables)
        selected = own_columns.select(wanted) + "".join(f", photos.{name}" for name in sizes)
        photos = (
            " LEFT JOIN (SELECT split, image_id, width, height FROM images) AS photos "
            "ON photos.split = items.split AND photos.image_id = items.image_id"
        )
        items, params = self._items_of(part)
        query = f"SELECT {selected} FROM {items}{own_columns.joins(columns)}{photos if sizes else ''}"
        order = f"list_position({list(SPLITS)}, items.split), items.image_id, items.item_order"
        with self._snapshot.read_errors():
            return self._connection.cursor().sql(f"{query} ORDER BY {order}", params=params).to_arrow_table()

    @contextmanager
    def item_batches(self, columns: Sequence[str], part: str | None = None) -> Iterator[pa.RecordBatchReader]:
        """Yield a reader of columns of the chosen items in any order: long lists are not sorted, nor held in memory.

        Args:
            columns: of the table items; its key comes first.
            part: of this part only.
        """
        selected = ", ".join(f"items.{name}" for name in [*ITEMS.key, *columns])
        items, params = self._items_of(part)
        with self._snapshot.read_errors():
            rows = self._connection.cursor().sql(f"SELECT {selected} FROM {items}", params=params)
            yield rows.to_arrow_reader(_ROWS_AT_ONCE)

    def _items_of(self, part: str | None) -> tuple[str, dict[str, Any]]:
        """Return the chosen items of a part for FROM, or of all parts, and the parameters of this text."""
        splits = {split for each in self.parts if part in (None, each.name) for split in each.splits}
        condition, params = ("true", {}) if part is None else ("part = $part", {"part": part})
        chosen = f"items SEMI JOIN (FROM chosen_items WHERE {condition}) AS chosen USING (split, image_id, item_no)"
        if not splits:
            return chosen, params
        all_items = f"(FROM items WHERE split IN ({', '.join(map(quote, sorted(splits)))})) AS items"
        query = f"SELECT count(*) = (SELECT count(*) FROM chosen_items WHERE {condition}) FROM {all_items}"
        ((is_whole,),) = self._rows(query, params)
        return (all_items, {}) if is_whole else (chosen, params)  # without a join, reading takes half the time

    def image_table(self, part: str | None = None) -> pa.Table:
        """Return the chosen images as an Arrow table in order of split and image_id.

        Args:
            part: of this part only.

        Returns:
            ``split``, ``image_id``, ``width``, ``height``, ``source``, ``pair_id`` and ``num_items``, the number of
            chosen items.
        """
        condition, params = ("true", {}) if part is None else ("part = $part", {"part": part})
        with self._snapshot.read_errors():
            return (
                self._connection.cursor()
                .sql(
                    "SELECT split, image_id, width, height, source, pair_id, chosen.num_items "
                    f"FROM (SELECT split, image_id, num_items FROM chosen_images WHERE {condition}) AS chosen "
                    "JOIN (SELECT split, image_id, width, height, source, pair_id FROM images) AS photos "
                    f"USING (split, image_id) ORDER BY {SPLIT_ORDER}, image_id",
                    params=params,
                )
                .to_arrow_table()
            )

    def item_values(self, expressions: Sequence[str]) -> DuckDBPyRelation:
        """Return the values of SQL expressions of the chosen items as a lazy relation, in the order of :meth:`items`.

        Args:
            expressions: each over the columns of items and of the user's tables, within the bounds of a condition:
                ``x2 - x1 > 200``, ``scores.loss``.

        Returns:
            split, image_id, item_no, then ``value_0``, ``value_1``, ...

        Raises:
            UsageError: an expression is not allowed.
        """
        tables = self._snapshot.own_tables
        used: dict[str, list[str]] = {}
        for text in expressions:
            if not text.strip():
                raise UsageError("An expression is empty: expected a column or an SQL expression of items.")
            for name, columns in check_condition(f"(\n{text}\n) IS NOT NULL", tables).items():
                used[name] = list(dict.fromkeys([*used.get(name, ()), *columns]))
        values = "".join(f", (\n{text}\n) AS value_{k}" for k, text in enumerate(expressions))
        return self._connection.cursor().sql(
            f"SELECT items.split, items.image_id, items.item_no{values} FROM items "
            f"SEMI JOIN chosen_items USING (split, image_id, item_no){struct_joins(used, tables)} "
            f"ORDER BY {SPLIT_ORDER}, image_id, items.item_order"
        )

    def own_schema(self) -> pa.Schema:
        """Return the Arrow fields of the columns of the user's tables that :meth:`chunks` can give."""
        return self._own_columns.schema(self._connection)

    def image_keys(self) -> pa.Table:
        """Return ``split``, ``image_id`` and ``part`` of the chosen images."""
        return self._connection.cursor().sql("SELECT split, image_id, part FROM chosen_images").to_arrow_table()

    def item_keys(self) -> pa.Table:
        """Return ``split``, ``image_id``, ``item_no`` and ``part`` of the chosen items."""
        query = "SELECT split, image_id, item_no, part FROM chosen_items"
        return self._connection.cursor().sql(query).to_arrow_table()

    def _keys(self) -> Keys:
        """Return the keys of the subset, for a connection of its own."""
        return Keys(
            self.image_keys(),
            self.item_keys(),
            {f"part_{part.name}": part.name for part in self.parts} if self.divided else {},
        )

    def _rows(self, query: str, params: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self._snapshot.read_errors():
            return self._connection.cursor().execute(query, params).fetchall()
