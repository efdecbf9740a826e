"""Drawing of people: limbs, head, hair, shoes and bag."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from registry.sample.canvas import Canvas, Ink, Patch
from registry.sample.fabrics import PALETTE, Color, shade
from registry.sample.geometry import Point, bounds, smooth_curve
from registry.sample.pose import Figure
from registry.sample.templates import along_arm

SKINS: Final[tuple[Color, ...]] = (
    (250, 220, 196), (240, 200, 168), (224, 176, 138), (196, 142, 102), (150, 102, 72), (108, 72, 52),
)  # fmt: skip
HAIRS: Final[tuple[Color, ...]] = (
    (38, 30, 30), (62, 42, 34), (98, 64, 42), (146, 96, 54), (206, 168, 104), (150, 66, 40), (120, 118, 122),
)  # fmt: skip
HAIR_STYLES: Final = ("short", "bob", "long", "bun", "tail", "curly", "cap")
_MANNEQUIN: Final[Color] = (232, 224, 212)


@dataclass(frozen=True, slots=True)
class Person:
    """The looks of a person.

    Attributes:
        skin: colour of the skin.
        hair: colour of the hair.
        hair_style: one of `HAIR_STYLES`, or "none" for a mannequin.
        shoes: colour of the shoes.
        bag: "none", "cross" (strap across the chest) or "hand".
        bag_color: colour of the bag.
    """

    skin: Color
    hair: Color
    hair_style: str
    shoes: Color
    bag: str
    bag_color: Color


def pick_person(rng: random.Random, shop: bool) -> Person:
    """Return a random person; 14 % of shop photos show a mannequin."""
    shoes = PALETTE[rng.choice(("white", "black", "camel", "red", "navy", "grey", "chocolate"))]
    bag = rng.choices(("none", "cross", "hand"), (84, 6, 10) if shop else (70, 15, 15))[0]
    bag_color = PALETTE[rng.choice(("camel", "black", "burgundy", "chocolate", "mustard", "teal"))]
    if shop and rng.random() < 0.14:
        return Person(_MANNEQUIN, _MANNEQUIN, "none", _MANNEQUIN, "none", bag_color)
    return Person(rng.choice(SKINS), rng.choice(HAIRS), rng.choice(HAIR_STYLES), shoes, bag, bag_color)


# Outlines in the body frame: the image-left half of torso, head and hair, the image-left leg and shoe, and a strand of
# hair. Points of the arm are (distance, outward), see `along_arm`.
_TORSO: Final[tuple[Point, ...]] = (
    (-0.021, 0.105), (-0.021, 0.138), (-0.034, 0.158), (-0.066, 0.170), (-0.094, 0.186), (-0.096, 0.215),
    (-0.081, 0.262), (-0.073, 0.320), (-0.062, 0.385), (-0.080, 0.450), (-0.087, 0.515), (-0.020, 0.545),
)  # fmt: skip
_LEG: Final[tuple[Point, ...]] = (
    (-0.087, 0.500), (-0.085, 0.570), (-0.075, 0.660), (-0.064, 0.725), (-0.066, 0.780), (-0.060, 0.850),
    (-0.050, 0.925), (-0.049, 0.960), (-0.031, 0.960), (-0.032, 0.925), (-0.028, 0.850), (-0.026, 0.780),
    (-0.029, 0.725), (-0.019, 0.650), (-0.005, 0.550), (-0.004, 0.500),
)  # fmt: skip
_SHOE: Final[tuple[Point, ...]] = (
    (-0.053, 0.938), (-0.060, 0.966), (-0.064, 0.984), (-0.052, 0.993), (-0.032, 0.992), (-0.026, 0.978),
    (-0.029, 0.940), (-0.041, 0.950),
)  # fmt: skip
_ARM: Final[tuple[Point, ...]] = (
    (-0.012, 0.012), (0.010, 0.021), (0.050, 0.0225), (0.100, 0.020), (0.150, 0.0175), (0.200, 0.0175),
    (0.260, 0.0125), (0.285, 0.0115), (0.308, 0.0165), (0.334, 0.0115), (0.345, 0.001), (0.333, -0.010),
    (0.308, -0.0135), (0.285, -0.0105), (0.260, -0.0115), (0.200, -0.0155), (0.150, -0.0165), (0.100, -0.019),
    (0.050, -0.0215), (0.015, -0.020),
)  # fmt: skip
_HEAD: Final[tuple[Point, ...]] = (
    (0.0, 0.010), (-0.033, 0.026), (-0.0425, 0.062), (-0.038, 0.096), (-0.018, 0.124), (0.0, 0.130),
)  # fmt: skip
_CAP_OF_HAIR: Final[tuple[Point, ...]] = (
    (0.0, -0.006), (-0.034, 0.006), (-0.049, 0.038), (-0.047, 0.078), (-0.041, 0.078), (-0.038, 0.052),
    (-0.020, 0.040),
)  # fmt: skip
_BACK_OF_HEAD: Final[tuple[Point, ...]] = (
    (0.0, -0.006), (-0.034, 0.006), (-0.049, 0.040), (-0.046, 0.085), (-0.030, 0.122), (0.0, 0.128),
)  # fmt: skip
_BOB: Final[tuple[Point, ...]] = (
    (0.0, -0.008), (-0.038, 0.006), (-0.056, 0.050), (-0.058, 0.105), (-0.050, 0.142), (-0.020, 0.144),
)  # fmt: skip
_LONG: Final[tuple[Point, ...]] = (
    (0.0, -0.008), (-0.038, 0.006), (-0.056, 0.055), (-0.061, 0.140), (-0.060, 0.200), (-0.044, 0.243),
    (-0.014, 0.262),
)  # fmt: skip
_STRAND: Final[tuple[Point, ...]] = (
    (-0.044, 0.060), (-0.054, 0.080), (-0.059, 0.150), (-0.062, 0.205), (-0.053, 0.232), (-0.046, 0.222),
    (-0.045, 0.180), (-0.044, 0.120),
)  # fmt: skip


def _whole(half: Sequence[Point]) -> list[Point]:
    """Return a symmetric ring from its image-left half; points on the centre line stay single."""
    return [*half, *((-x, y) for x, y in reversed(half) if x != 0.0)]


def _ring(place: Callable[[Point], Point], points: Sequence[Point], step: float) -> list[Point]:
    """Return the smooth closed curve through points, in px; ``place`` maps the body frame to px."""
    placed = [place(point) for point in points]
    return smooth_curve(placed, [False] * len(placed), True, step)[0]


def _disc(place: Callable[[Point], Point], centre: Point, rx: float, ry: float, step: float) -> list[Point]:
    """Return an ellipse with the radii ``rx`` and ``ry`` in body heights, in px."""
    x, y = centre
    corner = 0.72
    points = [
        (x + rx, y), (x + rx * corner, y + ry * corner), (x, y + ry), (x - rx * corner, y + ry * corner),
        (x - rx, y), (x - rx * corner, y - ry * corner), (x, y - ry), (x + rx * corner, y - ry * corner),
    ]  # fmt: skip
    return _ring(place, points, step)


def arm_ring(figure: Figure, side: int, step: float) -> list[Point]:
    """Return the outline of an arm in the photo; side 0 is image-left."""
    sign = 1.0 if side == 0 else -1.0

    def place(point: Point) -> Point:
        x, y = along_arm(*point)
        return figure.arm(side, (sign * x, y))

    return _ring(place, _ARM, step)


def silhouette(figure: Figure) -> list[list[Point]]:
    """Return rough outlines of torso, head and limbs in the photo, for the shadow."""
    step = figure.scale * 0.05
    rings = [_ring(figure.body, _whole(_TORSO), step), _ring(figure.body, _whole(_BACK_OF_HEAD), step)]
    for side in (0, 1):
        sign = 1.0 if side == 0 else -1.0
        rings.append(_ring(figure.leg, [(sign * x, y) for x, y in _LEG], step))
        rings.append(arm_ring(figure, side, step))
    return rings


def draw_person(canvas: Canvas, figure: Figure, person: Person) -> None:
    """Draw the person, except for the parts in front of clothes (`draw_over_clothes`)."""
    step = max(5.0, figure.scale * 0.018)
    radius = figure.scale * 0.013
    if person.hair_style == "long" and not figure.is_back_view:
        canvas.body([_ring(figure.body, _whole(_LONG), step)], shade(person.hair, 0.8), radius)
    elif person.hair_style == "bob" and not figure.is_back_view:
        canvas.body([_ring(figure.body, _whole(_BOB), step)], shade(person.hair, 0.8), radius)
    elif person.hair_style == "tail" and not figure.is_back_view:
        canvas.body([_disc(figure.body, (0.056, 0.085), 0.020, 0.056, step)], shade(person.hair, 0.8), radius)
    limbs = [_ring(figure.body, _whole(_TORSO), step)]
    shoes = []
    for sign in (1.0, -1.0):
        limbs.append(_ring(figure.leg, [(sign * x, y) for x, y in _LEG], step))
        shoes.append(_ring(figure.leg, [(sign * x, y) for x, y in _SHOE], step))
    canvas.body(limbs, person.skin, radius)
    canvas.body(shoes, person.shoes, radius * 0.6, 38)
    canvas.body([arm_ring(figure, 0, step), arm_ring(figure, 1, step)], person.skin, radius * 0.8)
    _draw_head(canvas, figure, person, step, radius)


def _draw_head(canvas: Canvas, figure: Figure, person: Person, step: float, radius: float) -> None:
    head = _ring(figure.body, _whole(_HEAD), step)
    if bounds(head)[3] < 0:
        return
    if figure.is_back_view and person.hair_style != "none":
        _draw_back_hair(canvas, figure, person, step, radius)
        return
    # Shadow of the chin.
    neck = [figure.body(p) for p in ((-0.020, 0.118), (0.020, 0.118), (0.019, 0.140), (0.0, 0.147), (-0.019, 0.140))]
    canvas.shadow([neck], (0.0, 0.0), figure.scale * 0.004, 80)
    ears = [_disc(figure.body, (sign * 0.043, 0.074), 0.006, 0.011, step) for sign in (-1, 1)]
    canvas.body([head, *ears], person.skin, radius, 20)
    if person.hair_style == "none":
        return
    _draw_face(canvas, figure, person, head)
    hair = [_ring(figure.body, _whole(_CAP_OF_HAIR), step)]
    if person.hair_style == "bun":
        hair.append(_disc(figure.body, (0.0, -0.018), 0.022, 0.020, step))
    elif person.hair_style == "curly":
        for x, y in ((-0.046, 0.075), (-0.054, 0.048), (-0.046, 0.020), (-0.024, 0.002), (0.0, -0.006)):
            hair.append(_disc(figure.body, (x, y), 0.021, 0.021, step))
            hair.append(_disc(figure.body, (-x, y), 0.021, 0.021, step))
    canvas.body(hair, person.hair, radius * 0.8)
    if person.hair_style == "cap":
        crown = [(0.0, -0.012), (-0.036, 0.000), (-0.049, 0.036), (-0.047, 0.050), (-0.010, 0.044)]
        canvas.body([_ring(figure.body, _whole(crown), step)], person.bag_color, radius, 38)
        brim = [(-0.036, 0.046), (0.036, 0.046), (0.050, 0.056), (0.0, 0.062), (-0.050, 0.056)]
        canvas.body([_ring(figure.body, brim, step)], shade(person.bag_color, 0.7), radius * 0.4)


def _draw_face(canvas: Canvas, figure: Figure, person: Person, head: list[Point]) -> None:
    patch = Patch(bounds(head), canvas.image.size, 0)
    ink = Ink(patch, person.skin)
    unit = figure.scale
    dark = shade(person.hair, 0.55)
    for sign in (-1, 1):
        eye = figure.body((sign * 0.0165, 0.070))
        ink.dot(figure.body((sign * 0.026, 0.092)), unit * 0.0075, (226, 110, 96), 64)
        ink.dot(eye, unit * 0.0042, (40, 32, 34))
        ink.dot((eye[0] - unit * 0.0014, eye[1] - unit * 0.0014), unit * 0.0012, (255, 255, 255))
        brow = [(sign * 0.0245, 0.0585), (sign * 0.0165, 0.0555), (sign * 0.0095, 0.0575)]
        ink.line([figure.body(p) for p in brow], dark, unit * 0.0022, 220)
    nose = [figure.body(p) for p in ((0.0005, 0.080), (-0.0025, 0.090), (0.0020, 0.0915))]
    ink.line(nose, shade(person.skin, 0.76), unit * 0.0018, 220)
    lips = [(-0.0105, 0.1040), (-0.004, 0.1068), (0.004, 0.1068), (0.0105, 0.1040)]
    ink.line([figure.body(p) for p in lips], (178, 70, 74), unit * 0.0034)
    face = canvas.image.crop((patch.left, patch.top, patch.left + patch.size[0], patch.top + patch.size[1]))
    ink.lay_on(face)
    canvas.image.paste(face, (patch.left, patch.top))


def _draw_back_hair(canvas: Canvas, figure: Figure, person: Person, step: float, radius: float) -> None:
    half = {"bob": _BOB, "cap": _BACK_OF_HEAD}.get(person.hair_style, _BACK_OF_HEAD)
    rings = [_ring(figure.body, _whole(half), step)]
    if person.hair_style == "bun":
        rings.append(_disc(figure.body, (0.0, -0.018), 0.022, 0.020, step))
    elif person.hair_style == "tail":
        rings.append(_disc(figure.body, (0.0, 0.100), 0.016, 0.055, step))
    canvas.body(rings, person.hair, radius)


def draw_over_clothes(canvas: Canvas, figure: Figure, person: Person) -> None:
    """Draw the parts of the person in front of clothes: long hair over the shoulders, and the bag."""
    step = max(5.0, figure.scale * 0.018)
    radius = figure.scale * 0.012
    if person.hair_style == "long":
        if figure.is_back_view:
            canvas.body([_ring(figure.body, _whole(_LONG), step)], person.hair, radius * 1.6)
        else:
            strands = [_ring(figure.body, [(s * x, y) for x, y in _STRAND], step) for s in (1.0, -1.0)]
            canvas.body(strands, person.hair, radius * 0.8)
    if person.bag == "cross":
        line = [(0.052, 0.162), (0.020, 0.260), (-0.040, 0.400), (-0.080, 0.470)]
        width = 0.0055
        strap = [figure.body((x + width, y + width)) for x, y in line]
        strap += [figure.body((x - width, y - width)) for x, y in reversed(line)]
        canvas.body([strap], shade(person.bag_color, 0.8), radius * 0.2)
        _draw_bag(canvas, figure.body((-0.088, 0.505)), figure.scale, person.bag_color, 0.048, 0.040)
    elif person.bag == "hand" and figure.fore[1] > 0:
        # Hands on the hip (fore angle below 0) hold no bag.
        x, y = figure.wrist(1)
        hand = (x, y + figure.scale * 0.04)
        handle = [
            (hand[0] + figure.scale * dx, hand[1] + figure.scale * dy)
            for dx, dy in ((-0.022, 0.052), (-0.012, 0.0), (0.012, 0.0), (0.022, 0.052), (0.016, 0.052),
                           (0.008, 0.008), (-0.008, 0.008), (-0.016, 0.052))
        ]  # fmt: skip
        canvas.body([handle], shade(person.bag_color, 0.75), radius * 0.2)
        centre = (hand[0], hand[1] + figure.scale * 0.090)
        _draw_bag(canvas, centre, figure.scale, person.bag_color, 0.044, 0.046)


def _draw_bag(canvas: Canvas, centre: Point, scale: float, color: Color, half_width: float, half_height: float) -> None:
    x, y = centre
    w, h = half_width * scale, half_height * scale
    body = [(x - w * 0.86, y - h), (x + w * 0.86, y - h), (x + w, y + h * 0.9), (x - w, y + h * 0.9)]
    canvas.body([body], color, w * 0.2, 38)
    flap = [
        (x - w * 0.86, y - h),
        (x + w * 0.86, y - h),
        (x + w * 0.88, y - h * 0.1),
        (x, y + h * 0.2),
        (x - w * 0.88, y - h * 0.1),
    ]
    canvas.body([flap], shade(color, 0.88), w * 0.12, 38)
    clasp = [(x - w * 0.1, y), (x + w * 0.1, y), (x + w * 0.1, y + h * 0.3), (x - w * 0.1, y + h * 0.3)]
    canvas.body([clasp], (226, 190, 104), w * 0.05, 20)
