"""A small release with everything that public loaders stumble over, and its annotations as plain Python reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers import annotation, item, jpeg, landmarks, write_split

#: Width and height of the photos by image_id; any other photo is 200 x 300 px.
SIZES = {1: (200, 300), 2: (240, 260), 5: (220, 230)}


def _marked(category_id: int) -> list[int]:
    """Return landmarks of which the first is occluded, the second not labelled and the others visible."""
    points = landmarks(category_id)
    return [*points[:2], 1, 0, 0, 0, *points[6:]]


def _polygons(*, whole: bool) -> list[list[float]]:
    """Return two polygons apart from each other, closed and of whole numbers, or open and with fractions."""
    if whole:
        return [[10, 20, 110, 20, 110, 220, 10, 20], [120, 30, 150, 30, 150, 60, 120, 30]]
    return [[10.5, 20.25, 110.0, 20.0, 110.0, 220.125], [120.75, 30.5, 150.0, 30.0, 150.25, 60.5]]


#: Several polygons, fractions, gaps between item and image numbers, style 0, a box without area, landmarks that nobody
#: labelled, all categories in one image.
TRAIN: dict[int | str, Any] = {
    1: annotation(
        {
            "item1": item(1, 1, segmentation=_polygons(whole=True), landmarks=_marked(1)),
            "item3": item(8, 2, segmentation=_polygons(whole=False), landmarks=landmarks(8, 0)),
        },
        "user",
        1,
    ),
    2: annotation({"item1": item(1, 1, landmarks=_marked(1)), "item2": item(9, 0)}, "shop", 1),
    5: annotation([item(8, 2, bounding_box=[5, 6, 215, 216], landmarks=_marked(8))], "shop", 1),
    7: annotation([item(13, 3, bounding_box=[0, 0, 0, 0], landmarks=landmarks(13, 0))], "user", 2),
    9: annotation(
        [item(k, k, landmarks=_marked(k), segmentation=_polygons(whole=k < 8)) for k in range(1, 14)], "shop", 3
    ),
}
#: The first polygons are of whole numbers, a later one is not.
VALIDATION: dict[int | str, Any] = {
    1: annotation([item(7, 1, segmentation=_polygons(whole=True))], "user", 1),
    2: annotation([item(7, 1, segmentation=_polygons(whole=False))], "shop", 1),
    3: annotation({"item2": item(7, 0)}, "user", 1),
}


@dataclass(frozen=True)
class ReleasedItem:
    """An item as its annotation file has it."""

    image_id: int
    item_no: int
    source: str
    pair_id: int
    fields: dict[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo, px."""
        return SIZES.get(self.image_id, (200, 300))

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Edges of the box, px."""
        x1, y1, x2, y2 = self.fields["bounding_box"]
        return x1, y1, x2, y2

    @property
    def has_area(self) -> bool:
        """Whether the box is wider and higher than 0."""
        x1, y1, x2, y2 = self.xyxy
        return x2 > x1 and y2 > y1

    @property
    def labelled(self) -> list[tuple[int, int, int]]:
        """The landmarks that are visible or occluded, as x, y, v."""
        flat = self.fields["landmarks"]
        return [(x, y, v) for x, y, v in zip(flat[::3], flat[1::3], flat[2::3], strict=True) if v]


def write_release(folder: Path) -> Path:
    """Write train, validation, and test with two photos without annotations."""
    for split, files in (("train", TRAIN), ("validation", VALIDATION)):
        write_split(folder / split, files, {key: jpeg(*SIZES.get(int(key), (200, 300))) for key in files})
    write_split(folder / "test", {}, {1: jpeg(), 2: jpeg()})
    return folder


def released_items(folder: Path) -> Iterator[ReleasedItem]:
    """Yield the items of a split in the order of its files, and in a file in the order of its keys."""
    for path in sorted((folder / "annos").iterdir()):
        document = json.loads(path.read_bytes())
        for key, fields in document.items():
            if key.startswith("item"):
                item_no = int(key.removeprefix("item"))
                yield ReleasedItem(int(path.stem), item_no, document["source"], document["pair_id"], fields)
