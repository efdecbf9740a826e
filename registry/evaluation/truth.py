"""The items that predictions are compared with, read from the registry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import CATEGORIES, SPLITS
from registry.errors import NotFoundError
from registry.store.sql import SPLIT_ORDER
from registry.wording import sentence

if TYPE_CHECKING:
    from registry.store.selection import Selection


_IMAGES: Final = f"""
    SELECT split, image_id, source, pair_id, width, height FROM images
    WHERE num_items IS NOT NULL ORDER BY {SPLIT_ORDER}, image_id
"""
_ATTRIBUTES: Final = "source, pair_id, style, scale, occlusion, zoom_in, viewpoint"


@dataclass(frozen=True)
class Truth:
    """The items of the images that are evaluated, image by image, in file order.

    Attributes:
        images: split, image_id, source, pair_id, width, height of each annotated image of the subset; sorted by split
            and image_id, so that it has the order of the ids that an export as COCO gives.
        items: split, image_id, item_no, category_id, category_name, x1, y1, x2, y2, source, pair_id, style, scale,
            occlusion, zoom_in, viewpoint and is_chosen of each item of these images.
        chosen: bool [items]: whether the item is in the subset. The others do not count, nor do detections of them.
        image: int64 [items]: position of the item's image in ``images``.
        category_id: int64 [items].
        boxes: float64 [items, 4]: x, y, width, height, px.
    """

    images: pa.Table
    items: pa.Table
    chosen: Bools
    image: Ints
    category_id: Ints
    boxes: Floats

    @cached_property
    def num_items(self) -> Ints:
        """int64 [images]: items of each image."""
        return np.bincount(self.image, minlength=self.images.num_rows)

    @cached_property
    def first_item(self) -> Ints:
        """int64 [images]: position of the first item of each image."""
        return np.cumsum(self.num_items) - self.num_items

    def items_of(self, image: int) -> Ints:
        """Return the positions of the items of an image."""
        first = int(self.first_item[image])
        return np.arange(first, first + int(self.num_items[image]))

    @cached_property
    def sizes(self) -> Ints:
        """int64 [images, 2]: height and width, px; -1 where the size of the photo is not known."""
        columns = (self.images.column(name).fill_null(-1).to_numpy() for name in ("height", "width"))
        return np.column_stack([column.astype(np.int64) for column in columns])

    def box_areas(self) -> Floats:
        """Return the area of each item's box in px²."""
        return self._box_areas

    @cached_property
    def _box_areas(self) -> Floats:
        return self.boxes[:, 2] * self.boxes[:, 3]

    def segmentation(self, item: int) -> list[list[float]]:
        """Return the polygons of an item; only of a truth with masks."""
        polygons: list[list[float]] = self.items.column("segmentation")[item].as_py()
        return polygons

    @cached_property
    def _landmarks(self) -> tuple[Ints, Ints]:
        """All landmarks, flat x, y, v, item by item; and where those of each item begin."""
        lists = self.items.column("landmarks").combine_chunks()
        lengths = np.array([3 * category.num_landmarks for category in CATEGORIES])[self.category_id - 1]
        # NULL, where a COCO file does not tell: none is labelled.
        filled = lists.fill_null(pa.scalar([], lists.type)) if lists.null_count else lists
        has_landmarks = filled.value_lengths().to_numpy() > 0
        starts = np.cumsum(lengths) - lengths
        values = np.zeros(int(lengths.sum()), np.int64)
        values[np.repeat(has_landmarks, lengths)] = filled.flatten().to_numpy()
        return values, starts

    def landmarks_of(self, item: Ints) -> Ints:
        """Return the landmarks of items of one category: int64 [items, landmarks, 3], x, y and v."""
        values, starts = self._landmarks
        number = 3 * CATEGORIES[self.category_id[item[0]] - 1].num_landmarks
        return values[starts[item][:, None] + np.arange(number)].reshape(len(item), -1, 3)

    def num_labelled(self, *, visible_only: bool) -> Ints:
        """Return how many landmarks of each item are labelled: int64 [items].

        Args:
            visible_only: whether occluded landmarks count as not labelled.
        """
        values, starts = self._landmarks
        is_labelled = values[2::3] > (1 if visible_only else 0)
        if not len(starts):
            return np.zeros(0, np.int64)
        return np.add.reduceat(is_labelled.astype(np.int64), starts // 3)

    def needs_all_slots(self) -> set[tuple[int, int]]:
        """Return image and category of the items without visible landmark, whose OKS looks at all 294 slots."""
        rows = np.flatnonzero(self.num_labelled(visible_only=True) == 0)
        return set(zip(self.image[rows].tolist(), self.category_id[rows].tolist(), strict=True))


def read_truth(selection: Selection, *, landmarks: bool = False, masks: bool = False) -> Truth:
    """Return the items of the images of a subset; those outside the subset are there, and do not count.

    Args:
        selection: the subset.
        landmarks: whether landmarks are needed.
        masks: whether polygons are needed.

    Raises:
        NotFoundError: no image of the subset has an annotation, or none has an item.
    """
    images = selection.sql(_IMAGES).to_arrow_table().combine_chunks()
    if not images.num_rows:
        raise NotFoundError(
            f"The subset {selection.subset.text} has no image with an annotation: there is nothing to evaluate."
        )
    more = "".join(f", {name}" for name, wanted in (("landmarks", landmarks), ("segmentation", masks)) if wanted)
    items = (
        selection.sql(
            f"SELECT split, image_id, item_no, category_id, category_name, x1, y1, x2, y2, {_ATTRIBUTES}{more}, "
            "(split, image_id, item_no) IN (SELECT (split, image_id, item_no) FROM items) AS is_chosen "
            "FROM whole.items SEMI JOIN (FROM images WHERE num_items IS NOT NULL) USING (split, image_id) "
            f"ORDER BY {SPLIT_ORDER}, image_id, item_order"
        )
        .to_arrow_table()
        .combine_chunks()
    )
    if not items.num_rows:
        raise NotFoundError(f"The images of {selection.subset.text} have no item: there is nothing to evaluate.")
    x1, y1, x2, y2 = (items.column(name).to_numpy() for name in ("x1", "y1", "x2", "y2"))
    return Truth(
        images=images,
        items=items,
        chosen=items.column("is_chosen").to_numpy(),
        image=np.searchsorted(image_keys(images), image_keys(items)),
        category_id=items.column("category_id").to_numpy().astype(np.int64),
        boxes=np.column_stack([x1, y1, x2 - x1, y2 - y1]),
    )


def unknown_notices(truth: Truth, task: str) -> list[str]:
    """Return a sentence on the items that nothing can find, as the registry has no mask or landmarks of them."""
    if task == "masks":
        polygons = pc.list_value_length(truth.items.column("segmentation")).fill_null(0).to_numpy()
        number = int(((polygons == 0) & truth.chosen).sum())
        return [sentence(number, "items", "have no polygon, which no mask can find")] if number else []
    if task == "landmarks":
        number = int((truth.items.column("landmarks").is_null().to_numpy() & truth.chosen).sum())
        said = "are ignored, as the registry has no landmarks of them (NULL)"
        return [sentence(number, "items", said)] if number else []
    return []


def image_keys(rows: pa.Table) -> Ints:
    """Return a number for split and image_id of each row, ascending in the order of images."""
    splits = rows.column("split").combine_chunks()
    code: Ints = pc.index_in(splits, pa.array(SPLITS)).to_numpy().astype(np.int64)
    image_ids: Ints = rows.column("image_id").to_numpy().astype(np.int64)
    return (code << 32) + image_ids
