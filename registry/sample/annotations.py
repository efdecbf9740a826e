"""From what is in a picture to an annotation as the release writes it."""

from __future__ import annotations

import random
from typing import Any

from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from registry.sample.garments import front_rings
from registry.sample.geometry import Point, bounds, clip_ring, polygon_area, thin_ring
from registry.sample.scenes import Shown, Taken

#: A garment of which less than this share of the picture shows is not annotated.
_SMALLEST_SHARE = 0.004

#: Key order of a file by its item numbers. The release was written from an unordered dictionary: the order
#: looks arbitrary but is the same in every file with the same items.
_KEY_ORDER: dict[tuple[int, ...], tuple[str, ...]] = {
    (1,): ("source", "pair_id", "item1"),
    (1, 2): ("item2", "source", "pair_id", "item1"),
    (1, 3): ("source", "pair_id", "item1", "item3"),
    (1, 2, 3): ("item2", "source", "pair_id", "item1", "item3"),
    (1, 2, 3, 4): ("item2", "item3", "item1", "item4", "source", "pair_id"),
}


def annotate(taken: Taken, split: str, seed: str) -> list[dict[str, Any]]:
    """Return the items of a picture, at most four; each picture has at least one."""
    items: list[dict[str, Any]] = []
    for k, shown in enumerate(taken.shown):
        item = _annotate_item(taken, shown, split, random.Random(f"{seed}:item:{k}"), must=not items)
        if item is not None:
            items.append(item)
    return items[:4]


def annotation_file(source: str, pair_id: int, items: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the content of an annotation file, its keys in the order of the release."""
    values: dict[str, Any] = {"source": source, "pair_id": pair_id}
    for number, item in items.items():
        values[f"item{number}"] = item
    return {key: values[key] for key in _KEY_ORDER[tuple(sorted(items))]}


def _annotate_item(taken: Taken, shown: Shown, split: str, rng: random.Random, must: bool) -> dict[str, Any] | None:
    width, height = taken.image.size
    ring = shown.outline.ring
    inside = clip_ring(ring, (0.0, 0.0, width - 1.0, height - 1.0))
    share = polygon_area(inside) / (width * height) if len(inside) > 2 else 0.0
    landmarks = _landmarks(taken, shown, rng)
    seen = landmarks[2::3]
    if not must and (share < _SMALLEST_SHARE or 2 not in seen):
        return None
    segmentation = _segmentation(taken, shown, split, rng)
    if not segmentation:
        return None
    box = _box(segmentation, (width, height), rng)
    area = (box[2] - box[0]) * (box[3] - box[1]) / (width * height)
    in_picture = polygon_area(inside) / polygon_area(ring) if len(inside) > 2 else 0.0
    labelled = sum(1 for v in seen if v)
    hidden = seen.count(1) / labelled if labelled else 1.0
    category = CATEGORY_BY_ID[shown.worn.garment.category_id]
    figure = shown.outline.figure
    return {
        "segmentation": segmentation,
        "scale": 1 if area < 0.10 else 2 if area <= 0.40 else 3,
        "viewpoint": 1 if not figure.worn else 3 if figure.back else 2,
        "zoom_in": 1 if in_picture > 0.97 else 2 if in_picture > 0.60 else 3,
        "landmarks": landmarks,
        "style": shown.worn.style,
        "bounding_box": box,
        "category_id": category.id,
        "occlusion": 1 if hidden < 0.15 else 2 if hidden < 0.55 else 3,
        "category_name": category.name,
    }


def _landmarks(taken: Taken, shown: Shown, rng: random.Random) -> list[int]:
    width, height = taken.image.size
    outline = shown.outline
    numbers = range(1, CATEGORY_BY_ID[outline.template.category_id].num_landmarks + 1)
    flat: list[int] = []
    for number in numbers:
        x, y = outline.points[number]
        in_view = 0 <= round(x) < width and 0 <= round(y) < height
        # Seen from behind, nobody can say where the front neckline is.
        on_far_side = number not in outline.keys and number != 1
        chance = rng.random()
        if not in_view or on_far_side:
            flat += [0, 0, 0]
            continue
        hidden = shown.hidden_by(taken.layers, number, (x, y))
        if chance < (0.12 if hidden else 0.012):
            flat += [0, 0, 0]
            continue
        flat += [round(x), round(y), 1 if hidden else 2]
    return flat


def _segmentation(taken: Taken, shown: Shown, split: str, rng: random.Random) -> list[list[Any]]:
    outline = shown.outline
    rings = [outline.ring]
    if split == "train":
        extra = [*outline.part_rings()]
        if outline.collar_ring() and not outline.figure.back and rng.random() < 0.3:
            extra.append(outline.collar_ring())
        if rng.random() < 0.75:
            rings += extra
    elif rng.random() < 0.05:
        rings = front_rings(outline)
    width, height = taken.image.size
    polygons: list[list[Any]] = []
    for k, ring in enumerate(rings):
        # Annotators' polygons leave the picture by up to about a pixel.
        inside = clip_ring(ring, (-0.7, -0.7, width - 0.3, height - 0.3))
        if len(inside) < 3 or polygon_area(inside) < (1.0 if k == 0 else 12.0):
            if k == 0:
                return []
            continue
        polygons.append(_closed_ints(inside) if split == "train" else _open_floats(inside))
    return polygons


def _closed_ints(ring: list[Point]) -> list[int]:
    """Return a ring as train has it: whole numbers, the first point repeated at the end."""
    points: list[tuple[int, int]] = []
    for x, y in thin_ring(ring, 0.7):
        point = (round(x), round(y))
        if not points or point != points[-1]:
            points.append(point)
    if len(points) > 1 and points[0] == points[-1]:
        points.pop()
    while len(points) < 3:
        # So small that its corners fell together: a triangle is the least a polygon can be.
        x_last, y_last = points[-1]
        points.append((x_last + 1, y_last + len(points) % 2))
    points.append(points[0])
    return [value for point in points for value in point]


def _open_floats(ring: list[Point]) -> list[float]:
    """Return a ring as validation has it: full doubles, not closed."""
    points = thin_ring(ring, 0.12)
    return [value for point in points for value in point]


def _box(segmentation: list[list[Any]], size: tuple[int, int], rng: random.Random) -> list[int]:
    """Return a box close to the hull of the polygons, as drawn by hand."""
    values = segmentation[0]
    x1, y1, x2, y2 = bounds([(values[i], values[i + 1]) for i in range(0, len(values), 2)])
    reach_x, reach_y = 1.0 + 0.012 * (x2 - x1), 1.0 + 0.012 * (y2 - y1)
    left = max(0, round(x1 - rng.uniform(-0.4, 1.0) * reach_x))
    top = max(0, round(y1 - rng.uniform(-0.4, 1.0) * reach_y))
    right = min(size[0] - 1, round(x2 + rng.uniform(-0.4, 1.0) * reach_x))
    bottom = min(size[1] - 1, round(y2 + rng.uniform(-0.4, 1.0) * reach_y))
    # Two pixels at least, inside the picture.
    left, top = min(left, size[0] - 3), min(top, size[1] - 3)
    return [left, top, max(right, left + 2), max(bottom, top + 2)]
