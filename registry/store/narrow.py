"""The short columns of images and items in memory: subsets, counts and pages of them in milliseconds.

Landmarks and polygons, nine tenths of a registry, stay in its files.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import SPLITS, unknown_name
from registry.dataset.tables import IMAGES, ITEMS
from registry.store.choice import choose
from registry.store.connection import register
from registry.store.facet_counts import FACETS, IMAGE_FACETS
from registry.store.filters import image_conditions, item_conditions
from registry.store.narrow_subset import Chosen, order_key
from registry.store.paths import table_paths
from registry.store.row_order import RowOrder
from registry.store.selection import Selection
from registry.store.settings import open_database
from registry.store.sql import SPLIT_ORDER, quote_name, table_sql
from registry.subset.options import OPTIONS, Subset

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from registry.store.snapshot import Snapshot

#: Columns that stay in the files.
_LONG: Final = ("landmarks", "segmentation", "content_hash")
#: Subsets that are kept chosen.
_CHOSEN: Final = 16


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
        self._orders = {table.name: RowOrder(self._connection, table.name) for table in (IMAGES, ITEMS)}

    def _fill(self) -> None:
        manifest = self._snapshot.manifest
        register(self._connection, self._snapshot.place, manifest, self._snapshot.blocks)
        paths = table_paths(manifest)
        more = {IMAGES.name: "", ITEMS.name: ", (x2 - x1) * (y2 - y1) AS box_area"}
        for table in (IMAGES, ITEMS):
            long = [column.name for column in table.columns if column.name in _LONG]
            exclude = f" EXCLUDE ({', '.join(long)})" if long else ""
            rows = table_sql(table, paths[table.name], manifest.schema_version)
            in_order = (
                f"SELECT *{exclude}{more[table.name]}, {SPLIT_ORDER}::UTINYINT AS split_no FROM ({rows}) "
                f"ORDER BY {', '.join(order_key(table.name))}"
            )
            self._connection.execute(
                f"CREATE TABLE {table.name} AS "
                f"SELECT *, (row_number() OVER () - 1)::INTEGER AS row_no FROM ({in_order})"
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
            chosen = self._filtered(cursor, subset)
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
            chosen = Chosen(cursor, self._orders, rows, {}, notices)
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

    def _filtered(self, cursor: DuckDBPyConnection, subset: Subset) -> Chosen:
        """Return the images and items of a subset whose options are conditions on single rows."""
        condition, params = item_conditions(subset)
        items = ITEMS.name if condition == "true" else f"(FROM items WHERE {condition}) AS items"
        of_images, _ = image_conditions(subset)
        images = IMAGES.name if of_images == "true" else f"(FROM images WHERE {of_images}) AS images"
        if subset.picks_items:
            images = f"images SEMI JOIN {items} USING (split_no, image_id)"
        return Chosen(cursor, self._orders, {IMAGES.name: images, ITEMS.name: items}, params)

    def find(self, table: str, keys: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
        """Return the rows of ``images`` or ``items`` of images by (split, image_id), in the order of their keys."""
        if table not in self._orders:
            raise unknown_name("table", table, [IMAGES.name, ITEMS.name])
        numbers = self._orders[table].of_images(keys)
        return self._records(table, "row_no IN (SELECT unnest($numbers::INTEGER[]))", {"numbers": numbers.tolist()})

    def equal(self, table: str, split: str, **values: Any) -> list[dict[str, Any]]:
        """Return the rows of ``images`` or ``items`` whose columns have these values, in the order of their keys.

        Args:
            table: ``images`` or ``items``.
            split: of the rows.
            values: by column, such as ``pair_id=12``.
        """
        if split not in SPLITS:
            return []
        conditions = " AND ".join(["split_no = $split_no", *(f"{quote_name(column)} = ${column}" for column in values)])
        return self._records(quote_name(table), conditions, {"split_no": split_no(split), **values})

    def _records(self, table: str, condition: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        query = f"SELECT * EXCLUDE (split_no, row_no) FROM {table} WHERE {condition} ORDER BY row_no"
        cursor = self._connection.cursor().execute(query, params)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def cursor(self) -> DuckDBPyConnection:
        """Return a cursor with the tables ``images`` and ``items``."""
        return self._connection.cursor()

    def facets(self, subset: Subset) -> dict[str, dict[Any, int]]:
        """Return the number of images (split, source) or items of each value of an option: as if it were not set.

        Returns:
            Name of the option -> value of its column -> number; values in the order of the data set.
        """
        if not _filters_rows(subset):
            return {
                option: self.choose(_without(subset, option)).facet_counts(_table_of(option)).of(option, Subset())
                for option in FACETS
            }
        # Conditions on single rows: all combinations of the values of facets are counted once.
        items = self.choose(_without(subset, *FACETS)).facet_counts(ITEMS.name)
        images = self.choose(_without(subset, *IMAGE_FACETS)).facet_counts(IMAGES.name)
        return {option: (images if option in IMAGE_FACETS else items).of(option, subset) for option in FACETS}

    def counts(self, subset: Subset) -> dict[str, int]:
        """Return the number of ``images`` and ``items`` of a subset.

        Raises:
            UsageError: the subset cannot be chosen.
        """
        if not _filters_rows(subset):
            return self.choose(subset).num_rows()
        return {
            "images": self.choose(_without(subset, *IMAGE_FACETS)).facet_counts(IMAGES.name).total(subset),
            "items": self.choose(_without(subset, *FACETS)).facet_counts(ITEMS.name).total(subset),
        }


def _table_of(option: str) -> str:
    """Return the table that an option of :data:`FACETS` counts."""
    return IMAGES.name if option in IMAGE_FACETS else ITEMS.name


def _without(subset: Subset, *options: str) -> Subset:
    """Return a subset without some of its options."""
    values: dict[str, Any] = {option: OPTIONS[option].default for option in options}
    return replace(subset, **values)


def _filters_rows(subset: Subset) -> bool:
    """Return whether each option of a subset is a condition on single rows of the short columns."""
    options = ("items", "where", "exclude_check", "paired", "whole_images", "sample", "limit")
    return all(getattr(subset, name) == OPTIONS[name].default for name in options)


def _drop(cursor: DuckDBPyConnection, schema: str) -> None:
    cursor.execute(f"DROP SCHEMA {quote_name(schema)} CASCADE")
