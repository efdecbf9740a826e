"""The queries and the gallery of the retrieval protocol: from the published lists, or from all items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from registry.dataset.arrays import Bools, Floats, Ints
from registry.errors import NotFoundError, UsageError
from registry.evaluation.splits import select_annotated
from registry.subset.options import Subset
from registry.wording import sentence

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.registry import Registry
    from registry.store.selection import Selection

#: Where the rows come from: the published lists where the registry has them, else all items.
AUTO: Final = "auto"
LISTS: Final = "lists"
ITEMS: Final = "items"
ROWS: Final = (AUTO, LISTS, ITEMS)

_CHOSEN: Final = "(split, image_id, item_no) IN (SELECT (split, image_id, item_no) FROM items)"
_ITEMS: Final = f"""
    SELECT image_id, item_no, pair_id, style, category_id, category_name, x1, y1, x2, y2, {_CHOSEN} AS is_chosen
    FROM whole.items WHERE split = $split AND source = $source ORDER BY image_id, item_order
"""
#: Entries of the published lists, each with the item that it describes; equal ones in their order.
_ENTRIES: Final = f"""
    WITH entries AS (
        SELECT *, row_number() OVER (
            PARTITION BY image_id, x1, y1, x2, y2, style, pair_id ORDER BY list_file, entry_no
        ) AS repetition
        FROM retrieval_lists WHERE split = $split AND role = $role AND x1 IS NOT NULL
    ), annotated AS (
        SELECT image_id, item_no, pair_id, style, category_id, category_name, x1, y1, x2, y2, {_CHOSEN} AS is_chosen,
            row_number() OVER (PARTITION BY image_id, x1, y1, x2, y2, style, pair_id ORDER BY item_order) AS repetition
        FROM whole.items WHERE split = $split AND source = $source
    )
    SELECT image_id, item_no, pair_id, style, coalesce(entries.category_id, annotated.category_id) AS category_id,
        coalesce(categories.name, category_name) AS category_name, x1, y1, x2, y2,
        coalesce(is_chosen, false) AS is_chosen, list_file
    FROM entries LEFT JOIN annotated USING (image_id, x1, y1, x2, y2, style, pair_id, repetition)
    LEFT JOIN categories ON categories.id = entries.category_id
    ORDER BY list_file, entry_no
"""
_SOURCES: Final = {"query": "user", "gallery": "shop"}


@dataclass(frozen=True)
class Rows:
    """Rows of the queries or of the gallery, in their order.

    Attributes:
        table: image_id, item_no (NULL of an entry of a list that describes no item), pair_id, style, category_id,
            category_name, x1, y1, x2, y2 and is_chosen of each row.
        image_id, pair_id, style, category_id: int64 [rows]; -1 where it is not known.
        boxes: float64 [rows, 4]: x, y, width, height, px.
        chosen: bool [rows]: whether the row is in the subset.
    """

    table: pa.Table
    image_id: Ints
    pair_id: Ints
    style: Ints
    category_id: Ints
    boxes: Floats
    chosen: Bools

    @classmethod
    def of(cls, table: pa.Table, *, is_whole: bool = False) -> Rows:
        """Return rows of a table.

        Args:
            table: the columns of :attr:`table`.
            is_whole: whether all rows are in the subset, also those that are no item.
        """
        names = ("image_id", "pair_id", "style", "category_id")
        image_id, pair_id, style, category_id = (
            table.column(name).fill_null(-1).to_numpy().astype(np.int64) for name in names
        )
        x1, y1, x2, y2 = (table.column(name).to_numpy().astype(np.float64) for name in ("x1", "y1", "x2", "y2"))
        chosen = np.ones(table.num_rows, bool) if is_whole else table.column("is_chosen").to_numpy().astype(bool)
        boxes = np.column_stack([x1, y1, x2 - x1, y2 - y1])
        return cls(table, image_id, pair_id, style, category_id, boxes, chosen)

    def __len__(self) -> int:
        return len(self.image_id)


@dataclass(frozen=True)
class RetrievalRows:
    """The rows that a submission is compared with, all of one split.

    Attributes:
        split: the split.
        kind: ``lists`` or ``items``.
        files: names of the published lists; none for items.
        queries: rows of consumer items, those without a style among them: detections go to these too.
        gallery: rows of shop items.
        user_images: int64, ascending: consumer images of the split.
        shop_images: int64, ascending: shop images of the split.
        notices: plain sentences with a count.
    """

    split: str
    kind: str
    files: tuple[str, ...]
    queries: Rows
    gallery: Rows
    user_images: Ints
    shop_images: Ints
    notices: Sequence[str] = ()


def read_rows(selection: Selection, split: str, rows: str = AUTO) -> RetrievalRows:
    """Return the rows of a split.

    Args:
        selection: the subset; it chooses the queries that count. The other rows and the gallery are always all.
        split: the split.
        rows: one of :data:`ROWS`.

    Raises:
        UsageError: ``rows`` is none of them, or the split has several lists of a kind.
        NotFoundError: the registry has no such lists, or the split has no query.
    """
    if rows not in ROWS:
        raise UsageError(f"Expected the rows {', '.join(ROWS)}, found {rows!r}.")
    files = {} if rows == ITEMS else _list_files(selection, split)
    missing = [role for role in _SOURCES if role not in files]
    if rows == LISTS and missing:
        raise NotFoundError(
            f"The registry has no {' and no '.join(missing)} list with boxes of {split}, such as val_query.json: "
            "ingest the split with --retrieval, or evaluate all items (--rows items)."
        )
    kind = ITEMS if rows == ITEMS or missing else LISTS
    is_whole = replace(selection.subset, split=()) == Subset()
    by_role, notices = {}, []
    for role, source in _SOURCES.items():
        params = {"split": split, "source": source} | ({"role": role} if kind == LISTS else {})
        table = selection.sql(_ENTRIES if kind == LISTS else _ITEMS, params).to_arrow_table().combine_chunks()
        by_role[role] = Rows.of(table, is_whole=is_whole)
        number = table.column("item_no").null_count
        if number:
            notices.append(
                sentence(number, f"entries of the {role} list", "have the box, style and pair_id of no item")
                + ": they count, but have no attributes, and no row in a table of items"
            )
    queries = by_role["query"]
    if not ((queries.style > 0) & queries.chosen).any():
        raise NotFoundError(
            f"The subset {selection.subset.text} has no query in {split}: no consumer item with a style above 0."
        )
    if (queries.category_id[(queries.style > 0)] < 0).any():
        raise UsageError(f"The query list of {split} has entries without category: evaluate all items (--rows items).")
    return RetrievalRows(
        split=split,
        kind=kind,
        files=tuple(name for role in _SOURCES for name in files[role]) if kind == LISTS else (),
        queries=queries,
        gallery=by_role["gallery"],
        user_images=_images(selection, split, "user"),
        shop_images=_images(selection, split, "shop"),
        notices=notices,
    )


def select_split(registry: Registry, subset: Subset | None) -> tuple[Selection, str, list[str]]:
    """Return the selection to evaluate, its split, and notices.

    Args:
        registry: the registry.
        subset: of it.

    Raises:
        UsageError: the subset has several splits and names some of them, or validation is not among them.
        NotFoundError: the subset has no image with an annotation.
    """
    selection, splits, notices = select_annotated(registry, subset)
    if len(splits) > 1:
        raise UsageError(f"Retrieval is evaluated within one split: expected one (--split), found {', '.join(splits)}.")
    return selection, splits[0], notices


def _list_files(selection: Selection, split: str) -> dict[str, tuple[str, ...]]:
    """Return the names of the lists with boxes by role."""
    query = (
        "SELECT role, list(DISTINCT list_file ORDER BY list_file) FROM retrieval_lists "
        "WHERE split = $split AND x1 IS NOT NULL GROUP BY role"
    )
    files = {role: tuple(names) for role, names in selection.sql(query, {"split": split}).fetchall()}
    for role, names in files.items():
        if len(names) > 1:
            raise UsageError(
                f"{split} has several {role} lists, {', '.join(names)}: the script takes one. Evaluate all items "
                "(--rows items), or ingest one list."
            )
    return files


def _images(selection: Selection, split: str, source: str) -> Ints:
    query = "SELECT image_id FROM whole.images WHERE split = $split AND source = $source ORDER BY image_id"
    rows = selection.sql(query, {"split": split, "source": source}).to_arrow_table()
    images: Ints = rows.column("image_id").to_numpy().astype(np.int64)
    return images
