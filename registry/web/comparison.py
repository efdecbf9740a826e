"""Two versions of a registry: their differences, and the pictures of old and new drawn over each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.tables import IMAGES, ITEM_COLUMNS
from registry.store.connection import duckdb_errors
from registry.web.library import WIDTHS
from registry.web.overlay import Shapes, digits_of, shapes
from registry.web.pictures import PictureReader, region_of, thumbnail_path

if TYPE_CHECKING:
    from registry.pictures.palette import Colour
    from registry.store.difference import Change
    from registry.store.registry import Registry
    from registry.subset.options import Subset
    from registry.web.jobs import Job, Jobs
    from registry.web.pictures import Key, Pictures

#: Colours of the old and the new annotation.
OLD: Final[Colour] = (255, 159, 28)
NEW: Final[Colour] = (46, 196, 255)
_LANDMARK_LAYERS: Final = ("links", "hidden_links", "visible", "occluded")
_LONG: Final = ("landmarks", "segmentation")
_COLUMNS: Final = {
    "images": ", ".join(column.name for column in IMAGES.columns),
    "items": ", ".join(name for name in ITEM_COLUMNS if name not in _LONG),
}


@dataclass(frozen=True, slots=True)
class ComparedPicture:
    """A picture of an image or an item with its old and its new annotation.

    Attributes:
        path: of its page in the new version, without query; empty where the new version has no such image.
        item_no: of the item that is meant; None for all.
        source: path of its photo; empty without photos.
        width, height: of the pictured part of the photo, px of the photo.
        view_box: of the annotation.
        old: the old items, without the layers that are drawn the same in the new version.
        new: the new items.
        alt: the picture in words.
        caption: the key.
    """

    path: str
    item_no: int | None
    source: str
    width: int
    height: int
    view_box: str
    old: Sequence[Shapes]
    new: Sequence[Shapes]
    alt: str
    caption: str


class StoredRows:
    """Finds rows of a version that is not held in memory.

    Args:
        registry: to read.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def version(self) -> str:
        """The digest of the manifest of the version."""
        return self._registry.snapshot().manifest.sha256

    def find(self, table: str, keys: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
        """Return the rows of ``images`` or ``items`` of images by (split, image_id), without long columns."""
        rows: list[dict[str, Any]] = []
        present = self._registry.snapshot().manifest.splits
        for split in dict.fromkeys(split for split, _ in keys if split in present):
            image_ids = sorted(image_id for of, image_id in keys if of == split)
            order = "image_id" if table == IMAGES.name else "image_id, item_no"
            query = (
                f"SELECT {_COLUMNS[table]} FROM {table} WHERE split = $split AND image_id BETWEEN $low AND $high "
                f"AND image_id IN (SELECT unnest($image_ids)) ORDER BY {order}"
            )
            params = {"split": split, "low": image_ids[0], "high": image_ids[-1], "image_ids": image_ids}
            with duckdb_errors():
                rows += self._registry.sql(query, params).to_arrow_table().to_pylist()
        return rows


class OldVersion:
    """The version that the pages compare with.

    Args:
        registry: of the version.
        name: as people know it.
        has_photos: whether photos can be shown.
    """

    def __init__(self, registry: Registry, name: str, has_photos: bool) -> None:
        self.registry = registry
        self.name = name
        self._rows = StoredRows(registry)
        self.pictures = PictureReader(registry, lambda: self._rows, has_photos)

    def start(self, jobs: Jobs, new: Registry, subset: Subset) -> Job:
        """Return the job that compares a subset with that of a newer version; it may be running."""
        key = self._rows.version, new.snapshot().manifest.sha256, subset.digest
        return jobs.start(key, lambda: self.registry.diff(new, subset))


def compared_pictures(
    old: PictureReader, new: PictureReader, rows: Iterable[Mapping[str, Any]], *, crop: bool
) -> list[ComparedPicture | None]:
    """Return the pictures of rows with split, image_id and perhaps item_no, or None where neither version has them.

    Args:
        old: reads the old version.
        new: reads the new version.
        rows: the rows.
        crop: whether only the items are shown.
    """
    rows = list(rows)
    before, after = old.load(rows), new.load(rows)
    return [_picture(before, after, (row["split"], row["image_id"]), row.get("item_no"), crop) for row in rows]


def item_rows(change: Change) -> list[dict[str, Any]]:
    """Return the rows of the pictures of a difference: that of an image or an item, or both items of a pair."""
    key = change.key
    if "user_image_id" not in key:
        return [{name: key[name] for name in ("split", "image_id", "item_no") if name in key}]
    return [
        {"split": key["split"], "image_id": key[f"{side}_image_id"], "item_no": key[f"{side}_item_no"]}
        for side in ("user", "shop")
    ]


def _picture(old: Pictures, new: Pictures, key: Key, item_no: int | None, crop: bool) -> ComparedPicture | None:
    image = new.images.get(key) or old.images.get(key)
    if image is None:
        return None
    sides = [_chosen(side.items.get(key, []), item_no) for side in (old, new)]
    both = sides[0] + sides[1]
    around = old.items.get(key, []) + new.items.get(key, [])
    part = region_of(image, around, both if crop and item_no is not None else ())
    width, height = part[2] - part[0], part[3] - part[1]
    digits = digits_of(width, 2 * WIDTHS[0])
    drawn = [
        shapes(items, part, digits=digits, colours=dict.fromkeys((item["item_no"] for item in items), colour))
        for items, colour in zip(sides, (OLD, NEW), strict=True)
    ]
    caption = f"{key[0]}/{key[1]:06d}" + ("" if item_no is None else f" item {item_no}")
    return ComparedPicture(
        f"/image/{key[0]}/{key[1]}" if key in new.images else "",
        item_no if sides[1] else None,
        thumbnail_path(key, part, 2 * WIDTHS[0] if crop else WIDTHS[0]) if new.has_photos else "",
        width,
        height,
        f"{part[0]} {part[1]} {width} {height}",
        _without_same(*drawn),
        drawn[1],
        f"{caption}: old and new annotation",
        caption,
    )


def _chosen(items: Sequence[Mapping[str, Any]], item_no: int | None) -> list[Mapping[str, Any]]:
    return [item for item in items if item_no in (None, item["item_no"])]


def _without_same(old: Sequence[Shapes], new: Sequence[Shapes]) -> list[Shapes]:
    """Return what of old items is drawn otherwise in the new version."""
    new_by_no = {shape.item_no: shape for shape in new}
    left = []
    for shape in old:
        other = new_by_no.get(shape.item_no)
        if other is not None:
            has_same_box = shape.box == other.box
            has_same_mask = shape.mask == other.mask
            has_same_landmarks = all(getattr(shape, name) == getattr(other, name) for name in _LANDMARK_LAYERS)
            if has_same_box and has_same_mask and has_same_landmarks:
                continue
            gone = dict.fromkeys(_LANDMARK_LAYERS, "") if has_same_landmarks else {}
            gone |= {"mask": ""} if has_same_mask else {}
            left.append(replace(shape, box=None if has_same_box else shape.box, **gone))  # type: ignore[arg-type]
        else:
            left.append(shape)
    return left
