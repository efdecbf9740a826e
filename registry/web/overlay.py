"""The annotation of an image as shapes of SVG, laid over the photo."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely

from registry.dataset.deepfashion2 import LANDMARK_SLOTS, SKELETON
from registry.pictures.outlines import parts, united
from registry.pictures.palette import Colour, item_colours
from registry.pictures.view import Rect, box_of, labelled_landmarks

#: Writes a coordinate.
Write = Callable[[float], str]

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
    return [_shapes(item, region, _writer(digits), named, hex_colour(colours[item["item_no"]])) for item in items]


def hex_colour(colour: Colour) -> str:
    """Return a colour as SVG has it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _writer(digits: int | None) -> Write:
    """Return a function that writes coordinates with some digits behind the point."""

    def write(value: float) -> str:
        if digits is not None:
            value = round(value, digits)
        return str(int(value)) if value == int(value) else repr(float(value))

    return write


def _area(box: Rect) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shapes(item: Mapping[str, Any], region: Rect, write: Write, named: bool, colour: str) -> Shapes:
    box = box_of(item)
    landmarks = labelled_landmarks(item)
    category = item["category_id"]
    links: tuple[list[str], list[str]] = ([], [])
    for first, second in SKELETON[category]:
        if first in landmarks and second in landmarks:
            (x1, y1, v1), (x2, y2, v2) = landmarks[first], landmarks[second]
            links[v1 == v2 == 2].append(f"M{write(x1)} {write(y1)}L{write(x2)} {write(y2)}")
    points: tuple[list[str], list[str]] = ([], [])
    for x, y, v in landmarks.values():
        points[v == 2].append(f"M{write(x)} {write(y)}{'h.01' if v == 2 else 'l.01 .01'}")
    return Shapes(
        item["item_no"],
        f"{item['item_no']} {item['category_name']}",
        colour,
        None if box == (0, 0, 0, 0) else (write(box[0]), write(box[1]), write(box[2] - box[0]), write(box[3] - box[1])),
        mask_path(item.get("segmentation") or (), region, write),
        "".join(links[True]),
        "".join(links[False]),
        "".join(points[True]),
        "".join(points[False]),
        tuple(_landmarks(category, landmarks, write)) if named else (),
    )


def _landmarks(category: int, landmarks: Mapping[int, tuple[float, float, int]], write: Write) -> Iterator[Landmark]:
    for number, (x, y, v) in landmarks.items():
        yield Landmark(number, _NAMES.get((category, number), str(number)), write(x), write(y), v == 2)


def mask_path(segmentation: Sequence[Sequence[float]], region: Rect, write: Write) -> str:
    """Return the union of polygons as a path to be filled by the rule evenodd, cut at a distance around a region."""
    polygons = [list(zip(flat[0::2], flat[1::2], strict=True)) for flat in segmentation if len(flat) >= 6]
    if not polygons:
        return ""
    if len(polygons) == 1 and _is_near(polygons[0], region):
        rings: Iterable[Sequence[tuple[float, float]]] = polygons
    else:
        try:
            x1, y1, x2, y2 = _around(region)
            shape = shapely.intersection(united(polygons), shapely.box(x1, y1, x2, y2))
            rings = [
                list(ring.coords)[:-1]
                for part in parts(shape)
                if part.geom_type == "Polygon"
                for ring in (part.exterior, *part.interiors)
            ]
        except shapely.errors.GEOSException:  # coordinates that geometry cannot reckon with
            return ""
    return "".join(_ring(ring, write) for ring in rings)


def _ring(points: Sequence[tuple[float, float]], write: Write) -> str:
    """Return a closed line without points that fall together."""
    texts = [f"{write(x)} {write(y)}" for x, y in points]
    distinct = [text for number, text in enumerate(texts) if not number or text != texts[number - 1]]
    return f"M{distinct[0]}L{' '.join(distinct[1:])}z" if len(distinct) > 1 else ""


def _around(region: Rect) -> Rect:
    margin = max(region[2] - region[0], region[3] - region[1])
    return region[0] - margin, region[1] - margin, region[2] + margin, region[3] + margin


def _is_near(points: Sequence[tuple[float, float]], region: Rect) -> bool:
    x1, y1, x2, y2 = _around(region)
    return all(x1 <= x <= x2 and y1 <= y <= y2 for x, y in points)


def digits_of(width: float, shown: int) -> int:
    """Return the digits behind the point of coordinates in a picture that is at most ``shown`` px wide."""
    return max(0, math.ceil(math.log10(shown / max(width, 1e-3)))) if width < shown else 0
