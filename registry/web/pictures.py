"""Images with their annotation for the pages: read at once for all pictures of a page."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from registry.dataset.cells import check_items
from registry.dataset.tables import IMAGES, ITEMS, arrow_schema
from registry.pictures.palette import item_colours
from registry.pictures.view import Rect, View, crop_region, photo_rect, whole_region
from registry.store.connection import duckdb_errors
from registry.web.library import WIDTHS
from registry.web.overlay import Shapes, digits_of, shapes

if TYPE_CHECKING:
    from registry.store.registry import Registry

#: Images whose annotation is kept; that of most has some 10 KB.
_KEPT: Final = 2_000
#: Columns that are read from the files; the others are in memory.
_READ: Final = ("image_id", "item_no", "category_id", "landmarks", "segmentation")
#: Largest number in an address of a part of a photo.
_FURTHEST: Final = 999_999

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an image or of an item.

    Attributes:
        path: of its page, without query.
        source: path of its photo; empty without photos.
        width, height: of the pictured part of the photo, px of the photo.
        view_box: of the annotation.
        shapes: the items, the largest first.
        item_no: of the item that is meant; None for all.
        alt: the picture in words.
        caption: the key.
        detail: categories, or that of the item.
    """

    path: str
    source: str
    width: int
    height: int
    view_box: str
    shapes: Sequence[Shapes]
    item_no: int | None
    alt: str
    caption: str
    detail: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """The items of an image.

    Attributes:
        items: rows of the table items, by item_no.
        drawn: their shapes as far as they were drawn, by the part of the photo and the digits of coordinates.
    """

    items: list[dict[str, Any]]
    drawn: dict[tuple[Any, ...], list[Shapes]] = field(default_factory=dict)


class Pictures:
    """Images and items of a page, by key.

    Attributes:
        images: rows of the table images, without long columns; only of images that there are.
        items: rows of the table items of each image, by item_no.
        has_photos: whether photos can be shown.
    """

    def __init__(
        self, images: Mapping[Key, Mapping[str, Any]], annotations: Mapping[Key, Annotation], has_photos: bool
    ) -> None:
        self.images = images
        self.items = {key: annotation.items for key, annotation in annotations.items()}
        self._annotations = annotations
        self.has_photos = has_photos

    def region(self, key: Key, item_no: int | None = None) -> tuple[int, int, int, int]:
        """Return the part of a photo to show, px: all of it and of its annotation, or an item with a margin."""
        image, items = self.images[key], self.items[key]
        return region_of(image, items, [item for item in items if item["item_no"] == item_no])

    def picture(self, row: Mapping[str, Any], *, crop: bool = False, shown: int = 2 * WIDTHS[0]) -> Picture | None:
        """Return the picture of a row with split, image_id and perhaps item_no; None where there is no such image.

        Args:
            row: the row.
            crop: whether only the item is shown.
            shown: px of the picture on a screen: coordinates are no finer.
        """
        key = row["split"], row["image_id"]
        if key not in self.images:
            return None
        item_no = row.get("item_no")
        items = self.items[key]
        part = self.region(key, item_no if crop else None)
        width, height = part[2] - part[0], part[3] - part[1]
        drawn = self._annotations[key].drawn
        digits = digits_of(width, shown)
        if (part, digits) not in drawn:
            colours = item_colours(item["item_no"] for item in items)
            drawn[part, digits] = shapes(items, part, digits=digits, colours=colours)
        caption = f"{key[0]}/{key[1]:06d}" + ("" if item_no is None else f" item {item_no}")
        names = [item["category_name"] for item in items if item_no in (None, item["item_no"])]
        detail = ", ".join(names) or ("no item is annotated" if item_no is None else "no such item")
        return Picture(
            f"/image/{key[0]}/{key[1]}",
            thumbnail_path(key, part, 2 * WIDTHS[0] if crop else WIDTHS[0]) if self.has_photos else "",
            width,
            height,
            f"{part[0]} {part[1]} {width} {height}",
            drawn[part, digits],
            item_no,
            f"{caption}: {detail}",
            caption,
            detail,
        )


def region_of(
    image: Mapping[str, Any], items: Sequence[Mapping[str, Any]], chosen: Sequence[Mapping[str, Any]] = ()
) -> tuple[int, int, int, int]:
    """Return the part of a photo to show, px: the chosen items with a margin, or else all of it and of its items."""
    size = (image["width"], image["height"]) if image["width"] and image["height"] else None
    rect = photo_rect(size, items)
    region: Rect = crop_region(rect, chosen) if chosen else whole_region(rect, items)
    x1, y1, x2, y2 = View.of(region, rect, WIDTHS[0]).region
    return math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)


def thumbnail_path(key: Key, part: Sequence[int], width: int) -> str:
    """Return the path of a thumbnail of a part of a photo."""
    path = f"/thumbnail/{key[0]}/{key[1]}.jpg?w={width}"
    return path if max(map(abs, part)) > _FURTHEST else f"{path}&part={','.join(map(str, part))}"


class FindsRows(Protocol):
    """Finds rows of a version by the key of their image."""

    @property
    def version(self) -> str:
        """The digest of the manifest of the version."""

    def find(self, table: str, keys: Sequence[Key]) -> list[dict[str, Any]]:
        """Return the rows of ``images`` or ``items`` of images, without long columns, in the order of their keys."""


class PictureReader:
    """Reads images and their items; those read last are kept. Its methods may be called from several threads.

    Args:
        registry: to read.
        narrow: returns what finds its rows.
        has_photos: whether photos can be shown.
    """

    def __init__(self, registry: Registry, narrow: Callable[[], FindsRows], has_photos: bool) -> None:
        self._registry = registry
        self._narrow = narrow
        self._has_photos = has_photos
        self._lock = threading.Lock()
        self._version = ""
        self._kept: OrderedDict[Key, Annotation] = OrderedDict()

    def load(self, rows: Iterable[Mapping[str, Any]]) -> Pictures:
        """Return the images of rows with split and image_id; rows of images that there are not are left out."""
        keys = list(dict.fromkeys((row["split"], row["image_id"]) for row in rows))
        narrow = self._narrow()
        images = {(row["split"], row["image_id"]): row for row in narrow.find(IMAGES.name, keys)}
        with self._lock:
            if self._version != narrow.version:
                self._version = narrow.version
                self._kept.clear()
            annotations = {key: self._kept[key] for key in images if key in self._kept}
            for key in annotations:
                self._kept.move_to_end(key)
        missing = [key for key in images if key not in annotations]
        if missing:
            read = self._read(narrow, missing)
            annotations |= read
            with self._lock:
                if self._version == narrow.version:
                    self._kept.update(read)
                    while len(self._kept) > _KEPT:
                        self._kept.popitem(last=False)
        return Pictures(images, annotations, self._has_photos)

    def _read(self, narrow: FindsRows, keys: Sequence[Key]) -> dict[Key, Annotation]:
        """Return the items of images."""
        annotations = {key: Annotation([]) for key in keys}
        short = narrow.find(ITEMS.name, keys)
        long: dict[tuple[str, int, int], dict[str, Any]] = {}
        for split in dict.fromkeys(row["split"] for row in short):
            for row in _read(self._registry, split, [row for row in short if row["split"] == split]):
                long[split, row["image_id"], row["item_no"]] = row
        for row in short:
            key = row["split"], row["image_id"]
            annotations[key].items.append({**row, **long.get((*key, row["item_no"]), {})})
        return annotations


class HasPictures(Protocol):
    """A site."""

    pictures: PictureReader


def load_pictures(site: HasPictures, rows: Iterable[Mapping[str, Any]]) -> Pictures:
    """Return the pictures of rows with split, image_id and perhaps item_no, for a page's context as ``pictures``.

    The macro ``thumbnail(row)`` of picture.html finds them there. Rows of images that there are not are left out.

    Raises:
        RegistryFormatError: rows are not as an ingestion writes them.
    """
    return site.pictures.load(rows)


def _read(registry: Registry, split: str, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return landmarks and segmentation of all items of some images of a split.

    Args:
        registry: to read.
        split: of the items.
        items: all items of these images, without long columns.
    """
    import pyarrow as pa

    image_ids = sorted({item["image_id"] for item in items})
    # Bounds let DuckDB skip row groups, and categories files: 25 ms for 60 neighbours and 140 ms for 60 images
    # anywhere, against 30 and 290 ms of a join with the keys, and 150 and 300 ms with list_contains.
    categories = ", ".join(map(str, sorted({int(item["category_id"]) for item in items})))
    query = (
        f"SELECT {', '.join(_READ)} FROM items WHERE split = $split AND category_id IN ({categories}) "
        "AND image_id BETWEEN $low AND $high AND image_id IN (SELECT unnest($image_ids)) ORDER BY image_id, item_no"
    )
    params = {"split": split, "low": image_ids[0], "high": image_ids[-1], "image_ids": image_ids}
    declared = arrow_schema(ITEMS, stored=False)
    schema = pa.schema([declared.field(name) for name in _READ])
    with duckdb_errors():
        table = registry.sql(query, params).to_arrow_table().cast(schema).combine_chunks()
    for batch in table.to_batches():
        check_items(batch, split, registry.place)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
