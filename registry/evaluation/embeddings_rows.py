"""Which rows of embeddings are queries, and which are the gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import CATEGORIES
from registry.embeddings.vector_file import EmbeddingsFile
from registry.evaluation.retrieval_rows import RetrievalRows, Rows
from registry.parsing.problems import Problems
from registry.wording import sentence

if TYPE_CHECKING:
    from registry.store.selection import Selection

#: Origin of the boxes of queries and answers.
ANNOTATED: Final = "annotated"
DETECTED: Final = "detected"
_KEYS: Final = "SELECT image_id, item_no FROM whole.items WHERE split = $split"
#: More than any item_no.
_STRIDE: Final = 1 << 16


@dataclass(frozen=True)
class Candidates:
    """The queries and the gallery among the rows of embeddings.

    Attributes:
        boxes: ``annotated`` or ``detected``.
        query_row: int64 [queries]: number of the row.
        query_image_id, query_category_id: int64 [queries].
        query_score: float64 [queries].
        query_corners: float64 [queries, 4]: x1, y1, x2, y2, px.
        gallery_row, gallery_image_id: int64 [gallery]; the gallery is in the order of its keys.
        gallery_corners: float64 [gallery, 4].
        notices: plain sentences with a count.
    """

    boxes: str
    query_row: Ints
    query_image_id: Ints
    query_category_id: Ints
    query_score: Floats
    query_corners: Floats
    gallery_row: Ints
    gallery_image_id: Ints
    gallery_corners: Floats
    notices: Sequence[str]


def items(selection: Selection, rows: RetrievalRows, file: EmbeddingsFile, problems: Problems) -> Candidates:
    """Return the candidates among rows of items; note rows of no item, repeated rows and items without a row.

    Args:
        selection: the subset.
        rows: of the protocol; the queries are those of the subset.
        file: the embeddings.
        problems: gathers the problems.
    """
    image_id, item_no = file.numbers("image_id"), file.numbers("item_no")
    is_used, notices = _of_split(file, rows.split)
    annotated = selection.sql(_KEYS, {"split": rows.split}).to_arrow_table()
    annotated_keys = _keys(
        np.array(annotated.column("image_id").to_numpy()), np.array(annotated.column("item_no").to_numpy())
    )
    key = _keys(image_id, item_no)

    def name(k: int) -> str:
        return f"image {image_id[k]}, item {item_no[k]}"

    report = _reporter(is_used, problems)
    report(~np.isin(key, annotated_keys), "rows without an item in the registry", f"items of {rows.split}", name)
    report(_is_repeated(key, is_used), "repeated rows", "one row an item; the first is taken", name)
    asked = rows.queries.chosen & (rows.queries.style > 0)
    pairs = []
    roles = (("queries", asked), ("gallery items", np.ones(len(rows.gallery), bool)))
    wanted = np.zeros(0, np.int64)
    for (role, is_in), table in zip(roles, (rows.queries, rows.gallery), strict=True):
        numbers = table.table.column("item_no").fill_null(-1).to_numpy().astype(np.int64)
        of_items = np.flatnonzero(is_in & (numbers >= 0))
        keys = _keys(table.image_id[of_items], numbers[of_items])
        if role != "queries":  # ties are decided by key
            order = np.argsort(keys, kind="stable")
            of_items, keys = of_items[order], keys[order]
        row = _rows_of(key, is_used, keys)
        gone = np.flatnonzero(row < 0)
        if len(gone):
            places = (f"image {keys[k] // _STRIDE}, item {keys[k] % _STRIDE}" for k in gone[:3].tolist())
            problems.add(f"{role} without a row", "a vector for each", places, len(gone))
        pairs.append((of_items[row >= 0], row[row >= 0]))
        wanted = np.concatenate([wanted, keys])
    number = int((is_used & ~np.isin(key, wanted)).sum())
    if number:
        notices.append(sentence(number, "rows", "are neither of a query nor of the gallery: not used"))
    (query, query_row), (gallery, gallery_row) = pairs
    return Candidates(
        boxes=ANNOTATED,
        query_row=query_row,
        query_image_id=rows.queries.image_id[query],
        query_category_id=rows.queries.category_id[query],
        query_score=np.ones(len(query)),
        query_corners=_corners(rows.queries)[query],
        gallery_row=gallery_row,
        gallery_image_id=rows.gallery.image_id[gallery],
        gallery_corners=_corners(rows.gallery)[gallery],
        notices=notices,
    )


def detections(selection: Selection, rows: RetrievalRows, file: EmbeddingsFile, problems: Problems) -> Candidates:
    """Return the candidates among rows of detections; note bad rows.

    Those in consumer images with a row of the protocol are queries, those in shop images the gallery.
    """
    image_id, category_id = file.numbers("image_id"), file.numbers("category_id")
    score = file.numbers("score", np.float64)
    corners = np.column_stack([file.numbers(name, np.float64) for name in ("x1", "y1", "x2", "y2")])
    is_used, notices = _of_split(file, rows.split)

    def name(k: int) -> str:
        return f"image {image_id[k]}"

    is_shop = np.isin(image_id, np.concatenate([rows.shop_images, rows.gallery.image_id]))
    is_user = ~is_shop & np.isin(image_id, np.concatenate([rows.user_images, rows.queries.image_id]))
    report = _reporter(is_used, problems)
    report(~is_shop & ~is_user, "rows for images that the registry does not have", f"images of {rows.split}", name)
    is_wrong = is_user & ((category_id < 1) | (category_id > len(CATEGORIES)))
    report(is_wrong, "unknown categories", f"category_id from 1 to {len(CATEGORIES)}", lambda k: str(category_id[k]))
    report(is_user & ~np.isfinite(score), "scores without a finite number", "a number", name)
    report(~np.isfinite(corners).all(1), "boxes without finite numbers", "x1, y1, x2, y2 in px", name)
    is_negative = (corners[:, 2] < corners[:, 0]) | (corners[:, 3] < corners[:, 1])
    report(is_negative, "boxes of negative size", "x1, y1, x2, y2 in px, not x, y, width, height", name)
    asked = np.flatnonzero(is_used & is_user & np.isin(image_id, rows.queries.image_id))
    shown = np.flatnonzero(is_used & is_shop)
    shown = shown[np.argsort(image_id[shown], kind="stable")]
    return Candidates(
        boxes=DETECTED,
        query_row=asked,
        query_image_id=image_id[asked],
        query_category_id=category_id[asked],
        query_score=score[asked],
        query_corners=corners[asked],
        gallery_row=shown,
        gallery_image_id=image_id[shown],
        gallery_corners=corners[shown],
        notices=notices,
    )


def _of_split(file: EmbeddingsFile, split: str) -> tuple[Bools, list[str]]:
    """Return which rows are of the split, and a notice on the others."""
    is_of_split = file.is_of_split(split)
    number = int((~is_of_split).sum())
    notices = [sentence(number, "rows", f"are of no image of {split}: not used")] if number else []
    return is_of_split, [*file.notices, *notices]


def _reporter(is_used: Bools, problems: Problems) -> Callable[[Bools, str, str, Callable[[int], str]], None]:
    """Return a function that notes used rows with a problem, and marks them as not used."""

    def report(is_wrong: Bools, kind: str, expected: str, shown: Callable[[int], str]) -> None:
        at = np.flatnonzero(is_wrong & is_used)
        is_used[at] = False
        if len(at):
            problems.add(kind, expected, (f"row {k:,}: {shown(k)}" for k in at[:3].tolist()), len(at))

    return report


def _keys(image_id: Ints, item_no: Ints) -> Ints:
    """Return a number for each item; -1 for numbers of none."""
    is_key = (image_id >= 0) & (image_id < 1 << 40) & (item_no >= 0) & (item_no < _STRIDE)
    return np.where(is_key, image_id.astype(np.int64) * _STRIDE + item_no, -1)


def _is_repeated(key: Ints, is_used: Bools) -> Bools:
    """Return which of the used rows have the key of an earlier one."""
    at = np.flatnonzero(is_used)
    _, first = np.unique(key[at], return_index=True)
    is_repeated = is_used.copy()
    is_repeated[at[first]] = False
    return is_repeated


def _rows_of(key: Ints, is_used: Bools, wanted: Ints) -> Ints:
    """Return the number of the used row of each wanted key, -1 for none."""
    at = np.flatnonzero(is_used)
    order = at[np.argsort(key[at], kind="stable")]
    if not len(order):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(key[order], wanted), len(order) - 1)
    return np.where(key[order][place] == wanted, order[place], -1)


def _corners(rows: Rows) -> Floats:
    """Return float64 [rows, 4]: x1, y1, x2, y2."""
    return np.column_stack([rows.table.column(name).to_numpy().astype(np.float64) for name in ("x1", "y1", "x2", "y2")])
