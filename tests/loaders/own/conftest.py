"""A small registry with photos whose pixels tell their place."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from registry.ingest.build import ingest
from tests.helpers import item, landmarks, write_split

WIDTH, HEIGHT = 120, 90


class Release(NamedTuple):
    """A registry and the photos from which it was ingested."""

    registry: str
    photos: str


def placed_photo(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return a PNG whose red is x and whose green is y: a crop shows where it was cut."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.arange(width)[None, :]
    pixels[..., 1] = np.arange(height)[:, None]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def box_item(category_id: int, style: int, box: list[int], **changes: Any) -> dict[str, Any]:
    """Return an item whose polygon is its box and whose landmarks begin at its corner."""
    x1, y1, x2, y2 = box
    marks = landmarks(category_id)
    marks[0:3] = [x1 + 3, y1 + 4, 2]
    marks[3:6] = [0, 0, 0]
    marks[6:9] = [x2 - 1, y2 - 1, 1]
    polygon = [x1, y1, x2, y1, x2, y2, x1, y2]
    return item(category_id, style, bounding_box=box, segmentation=[polygon], landmarks=marks, **changes)


def annotation(items: list[dict[str, Any]], source: str, pair_id: int) -> dict[str, Any]:
    """Return an annotation whose items are in the order of their numbers."""
    return {"source": source, "pair_id": pair_id, **{f"item{k}": fields for k, fields in enumerate(items, 1)}}


TRAIN: dict[int | str, Any] = {
    1: annotation([box_item(9, 1, [10, 20, 50, 60]), box_item(1, 0, [60, 5, 110, 80], occlusion=3)], "user", 1),
    2: annotation([box_item(9, 1, [5, 5, 45, 85])], "shop", 1),
    3: annotation([box_item(9, 2, [20, 10, 100, 70]), box_item(7, 1, [30, 30, 30, 60])], "shop", 1),
    4: annotation([box_item(9, 1, [0, 0, 120, 90])], "shop", 2),
    5: annotation([box_item(9, 1, [15, 25, 95, 75])], "user", 2),
    6: annotation([box_item(1, 1, [40, 10, 90, 80]), box_item(9, 3, [2, 2, 30, 30])], "shop", 3),
}
VALIDATION: dict[int | str, Any] = {
    1: annotation([box_item(9, 1, [10, 20, 50, 60])], "user", 1),
    2: annotation([box_item(9, 1, [5, 5, 45, 85])], "shop", 1),
}


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return a registry of two splits and their photos."""
    folder = tmp_path_factory.mktemp("release")
    for split, images in (("train", TRAIN), ("validation", VALIDATION)):
        photos = {f"{number:06d}.jpg": placed_photo() for number in images}
        write_split(folder / "photos" / split, images, photos)
        ingest(split, str(folder / "photos" / split), str(folder / "registry"), jobs=1)
    return Release(str(folder / "registry"), str(folder / "photos"))


@pytest.fixture
def broken(release: Release, tmp_path: Path) -> Release:
    """Return the registry, and a copy of the photos in which train/image/000003.jpg cannot be decoded."""
    shutil.copytree(release.photos, tmp_path / "photos")
    (tmp_path / "photos" / "train" / "image" / "000003.jpg").write_bytes(b"no photo")
    return Release(release.registry, str(tmp_path / "photos"))
