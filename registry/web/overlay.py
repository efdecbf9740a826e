"""The annotation of an image as shapes of SVG, laid over the photo."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from registry.dataset.deepfashion2 import LANDMARK_SLOTS, SKELETON
from registry.pictures.outlines import parts, united
from registry.pictures.palette import Colour, item_colours
from registry.pictures.view import Rect, box_of, labelled_landmarks

#: Name of each landmark by category and landmark_no.
_NAMES = {(slot.category_id, slot.landmark_no): slot.name for slot in LANDMARK_SLOTS}


@dataclass(frozen=True, slots=True)
class Landmark:
    """A labelled landmark.

    Attributes:
        number: landmark_no.
        name: of the landmark.
        x, y: px of the photo, as SVG has them.
        is_visible: False for an occluded landmark.
    """

    number: int
    name: str
    x: str
    y: str
    is_visible: bool


@dataclass(frozen=True, slots=True)
class Shapes:
    """An item as shapes of SVG in px of the photo; a text is empty where there is nothing to draw.

    Attributes:
        item_no: of the item.
        label: item_no and category.
        colour: ``#rrggbb``.
        box: x, y, width and height of the box; None for a box at 0, 0 without extent.
        mask: path of the union of its polygons, to be filled by the rule evenodd.
        links: path of the skeleton between visible landmarks.
        hidden_links: path of the skeleton where a landmark is occluded.
        visible: path with a point at each visible landmark.
        occluded: path with a point at each occluded landmark, along a diagonal: square ends make it a diamond.
        landmarks: each labelled landmark; empty in thumbnails.
    """

    item_no: int
    label: str
    colour: str
    box: tuple[str, str, str, str] | None
    mask: str
    links: str
    hidden_links: str
    visible: str
    occluded: str
    landmarks: tuple[Landmark, ...] = ()


def shapes(
    items: Iterable[Mapping[str, Any]],
    region: Rect,
    *,
    digits: int | None = None,
    named: bool = False,
    colours: Mapping[int, Colour] | None = None,
) -> list[Shapes]:
    """Return the shapes of items, the largest box first, so that it does not hide smaller ones.

    Args:
        items: rows of the table items.
        region: what is shown, px of the photo: polygons are cut at a distance around it.
        digits: of coordinates behind the point; None for exact ones.
        named: whether landmarks have their names.
        colours: by item_no, where other items of the image have colours too.
    """
    items = sorted(items, key=lambda item: -_area(box_of(item)))
    colours = colours or item_colours(item["item_no"] for item in items)
    return [_shapes(item, region, digits, named, hex_colour(colours[item["item_no"]])) for item in items]


def hex_colour(colour: Colour) -> str:
    """Return a colour as SVG has it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _write(value: float) -> str:
    """Return a coordinate as SVG has it."""
    return str(int(value)) if value == int(value) else repr(value)


def _rounded(points: Any, digits: int | None) -> list[list[float]]:
    """Return points with some digits behind the point of their coordinates; None for all."""
    array = np.asarray(points, np.float64).reshape(-1, 2)
    rows: list[list[float]] = (array if digits is None else np.round(array, digits) + 0.0).tolist()
    return rows


def _area(box: Rect) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shapes(item: Mapping[str, Any], region: Rect, digits: int | None, named: bool, colour: str) -> Shapes:
    box = box_of(item)
    landmarks = labelled_landmarks(item)
    category = item["category_id"]
    rows = _rounded([(x, y) for x, y, _ in landmarks.values()], digits)
    texts = {number: (_write(x), _write(y)) for number, (x, y) in zip(landmarks, rows, strict=True)}
    is_visible = {number: v == 2 for number, (_, _, v) in landmarks.items()}
    places = {number: f"M{x} {y}" for number, (x, y) in texts.items()}
    links: tuple[list[str], list[str]] = ([], [])
    for first, second in SKELETON[category]:
        if first in texts and second in texts:
            x, y = texts[second]
            links[is_visible[first] and is_visible[second]].append(f"{places[first]}L{x} {y}")
    (x1, y1), (width, height) = _rounded([*box[:2], box[2] - box[0], box[3] - box[1]], digits)
    return Shapes(
        item["item_no"],
        f"{item['item_no']} {item['category_name']}",
        colour,
        None if box == (0, 0, 0, 0) else (_write(x1), _write(y1), _write(width), _write(height)),
        mask_path(item.get("segmentation") or (), region, digits),
        "".join(links[True]),
        "".join(links[False]),
        "".join(f"{place}h.01" for number, place in places.items() if is_visible[number]),
        "".join(f"{place}l.01 .01" for number, place in places.items() if not is_visible[number]),
        tuple(
            Landmark(number, _NAMES.get((category, number), str(number)), *texts[number], is_visible[number])
            for number in (texts if named else ())
        ),
    )


def mask_path(segmentation: Sequence[Sequence[float]], region: Rect, digits: int | None = None) -> str:
    """Return the union of polygons as a path to be filled by the rule evenodd, cut at a distance around a region."""
    polygons = [np.reshape(flat, (-1, 2)) for flat in segmentation if len(flat) >= 6]
    if not polygons:
        return ""
    rings: Iterable[Any] = polygons
    if not _are_apart(polygons, region):
        try:
            x1, y1, x2, y2 = _around(region)
            shape = shapely.intersection(united(polygons), shapely.box(x1, y1, x2, y2))
            rings = [
                shapely.get_coordinates(ring)[:-1]
                for part in parts(shape)
                if part.geom_type == "Polygon"
                for ring in (part.exterior, *part.interiors)
            ]
        except shapely.errors.GEOSException:  # coordinates that geometry cannot reckon with
            return ""
    return "".join(_ring(_rounded(ring, digits)) for ring in rings)


def _ring(points: Sequence[Sequence[float]]) -> str:
    """Return a closed line without points that fall together."""
    distinct = [point for number, point in enumerate(points) if not number or point != points[number - 1]]
    (x, y), *further = distinct
    return f"M{_write(x)} {_write(y)}L{' '.join(f'{_write(x)} {_write(y)}' for x, y in further)}z" if further else ""


def _are_apart(polygons: Sequence[npt.NDArray[np.float64]], region: Rect) -> bool:
    """Return whether the bounds of polygons lie apart and near a region: they are their union as they are."""
    bounds = [(*points.min(0).tolist(), *points.max(0).tolist()) for points in polygons]
    x_min, top, right, bottom = _around(region)
    return all(x_min <= x1 and top <= y1 and x2 <= right and y2 <= bottom for x1, y1, x2, y2 in bounds) and all(
        a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1] for a, b in combinations(bounds, 2)
    )


def _around(region: Rect) -> Rect:
    margin = max(region[2] - region[0], region[3] - region[1])
    return region[0] - margin, region[1] - margin, region[2] + margin, region[3] + margin


def digits_of(width: float, shown: int) -> int:
    """Return the digits behind the point of coordinates in a picture that is at most ``shown`` px wide."""
    return max(0, math.ceil(math.log10(shown / max(width, 1e-3)))) if width < shown else 0
