"""The short columns of images and items in memory: subsets, counts and pages of them in milliseconds.

Landmarks and polygons, nine tenths of a registry, stay in its files.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import SPLITS, unknown_name
from registry.dataset.tables import IMAGES, ITEMS
from registry.errors import UsageError
from registry.store.choice import choose
from registry.store.connection import register
from registry.store.filters import image_conditions, item_conditions
from registry.store.paths import table_paths
from registry.store.selection import Selection
from registry.store.settings import open_database
from registry.store.sql import SPLIT_ORDER, quote_name, table_sql
from registry.subset.options import OPTIONS, Subset

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from registry.store.snapshot import Snapshot

#: Columns that stay in the files.
_LONG: Final = ("landmarks", "segmentation", "content_hash")
#: Above all values of the columns to sort by.
_LARGEST: Final = 1 << 60
#: Subsets that are kept chosen.
_CHOSEN: Final = 16
#: Columns by which images, and items, can be sorted; the order of splits, image_id and item_no decides ties.
IMAGE_SORTS: Final = ("image_id", "source", "pair_id", "num_items", "width", "height", "orientation")
ITEM_SORTS: Final = (
    "image_id", "category_id", "source", "pair_id", "style", "scale", "occlusion", "zoom_in", "viewpoint", "box_area",
    "num_landmarks_labelled", "num_corrections",
)  # fmt: skip
#: Options of a subset whose values are counted -> the column; the first two count images, the others items.
FACETS: Final = {
    "split": "split", "source": "source", "category": "category_id", "scale": "scale", "occlusion": "occlusion",
    "zoom_in": "zoom_in", "viewpoint": "viewpoint",
}  # fmt: skip
#: Those that images have.
IMAGE_FACETS: Final = ("split", "source")


@dataclass(frozen=True)
class Page:
    """Some rows in an order.

    Attributes:
        rows: the columns of the table, sorted.
        first, last: values that :meth:`Chosen.page` takes to go on from the first row backwards, and from the last one
            forwards; None where nothing is before or behind.
    """

    rows: pa.Table
    first: list[Any] | None
    last: list[Any] | None


def split_no(split: str) -> int:
    """Return the number of a split, as places in an order have it."""
    return SPLITS.index(split) + 1


class NarrowTables:
    """The tables images and items of a version in memory, without their long columns.

    Its methods may be called from several threads.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._connection = open_database(replace(snapshot.limits, timeout=None))
        self._lock = threading.Lock()
        self._chosen: OrderedDict[str, Chosen] = OrderedDict()
        self._number = 0
        with snapshot.read_errors():
            self._fill()

    def _fill(self) -> None:
        manifest = self._snapshot.manifest
        register(self._connection, self._snapshot.place, manifest, self._snapshot.blocks)
        paths = table_paths(manifest)
        more = {IMAGES.name: "", ITEMS.name: ", (x2 - x1) * (y2 - y1) AS box_area"}
        for table in (IMAGES, ITEMS):
            long = [column.name for column in table.columns if column.name in _LONG]
            exclude = f" EXCLUDE ({', '.join(long)})" if long else ""
            rows = table_sql(table, paths[table.name], manifest.schema_version)
            self._connection.execute(
                f"CREATE TABLE {table.name} AS SELECT *{exclude}{more[table.name]}, "
                f"{SPLIT_ORDER}::UTINYINT AS split_no FROM ({rows})"
            )

    @property
    def version(self) -> str:
        """The digest of the manifest of the version."""
        return self._snapshot.manifest.sha256

    def choose(self, subset: Subset) -> Chosen:
        """Return the images and items of a subset; those asked for last are kept.

        Raises:
            UsageError: the subset cannot be chosen.
        """
        with self._lock:
            if subset.digest in self._chosen:
                self._chosen.move_to_end(subset.digest)
                return self._chosen[subset.digest]
            self._number += 1
            schema = f"chosen_{self._number}"
        cursor = self._connection.cursor()
        for split in subset.split:
            self._snapshot.check_split(split)
        if _filters_rows(subset):
            chosen = _filtered(cursor, subset)
        else:
            cursor.execute(f"CREATE SCHEMA {schema}")
            try:
                with self._snapshot.read_errors():
                    notices = self._create(cursor, schema, subset)
            except BaseException:
                _drop(self._connection.cursor(), schema)
                raise
            rows = {
                table.name: f"{table.name} SEMI JOIN {schema}.chosen_{table.name} USING ({', '.join(table.key)})"
                for table in (IMAGES, ITEMS)
            }
            chosen = Chosen(cursor, rows, {}, notices)
            weakref.finalize(chosen, _drop, self._connection.cursor(), schema)
        with self._lock:
            self._chosen[subset.digest] = chosen
            while len(self._chosen) > _CHOSEN:
                self._chosen.popitem(last=False)
        return chosen

    def _create(self, cursor: DuckDBPyConnection, schema: str, subset: Subset) -> list[str]:
        """Create the tables chosen_images and chosen_items in a schema; return the notices of the subset."""
        if subset.where is not None or subset.exclude_check:
            # These may read any column, and tables of the user.
            keys = Selection(self._snapshot, subset, None)
            for name, rows in (("images", keys.image_keys()), ("items", keys.item_keys())):
                cursor.register("rows", rows)
                cursor.execute(f"CREATE TABLE {schema}.chosen_{name} AS FROM rows")
                cursor.unregister("rows")
            return keys.notices
        cursor.execute(f"SET search_path = '{schema},main'")
        splits = [split for split in self._snapshot.manifest.splits if not subset.split or split in subset.split]
        notices = choose(cursor, self._snapshot.place, subset, None, splits).notices
        cursor.execute("RESET search_path")
        return notices

    def find(self, table: str, keys: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
        """Return the rows of ``images`` or ``items`` of images by (split, image_id), in the order of their keys."""
        if table not in (IMAGES.name, ITEMS.name):
            raise unknown_name("table", table, [IMAGES.name, ITEMS.name])
        image_ids = [image_id for _, image_id in keys]
        params: dict[str, Any] = {"splits": [split for split, _ in keys], "image_ids": image_ids}
        # Bounds spare most of the work of a join: 3 ms instead of 15 for the items of neighbouring images.
        params |= {"low": min(image_ids, default=0), "high": max(image_ids, default=0)}
        wanted = "(SELECT unnest($splits::VARCHAR[]) AS split, unnest($image_ids::INTEGER[]) AS image_id) AS wanted"
        order = "split_no, image_id" + (", item_no" if table == ITEMS.name else "")
        rows = self._connection.cursor().sql(
            f"SELECT * EXCLUDE (split_no) FROM {table} SEMI JOIN {wanted} USING (split, image_id) "
            f"WHERE image_id BETWEEN $low AND $high ORDER BY {order}",
            params=params,
        )
        records: list[dict[str, Any]] = rows.to_arrow_table().to_pylist()
        return records

    def equal(self, table: str, **values: Any) -> list[dict[str, Any]]:
        """Return the rows of ``images`` or ``items`` whose columns have these values, in the order of their keys.

        Args:
            table: ``images`` or ``items``.
            values: by column, such as ``split="train", pair_id=12``.
        """
        conditions = " AND ".join(f"{quote_name(column)} = ${column}" for column in values)
        order = "split_no, image_id" + (", item_no" if table == ITEMS.name else "")
        rows = self._connection.cursor().sql(
            f"SELECT * EXCLUDE (split_no) FROM {quote_name(table)} WHERE {conditions} ORDER BY {order}", params=values
        )
        records: list[dict[str, Any]] = rows.to_arrow_table().to_pylist()
        return records

    def cursor(self) -> DuckDBPyConnection:
        """Return a cursor with the tables ``images`` and ``items``."""
        return self._connection.cursor()

    def facets(self, subset: Subset) -> dict[str, dict[Any, int]]:
        """Return the number of images (split, source) or items of each value of an option: as if it were not set.

        Returns:
            Name of the option -> value of its column -> number; values in the order of the data set.
        """
        counts = self.choose(subset).counts_of(tuple(FACETS))
        for option in FACETS:
            if getattr(subset, option):
                counts |= self.choose(_without(subset, option)).counts_of((option,))
        return {option: counts[option] for option in FACETS}


class Chosen:
    """The images and items of a subset in memory.

    Attributes:
        notices: see :class:`registry.store.selection.Selection`.
    """

    def __init__(
        self,
        cursor: DuckDBPyConnection,
        rows: Mapping[str, str],
        params: Mapping[str, Any],
        notices: Sequence[str] = (),
    ) -> None:
        self._cursor = cursor
        self._rows = rows
        self._params = dict(params)
        self.notices = list(notices)
        #: Pages of one subset follow each other: it is counted once.
        self._counts: dict[str, int] | None = None
        self._value_counts: dict[tuple[str, ...], dict[str, dict[Any, int]]] = {}

    def _read(self, query: str, params: Mapping[str, Any] | None = None) -> DuckDBPyRelation:
        return self._cursor.cursor().sql(query, params={**self._params, **(params or {})})

    def counts(self) -> dict[str, int]:
        """Return the number of ``images`` and ``items``."""
        if self._counts is None:
            query = ", ".join(f"(SELECT count(*) FROM {rows}) AS {table}" for table, rows in self._rows.items())
            ((images, items),) = self._read(f"SELECT {query}").fetchall()
            self._counts = {"images": images, "items": items}
        return dict(self._counts)

    def item_keys(self) -> pa.Table:
        """Return split_no, image_id, item_no, source, pair_id and style of the items, in no order."""
        columns = "split_no, image_id, item_no, source, pair_id, style"
        return self._read(f"SELECT {columns} FROM {self._rows['items']}").to_arrow_table()

    def counts_of(self, options: Sequence[str]) -> dict[str, dict[Any, int]]:
        """Return the number of images or items of each value of options in :data:`FACETS`."""
        key = tuple(options)
        if key not in self._value_counts:
            self._value_counts[key] = self._counted(key)
        return dict(self._value_counts[key])

    def _counted(self, options: Sequence[str]) -> dict[str, dict[Any, int]]:
        counts: dict[str, dict[Any, int]] = {option: {} for option in options}
        for table, names in (
            ("images", [name for name in options if name in IMAGE_FACETS]),
            ("items", [name for name in options if name not in IMAGE_FACETS]),
        ):
            if not names:
                continue
            columns = [FACETS[name] for name in names]
            sets = ", ".join(f"({column})" for column in columns)
            query = (
                f"SELECT grouping({', '.join(columns)}), {', '.join(columns)}, count(*) FROM {self._rows[table]} "
                f"GROUP BY GROUPING SETS ({sets}) ORDER BY {', '.join(f'{column} NULLS LAST' for column in columns)}"
            )
            for number, *values, count in self._read(query).fetchall():
                # grouping() has a 0 bit for the column that a row is about, the first column highest.
                position = next(k for k in range(len(columns)) if not number & (1 << (len(columns) - 1 - k)))
                counts[names[position]][values[position]] = count
        if "split" in counts:
            counts["split"] = {split: counts["split"][split] for split in SPLITS if split in counts["split"]}
        return counts

    def page(
        self,
        table: str = "images",
        sort: str = "image_id",
        *,
        descending: bool = False,
        after: Sequence[Any] | None = None,
        before: Sequence[Any] | None = None,
        size: int = 60,
    ) -> Page:
        """Return some rows of ``images`` or ``items`` in an order: NULL last, ties by split, image_id and item_no.

        Args:
            table: ``images`` or ``items``.
            sort: a column of :data:`IMAGE_SORTS` or :data:`ITEM_SORTS`.
            descending: whether the largest come first.
            after: :attr:`Page.last` of the page before.
            before: :attr:`Page.first` of the page behind.
            size: number of rows.

        Raises:
            UnknownNameError: there is no such column to sort by.
            UsageError: ``after`` or ``before`` is no place in this order.
        """
        sorts = IMAGE_SORTS if table == IMAGES.name else ITEM_SORTS
        if sort not in sorts:
            raise unknown_name("column to sort by", sort, list(sorts))
        key = ["split_no", "image_id"] + (["item_no"] if table == ITEMS.name else [])
        backwards = before is not None
        place = before if backwards else after
        if place is not None:
            check_place(place, [] if sort == "image_id" else [sort], key)
        condition, params = _beyond(sort, key, place, descending, backwards)
        is_descending = descending != backwards
        order = [f"{column} DESC" if backwards else column for column in key]
        if sort != "image_id":
            order.insert(0, f"{sort} {'DESC' if is_descending else 'ASC'} NULLS {'FIRST' if backwards else 'LAST'}")
        elif descending:
            order = [f"{column} {'DESC' if is_descending else 'ASC'}" for column in key]
        rows = self._read(
            f"SELECT * FROM {self._rows[table]} WHERE {condition} ORDER BY {', '.join(order)} LIMIT {size + 1}", params
        ).to_arrow_table()
        return page_of(rows, [*([] if sort == "image_id" else [sort]), *key], size, backwards, after is not None)


def page_of(rows: pa.Table, names: Sequence[str], size: int, backwards: bool, is_behind: bool) -> Page:
    """Return a page of rows that were read with one more than it has.

    Args:
        rows: in the order of reading, with ``split_no``.
        names: columns of a place in the order.
        size: most rows of the page.
        backwards: whether the rows were read from the last to the first.
        is_behind: whether the page begins behind another.
    """
    has_more = rows.num_rows > size
    rows = rows.slice(0, size)
    if backwards and rows.num_rows:
        rows = rows.take(list(range(rows.num_rows - 1, -1, -1)))

    def values(position: int) -> list[Any]:
        return [rows.column(name)[position].as_py() for name in names]

    is_first, is_last = (not has_more, False) if backwards else (not is_behind, not has_more)
    has_rows = rows.num_rows > 0
    return Page(
        rows.drop_columns(["split_no"]),
        values(0) if has_rows and not is_first else None,
        values(rows.num_rows - 1) if has_rows and not is_last else None,
    )


def _without(subset: Subset, option: str) -> Subset:
    """Return a subset without one of its options."""
    values: dict[str, Any] = {option: OPTIONS[option].default}
    return replace(subset, **values)


def _filters_rows(subset: Subset) -> bool:
    """Return whether each option of a subset is a condition on single rows of the short columns."""
    options = ("items", "where", "exclude_check", "paired", "whole_images", "sample", "limit")
    return all(getattr(subset, name) == OPTIONS[name].default for name in options)


def _filtered(cursor: DuckDBPyConnection, subset: Subset) -> Chosen:
    """Return the images and items of a subset whose options are conditions on single rows."""
    condition, params = item_conditions(subset)
    items = f"(FROM items WHERE {condition}) AS items"
    of_images, _ = image_conditions(subset)
    images = (
        f"images SEMI JOIN {items} USING (split, image_id)"
        if subset.picks_items
        else f"(FROM images WHERE {of_images}) AS images"
    )
    return Chosen(cursor, {IMAGES.name: images, ITEMS.name: items}, params)


def check_place(place: Sequence[Any], sorts: Sequence[str], key: Sequence[str]) -> None:
    """Check values of an order, which come from an address.

    Raises:
        UsageError: they are of other columns.
    """
    numbers = place[len(sorts) :]
    is_key = len(numbers) == len(key) and all(type(number) is int and 0 <= number < 1 << 31 for number in numbers)
    for value in place[: len(sorts)]:
        kinds = (str,) if sorts == ["source"] else (int, float)
        is_key &= value is None or (type(value) in kinds and (isinstance(value, str) or abs(value) < _LARGEST))
    if not is_key:
        raise UsageError(
            f"Expected a place in the order by {', '.join([*sorts, *key])}, found {str(list(place))[:80]}."
        )


def _beyond(
    sort: str, key: Sequence[str], values: Sequence[Any] | None, descending: bool, backwards: bool
) -> tuple[str, dict[str, Any]]:
    """Return the condition on rows behind (or before) a row, whose sort column and key have these values."""
    if values is None:
        return "true", {}
    (*first,) = values[: len(values) - len(key)]
    params = {f"key_{number}": value for number, value in enumerate(values[len(first) :])}
    placeholders = ", ".join(f"${name}" for name in params)
    sign = "<" if backwards != (descending and not first) else ">"
    beyond_key = f"({', '.join(key)}) {sign} ({placeholders})"
    if not first:
        return beyond_key, params
    if first[0] is None:
        return f"(({sort} IS NULL AND {beyond_key})" + (f" OR {sort} IS NOT NULL)" if backwards else ")"), params
    params["sort"] = first[0]
    sign = "<" if descending != backwards else ">"
    nulls = "" if backwards else f" OR {sort} IS NULL"
    return f"({sort} {sign} $sort{nulls} OR ({sort} = $sort AND {beyond_key}))", params


def _drop(cursor: DuckDBPyConnection, schema: str) -> None:
    cursor.execute(f"DROP SCHEMA {quote_name(schema)} CASCADE")
