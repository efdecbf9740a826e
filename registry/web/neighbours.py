"""Vectors of items in memory, and the nearest items of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import SPLITS, unknown_name
from registry.embeddings.distances import COSINE, DISTANCES, L2
from registry.embeddings.vector_file import not_finite, open_embeddings
from registry.errors import UsageError
from registry.wording import sentence

if TYPE_CHECKING:
    from registry.embeddings.vector_file import EmbeddingsFile
    from registry.web.site import Site

#: Bytes from which on vectors are held as numbers of half the size, with about three digits.
_MOST: Final = 128 << 20
#: Vectors of half the size that are compared at a time.
_ROWS: Final = 8192
#: Vectors beside the wanted ones that are compared again with more digits.
_MARGIN: Final = 44
#: Keys: bits of item_no, and of image_id and item_no.
_ITEM_BITS: Final = 15
_IMAGE_BITS: Final = 31 + _ITEM_BITS


@dataclass(frozen=True)
class Neighbours:
    """The vectors of items.

    Attributes:
        keys: int64 [n], ascending: see :func:`item_keys`.
        directions: float32 or float16 [n, numbers]: the vectors with the length 1; zeros for a vector of zeros.
        lengths: float64 [n]: of the vectors.
        pair_id, style: int64 [n]: of the items; -1 for NULL.
        is_user: bool [n].
        notices: plain sentences with a count on rows that are left out.
    """

    keys: Ints
    directions: npt.NDArray[Any]
    lengths: Floats
    pair_id: Ints
    style: Ints
    is_user: Bools
    notices: list[str]

    def place(self, split: str, image_id: int, item_no: int) -> int | None:
        """Return the position of an item; None where it has no vector."""
        key = (SPLITS.index(split) + 1) << _IMAGE_BITS | image_id << _ITEM_BITS | item_no
        at = int(np.searchsorted(self.keys, key))
        return at if at < len(self.keys) and self.keys[at] == key else None

    def key(self, at: int) -> tuple[str, int, int]:
        """Return split, image_id and item_no of a position."""
        key = int(self.keys[at])
        return SPLITS[(key >> _IMAGE_BITS) - 1], (key >> _ITEM_BITS) & ((1 << 31) - 1), key & ((1 << _ITEM_BITS) - 1)

    def is_same_identity(self, at: int) -> Bools:
        """Return which items have the identity of an item: split, pair_id and style above 0."""
        split = self.keys >> _IMAGE_BITS
        is_same = (split == split[at]) & (self.pair_id == self.pair_id[at]) & (self.style == self.style[at])
        return np.asarray(is_same & (self.style > 0) & (self.pair_id >= 0), bool)

    def nearest(self, at: int, number: int, distance: str, allowed: Bools) -> tuple[Ints, Floats]:
        """Return the nearest items of an item, without itself, and how far they are; equal ones in order.

        Args:
            at: position of the item.
            number: of items that are wanted.
            distance: ``cosine`` (1 - cosine), ``l2``, or ``dot`` (the product, the largest first).
            allowed: bool [n]: the items to choose from.
        """
        if distance not in DISTANCES:
            raise unknown_name("distance", distance, list(DISTANCES))
        nearness = self._nearness(self._cosines(self.directions[at].astype(np.float32)), at, distance, slice(None))
        nearness[~allowed] = -np.inf
        nearness[at] = -np.inf
        available = int(allowed.sum()) - int(allowed[at])
        number = min(number, available)
        wanted = min(number + _MARGIN, available)
        if not wanted:
            return np.empty(0, np.int64), np.empty(0)
        near = np.sort(np.argpartition(nearness, len(nearness) - wanted)[len(nearness) - wanted :])
        cosines = self.directions[near].astype(np.float64) @ self.directions[at].astype(np.float64)
        exact = self._nearness(cosines, at, distance, near)
        order = np.argsort(-exact, kind="stable")[:number]
        value = exact[order]
        shown = 1 - value if distance == COSINE else np.sqrt(np.maximum(0, -value)) if distance == L2 else value
        return near[order], shown

    def _cosines(self, direction: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        if self.directions.dtype == np.float32:
            return np.asarray(self.directions @ direction)
        cosines = np.empty(len(self.directions), np.float32)
        for start in range(0, len(cosines), _ROWS):
            cosines[start : start + _ROWS] = self.directions[start : start + _ROWS].astype(np.float32) @ direction
        return cosines

    def _nearness(self, cosines: npt.NDArray[Any], at: int, distance: str, rows: Any) -> Floats:
        """Return how near vectors are: the cosine, the product, or minus the squared distance."""
        if distance == COSINE:
            return cosines.astype(np.float64)
        length, lengths = self.lengths[at], self.lengths[rows]
        products = cosines * length * lengths
        return np.asarray(products if distance != L2 else 2 * products - length * length - lengths * lengths)


def read_neighbours(site: Site) -> Neighbours:
    """Return the vectors of the file of a site.

    Raises:
        UsageError: the file has no rows of items, or no vector that can be compared.
        NotFoundError, StorageError: it does not exist or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from registry.subset.options import Subset

    items = site.narrow().choose(Subset()).item_keys()
    item_key = item_keys(*(np.array(items.column(name), np.int64) for name in ("split_no", "image_id", "item_no")))
    order = np.argsort(item_key)
    with open_embeddings(site.settings.embeddings, site.settings.storage_options) as file:
        if not file.is_of_items:
            raise UsageError(
                "The embeddings have a row for each detection: expected split, image_id, item_no and vector, a row for "
                "each item."
            )
        is_known, place = _places(file, item_key[order])
        directions, lengths, notices, slot = _vectors(file, is_known, place)
    pa.default_memory_pool().release_unused()
    rows = order[place[slot]]

    def numbers(name: str) -> Ints:
        return np.array(items.column(name).fill_null(-1), np.int64)[rows]

    return Neighbours(
        item_key[rows],
        directions,
        lengths,
        numbers("pair_id"),
        numbers("style"),
        np.array(pc.equal(items.column("source"), "user").fill_null(False), bool)[rows],
        notices,
    )


def item_keys(split_no: Ints, image_id: Ints, item_no: Ints) -> Ints:
    """Return a number for each item; they sort as the data set does. The number of the split counts from 1."""
    return split_no << _IMAGE_BITS | image_id << _ITEM_BITS | item_no


def _places(file: EmbeddingsFile, item_key: Ints) -> tuple[Bools, Ints]:
    """Return which rows are of an item of the registry, the first of each, and the position of that item."""
    image_id, item_no = file.numbers("image_id"), file.numbers("item_no")
    split = np.zeros(len(image_id), np.int64)
    for number, name in enumerate(SPLITS, 1):
        split[file.is_of_split(name)] = number
    is_key = (split > 0) & (image_id >= 0) & (image_id < 1 << 31) & (item_no >= 0) & (item_no < 1 << _ITEM_BITS)
    keys = np.where(is_key, item_keys(split, np.where(is_key, image_id, 0), item_no), -1)
    if not len(item_key):
        return np.zeros(len(keys), bool), np.zeros(len(keys), np.int64)
    place = np.minimum(np.searchsorted(item_key, keys), len(item_key) - 1)
    return item_key[place] == keys, place


def _vectors(file: EmbeddingsFile, is_known: Bools, place: Ints) -> tuple[npt.NDArray[Any], Floats, list[str], Ints]:
    """Return directions and lengths of the vectors of items, in the order of the items; notices; and their rows."""
    is_taken = is_known.copy()
    at = np.flatnonzero(is_known)
    _, first = np.unique(place[at], return_index=True)
    is_taken[:] = False
    is_taken[at[first]] = True
    num_unknown, num_repeated = int((~is_known).sum()), int(is_known.sum() - is_taken.sum())
    num_bad = 0
    rank = np.zeros(len(is_known), np.int64)
    taken = np.flatnonzero(is_taken)
    rank[taken[np.argsort(place[taken], kind="stable")]] = np.arange(len(taken))
    directions: npt.NDArray[Any] | None = None
    lengths = np.zeros(len(taken))
    is_good = np.zeros(len(taken), bool)
    for start, vectors, sizes in file.blocks():
        chosen = is_taken[start : start + len(vectors)].copy()
        width = vectors.shape[1]
        good = (sizes == width) & (sizes > 0) & ~not_finite(vectors)
        norms = np.zeros(len(vectors))
        norms[good] = np.sqrt(np.einsum("ij,ij->i", vectors[good], vectors[good], dtype=np.float64))
        num_bad += int((chosen & (~good | (norms == 0))).sum())
        chosen &= good & (norms > 0)
        if width and directions is None:
            kind = np.float32 if 4 * width * len(taken) <= _MOST else np.float16
            directions = np.zeros((len(taken), width), kind)
        if directions is not None and chosen.any():
            rows = rank[start : start + len(vectors)][chosen]
            directions[rows] = vectors[chosen] / norms[chosen][:, None]
            lengths[rows], is_good[rows] = norms[chosen], True
    if directions is None or not is_good.any():
        raise UsageError("The embeddings have no vector of an item of the registry that can be compared.")
    notices = [
        sentence(number, "rows of the embeddings", text)
        for number, text in (
            (num_unknown, "are of no item of the registry: not used"),
            (num_repeated, "have the item of an earlier row: not used"),
            (num_bad, "have no vector that can be compared (NULL, of another length, not finite, or "
             "zeros): not used"),
        )
        if number
    ]  # fmt: skip
    in_order = taken[np.argsort(place[taken], kind="stable")]
    if is_good.all():
        return directions, lengths, notices, in_order
    return directions[is_good], lengths[is_good], notices, in_order[is_good]
