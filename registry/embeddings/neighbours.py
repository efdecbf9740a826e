"""Vectors of items in memory, and the items nearest to a vector, for ``df2 similar`` and the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import SPLITS, unknown_name
from registry.embeddings.distances import COSINE, DISTANCES, L2
from registry.embeddings.screen import ROWS, Screen, lengths_of, rounding
from registry.embeddings.vector_file import not_finite
from registry.errors import NotFoundError, UsageError
from registry.wording import sentence

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.embeddings.vector_file import EmbeddingsFile

#: Bytes of float32 above which directions are rounded to float16.
_MOST: Final = 1 << 30
#: Vectors that are compared in float64 at a time.
_EXACT_ROWS: Final = 4096
#: Keys: bits of item_no, and of image_id and item_no.
_ITEM_BITS: Final = 15
_IMAGE_BITS: Final = 31 + _ITEM_BITS


@dataclass(frozen=True)
class Neighbours:
    """The vectors of items.

    Attributes:
        keys: int64 [n], ascending: see :func:`item_keys`.
        vectors: float16 or float32 [n, numbers]: the vectors, or their directions.
        norms: float64 [n]: lengths of ``vectors``.
        lengths: float64 [n]: of the vectors as the source has them.
        pair_id, style: int64 [n]: of the items; -1 for NULL.
        is_user, is_shop: bool [n]; neither where the source is NULL.
        notices: plain sentences with a count on rows that are left out.
    """

    keys: Ints
    vectors: npt.NDArray[Any]
    norms: Floats
    lengths: Floats
    pair_id: Ints
    style: Ints
    is_user: Bools
    is_shop: Bools
    notices: list[str]

    def place(self, split: str, image_id: int, item_no: int) -> int | None:
        """Return the position of an item; None where it has no vector."""
        key = item_key(split, image_id, item_no)
        at = int(np.searchsorted(self.keys, key))
        return at if at < len(self.keys) and self.keys[at] == key else None

    def key(self, at: int) -> tuple[str, int, int]:
        """Return split, image_id and item_no of a position."""
        return parts_of(int(self.keys[at]))

    def source(self, at: int) -> str | None:
        """Return the source of the item at a position."""
        return "user" if self.is_user[at] else "shop" if self.is_shop[at] else None

    def is_same_identity(self, at: int) -> Bools:
        """Return which items have the identity of an item: split, pair_id and style above 0."""
        split = self.keys >> _IMAGE_BITS
        is_same = (split == split[at]) & (self.pair_id == self.pair_id[at]) & (self.style == self.style[at])
        return np.asarray(is_same & (self.style > 0) & (self.pair_id >= 0), bool)

    def nearest(self, at: int, number: int, distance: str, allowed: Bools) -> tuple[Ints, Floats]:
        """Return the nearest items of an item, without itself, and how far they are; see :meth:`nearest_to`."""
        others = allowed.copy()
        others[at] = False
        vector = self.vectors[at].astype(np.float64)
        return self.nearest_to(vector * (self.lengths[at] / self.norms[at]), number, distance, others)

    def nearest_to(self, vector: Floats, number: int, distance: str, allowed: Bools) -> tuple[Ints, Floats]:
        """Return the nearest items of a vector, and how far they are; equally near ones by their keys.

        All are compared in float32. Those that its rounding could bring among the nearest are compared in float64.

        Args:
            vector: float64 [numbers], not all zeros.
            number: of items that are wanted.
            distance: ``cosine`` (1 - cosine), ``l2``, or ``dot`` (the product, the largest first).
            allowed: bool [n]: the items to choose from.

        Raises:
            UsageError: the vector has another length than those of the items.
        """
        if distance not in DISTANCES:
            raise unknown_name("distance", distance, list(DISTANCES))
        width = self.vectors.shape[1]
        if len(vector) != width:
            raise UsageError(f"Expected a vector of {width} numbers, as the items have; found {len(vector)} numbers.")
        rows = np.flatnonzero(allowed)
        number = min(number, len(rows))
        if number < 1:
            return np.empty(0, np.int64), np.empty(0)
        length = float(np.sqrt((vector * vector).sum()))
        direction = vector / length
        nearness = self._nearness(self._cosines(direction.astype(np.float32), rows), rows, length, distance)
        error = np.full(len(rows), rounding(width))
        if distance != COSINE:
            error *= length * self.lengths[rows] * (2 if distance == L2 else 1)
        least = np.partition(nearness - error, len(rows) - number)[len(rows) - number]
        rows = rows[nearness + error >= least]
        exact = self._nearness(self._exact_cosines(direction, rows), rows, length, distance)
        order = np.argsort(-exact, kind="stable")[:number]
        value = exact[order]
        shown = 1 - value if distance == COSINE else np.sqrt(np.maximum(0, -value)) if distance == L2 else value
        return rows[order], shown

    def _cosines(self, direction: npt.NDArray[np.float32], rows: Ints) -> Floats:
        """Return the cosines of a direction and of items, computed in float32."""
        products = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            # The rows of a slice need no copy of their own.
            is_slice = part[-1] - part[0] == len(part) - 1
            block = self.vectors[part[0] : part[-1] + 1] if is_slice else self.vectors[part]
            products[start : start + ROWS] = block.astype(np.float32, copy=False) @ direction
        return products / self.norms[rows]

    def _exact_cosines(self, direction: Floats, rows: Ints) -> Floats:
        """Return the cosines of a direction and of items, computed in float64: those of equal vectors are equal."""
        products = np.empty(len(rows))
        for start in range(0, len(rows), _EXACT_ROWS):
            block = self.vectors[rows[start : start + _EXACT_ROWS]].astype(np.float64)
            block *= direction
            products[start : start + _EXACT_ROWS] = block.sum(axis=1)
        return np.asarray(products / self.norms[rows])

    def _nearness(self, cosines: Floats, rows: Ints, length: float, distance: str) -> Floats:
        """Return how near vectors are: the cosine, the product, or minus the squared distance."""
        if distance == COSINE:
            return cosines
        lengths = self.lengths[rows]
        products = cosines * length * lengths
        return np.asarray(products if distance != L2 else 2 * products - length * length - lengths * lengths)


def read_neighbours(items: pa.Table, file: EmbeddingsFile) -> Neighbours:
    """Return the vectors of items.

    Args:
        items: split_no, image_id, item_no, source, pair_id and style of all items of a registry, in any order.
        file: the vectors, a row for each item.

    Raises:
        UsageError: the file has no rows of items, or no vector that can be compared.
    """
    keys, order, is_first, place, notices = _rows(items, file)
    return _neighbours(items, keys, order[place], notices, *_all_vectors(file, is_first, place))


def read_nearest(
    items: pa.Table, file: EmbeddingsFile, asked: int | Floats, number: int, chosen: Ints | None = None
) -> Neighbours:
    """Return those vectors of items that can be among the nearest of an item or a vector by their cosines.

    Args:
        items: as for :func:`read_neighbours`.
        file: the vectors, a row for each item. Row groups without a vector of the chosen items are not read.
        asked: key (:func:`item_key`) of the item, whose vector is returned too; or a vector, float64 [numbers].
        number: of items that are wanted.
        chosen: keys of the items to choose from; all without them.

    Raises:
        NotFoundError: the item has no vector that can be compared.
        UsageError: the file has no rows of items, or no vector that can be compared.
    """
    keys, order, is_taken, place, notices = _rows(items, file)
    is_asked = np.zeros(len(is_taken), bool)
    if isinstance(asked, int):
        is_asked = is_taken & (keys[order][place] == asked)
        vector = _vector_of(file, is_asked)
        if vector is None:
            raise without_vector(*parts_of(asked))
        number += 1  # its own vector is the nearest
    else:
        vector = asked
    if chosen is not None:
        is_taken &= is_asked | np.isin(keys[order][place], chosen)
    screen, num_bad = Screen(vector, number), 0
    vectors, rows = [], []
    for start, block, sizes in file.blocks(is_taken, np.float16 if file.is_half else np.float32):
        at = np.flatnonzero(is_taken[start : start + len(block)])
        at = at[sizes[at] == len(vector)]
        num_bad += int(is_taken[start : start + len(block)].sum())
        passes, is_good = screen.pass_through(_take(block, at))
        num_bad -= int(is_good.sum())
        vectors.append(block[at[passes]])
        rows.append(start + at[passes])
    if not any(len(part) for part in rows):
        raise UsageError(f"The embeddings have no vector of {len(vector)} numbers that can be compared.")
    row = np.concatenate(rows)
    in_order = np.argsort(place[row], kind="stable")
    held = np.concatenate([part for part in vectors if len(part)])[in_order]
    length = lengths_of(held)
    return _neighbours(items, keys, order[place], notices, held, length, length, num_bad, row[in_order])


def _vector_of(file: EmbeddingsFile, is_asked: Bools) -> Floats | None:
    """Return the vector of the only row that is asked for; None without one that can be compared."""
    for start, block, sizes in file.blocks(is_asked) if is_asked.any() else ():
        at = np.flatnonzero(is_asked[start : start + len(block)])
        if not len(at):
            continue
        if sizes[at[0]] == block.shape[1] and not not_finite(block[at])[0] and block[at[0]].any():
            vector: Floats = block[at[0]].astype(np.float64)
            return vector
    return None


def _neighbours(
    items: pa.Table,
    keys: Ints,
    item_of_row: Ints,
    notices: list[str],
    vectors: npt.NDArray[Any],
    norms: Floats,
    lengths: Floats,
    num_bad: int,
    file_rows: Ints,
) -> Neighbours:
    """Return the neighbours of vectors, norms and lengths in the order of the keys.

    Args:
        items: of the registry.
        keys: of the items.
        item_of_row: position of the item of each row of the file.
        notices: on rows that are left out.
        vectors: see :class:`Neighbours`, as norms and lengths.
        norms: of the vectors.
        lengths: of the vectors.
        num_bad: number of vectors that cannot be compared.
        file_rows: row of each vector in the file.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    pa.default_memory_pool().release_unused()
    rows = item_of_row[file_rows]
    if num_bad:
        text = "have no vector that can be compared (NULL, of another length, not finite, or zeros): not used"
        notices = [*notices, sentence(num_bad, "rows of the embeddings", text)]

    def numbers(name: str) -> Ints:
        return np.array(items.column(name).fill_null(-1), np.int64)[rows]

    def is_of(source: str) -> Bools:
        return np.array(pc.equal(items.column("source"), source).fill_null(False), bool)[rows]

    columns = numbers("pair_id"), numbers("style"), is_of("user"), is_of("shop")
    return Neighbours(keys[rows], vectors, norms, lengths, *columns, notices)


def keys_of(items: pa.Table) -> Ints:
    """Return the keys of items with split_no, image_id and item_no."""
    return item_keys(*(np.array(items.column(name), np.int64) for name in ("split_no", "image_id", "item_no")))


def parts_of(key: int) -> tuple[str, int, int]:
    """Return split, image_id and item_no of the key of an item."""
    return SPLITS[(key >> _IMAGE_BITS) - 1], (key >> _ITEM_BITS) & ((1 << 31) - 1), key & ((1 << _ITEM_BITS) - 1)


def without_vector(split: str, image_id: int, item_no: int) -> NotFoundError:
    """Return the error for an item without a vector."""
    return NotFoundError(f"The embeddings have no vector of {split}/{image_id:06d} item {item_no}.")


def item_key(split: str, image_id: int, item_no: int) -> int:
    """Return the key of an item; see :func:`item_keys`."""
    return (SPLITS.index(split) + 1) << _IMAGE_BITS | image_id << _ITEM_BITS | item_no


def item_keys(split_no: Ints, image_id: Ints, item_no: Ints) -> Ints:
    """Return a number for each item; they sort as the data set does. The number of the split counts from 1."""
    return split_no << _IMAGE_BITS | image_id << _ITEM_BITS | item_no


def _rows(items: pa.Table, file: EmbeddingsFile) -> tuple[Ints, Ints, Bools, Ints, list[str]]:
    """Return the item of each row of a file of vectors.

    Returns:
        The keys of the items; the order that sorts them; for each row, whether it is the first of an item of the
        registry; for each row, the position of its item in that order; and notices on the rows that are not used.
    """
    if not file.is_of_items:
        raise UsageError(
            "The embeddings have a row for each detection: expected split, image_id, item_no and vector, a row for "
            "each item."
        )
    keys = keys_of(items)
    order = np.argsort(keys)
    is_known, place = _places(file, keys[order])
    at = np.flatnonzero(is_known)
    _, first = np.unique(place[at], return_index=True)
    is_first = np.zeros(len(is_known), bool)
    is_first[at[first]] = True
    numbers = (
        (int((~is_known).sum()), "are of no item of the registry: not used"),
        (int(is_known.sum() - is_first.sum()), "have the item of an earlier row: not used"),
    )
    notices = [sentence(number, "rows of the embeddings", text) for number, text in numbers if number]
    notices = [*file.notices, *notices]
    return keys, order, is_first, place, notices


def _places(file: EmbeddingsFile, known: Ints) -> tuple[Bools, Ints]:
    """Return which rows are of an item of the registry, the first of each, and the position of that item."""
    image_id, item_no = file.numbers("image_id"), file.numbers("item_no")
    split = np.zeros(len(image_id), np.int64)
    for number, name in enumerate(SPLITS, 1):
        split[file.is_of_split(name)] = number
    is_key = (split > 0) & (image_id >= 0) & (image_id < 1 << 31) & (item_no >= 0) & (item_no < 1 << _ITEM_BITS)
    keys = np.where(is_key, item_keys(split, np.where(is_key, image_id, 0), item_no), -1)
    if not len(known):
        return np.zeros(len(keys), bool), np.zeros(len(keys), np.int64)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return known[place] == keys, place


def _all_vectors(
    file: EmbeddingsFile, is_taken: Bools, place: Ints
) -> tuple[npt.NDArray[Any], Floats, Floats, int, Ints]:
    """Return vectors, norms and lengths in the order of the items; the number of bad ones; and the rows of the good."""
    num_bad = 0
    taken = np.flatnonzero(is_taken)
    in_order = taken[np.argsort(place[taken], kind="stable")]
    rank = np.zeros(len(is_taken), np.int64)
    rank[in_order] = np.arange(len(taken))
    held: npt.NDArray[Any] | None = None
    norms, lengths, is_good = np.ones(len(taken)), np.zeros(len(taken)), np.zeros(len(taken), bool)
    is_half = file.is_half
    for start, block, sizes in file.blocks(is_taken, np.float16 if is_half else np.float32):
        width = block.shape[1]
        chosen = np.flatnonzero(is_taken[start : start + len(block)])
        vectors = _take(block, chosen)
        length = lengths_of(vectors)
        good = (sizes[chosen] == width) & np.isfinite(length) & (length > 0)
        if not is_half:
            good &= ~not_finite(vectors)
        num_bad += int((~good).sum())
        if width and held is None:
            rounds = is_half or 4 * width * len(taken) > _MOST
            # Unlike zeros(), empty() asks for huge pages: 0.5 s less for 364,676 x 512 numbers.
            held = np.empty((len(taken), width), np.float16 if rounds else np.float32)
        if held is None or not good.any():
            continue
        rows = rank[start + chosen[good]]
        vectors, length = _take(vectors, np.flatnonzero(good)), length[good]
        if not is_half:
            vectors = (vectors / length[:, None]).astype(held.dtype)
        is_slice = (np.diff(rows) == 1).all()
        held[slice(rows[0], rows[-1] + 1) if is_slice else rows] = vectors
        norms[rows] = length if is_half else lengths_of(vectors)
        lengths[rows], is_good[rows] = length, True
    if held is None or not is_good.any():
        raise UsageError("The embeddings have no vector of an item of the registry that can be compared.")
    if is_good.all():
        return held, norms, lengths, num_bad, in_order
    return held[is_good], norms[is_good], lengths[is_good], num_bad, in_order[is_good]


def _take(vectors: npt.NDArray[Any], rows: Ints) -> npt.NDArray[Any]:
    """Return rows of vectors; the array itself where these are all its rows."""
    return vectors if len(rows) == len(vectors) else vectors[rows]
