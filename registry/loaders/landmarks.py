"""Crops of the items of a category with their landmarks, and heatmaps of landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch

from registry.dataset.deepfashion2 import LANDMARK_SLOTS, Category, find_category
from registry.errors import SourceError, UsageError
from registry.loaders.chosen_rows import ITEM_ROWS, ChosenRows, as_subset
from registry.loaders.dataset import PhotoDataset
from registry.loaders.photo_pixels import check_margin, item_key
from registry.loaders.resuming import is_whole
from registry.loaders.tensors import image_tensor, resized

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.registry import Registry
    from registry.subset.options import Subset


#: Maximum height and width of resized crops, px.
_LONGEST_SIDE: Final = 10_000


class Landmarks(PhotoDataset):
    """An element for each item of a category: ``(image, target)``.

    ``image`` is the crop of the item's box, uint8 (3, height, width). ``target`` has ``landmarks``, float32 (n, 3): x
    and y in px from the top-left corner of the crop, which may lie outside of it, and v (2 visible, 1 occluded, 0 not
    labelled, then x = y = 0); and ``key``. ``transform(image, target)`` returns both.

    Args:
        registry_or_url: an open registry, or its folder or URL.
        subset: a Subset, or its options by name (``{"category": "skirt"}``); everything without it.
        category: name or id.
        size: height and width to which each crop is resized, its landmarks with it; None keeps the crop's.
        margin: fraction of the box's width that is added left and right, and of its height above and below.
        options: the others of :class:`registry.loaders.dataset.PhotoDataset`, such as ``photos``; without ``classes``.

    Attributes:
        flip_indices: the landmark that each becomes when the image is mirrored, by position from 0.
        oks_sigmas: constant of object keypoint similarity of each landmark.
        landmark_names: such as ``skirt_kpt1``.

    Raises:
        UsageError: the subset has other categories, or an option is wrong.
        NotFoundError, SourceError: as for :class:`registry.loaders.dataset.PhotoDataset`.
    """

    _cropped = ("",)

    def __init__(
        self,
        registry_or_url: Registry | str,
        subset: Subset | Mapping[str, Any] | None = None,
        *,
        category: str | int,
        size: tuple[int, int] | None = None,
        margin: float = 0.0,
        **options: Any,
    ) -> None:
        check_margin(margin)
        if size is not None:
            _check_size(size)
        chosen_category = find_category(category)
        chosen = as_subset(subset)
        if chosen.category not in ((), (chosen_category.id,)):
            raise UsageError(
                f"category: the subset has {', '.join(chosen.to_dict()['category'])}, and the landmarks are of "
                f"{chosen_category.name}: expected the same category."
            )
        self.category, self.size, self.margin = chosen_category.name, size, margin
        slots = [slot for slot in LANDMARK_SLOTS if slot.category_id == chosen_category.id]
        self.flip_indices = swapped_landmarks(chosen_category)
        self.oks_sigmas = [slot.oks_sigma for slot in slots]
        self.landmark_names = [slot.name for slot in slots]
        # The only class: an image of the option whole_images may have items of other categories.
        options["classes"] = {chosen_category.name: [chosen_category.name]}
        super().__init__(registry_or_url, replace(chosen, category=(chosen_category.id,)), **options)

    def _read_rows(self, chosen: ChosenRows) -> pa.Table:
        return chosen.items([*ITEM_ROWS, "landmarks"])

    def _key(self, row: dict[str, Any]) -> str:
        return item_key(row)

    def _element(self, row: dict[str, Any]) -> Any:
        pixels, corner = self._photos.crop(row, self.margin)
        values = row["landmarks"] or [0] * 3 * len(self.flip_indices)  # a COCO file may have none
        check_landmarks(values, len(self.flip_indices), item_key(row))
        landmarks = torch.tensor(values, dtype=torch.float32).reshape(-1, 3)
        is_labelled = landmarks[:, 2] > 0
        landmarks[is_labelled, :2] -= torch.tensor(corner, dtype=torch.float32)
        image = image_tensor(pixels)
        if self.size is not None:
            height, width = pixels.shape[:2]
            landmarks[:, :2] *= torch.tensor([self.size[1] / width, self.size[0] / height])
            image = resized(image, self.size)
        target = {"landmarks": landmarks, "key": item_key(row)}
        return self.transform(image, target) if self.transform else (image, target)

    def mirrored(self, image: torch.Tensor, target: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
        """Return an element mirrored left to right: its landmarks change their numbers with their sides."""
        landmarks = target["landmarks"][self.flip_indices].clone()
        is_labelled = landmarks[:, 2] > 0
        landmarks[is_labelled, 0] = image.shape[-1] - landmarks[is_labelled, 0]
        return image.flip(-1), target | {"landmarks": landmarks}


def check_landmarks(values: Sequence[float], number: int, key: str) -> None:
    """Refuse landmarks of an item that are not ``number`` times x, y, v.

    Raises:
        SourceError: the registry is damaged.
    """
    if len(values) != 3 * number:
        raise SourceError(
            f"{key} has {len(values)} numbers as landmarks in the registry: expected {3 * number}, x, y and v of "
            f"{number}. Ingest it again."
        )


def _check_size(size: Any) -> None:
    """Refuse a size of crops that is no height and width in px."""
    is_pair = isinstance(size, Sequence) and len(size) == 2
    if not is_pair or not all(is_whole(number) and 0 < number <= _LONGEST_SIDE for number in size):
        raise UsageError(f"size: expected a height and a width from 1 to {_LONGEST_SIDE:,} px, found {size!r}.")


def swapped_landmarks(category: Category) -> list[int]:
    """Return the position, from 0, of the landmark that each of a category becomes when the image is mirrored."""
    slots = [slot for slot in LANDMARK_SLOTS if slot.category_id == category.id]
    return [slot.swap_slot - category.landmark_offset for slot in slots]


def heatmaps(
    landmarks: torch.Tensor, size: tuple[int, int], stride: float = 4, sigma: float = 2
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a heatmap for each landmark, and its weight.

    Args:
        landmarks: (..., n, 3): x, y in px of the crop, and v.
        size: height and width of the crop, px.
        stride: px of the crop for each px of the heatmap.
        sigma: of the Gaussian, px of the heatmap.

    Returns:
        float32 (..., n, height / stride, width / stride) with the value 1 at the landmark; float32 (..., n), 1 for a
        landmark that is labelled and lies in the crop, else 0, and its heatmap is then empty.
    """
    height, width = (max(1, round(number / stride)) for number in size)
    x, y, v = landmarks.float().unbind(-1)
    weights = ((v > 0) & (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])).float()
    columns = torch.arange(width, device=landmarks.device)
    rows = torch.arange(height, device=landmarks.device)
    along = torch.exp(-((columns - x[..., None] / stride) ** 2) / (2 * sigma**2))
    down = torch.exp(-((rows - y[..., None] / stride) ** 2) / (2 * sigma**2))
    return down[..., :, None] * along[..., None, :] * weights[..., None, None], weights
