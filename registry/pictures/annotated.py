"""A photo with its annotation: masks, boxes, skeletons, landmarks and labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageDraw

from registry.pictures import labels, outlines
from registry.pictures.palette import BLACK, CANVAS, EDGE, LABEL, SURROUNDINGS, WHITE, Colour, item_colours
from registry.pictures.photo import Photo
from registry.pictures.predicted import PREDICTED, Prediction, draw_predictions
from registry.pictures.stencils import Stencil
from registry.pictures.text import drawable, font, shortened, text_width
from registry.pictures.view import Rect, View, box_of, crop_region, labelled_landmarks, photo_rect, whole_region

#: Longer side of a picture, px.
SIZE: Final = 1200
#: Opacity of masks.
_MASK_OPACITY: Final = 0.35
#: Labels in a picture; an image of the release has at most 8 items.
_MOST_LABELS: Final = 40
#: A photo that is enlarged so many times keeps its pixels visible.
_SHOWS_PIXELS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Annotated:
    """A picture of a photo with its annotation.

    Attributes:
        picture: RGB.
        has_photo: False for a plain canvas.
        view: the region of the photo that it shows.
        labels: place of each label, px of the picture, those of items first; None for one that found no place.
    """

    picture: Image.Image
    has_photo: bool
    view: View
    labels: Sequence[Rect | None]


def annotate(
    items: Sequence[Mapping[str, Any]],
    photo: Photo | None,
    *,
    image_size: tuple[int, int] | None = None,
    size: int = SIZE,
    crop: bool = False,
    has_labels: bool = True,
    colours: Mapping[int, Colour] | None = None,
    predictions: Sequence[Prediction] = (),
) -> Annotated:
    """Return a photo with the annotation of items.

    Args:
        items: rows of the table items, without those that are not to be shown.
        photo: None for a plain canvas.
        image_size: width and height of the photo where it is None, px; None if that is not known either.
        size: of the picture's longer side, px.
        crop: only the boxes of the items and a margin; by default the photo, with as much of its surroundings as
            annotations reach into.
        has_labels: whether each item is labelled with its item_no and category.
        colours: by item_no, where other items of the image have colours too.
        predictions: of a model, drawn over the items.
    """
    rect = photo_rect((photo.width, photo.height) if photo else image_size, items)
    view = View.of(crop_region(rect, items) if crop and items else whole_region(rect, items), rect, size)
    picture = _background(photo, view)
    colours = colours or item_colours(item["item_no"] for item in items)
    weight = _weight(view)
    _draw_masks(picture, items, colours, view, weight)
    for item in _small_last(items):
        _draw_lines(picture, item, colours[item["item_no"]], view, weight)
    for item in _small_last(items):
        _draw_landmarks(picture, item, colours[item["item_no"]], view, weight)
    draw_predictions(picture, predictions, view, weight)
    named = [
        _Named(f"{item['item_no']} {item['category_name']}", box_of(item), colours[item["item_no"]]) for item in items
    ]
    named += [_Named(prediction.label, prediction.box, PREDICTED) for prediction in predictions]
    points = [(view.x(x), view.y(y)) for item in items for x, y, _ in labelled_landmarks(item).values()]
    rects = _draw_labels(picture, named, points, view) if has_labels else []
    return Annotated(picture, photo is not None, view, rects)


def _background(photo: Photo | None, view: View) -> Image.Image:
    """Return the photo, or a plain canvas in its place, amid its surroundings."""
    picture = Image.new("RGB", (view.width, view.height), SURROUNDINGS)
    x1, y1, x2, y2 = (
        max(view.region[0], view.photo[0]), max(view.region[1], view.photo[1]),
        min(view.region[2], view.photo[2]), min(view.region[3], view.photo[3]),
    )  # fmt: skip
    if x1 >= x2 or y1 >= y2:
        return picture
    target = round(view.x(x1)), round(view.y(y1)), round(view.x(x2)), round(view.y(y2))
    width, height = max(1, target[2] - target[0]), max(1, target[3] - target[1])
    if photo is None:
        picture.paste(CANVAS, (target[0], target[1], target[0] + width, target[1] + height))
    else:
        across, down = photo.pixels.width / photo.width, photo.pixels.height / photo.height
        part = (x1 * across, y1 * down, x2 * across, y2 * down)
        method = Image.Resampling.NEAREST if view.scale >= _SHOWS_PIXELS else Image.Resampling.LANCZOS
        picture.paste(photo.pixels.resize((width, height), method, box=part), target[:2])
    if (width, height) != picture.size:
        edges = view.rect(view.photo)
        ImageDraw.Draw(picture).rectangle((edges[0] - 1, edges[1] - 1, edges[2], edges[3]), outline=EDGE)
    return picture


def _weight(view: View) -> float:
    """Return the width of a line, px: a little wider on a larger picture."""
    return 1.1 + max(view.width, view.height) / 1000


def _small_last(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the items, the largest box first, so that it does not hide smaller ones."""

    def area(item: Mapping[str, Any]) -> float:
        x1, y1, x2, y2 = box_of(item)
        return (x1 - x2) * (y2 - y1)

    return sorted(items, key=area)


def _draw_masks(
    picture: Image.Image, items: Sequence[Mapping[str, Any]], colours: Mapping[int, Colour], view: View, weight: float
) -> None:
    """Fill the union of each item's polygons, half transparent, and draw its edge."""
    for item in _small_last(items):
        inside, edge = Stencil(), Stencil()
        for rings in outlines.mask(item, view):
            inside.polygon(rings)
            for ring in rings:
                edge.ring(ring, weight * 0.8)
        inside.fill(picture, colours[item["item_no"]], _MASK_OPACITY)
        edge.fill(picture, colours[item["item_no"]], 0.9)


def _draw_lines(picture: Image.Image, item: Mapping[str, Any], colour: Colour, view: View, weight: float) -> None:
    """Draw box and skeleton in the item's colour with a dark edge, so that they stand out on any photo."""
    dark, bright = Stencil(), Stencil()
    if box_of(item) != (0, 0, 0, 0):
        inset = weight * 0.7  # keeps an edge of the box that is an edge of the picture visible
        ends = (view.width - 1 - inset, view.height - 1 - inset)
        x1, y1, x2, y2 = view.rect(box_of(item))
        x1, y1 = (inset if 0 <= value < inset else value for value in (x1, y1))
        x2, y2 = (
            min(value, end) if value <= end + inset + 2 else value for value, end in zip((x2, y2), ends, strict=True)
        )
        ring = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        dark.ring(ring, weight * 2.1)
        bright.ring(ring, weight * 1.1)
    for line, is_visible in outlines.skeleton(item, view):
        for dash in [line] if is_visible else outlines.dashes(line, 4 * weight):
            dark.line(dash, weight * 1.8)
            bright.line(dash, weight * 0.8)
    dark.fill(picture, BLACK, 0.85)
    bright.fill(picture, colour)


def _draw_landmarks(picture: Image.Image, item: Mapping[str, Any], colour: Colour, view: View, weight: float) -> None:
    """Draw visible landmarks as discs in the item's colour, occluded ones as white diamonds."""
    dark, bright, white = Stencil(), Stencil(), Stencil()
    radius = _radius(item, view)
    edge = min(weight * 0.7, radius * 0.5)
    for x, y, v in labelled_landmarks(item).values():
        cx, cy = view.x(x), view.y(y)
        if not (-20 < cx < view.width + 20 and -20 < cy < view.height + 20):
            continue
        if v == 2:
            dark.disc(cx, cy, radius + edge)
            bright.disc(cx, cy, radius)
        else:
            dark.diamond(cx, cy, radius * 1.25 + edge * 1.4)
            white.diamond(cx, cy, radius * 1.25)
    dark.fill(picture, BLACK)
    bright.fill(picture, colour)
    white.fill(picture, WHITE)


def _radius(item: Mapping[str, Any], view: View) -> float:
    """Return the radius of a landmark, px: smaller on an item that is small in the picture."""
    x1, y1, x2, y2 = box_of(item)
    side = math.sqrt(max(0.0, min(x2 - x1, 1e9)) * max(0.0, min(y2 - y1, 1e9))) * view.scale
    return min(max(side / 55, 1.8), 2.0 + max(view.width, view.height) / 300)


@dataclass(frozen=True, slots=True)
class _Named:
    """An item or a prediction with a label: the text, its box in px of the photo, the colour of both."""

    text: str
    box: Rect
    colour: Colour


def _draw_labels(
    picture: Image.Image, named: Sequence[_Named], points: Sequence[tuple[float, float]], view: View
) -> list[Rect | None]:
    """Draw the labels, which should not cover the points; return their rectangles."""
    text_size = 10 + round(max(view.width, view.height) / 100)
    if max(view.width, view.height) < 600:
        text_size = 12
    height, bar = text_size + 6, max(4, text_size // 3)
    texts = [shortened(drawable(subject.text), text_size, view.width - bar - 8) for subject in named[:_MOST_LABELS]]
    boxes = [_on_canvas(view.rect(subject.box), view) for subject in named]
    wanted = [
        labels.Label(math.ceil(text_width(text, text_size)) + bar + 8, height, box)
        for text, box in zip(texts, boxes, strict=False)
    ]
    places = labels.place(wanted, view.width, view.height, points)
    draw = ImageDraw.Draw(picture)
    rects: list[Rect | None] = []
    for place, label, subject in zip(places, wanted, named, strict=False):
        rect = None if place is None else (place[0], place[1], place[0] + label.width, place[1] + label.height)
        rects.append(rect)
        if rect is not None and not labels.overlap(rect, label.box, labels.NEAR + 1):
            _lead(picture, rect, label.box, subject.colour)
    for shown, text, subject in zip(rects, texts, named, strict=False):
        if shown is not None:
            x1, y1, x2, y2 = shown
            draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=LABEL)
            draw.rectangle((x1, y1, x1 + bar - 1, y2 - 1), fill=subject.colour)
            draw.text((x1 + bar + 4, (y1 + y2) / 2), text, WHITE, font(text_size), anchor="lm")
    return rects + [None] * (len(named) - len(rects))


def _lead(picture: Image.Image, rect: Rect, box: Rect, colour: Colour) -> None:
    """Draw a line from a label to the nearest point of its box."""
    x, y = (rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2
    line = [(x, y), (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))]
    dark, bright = Stencil(), Stencil()
    dark.line(line, 3)
    bright.line(line, 1.5)
    dark.fill(picture, BLACK, 0.85)
    bright.fill(picture, colour)


def _on_canvas(rect: Rect, view: View) -> Rect:
    """Return the part of a rectangle on the canvas; the nearest point of the canvas if there is none."""
    x1, x2 = (min(max(x, 0.0), float(view.width)) for x in (rect[0], rect[2]))
    y1, y2 = (min(max(y, 0.0), float(view.height)) for y in (rect[1], rect[3]))
    return x1, y1, x2, y2
