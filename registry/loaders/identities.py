"""Items grouped by identity and side, and random items of each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from registry.loaders.random_keys import random_keys
from registry.wording import plural, sentence

#: Sides of an identity -> sources of its items, in the order of a batch. ``None`` takes every item.
SIDES: Final[dict[str, tuple[str | None, ...]]] = {
    "both": ("user", "shop"),
    "user": ("user",),
    "shop": ("shop",),
    "any": (None,),
}

Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Side:
    """Items of one side, ordered by identity.

    Attributes:
        items: indices of the items, ``(n,)``.
        identity: identity of each of them, ``(n,)``, ascending.
        starts: first place in ``items`` of each identity, ``(identities,)``.
        counts: number of items of each identity, ``(identities,)``.
    """

    items: Ints
    identity: Ints
    starts: Ints
    counts: Ints

    def draw(self, identities: Ints, number: int, *seeds: int) -> Ints:
        """Return ``number`` random items of each identity, ``(identities, number)``.

        An identity with fewer items gives all of them, and then the same again in the same order.
        """
        order = self.items[np.lexsort((random_keys(len(self.items), *seeds), self.identity))]
        turns = np.arange(number) % self.counts[identities, None]
        drawn: Ints = order[self.starts[identities, None] + turns]
        return drawn


@dataclass(frozen=True, eq=False)
class Identities:
    """Identities that batches are drawn from, ordered by split, pair_id and style.

    Attributes:
        sides: their items by side, in the order of a batch.
        pairs: a number for each (split, pair_id), ``(identities,)``, ascending.
        notices: counts of the items and identities that are left out.
    """

    sides: tuple[Side, ...]
    pairs: Ints
    notices: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of identities."""
        return len(self.pairs)


def group_by_identity(rows: pa.Table, sides: str, *, drop_singles: bool) -> Identities:
    """Return the identities of a table of items.

    Args:
        rows: has the columns ``split``, ``pair_id``, ``style`` and ``source``.
        sides: key of :data:`SIDES`.
        drop_singles: leave out identities of which only one item can be drawn.
    """
    notices = []
    style = _ints(rows, "style")
    has_identity = style > 0
    if not has_identity.all():
        without = int((~has_identity).sum())
        notices.append(f"{sentence(without, 'items of style 0', 'have no identity')}: left out of the batches.")
    items = np.flatnonzero(has_identity)
    split = pc.dictionary_encode(pc.cast(rows.column("split"), pa.string())).combine_chunks()
    names = np.argsort(np.argsort(np.array(split.dictionary.to_pylist(), dtype=object), kind="stable"), kind="stable")
    splits = names[split.indices.to_numpy(zero_copy_only=False)[items]]
    keys = (splits, _ints(rows, "pair_id")[items], style[items])
    order = np.lexsort((items, *reversed(keys)))
    items = items[order]
    pair = _numbered(*(key[order] for key in keys[:2]))
    identity = _numbered(pair, keys[2][order])

    masks = [_of_source(rows, source)[items] for source in SIDES[sides]]
    num_identities = int(identity[-1]) + 1 if len(items) else 0
    counts = np.stack([np.bincount(identity[mask], minlength=num_identities) for mask in masks])
    is_drawn: npt.NDArray[np.bool_] = np.all(counts > 0, axis=0)
    if not is_drawn.all():
        notices.append(_without_a_side(counts, SIDES[sides]))
    singles = is_drawn & (counts.sum(axis=0) == 1)
    if drop_singles and singles.any():
        notices.append(f"{plural(int(singles.sum()), 'identity', 'identities')} of a single item left out.")
        is_drawn &= ~singles
    new_numbers = np.cumsum(is_drawn) - 1
    by_side = []
    for mask, count in zip(masks, counts[:, is_drawn], strict=True):
        chosen = mask & is_drawn[identity]
        starts = np.cumsum(count) - count
        by_side.append(Side(items[chosen], new_numbers[identity[chosen]], starts, count))
    first_items = np.unique(identity, return_index=True)[1]
    return Identities(tuple(by_side), pair[first_items[is_drawn]], tuple(notices))


def _ints(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """Return a column of whole numbers; null is 0."""
    values: npt.NDArray[np.int64] = pc.fill_null(pc.cast(rows.column(name), pa.int64()), 0).to_numpy()
    return values


def _of_source(rows: pa.Table, source: str | None) -> npt.NDArray[np.bool_]:
    """Return the mask of the items of a source, or of all items."""
    if source is None:
        return np.ones(rows.num_rows, dtype=bool)
    is_equal = pc.equal(pc.cast(rows.column("source"), pa.string()), source)
    mask: npt.NDArray[np.bool_] = pc.fill_null(is_equal, False).to_numpy()
    return mask


def _numbered(*keys: npt.NDArray[Any]) -> Ints:
    """Return a number for each distinct combination of sorted keys, from 0, ascending."""
    changes = np.zeros(len(keys[0]), dtype=bool)
    for key in keys:
        changes[1:] |= key[1:] != key[:-1]
    return np.cumsum(changes)


def _without_a_side(counts: Ints, sources: tuple[str | None, ...]) -> str:
    """Return the notice of identities without an item of a side."""
    lacks = [
        f"{int((count == 0).sum()):,} without a {source} item"
        for source, count in zip(sources, counts, strict=True)
        if (count == 0).any()
    ]
    number = int((counts == 0).any(axis=0).sum())
    return f"{plural(number, 'identity', 'identities')} left out: {', '.join(lacks)}."
