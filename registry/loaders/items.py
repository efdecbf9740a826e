"""Crops of items with their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from registry.loaders.chosen_rows import ATTRIBUTES, ITEM_ROWS, ChosenRows
from registry.loaders.dataset import PhotoDataset
from registry.loaders.photo_pixels import check_margin, item_key
from registry.loaders.tensors import image_tensor

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.registry import Registry
    from registry.subset.options import Subset

#: Values in place of NULL: torch stacks no None.
_UNKNOWN_NUMBER: Final = -1
_UNKNOWN_TEXT: Final = ""


class Items(PhotoDataset):
    """An element for each item: ``(image, target)``.

    ``image`` is the crop of the item's box, uint8 (3, height, width), or what ``transform(image)`` makes of it.
    ``target`` has ``label`` (index of the class), ``category_id``, ``scale``, ``occlusion``, ``zoom_in``,
    ``viewpoint``, ``pair_id``, ``style``, ``source``, ``key`` (``train/000012_1``), and the columns asked for. A number
    that is not known is -1, a text that is not known is empty.

    Args:
        registry_or_url: an open registry, or its folder or URL.
        subset: a Subset, or its options by name (``{"category": "skirt"}``); everything without it.
        margin: fraction of the box's width that is added left and right, and of its height above and below.
        columns: more columns of items, or ``TABLE.COLUMN`` of a table of the user, for ``rows`` and targets.
        options: the others of :class:`registry.loaders.dataset.PhotoDataset`, such as ``photos``.

    Raises:
        NotFoundError, UsageError, SourceError: as for :class:`registry.loaders.dataset.PhotoDataset`.
    """

    _cropped = ("",)

    def __init__(
        self,
        registry_or_url: Registry | str,
        subset: Subset | Mapping[str, Any] | None = None,
        *,
        margin: float = 0.0,
        columns: Sequence[str] = (),
        **options: Any,
    ) -> None:
        check_margin(margin)
        self.margin = margin
        self._columns = tuple(columns)
        super().__init__(registry_or_url, subset, **options)

    def _read_rows(self, chosen: ChosenRows) -> pa.Table:
        return chosen.items([*ITEM_ROWS, *ATTRIBUTES, *self._columns])

    def _key(self, row: dict[str, Any]) -> str:
        return item_key(row)

    def _element(self, row: dict[str, Any]) -> Any:
        pixels, _ = self._photos.crop(row, self.margin)
        image = image_tensor(pixels)
        names = dict.fromkeys([*ATTRIBUTES, "pair_id", "style", *self._columns])
        target = {"label": self._labels[row["category_id"]], "category_id": row["category_id"]}
        target |= {name: _UNKNOWN_NUMBER if row[name] is None else row[name] for name in names}
        target |= {"source": row["source"] or _UNKNOWN_TEXT, "key": item_key(row)}
        return (self.transform(image) if self.transform else image), target
