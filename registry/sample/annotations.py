"""The annotation of a drawn photo, in the format of the released annotation files."""

from __future__ import annotations

import random
from typing import Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID
from registry.sample.garments import front_rings
from registry.sample.geometry import Point, bounds, clip_ring, polygon_area, thin_ring
from registry.sample.scenes import DrawnGarment, Photo

#: Garments whose visible part is a smaller share of the photo's area are not annotated.
_MIN_AREA_SHARE: Final = 0.004
#: Maximum number of items in an annotation file of the sample.
_MAX_ITEMS: Final = 4

#: Visibility values of a landmark.
_NOT_LABELLED, _OCCLUDED, _VISIBLE = 0, 1, 2

#: Code of an attribute by its meaning: ``_CODES["scale"]["small"]`` is 1.
_CODES: Final = {
    attribute: {meaning: code for code, meaning in meanings.items()} for attribute, meanings in ATTRIBUTE_CODES.items()
}

#: Order of a file's keys by its item numbers. The release was written from an unordered dictionary: the order looks
#: arbitrary but is the same in all files with the same items.
_KEY_ORDER: Final[dict[tuple[int, ...], tuple[str, ...]]] = {
    (1,): ("source", "pair_id", "item1"),
    (1, 2): ("item2", "source", "pair_id", "item1"),
    (1, 3): ("source", "pair_id", "item1", "item3"),
    (1, 2, 3): ("item2", "source", "pair_id", "item1", "item3"),
    (1, 2, 3, 4): ("item2", "item3", "item1", "item4", "source", "pair_id"),
}


def annotate(photo: Photo, split: str, seed: str) -> list[dict[str, Any]]:
    """Return the items of a photo, at most four, in drawing order.

    The first garment that can be annotated becomes an item however little of it shows. The list is empty when no
    garment is in the photo.
    """
    items: list[dict[str, Any]] = []
    for k, garment in enumerate(photo.garments):
        item = _annotate_item(photo, garment, split, random.Random(f"{seed}:item:{k}"), required=not items)
        if item is not None:
            items.append(item)
    return items[:_MAX_ITEMS]


def annotation_file(source: str, pair_id: int, items: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the content of an annotation file, with its keys in the order of the release."""
    values: dict[str, Any] = {"source": source, "pair_id": pair_id}
    for item_no, item in items.items():
        values[f"item{item_no}"] = item
    return {key: values[key] for key in _KEY_ORDER[tuple(sorted(items))]}


def _annotate_item(
    photo: Photo, garment: DrawnGarment, split: str, rng: random.Random, required: bool
) -> dict[str, Any] | None:
    """Return the item of a garment, or None if too little of it shows.

    Args:
        photo: photo of the garment.
        garment: garment to annotate.
        split: decides the format of the polygons.
        rng: draws the inaccuracies of an annotator.
        required: annotate the garment even if little of it shows, or no landmark is visible.
    """
    width, height = photo.image.size
    ring = garment.outline.ring
    inside = clip_ring(ring, (0.0, 0.0, width - 1.0, height - 1.0))
    inside_area = polygon_area(inside) if len(inside) > 2 else 0.0
    landmarks = _landmarks(photo, garment, rng)
    visibilities = landmarks[2::3]
    too_small = inside_area / (width * height) < _MIN_AREA_SHARE
    if not required and (too_small or _VISIBLE not in visibilities):
        return None
    segmentation = _segmentation(photo, garment, split, rng)
    if not segmentation:
        return None
    box_xyxy = _box_xyxy(segmentation, (width, height), rng)
    box_area = (box_xyxy[2] - box_xyxy[0]) * (box_xyxy[3] - box_xyxy[1])
    category = CATEGORY_BY_ID[garment.styled.garment.category_id]
    return {
        "segmentation": segmentation,
        "scale": _scale(box_area / (width * height)),
        "viewpoint": _viewpoint(garment),
        "zoom_in": _zoom_in(inside_area / polygon_area(ring)),
        "landmarks": landmarks,
        "style": garment.styled.style,
        "bounding_box": box_xyxy,
        "category_id": category.id,
        "occlusion": _occlusion(visibilities),
        "category_name": category.name,
    }


def _scale(share: float) -> int:
    """Return the scale code for the box's share of the photo's area."""
    return _CODES["scale"]["small" if share < 0.10 else "moderate" if share <= 0.40 else "large"]


def _viewpoint(garment: DrawnGarment) -> int:
    figure = garment.outline.figure
    if not figure.is_worn:
        return _CODES["viewpoint"]["no wear"]
    return _CODES["viewpoint"]["side or back" if figure.is_back_view else "frontal"]


def _zoom_in(share: float) -> int:
    """Return the zoom-in code for the share of the garment's outline that is inside the photo."""
    return _CODES["zoom_in"]["none" if share > 0.97 else "medium" if share > 0.60 else "large"]


def _occlusion(visibilities: list[int]) -> int:
    """Return the occlusion code for the share of occluded landmarks among the labelled ones."""
    labelled = len(visibilities) - visibilities.count(_NOT_LABELLED)
    share = visibilities.count(_OCCLUDED) / labelled if labelled else 1.0
    return _CODES["occlusion"]["slight or none" if share < 0.15 else "medium" if share < 0.55 else "heavy"]


def _landmarks(photo: Photo, garment: DrawnGarment, rng: random.Random) -> list[int]:
    """Return the landmarks as x, y, v each, in px; 0, 0, 0 if not labelled."""
    width, height = photo.image.size
    outline = garment.outline
    flat: list[int] = []
    for landmark_no in range(1, CATEGORY_BY_ID[outline.template.category_id].num_landmarks + 1):
        x, y = outline.points[landmark_no]
        in_photo = 0 <= round(x) < width and 0 <= round(y) < height
        # In a back view the front neckline is not visible, so annotators do not label it.
        on_far_side = landmark_no not in outline.keys and landmark_no != 1
        chance = rng.random()
        if not in_photo or on_far_side:
            flat += [0, 0, _NOT_LABELLED]
            continue
        is_hidden = garment.is_hidden(photo.layers, landmark_no, (x, y))
        if chance < (0.12 if is_hidden else 0.012):
            flat += [0, 0, _NOT_LABELLED]
            continue
        flat += [round(x), round(y), _OCCLUDED if is_hidden else _VISIBLE]
    return flat


def _segmentation(photo: Photo, garment: DrawnGarment, split: str, rng: random.Random) -> list[list[Any]]:
    """Return the polygons of a garment in the format of the split; empty if it is outside the photo."""
    outline = garment.outline
    rings = [outline.ring]
    if split == "train":
        extra_rings = [*outline.part_rings()]
        if outline.collar_ring() and not outline.figure.is_back_view and rng.random() < 0.3:
            extra_rings.append(outline.collar_ring())
        if rng.random() < 0.75:
            rings += extra_rings
    elif rng.random() < 0.05:
        rings = front_rings(outline)
    width, height = photo.image.size
    polygons: list[list[Any]] = []
    for k, ring in enumerate(rings):
        # Polygons of the release reach up to about a pixel beyond the image.
        inside = clip_ring(ring, (-0.7, -0.7, width - 0.3, height - 0.3))
        if len(inside) < 3 or polygon_area(inside) < (1.0 if k == 0 else 12.0):
            if k == 0:
                return []
            continue
        polygons.append(_closed_ints(inside) if split == "train" else _open_floats(inside))
    return polygons


def _closed_ints(ring: list[Point]) -> list[int]:
    """Return a polygon as in train: x, y alternating, integers, the first point repeated at the end."""
    points: list[tuple[int, int]] = []
    for x, y in thin_ring(ring, 0.7):
        point = (round(x), round(y))
        if not points or point != points[-1]:
            points.append(point)
    if len(points) > 1 and points[0] == points[-1]:
        points.pop()
    while len(points) < 3:
        # Rounding made corners of a tiny ring coincide: add points until it is a triangle.
        x_last, y_last = points[-1]
        points.append((x_last + 1, y_last + len(points) % 2))
    points.append(points[0])
    return [value for point in points for value in point]


def _open_floats(ring: list[Point]) -> list[float]:
    """Return a polygon as in validation: x, y alternating, floats, not closed."""
    points = thin_ring(ring, 0.12)
    return [value for point in points for value in point]


def _box_xyxy(segmentation: list[list[Any]], size: tuple[int, int], rng: random.Random) -> list[int]:
    """Return x1, y1, x2, y2 around the first polygon, a little off as if drawn by hand, at least 2 px wide and high.

    Args:
        segmentation: polygons of the item.
        size: width and height of the photo.
        rng: draws the inaccuracy of each side.
    """
    values = segmentation[0]
    x1, y1, x2, y2 = bounds([(values[i], values[i + 1]) for i in range(0, len(values), 2)])
    error_x, error_y = 1.0 + 0.012 * (x2 - x1), 1.0 + 0.012 * (y2 - y1)
    box_x1 = max(0, round(x1 - rng.uniform(-0.4, 1.0) * error_x))
    box_y1 = max(0, round(y1 - rng.uniform(-0.4, 1.0) * error_y))
    box_x2 = min(size[0] - 1, round(x2 + rng.uniform(-0.4, 1.0) * error_x))
    box_y2 = min(size[1] - 1, round(y2 + rng.uniform(-0.4, 1.0) * error_y))
    box_x1, box_y1 = min(box_x1, size[0] - 3), min(box_y1, size[1] - 3)
    return [box_x1, box_y1, max(box_x2, box_x1 + 2), max(box_y2, box_y1 + 2)]
