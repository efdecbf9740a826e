"""The images and items of a subset among the tables in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import unknown_name
from registry.dataset.tables import IMAGES, ITEMS
from registry.store.facet_counts import FACETS, IMAGE_FACETS, FacetCounts
from registry.store.row_pages import beyond, check_place, page_of

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from registry.store.row_order import RowOrder
    from registry.store.row_pages import Page

#: Columns by which images, and items, can be sorted; the order of splits, image_id and item_no decides ties.
IMAGE_SORTS: Final = ("image_id", "source", "pair_id", "num_items", "width", "height", "orientation")
ITEM_SORTS: Final = (
    "image_id", "category_id", "source", "pair_id", "style", "scale", "occlusion", "zoom_in", "viewpoint", "box_area",
    "num_landmarks_labelled", "num_corrections",
)  # fmt: skip


class Chosen:
    """The images and items of a subset in memory.

    Args:
        cursor: of the database with the tables ``images`` and ``items``.
        orders: of the rows of each table by their keys.
        rows: table -> SQL of its chosen rows: the name of the table, or a query in parentheses.
        params: values of the parameters of the queries.
        notices: see :class:`registry.store.selection.Selection`.

    Attributes:
        notices: the same.
    """

    def __init__(
        self,
        cursor: DuckDBPyConnection,
        orders: Mapping[str, RowOrder],
        rows: Mapping[str, str],
        params: Mapping[str, Any],
        notices: Sequence[str] = (),
    ) -> None:
        self._cursor = cursor
        self._orders = orders
        self._rows = rows
        self._params = dict(params)
        self.notices = list(notices)
        self._lock = threading.Lock()
        #: Pages of one subset follow each other: it is counted once.
        self._num_rows: dict[str, int] | None = None
        self._facet_counts: dict[str, FacetCounts] = {}

    def num_rows(self) -> dict[str, int]:
        """Return the number of chosen ``images`` and ``items``."""
        with self._lock:
            if self._num_rows is None:
                query = ", ".join(f"(SELECT count(*) FROM {rows}) AS {table}" for table, rows in self._rows.items())
                ((images, items),) = self._fetch(f"SELECT {query}")
                self._num_rows = {"images": images, "items": items}
            return dict(self._num_rows)

    def facet_counts(self, table: str) -> FacetCounts:
        """Return the counts of the options of ``images`` or ``items``, of all their combinations."""
        with self._lock:
            if table not in self._facet_counts:
                options = IMAGE_FACETS if table == IMAGES.name else tuple(FACETS)
                self._facet_counts[table] = FacetCounts(options, self._rows[table], self._fetch)
            return self._facet_counts[table]

    def item_keys(self) -> pa.Table:
        """Return split_no, image_id, item_no, source, pair_id and style of the items, in no order."""
        columns = "split_no, image_id, item_no, source, pair_id, style"
        query = f"SELECT {columns} FROM {self._rows['items']}"
        return self._cursor.cursor().sql(query, params=self._params).to_arrow_table()

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
        names = [*([] if sort == "image_id" else [sort]), *order_key(table)]
        backwards = before is not None
        place = before if backwards else after
        if place is not None:
            check_place(place, names[: len(names) - len(order_key(table))], order_key(table))
        numbers = self._row_numbers(table, sort, place, size + 1, descending, backwards)
        has_more = len(numbers) > size
        numbers = numbers[size - 1 :: -1] if backwards else numbers[:size]
        return page_of(read_rows(self._cursor, table, numbers), names, has_more, backwards, after is not None)

    def _row_numbers(
        self, table: str, sort: str, place: Sequence[Any] | None, size: int, descending: bool, backwards: bool
    ) -> list[int]:
        """Return the numbers of the next rows behind (or before) a place, in the order of reading."""
        is_descending = descending != backwards
        if sort == "image_id" and self._rows[table] == table:
            return self._neighbours(table, place, size, is_descending)
        condition, params = "true", dict[str, Any]()
        if place is not None:
            condition, params = beyond(sort, place, self._orders[table], is_descending, backwards)
        direction = "DESC" if is_descending else "ASC"
        order = f"row_no {direction}"
        if sort != "image_id":
            nulls, by_key = ("FIRST", "DESC") if backwards else ("LAST", "ASC")
            order = f"{sort} {direction} NULLS {nulls}, row_no {by_key}"
        query = f"SELECT row_no FROM {self._rows[table]} WHERE {condition} ORDER BY {order} LIMIT {size}"
        return [number for (number,) in self._fetch(query, params)]

    def _neighbours(self, table: str, place: Sequence[Any] | None, size: int, is_descending: bool) -> list[int]:
        """Return the numbers of the next rows of a whole table behind a key, without a query."""
        before, up_to = (len(self._orders[table]), 0) if place is None else self._orders[table].bounds(place)
        if is_descending:
            return list(range(before - 1, max(before - 1 - size, -1), -1))
        return list(range(up_to, min(up_to + size, len(self._orders[table]))))

    def _fetch(self, query: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = (
            self._cursor.cursor().execute(query, {**self._params, **(params or {})}).fetchall()
        )
        return rows


def order_key(table: str) -> list[str]:
    """Return the columns that order the rows of ``images`` or ``items``."""
    return ["split_no", "image_id", *(["item_no"] if table == ITEMS.name else [])]


def read_rows(cursor: DuckDBPyConnection, table: str, numbers: Sequence[int]) -> pa.Table:
    """Return the rows of ``images`` or ``items`` with these numbers, in their order, without the number."""
    return (
        cursor.cursor()
        .sql(
            f"SELECT {table}.* EXCLUDE (row_no) FROM "
            "(SELECT unnest($numbers::INTEGER[]) AS row_no, generate_subscripts($numbers::INTEGER[], 1) AS place) "
            f"JOIN {table} USING (row_no) ORDER BY place",
            params={"numbers": list(numbers)},
        )
        .to_arrow_table()
    )
