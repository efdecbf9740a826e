"""The images of a registry by split and image_id: which are evaluated, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.deepfashion2 import SPLITS
from registry.subset.rows import SPLIT_STRIDE

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.evaluation.truth import Truth
    from registry.store.selection import Selection

#: Instead of a position: the image is in the registry, but not in the evaluated subset.
NOT_EVALUATED: Final = -1
#: Instead of a position: the image has no annotation, as all of the split test.
UNLABELLED: Final = -2
#: Instead of a position: the registry has no such image.
UNKNOWN: Final = -3
#: Instead of a position: the number alone does not tell the split.
AMBIGUOUS: Final = -4
#: Instead of the number of a split: the image's name or number tells it.
NO_SPLIT: Final = -1
#: Instead of the number of a split: there is no such split.
UNKNOWN_SPLIT: Final = -2

_SPLIT_BITS: Final = 32


@dataclass(frozen=True)
class ImageIndex:
    """The images of a registry.

    Attributes:
        splits: those that are evaluated, in the order of :data:`SPLITS`.
        image_id: int64, of each evaluated image.
        split: int64, of each evaluated image the number of its split in :data:`SPLITS`.
        width, height: int64, of each evaluated image, px; 0 where unknown.
        keys: int64, ascending: one of each image of the registry.
        positions: int64, of each key: the position among the evaluated images, or why there is none.
        needs_all_slots: (position of an image, category_id) of which predictions are to keep all landmark slots.
        registry_sha256: of the manifest of the registry; None if predictions are not to be compared with it.
    """

    splits: tuple[str, ...]
    image_id: np.ndarray
    split: np.ndarray
    width: np.ndarray
    height: np.ndarray
    keys: np.ndarray = field(repr=False)
    positions: np.ndarray = field(repr=False)
    needs_all_slots: frozenset[tuple[int, int]] = frozenset()
    registry_sha256: str | None = None

    @classmethod
    def of(
        cls, evaluated: pa.Table, images: pa.Table, splits: Sequence[str] | None = None, **others: Any
    ) -> ImageIndex:
        """Return the index of images.

        Args:
            evaluated: split, image_id, width and height of the evaluated images, in their order.
            images: split, image_id and num_items of all images of the registry.
            splits: those that are evaluated; without it, those of the evaluated images.
            others: more attributes.
        """
        split, image_id = _split_numbers(evaluated), _numbers(evaluated, "image_id")
        split_of_image, id_of_image = _split_numbers(images), _numbers(images, "image_id")
        keys = split_of_image << _SPLIT_BITS | id_of_image
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        is_labelled = images.column("num_items").is_valid().to_numpy()[order]
        positions = np.where(is_labelled, NOT_EVALUATED, UNLABELLED)
        places = np.searchsorted(keys, split << _SPLIT_BITS | image_id)
        positions[places] = np.where(is_labelled[places], np.arange(len(places)), UNLABELLED)
        if splits is None:
            splits = [SPLITS[number] for number in np.unique(split).tolist()]
        return cls(
            tuple(sorted(splits, key=SPLITS.index)),
            image_id,
            split,
            _numbers(evaluated, "width"),
            _numbers(evaluated, "height"),
            keys,
            positions.astype(np.int64),
            **others,
        )

    def find(self, image_id: np.ndarray, split: np.ndarray | None = None) -> np.ndarray:
        """Return the positions of images among those that are evaluated; negative numbers say why there is none.

        Args:
            image_id: int64; where no split is given, the number as exports write it: in an export of several splits
                1,000,000 is added in train, 2,000,000 in validation and 3,000,000 in test.
            split: of each image the number in :data:`SPLITS`, :data:`NO_SPLIT` or :data:`UNKNOWN_SPLIT`; without it,
                none is given.
        """
        if split is None:
            split = np.full(len(image_id), NO_SPLIT)
        positions = self._look_up(split, image_id)
        is_plain = split == NO_SPLIT
        if len(self.splits) == 1:
            only = SPLITS.index(self.splits[0])
            positions[is_plain] = self._look_up(np.full(int(is_plain.sum()), only), image_id[is_plain])
        else:
            positions[is_plain & (image_id >= 0) & (image_id < SPLIT_STRIDE)] = AMBIGUOUS
        is_of_several = np.flatnonzero(is_plain & (positions == UNKNOWN) & (image_id >= SPLIT_STRIDE))
        if len(is_of_several):
            numbers = image_id[is_of_several]
            positions[is_of_several] = self._look_up(numbers // SPLIT_STRIDE - 1, numbers % SPLIT_STRIDE)
        return positions

    def name(self, position: int) -> str:
        """Return the split and the image_id of an evaluated image: ``validation/5``."""
        return f"{SPLITS[self.split[position]]}/{self.image_id[position]}"

    def _look_up(self, split: np.ndarray, image_id: np.ndarray) -> np.ndarray:
        is_key = (split >= 0) & (split < len(SPLITS)) & (image_id >= 0) & (image_id < 1 << _SPLIT_BITS)
        keys = np.where(is_key, split.astype(np.int64) << _SPLIT_BITS | image_id, -1)
        if not len(self.keys):
            return np.full(len(keys), UNKNOWN)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, self.positions[places], UNKNOWN)


def read_image_index(selection: Selection, truth: Truth, *, landmarks: bool = False) -> ImageIndex:
    """Return the index of the images of a registry.

    Args:
        selection: the subset that is evaluated.
        truth: the items of the subset.
        landmarks: whether landmarks are evaluated.
    """
    images = selection.sql("SELECT split, image_id, num_items FROM whole.images").to_arrow_table()
    return ImageIndex.of(
        truth.images,
        images,
        needs_all_slots=frozenset(truth.needs_all_slots() if landmarks else ()),
        registry_sha256=selection.manifest.sha256,
    )


def _numbers(table: pa.Table, column: str) -> np.ndarray:
    """Return a column of whole numbers, 0 where there is none."""
    import pyarrow as pa

    return np.array(table.column(column).cast(pa.int64()).fill_null(0))


def _split_numbers(table: pa.Table) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    split = table.column("split").cast(pa.string())
    return np.array(pc.index_in(split, value_set=pa.array(SPLITS)), np.int64)
