"""Images with the boxes, masks and keypoints of their items, as torchvision's detection models take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from registry.dataset.deepfashion2 import (
    CATEGORY_BY_ID,
    LANDMARK_SLOTS,
    NUM_LANDMARK_SLOTS,
    Category,
    find_category,
    unknown_name,
)
from registry.dataset.masks import mask_of
from registry.dataset.tables import BOX_COLUMNS
from registry.errors import AnnotationError, SourceError, UsageError
from registry.loaders.chosen_rows import ITEM_ROWS, ChosenRows
from registry.loaders.dataset import PhotoDataset
from registry.loaders.landmarks import check_landmarks, swapped_landmarks
from registry.loaders.photo_memory import PhotoMemory, is_in
from registry.loaders.photo_pixels import photo_key
from registry.loaders.shapes import Shapes
from registry.loaders.shared_table import SharedTable
from registry.loaders.tensors import image_tensor
from registry.subset.rows import Part
from registry.wording import plural

if TYPE_CHECKING:
    from registry.store.registry import Registry
    from registry.subset.options import Subset

#: Targets that can be chosen -> the columns of items that they need.
TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "boxes": (),
    "masks": ("segmentation",),
    "keypoints": ("landmarks",),
}

_SIZE: Final = ("width", "height")


class Detection(PhotoDataset):
    """An element for each image: ``(image, target)``.

    ``image`` is a ``tv_tensors.Image``, uint8 (3, height, width). ``target`` has, for the n chosen items of the image
    in file order, ``boxes`` (``tv_tensors.BoundingBoxes``, float32 (n, 4), x1 y1 x2 y2), ``labels`` (int64, from 1, as
    0 is the background), ``area`` (of the box, px²), ``iscrowd`` (zeros), ``image_id`` (int, as in our COCO files), and
    what ``targets`` chooses. ``transform(image, target)`` returns both; the transforms of ``torchvision.transforms.v2``
    fit, but they do not move keypoints; :meth:`mirrored` does.

    ``masks`` are ``tv_tensors.Mask``, uint8 (n, height, width): the union of the item's polygons, drawn as COCO draws
    them. ``keypoints`` are float32 (n, k, 3): x, y, v in px of the photo, with v as in COCO.

    Items whose box has no area are left out, as torchvision's models refuse them; ``notices`` has their number. Images
    without an item are elements too where the subset has them.

    Args:
        registry_or_url: an open registry, or its folder or URL.
        subset: a Subset, or its options by name (``{"category": "skirt"}``); everything without it.
        targets: ``boxes``, ``masks``, ``keypoints``; boxes are always there.
        keypoints_of: name or id of the category whose landmarks are the k keypoints, for a subset of this category
            alone; without it, k is 294: a slot for each landmark of every category.
        options: the others of :class:`registry.loaders.dataset.PhotoDataset`, such as ``photos``.

    Attributes:
        rows: a row for each image: ``split``, ``image_id``, ``width``, ``height``, ``source``, ``pair_id``,
            ``first_item`` (position in ``item_rows``) and ``num_items``.
        num_boxes_left_out: items whose box has no area.
    """

    def __init__(
        self,
        registry_or_url: Registry | str,
        subset: Subset | Mapping[str, Any] | None = None,
        *,
        targets: Sequence[str] = ("boxes",),
        keypoints_of: str | int | None = None,
        **options: Any,
    ) -> None:
        for name in targets:
            if name not in TARGETS:
                raise unknown_name("target", name, list(TARGETS))
        self.targets = tuple(targets)
        self._category: Category | None = None if keypoints_of is None else find_category(keypoints_of)
        super().__init__(registry_or_url, subset, **options)

    def _read_rows(self, chosen: ChosenRows) -> pa.Table:
        # The photo's size is in the rows of images.
        items = chosen.items([name for name in ITEM_ROWS if name not in _SIZE], may_be_empty=True)
        self._check_category(items)
        images = chosen.selection.image_table(chosen.part)
        x1, y1, x2, y2 = (items[name].to_numpy().astype(np.float32) for name in BOX_COLUMNS)
        with np.errstate(invalid="ignore"):  # a box that is not finite has no area
            has_area = (x2 - x1 > 0) & (y2 - y1 > 0) & np.isfinite(x1 + y1 + x2 + y2)
        self.num_boxes_left_out = int((~has_area).sum())
        if self.num_boxes_left_out:
            self.notices.append(f"{plural(self.num_boxes_left_out, 'item')} left out: the box has no area.")
        bounds = np.concatenate([[0], np.cumsum(images["num_items"].to_numpy())])
        if bounds[-1] != len(has_area):
            raise UsageError(f"{chosen.selection.place}: the tables images and items do not fit together.")
        image_of_item = pa.array(np.repeat(np.arange(images.num_rows), np.diff(bounds)))
        for name in _SIZE:
            items = items.append_column(name, images[name].take(image_of_item))
        columns = [name for target in self.targets for name in TARGETS[target]]
        self._shapes = Shapes(chosen, items, columns) if columns else None
        kept_bounds = np.concatenate([[0], np.cumsum(has_area)])[bounds]
        if self._shapes:
            items = items.append_column("shape", pa.array(self._shapes.places))
        self._items = SharedTable(items.filter(pa.array(has_area)) if self.num_boxes_left_out else items)
        self._part = Part("all", tuple(chosen.splits))
        numbers = {"num_items": np.diff(kept_bounds), "first_item": kept_bounds[:-1]}
        images = images.drop_columns(["num_items"])
        for name, values in numbers.items():
            images = images.append_column(name, pa.array(values, pa.int64()))
        return images

    def _check_category(self, items: pa.Table) -> None:
        """Refuse keypoints of a category for a subset with others."""
        if self._category is None:
            return
        other_ids = sorted(set(items["category_id"].unique().to_pylist()) - {self._category.id})
        if other_ids:
            names = ", ".join(CATEGORY_BY_ID[number].name for number in other_ids)
            raise UsageError(
                f"keypoints_of {self._category.name!r}: the subset also has {names}. "
                f"Choose the category in the subset, or leave keypoints_of out for all {NUM_LANDMARK_SLOTS} slots."
            )

    def mirrored(self, image: Any, target: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return an element mirrored left to right, its keypoints as well: those of the two sides change places."""
        image, flipped = functional.hflip(image), dict(target)
        for name in {"boxes", "masks"} & set(target):
            flipped[name] = functional.hflip(target[name])
        if "keypoints" in target:
            keypoints = target["keypoints"][:, self.swapped_keypoints].clone()
            is_labelled = keypoints[..., 2] > 0
            keypoints[..., 0][is_labelled] = image.shape[-1] - keypoints[..., 0][is_labelled]
            flipped["keypoints"] = keypoints
        return image, flipped

    @property
    def swapped_keypoints(self) -> list[int]:
        """The position, from 0, of the keypoint that each becomes when the image is mirrored."""
        if self._category is None:
            return [slot.swap_slot for slot in LANDMARK_SLOTS]
        return swapped_landmarks(self._category)

    @property
    def item_rows(self) -> pa.Table:
        """A row for each item, image by image, in mapped memory, without the polygons and landmarks of ``targets``."""
        return self._items.table

    def _key(self, row: dict[str, Any]) -> str:
        return photo_key(row["split"], row["image_id"])

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return the elements of a batch, as torch's DataLoader asks for them."""
        rows = [self._row(index) for index in indices]
        is_handed_over = self.transform is None and torch.utils.data.get_worker_info() is not None
        make = partial(self._element, memory=PhotoMemory(rows)) if is_handed_over else self._element
        return [self._made(row, make) for row in rows]

    def _element(self, row: dict[str, Any], memory: PhotoMemory | None = None) -> Any:
        items = self.item_rows.slice(row["first_item"], row["num_items"]).to_pylist()
        if self._shapes:
            items = [item | self._shapes.row(item["shape"]) for item in items]
        place = memory.place(row) if memory else None
        pixels = self._photos.photo(row, place=None if place is None else place.numpy())
        height, width = pixels.shape[:2]
        if place is not None and is_in(pixels, place):
            image = tv_tensors.Image(place.permute(2, 0, 1))
        else:
            image = tv_tensors.Image(image_tensor(pixels))
        corners = torch.tensor([[item[name] for name in BOX_COLUMNS] for item in items], dtype=torch.float32)
        boxes = corners.reshape(-1, 4)
        target: dict[str, Any] = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
            "labels": torch.tensor([1 + self._labels[item["category_id"]] for item in items], dtype=torch.int64),
            "image_id": self._part.number(row["split"], row["image_id"]),
            "area": (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
            "iscrowd": torch.zeros(len(items), dtype=torch.int64),
        }
        if "masks" in self.targets:
            target["masks"] = tv_tensors.Mask(self._masks(items, self._key(row), height, width))
        if "keypoints" in self.targets:
            target["keypoints"] = self._keypoints(items, row)
        return self.transform(image, target) if self.transform else (image, target)

    def _masks(self, items: Sequence[Mapping[str, Any]], key: str, height: int, width: int) -> torch.Tensor:
        from pycocotools import mask

        masks = np.zeros((len(items), height, width), np.uint8)
        for number, item in enumerate(items):
            try:
                union = mask_of(item["segmentation"] or [], width, height)
            except AnnotationError as error:
                raise SourceError(f"{key}, item {item['item_no']}: {error}") from error
            if union is not None:
                masks[number] = mask.decode(union)
        return torch.from_numpy(masks)

    def _keypoints(self, items: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> torch.Tensor:
        size = NUM_LANDMARK_SLOTS if self._category is None else self._category.num_landmarks
        keypoints = torch.zeros(len(items), size, 3)
        for number, item in enumerate(items):
            values, category = item["landmarks"] or [], CATEGORY_BY_ID[item["category_id"]]
            if values:
                key = f"{row['split']}/{row['image_id']:06d}_{item['item_no']}"
                check_landmarks(values, category.num_landmarks, key)
            landmarks = torch.tensor(values, dtype=torch.float32).reshape(-1, 3)
            first = category.landmark_offset if self._category is None else 0
            keypoints[number, first : first + len(landmarks)] = landmarks
        return keypoints
