"""The items that are most similar to an item, a photo or a vector, with the columns that a user looks at."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import CATEGORY_BY_ID, SPLITS
from registry.embeddings.distances import COSINE
from registry.embeddings.neighbours import (
    Neighbours,
    item_key,
    item_keys,
    keys_of,
    read_nearest,
    read_neighbours,
    without_vector,
)
from registry.embeddings.sources import open_vectors, signature
from registry.errors import NotFoundError, UsageError
from registry.storage.options import StorageOptions
from registry.store.sql import SPLIT_ORDER
from registry.subset.options import Subset

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.registry import Registry

#: Items that are returned unless the caller says how many.
NUMBER: Final = 20


@dataclass(frozen=True)
class SimilarItems:
    """The items that are most similar to another.

    Attributes:
        rows: Arrow table with split, image_id, item_no, source, pair_id, style, category_name, similarity (the cosine)
            and is_same_identity (NULL for a vector of no item), the most similar first; equally similar ones by key.
        notices: plain sentences with a count on rows of the embeddings that are left out.
    """

    rows: pa.Table
    notices: list[str]


@dataclass(frozen=True)
class _Held:
    """The items of a registry and their vectors in memory, and where these are from."""

    key: Hashable
    source: Any
    items: pa.Table
    neighbours: Neighbours


_HELD: Final[WeakKeyDictionary[Registry, _Held]] = WeakKeyDictionary()
_LOCK: Final = threading.Lock()


def similar_items(
    registry: Registry,
    split: str,
    image_id: int,
    item_no: int,
    number: int = NUMBER,
    *,
    subset: Subset | None = None,
    embeddings: Any = None,
    storage_options: StorageOptions | None = None,
    keeps: bool = True,
) -> SimilarItems:
    """Return the items of a subset whose vectors have the largest cosine with that of an item.

    Args:
        registry: an open registry.
        split: of the item.
        image_id: of the item.
        item_no: of the item. It need not be in the subset, and is not among the answers.
        number: of items to return; fewer where the subset has fewer.
        subset: the items to choose from; all without it.
        embeddings: see :func:`registry.embeddings.sources.open_vectors`.
        storage_options: passed to fsspec for a URL of embeddings.
        keeps: whether the vectors stay in memory for the next call on the same registry. Without it, only the row
            groups with vectors of the subset are read, and only vectors that may be among the answers are held.

    Raises:
        UnknownNameError: there is no such split or model.
        NotFoundError: there is no such item, or it has no vector; or the subset has no item with a vector.
        UsageError: the number is below 1, or the embeddings cannot be used.
    """
    _check_number(number)
    registry.check_split(split)
    chosen = _chosen(registry, subset)
    if keeps:
        held = _held(registry, embeddings, storage_options)
        items, neighbours = held.items, held.neighbours
        _key_of(registry, items, split, image_id, item_no)
    else:
        items = _items(registry)
        key = _key_of(registry, items, split, image_id, item_no)
        with open_vectors(registry, embeddings, storage_options) as file:
            neighbours = read_nearest(items, file, key, number, chosen)
    at = neighbours.place(split, image_id, item_no)
    if at is None:
        raise without_vector(split, image_id, item_no)
    allowed = _allowed(neighbours, chosen)
    allowed[at] = False
    near, far = neighbours.nearest(at, number, COSINE, allowed)
    return _answer(items, neighbours, near, far, neighbours.is_same_identity(at)[near])


def similar_to_vector(
    registry: Registry,
    vector: npt.ArrayLike,
    number: int = NUMBER,
    *,
    subset: Subset | None = None,
    embeddings: Any = None,
    storage_options: StorageOptions | None = None,
    keeps: bool = True,
) -> SimilarItems:
    """Return the items of a subset whose vectors have the largest cosine with a vector; see :func:`similar_items`.

    Raises:
        UsageError: the vector has another length than those of the items, or cannot be compared.
    """
    _check_number(number)
    asked: Floats = np.asarray(vector, np.float64).ravel()
    if not np.isfinite(asked).all() or not asked.any():
        raise UsageError("Expected a vector of finite numbers that are not all 0.")
    asked = asked / np.abs(asked).max()  # the squares of 1e200 and of 1e-200 are no doubles
    chosen = _chosen(registry, subset)
    if keeps:
        held = _held(registry, embeddings, storage_options)
        items, neighbours = held.items, held.neighbours
    else:
        items = _items(registry)
        with open_vectors(registry, embeddings, storage_options) as file:
            neighbours = read_nearest(items, file, asked, number, chosen)
    near, far = neighbours.nearest_to(asked, number, COSINE, _allowed(neighbours, chosen))
    return _answer(items, neighbours, near, far, None)


def _check_number(number: int) -> None:
    if number < 1:
        raise UsageError(f"Expected a number of items of at least 1, found {number}.")


def _items(registry: Registry) -> pa.Table:
    """Return the columns of all items that :func:`read_neighbours` needs, and category_id."""
    columns = "image_id, item_no, source, pair_id, style, category_id"
    return registry.sql(f"SELECT {SPLIT_ORDER} AS split_no, {columns} FROM items").to_arrow_table()


def _key_of(registry: Registry, items: pa.Table, split: str, image_id: int, item_no: int) -> int:
    """Return the key of an item; raise NotFoundError where the registry has none."""
    keys = keys_of(items)
    is_possible = 0 <= image_id < 1 << 31 and 0 <= item_no < 1 << 15
    if is_possible and (keys == item_key(split, image_id, item_no)).any():
        return item_key(split, image_id, item_no)
    registry.image(split, image_id)  # its error tells which images there are
    first = item_key(split, image_id, 0)
    numbers = np.sort(keys[(keys >= first) & (keys < first + (1 << 15))] - first).tolist()
    hint = f"its items are {', '.join(map(str, numbers))}" if numbers else "no item is annotated in it"
    raise NotFoundError(f"{split} image {image_id} has no item {item_no}; {hint}.")


def _chosen(registry: Registry, subset: Subset | None) -> Ints | None:
    """Return the keys of the items of a subset; None for all items.

    Raises:
        NotFoundError: the subset has no item.
    """
    if subset is None or subset == Subset():
        return None
    rows = registry.select(subset).item_keys()
    split_no = np.zeros(rows.num_rows, np.int64)
    splits = np.array(rows.column("split").to_pylist(), object)
    for number, name in enumerate(SPLITS, 1):
        split_no[splits == name] = number
    if not rows.num_rows:
        raise NotFoundError("No item of the registry is in the subset: there is nothing to compare with.")
    return item_keys(split_no, *(np.array(rows.column(name), np.int64) for name in ("image_id", "item_no")))


def _held(registry: Registry, embeddings: Any, storage_options: StorageOptions | None) -> _Held:
    """Return all items and vectors: those of the last call on a registry, where they are the same."""
    key = (registry.manifest.sha256, signature(registry, embeddings))
    with _LOCK:
        held = _HELD.get(registry)
        if held is None or held.key != key:
            _HELD.pop(registry, None)  # before the next vectors need as much memory
            held = None
            items = _items(registry)
            with open_vectors(registry, embeddings, storage_options) as file:
                held = _HELD[registry] = _Held(key, embeddings, items, read_neighbours(items, file))
        return held


def _allowed(neighbours: Neighbours, chosen: Ints | None) -> Bools:
    if chosen is None:
        return np.ones(len(neighbours.keys), bool)
    allowed: Bools = np.isin(neighbours.keys, chosen)
    if not allowed.any():
        raise NotFoundError("No item of the subset has a vector: there is nothing to compare with.")
    return allowed


def _answer(items: pa.Table, neighbours: Neighbours, near: Ints, far: Floats, is_same: Bools | None) -> SimilarItems:
    import pyarrow as pa

    keys = [neighbours.key(at) for at in near.tolist()]
    known = keys_of(items)
    order = np.argsort(known)
    rows = order[np.searchsorted(known, neighbours.keys[near], sorter=order)]
    categories = [CATEGORY_BY_ID.get(number) for number in items.column("category_id").take(rows).to_pylist()]
    columns = {
        "split": pa.array([key[0] for key in keys], pa.string()),
        "image_id": pa.array([key[1] for key in keys], pa.int32()),
        "item_no": pa.array([key[2] for key in keys], pa.int16()),
        "source": pa.array([neighbours.source(at) for at in near.tolist()], pa.string()),
        "pair_id": _numbers(neighbours.pair_id[near], pa.int32()),
        "style": _numbers(neighbours.style[near], pa.int32()),
        "category_name": pa.array([category and category.name for category in categories], pa.string()),
        "similarity": pa.array(1 - far, pa.float64()),
        "is_same_identity": pa.nulls(len(keys), pa.bool_()) if is_same is None else pa.array(is_same),
    }
    return SimilarItems(pa.table(columns), neighbours.notices)


def _numbers(values: Ints, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, kind, mask=values < 0)
