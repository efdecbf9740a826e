"""Pairs and triplets of crops, with the negatives of ``df2 export pairs``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from registry.dataset.tables import BOX_COLUMNS
from registry.errors import NotFoundError, UsageError
from registry.loaders.chosen_rows import ChosenRows
from registry.loaders.dataset import PhotoDataset
from registry.loaders.key_numbers import key_numbers
from registry.loaders.photo_pixels import check_margin, item_key
from registry.loaders.tensors import image_tensor
from registry.wording import plural

if TYPE_CHECKING:
    from registry.store.registry import Registry
    from registry.subset.options import Subset

_ITEM_COLUMNS = ("image_id", "item_no", "pair_id", "style", "category_id", "width", "height", *BOX_COLUMNS)


class _PairedItems(PhotoDataset):
    """Elements of several crops: ``(images, target)``.

    Args:
        registry_or_url: an open registry, or its folder or URL.
        subset: a Subset, or its options by name (``{"category": "skirt"}``); everything without it.
        margin: fraction of the box's width that is added left and right, and of its height above and below.
        negatives: negatives of each positive pair whose shop item has the category and another pair_id.
        hard_negatives: negatives of each positive pair whose shop item has the pair_id and another style.
        negative_seed: selects among the candidates, as the option of ``df2 export pairs``.
        options: the others of :class:`registry.loaders.dataset.PhotoDataset`, such as ``photos``. ``transform`` is
            called with each image.
    """

    #: Prefixes of the items of an element.
    _roles: tuple[str, ...]

    def __init__(
        self,
        registry_or_url: Registry | str,
        subset: Subset | Mapping[str, Any] | None = None,
        *,
        margin: float = 0.0,
        negatives: int = 0,
        hard_negatives: int = 0,
        negative_seed: int = 0,
        **options: Any,
    ) -> None:
        check_margin(margin)
        for name, number in {"negatives": negatives, "hard_negatives": hard_negatives}.items():
            if not isinstance(number, int) or not 0 <= number <= 1000:
                raise UsageError(f"{name}: expected a number from 0 to 1000, found {number!r}.")
        self.margin = margin
        self._negatives = (negatives, hard_negatives, negative_seed)
        super().__init__(registry_or_url, subset, **options)

    def _pairs(self, chosen: ChosenRows) -> pa.Table:
        """Return the pairs, each positive before its negatives.

        Raises:
            NotFoundError: there is no pair.
        """

        def batches() -> Iterator[pa.RecordBatch]:
            for part in chosen.selection.parts:
                if chosen.part in (None, part.name):
                    for batch in chosen.selection.pairs(part, *self._negatives):
                        yield batch.drop_columns(["user_file_name", "shop_file_name"])

        pair_batches = list(batches())
        if not pair_batches:
            notices = "".join(f"\n{notice}" for notice in chosen.selection.unknown_pairing())
            raise NotFoundError(
                f"The subset {chosen.selection.subset.text} of {chosen.selection.place} has no pair: no identity has "
                f"both a user and a shop item.{notices}"
            )
        return _with_sizes(pa.Table.from_batches(pair_batches), chosen.selection.image_table(chosen.part))

    @abstractmethod
    def _target(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the target of an element, without the keys of its items."""

    def _key(self, row: dict[str, Any]) -> str:
        return " ".join(item_key(row, f"{role}_") for role in self._roles)

    def _element(self, row: dict[str, Any]) -> Any:
        images = []
        for role in self._roles:
            pixels, _ = self._photos.crop(row, self.margin, f"{role}_")
            image = image_tensor(pixels)
            images.append(self.transform(image) if self.transform else image)
        keys = {f"{role}_key": item_key(row, f"{role}_") for role in self._roles}
        return tuple(images), self._target(row) | keys


def _with_sizes(pairs: pa.Table, images: pa.Table) -> pa.Table:
    """Return pairs with ``user_width``, ``user_height``, ``shop_width`` and ``shop_height`` of their photos.

    Args:
        pairs: has ``split``, ``user_image_id`` and ``shop_image_id``.
        images: all photos of the pairs, in order of split and image_id.
    """
    keys = key_numbers(images, ("split", "image_id"))
    for role in ("user", "shop"):
        places = np.searchsorted(keys, key_numbers(pairs, ("split", f"{role}_image_id")))
        for name in ("width", "height"):
            pairs = pairs.append_column(f"{role}_{name}", images[name].take(places))
    return pairs


class Pairs(_PairedItems):
    """An element for each pair of a user item and a shop item: ``((user, shop), target)``.

    ``user`` and ``shop`` are crops, uint8 (3, height, width), or what ``transform`` makes of each. ``target`` has
    ``label`` (1 for the same identity, else 0), ``kind`` (``positive``, ``category`` or ``hard``), ``pair_no`` (of the
    positive pair, whose negatives have the same), ``user_key`` and ``shop_key``. The rows are those of
    ``df2 export pairs`` with the same options.
    """

    _roles = ("user", "shop")
    _cropped = ("user_", "shop_")

    def _read_rows(self, chosen: ChosenRows) -> pa.Table:
        return self._pairs(chosen)

    def _target(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: row[name] for name in ("label", "kind", "pair_no")}


class Triplets(_PairedItems):
    """An element for each negative of a positive pair: ``((anchor, positive, negative), target)``.

    The three are crops of a user item, of a shop item of its identity, and of a shop item of another identity; one
    negative for each positive pair unless ``negatives`` or ``hard_negatives`` say otherwise. ``target`` has ``kind``
    (of the negative: ``category`` or ``hard``), ``pair_no`` and the keys of the three.
    """

    _roles = ("anchor", "positive", "negative")
    _cropped = ("anchor_", "positive_", "negative_")

    def __init__(
        self,
        registry_or_url: Registry | str,
        subset: Subset | Mapping[str, Any] | None = None,
        *,
        negatives: int | None = None,
        hard_negatives: int = 0,
        **options: Any,
    ) -> None:
        if negatives is None:
            negatives = 0 if hard_negatives else 1
        if negatives == hard_negatives == 0:
            raise UsageError("A triplet needs a negative: negatives or hard_negatives of at least 1.")
        super().__init__(registry_or_url, subset, negatives=negatives, hard_negatives=hard_negatives, **options)

    def _read_rows(self, chosen: ChosenRows) -> pa.Table:
        pairs = self._pairs(chosen)
        is_positive = pairs["label"].to_numpy() == 1
        # Each positive pair stands before its negatives.
        positive = np.maximum.accumulate(np.where(is_positive, np.arange(len(is_positive)), 0))
        negatives = np.flatnonzero(~is_positive)
        if not len(negatives):
            raise NotFoundError(f"No positive pair of {chosen.selection.place} in the subset has a negative.")
        num_without = int(is_positive.sum()) - len(np.unique(positive[negatives]))
        if num_without:
            self.notices.append(f"{plural(num_without, 'positive pair')} without a negative: in no triplet.")
        of_positives, of_negatives = pairs.take(positive[negatives]), pairs.take(negatives)
        columns = {name: of_negatives[name] for name in ("split", "pair_no", "kind")}
        for role, rows, source in (
            ("anchor", of_positives, "user"),
            ("positive", of_positives, "shop"),
            ("negative", of_negatives, "shop"),
        ):
            columns |= {f"{role}_{name}": rows[f"{source}_{name}"] for name in _ITEM_COLUMNS}
        return pa.table(columns)

    def _target(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: row[name] for name in ("kind", "pair_no")}
