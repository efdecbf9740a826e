"""The identities of a registry in memory: pages of them in milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from registry.store.row_pages import check_place, page_of

if TYPE_CHECKING:
    from registry.store.narrow import NarrowTables
    from registry.store.row_pages import Page

#: Columns that order identities.
_KEY: Final = ("split_no", "pair_id", "style")
#: Condition of each filter.
FILTERS: Final = {
    "split": "split = $split",
    "orphans": "num_user_items = 0 OR num_shop_items = 0",
    "mixed": "num_categories > 1",
    "min_user": "num_user_items >= $min_user",
    "min_shop": "num_shop_items >= $min_shop",
}
_CREATE: Final = """
    CREATE TABLE identities AS
    SELECT split, pair_id, style, count(*) FILTER (WHERE source = 'user') AS num_user_items,
        count(*) FILTER (WHERE source = 'shop') AS num_shop_items, count(DISTINCT image_id) AS num_images,
        list_sort(list(DISTINCT category_name)) AS categories, count(DISTINCT category_id) AS num_categories,
        any_value(split_no) AS split_no,
        min({'image_id': image_id, 'item_no': item_no}) FILTER (WHERE source = 'user') AS user_item,
        min({'image_id': image_id, 'item_no': item_no}) FILTER (WHERE source = 'shop') AS shop_item
    FROM items WHERE style > 0 AND pair_id IS NOT NULL GROUP BY split, pair_id, style
    ORDER BY any_value(split_no), pair_id, style
"""


class Identities:
    """The rows of the view ``identities`` with a pair_id, each with three more columns.

    These are ``num_categories``, and ``user_item`` and ``shop_item``: image_id and item_no of the first item of a side.

    Its methods may be called from several threads.

    Args:
        narrow: the tables in memory; the identities are counted at the first call.
    """

    def __init__(self, narrow: NarrowTables) -> None:
        self._cursor = narrow.cursor()
        self._lock = threading.Lock()
        self._is_created = False
        self._counts: dict[str | None, dict[str, int]] = {}

    def page(
        self,
        filters: Mapping[str, Any],
        *,
        after: Sequence[Any] | None = None,
        before: Sequence[Any] | None = None,
        size: int = 60,
    ) -> Page:
        """Return some identities by split, pair_id and style.

        Args:
            filters: by names of :data:`FILTERS`; ``orphans`` (seen on one side only) and ``mixed`` (of several
                categories) need no value.
            after: :attr:`registry.store.row_pages.Page.last` of the page before.
            before: :attr:`registry.store.row_pages.Page.first` of the page behind.
            size: number of rows.

        Raises:
            UsageError: ``after`` or ``before`` is no place in this order.
        """
        self._create()
        backwards = before is not None
        place = before if backwards else after
        conditions = [f"({FILTERS[name]})" for name in filters]
        params = {name: value for name, value in filters.items() if f"${name}" in FILTERS[name]}
        if place is not None:
            check_place(place, [], _KEY)
            conditions.append(f"({', '.join(_KEY)}) {'<' if backwards else '>'} ($key_0, $key_1, $key_2)")
            params |= {f"key_{position}": value for position, value in enumerate(place)}
        order = ", ".join(f"{column} {'DESC' if backwards else 'ASC'}" for column in _KEY)
        query = f"FROM identities WHERE {' AND '.join(conditions) or 'true'} ORDER BY {order} LIMIT {size + 1}"
        cursor = self._cursor.cursor()
        rows = cursor.sql(f"FROM ({query}) ORDER BY {', '.join(_KEY)}", params=params).to_arrow_table()
        has_more = rows.num_rows > size
        rows = rows.slice(1 if backwards and has_more else 0, size)
        return page_of(rows, _KEY, has_more, backwards, after is not None)

    def counts(self, split: str | None = None) -> dict[str, int]:
        """Return the number of ``identities``, of ``orphans``, and of ``mixed``."""
        self._create()
        if split in self._counts:
            return self._counts[split]
        rows = self._cursor.cursor().sql(
            f"SELECT count(*) AS identities, count(*) FILTER (WHERE {FILTERS['orphans']}) AS orphans, "
            f"count(*) FILTER (WHERE {FILTERS['mixed']}) AS mixed FROM identities "
            "WHERE $split IS NULL OR split = $split",
            params={"split": split},
        )
        (self._counts[split],) = rows.to_arrow_table().to_pylist()
        return self._counts[split]

    def _create(self) -> None:
        with self._lock:
            if not self._is_created:
                self._cursor.execute(_CREATE)
                self._is_created = True
