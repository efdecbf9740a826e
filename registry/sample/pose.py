"""Positions in the photo: the cut of a garment, the pose of a figure, and the camera.

A point of a template passes three maps: cut (how the garment differs from its template), pose (arms, legs, sway) and
camera (scale, tilt, squeeze, shift). Outlines, landmarks, seams and limbs pass the same maps, so they fit together
in the photo to the pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from registry.sample.categories import BOTTOMS, DRESSES, OUTWEAR, SHORT_SLEEVED, SLINGS
from registry.sample.geometry import Affine, Box, Point, bounds, rotation, smooth_curve, smoothstep
from registry.sample.templates import (
    CROTCH_Y,
    FOREARM,
    REST_ANGLE,
    SHOULDER,
    UPPER_ARM,
    WAIST_Y,
    Key,
    Template,
    along_arm,
    arm_coordinates,
    template_of,
)


@dataclass(frozen=True, slots=True)
class Cut:
    """How a garment differs from the template of its category; all styles of a pair_id have the same cut.

    Attributes:
        length: length below the waist (tops: below the chest), relative to the template.
        flare: extra width of the hem, relative to the template (0.2: 20 % wider).
        ease: extra width of the whole garment, relative to the template.
        neck: depth of the front neckline, relative to the template.
        sleeve: length of short sleeves, relative to the template.
        opening: half the gap between the two fronts of outwear, in body heights.
    """

    length: float = 1.0
    flare: float = 0.0
    ease: float = 0.0
    neck: float = 1.0
    sleeve: float = 1.0
    opening: float = 0.02


@lru_cache(maxsize=512)
def cut_points(category_id: int, cut: Cut) -> dict[Key, Point]:
    """Return the points of a garment with this cut, in the body frame with the arms at rest."""
    template = template_of(category_id)
    pivot = WAIST_Y if category_id in BOTTOMS | DRESSES else 0.300
    bottom = max(y for _, y in template.points.values())
    points: dict[Key, Point] = {}
    for key, point in template.points.items():
        side = -1.0 if point[0] > 0 else 1.0
        if key in template.sleeves[0] or key in template.sleeves[1]:
            distance, outward = arm_coordinates((side * point[0], point[1]))
            stretch = cut.sleeve if category_id in SHORT_SLEEVED else 1.0
            x, y = along_arm(distance * stretch, outward * (1.0 + 1.6 * cut.ease))
            points[key] = (side * x, y)
            continue
        x, y = point
        if y < 0.262 and abs(x) < 0.046 and category_id not in BOTTOMS | OUTWEAR | SLINGS and key != 1:
            y = 0.160 + (y - 0.160) * cut.neck
        if template.has_legs:
            points[key] = _cut_leg(point, cut, bottom)
            continue
        if y > pivot:
            x *= 1.0 + cut.flare * (y - pivot) / (bottom - pivot)
            y = pivot + (y - pivot) * cut.length
        if abs(x) > 0.05 and y > 0.25:
            x *= 1.0 + cut.ease
        if category_id in OUTWEAR and 0.0 < abs(x) < 0.03 and y > 0.2:
            # The gap opens towards the hem.
            x = math.copysign(cut.opening * (0.75 + 1.2 * (y - 0.2)), x)
        points[key] = (x, y)
    return points


def _cut_leg(point: Point, cut: Cut, bottom: float) -> Point:
    """Return a point of trousers or shorts with this cut: each leg widens about its middle line."""
    x, y = point
    if y <= CROTCH_Y:
        return (x * (1.0 + cut.ease * 0.6 * smoothstep(WAIST_Y, CROTCH_Y, y)), y)
    side = math.copysign(1.0, x)
    down = (y - CROTCH_Y) / (bottom - CROTCH_Y)
    middle = side * (0.050 - 0.004 * down)
    width = 1.0 + cut.ease + cut.flare * down
    # The inside of a leg stays on its side of the centre line.
    x = middle + (x - middle) * width
    if abs(x) < 0.004 or x * side < 0:
        x = side * 0.004
    return (x, CROTCH_Y + (y - CROTCH_Y) * cut.length)


@dataclass(frozen=True)
class Figure:
    """A posed body in a photo; also the frame of clothes that nobody wears.

    Sides are (image-left, image-right). Angles are in radians from straight down, lengths in body heights.

    Attributes:
        camera: map from the body frame to px.
        upper: angles of the upper arms.
        fore: angles of the forearms.
        stance: shift of each ankle outwards.
        sway: shift of the hips to one side.
        is_back_view: whether the figure is seen from behind.
        is_worn: False for clothes laid flat or on a hanger.
    """

    camera: Affine
    upper: tuple[float, float] = (REST_ANGLE, REST_ANGLE)
    fore: tuple[float, float] = (REST_ANGLE, REST_ANGLE)
    stance: float = 0.0
    sway: float = 0.0
    is_back_view: bool = False
    is_worn: bool = True

    @cached_property
    def scale(self) -> float:
        """Pixels per body height."""
        return math.hypot(self.camera.b, self.camera.e)

    def seen_by(self, camera: Affine) -> Figure:
        """Return the same pose with another camera."""
        return replace(self, camera=camera)

    def body(self, point: Point) -> Point:
        """Return the position in the photo of a point on head or torso."""
        return self.camera((point[0] + self.sway * math.sin((point[1] - 0.12) * 5.0), point[1]))

    def leg(self, point: Point) -> Point:
        """Return the position in the photo of a point on a leg."""
        x, y = point
        if y > 0.5 and x != 0.0:
            x += math.copysign(self.stance * (y - 0.5) / 0.45, x)
        return self.body((x, y))

    def arm(self, side: int, point: Point) -> Point:
        """Return the position in the photo of a point on an arm.

        Args:
            side: 0 for the image-left arm, 1 for the image-right arm.
            point: body-frame point with the arm at rest.
        """
        return self.body(self._turn_arm(side, point))

    def arm_turn(self, side: int) -> Affine:
        """Return the rotation of an upper arm from rest, in the body frame."""
        sign = 1.0 if side == 0 else -1.0
        return rotation(sign * (self.upper[side] - REST_ANGLE), (sign * SHOULDER[0], SHOULDER[1]))

    def _turn_arm(self, side: int, point: Point) -> Point:
        """Return a point of an arm after turning it at shoulder and elbow, in the body frame."""
        sign = 1.0 if side == 0 else -1.0
        rest = (sign * point[0], point[1])  # mirrored to the image-left side
        distance, _ = arm_coordinates(rest)
        first = self.upper[side] - REST_ANGLE
        x, y = rotation(first * smoothstep(0.0, 0.07, distance), SHOULDER)(rest)
        bend = (self.fore[side] - self.upper[side]) * smoothstep(UPPER_ARM - 0.03, UPPER_ARM + 0.03, distance)
        if bend:
            x, y = rotation(bend, rotation(first, SHOULDER)(along_arm(UPPER_ARM, 0.0)))((x, y))
        return (sign * x, y)

    def wrist(self, side: int) -> Point:
        """Return the position of a wrist in the photo."""
        x, y = along_arm(UPPER_ARM + FOREARM, 0.0)
        return self.arm(side, (x if side == 0 else -x, y))

    def place(self, template: Template, key: Key, point: Point) -> Point:
        """Return the position in the photo of a garment's point: sleeves follow the arms, trousers the legs."""
        for side in (0, 1):
            if key in template.sleeves[side]:
                return self.arm(side, point)
        return self.leg(point) if template.has_legs else self.body(point)


class Outline:
    """The outline of a garment in the photo. Keys are those of `Template.points`; positions are in px.

    Attributes:
        template: template of the category.
        figure: figure that the garment is on.
        flat_points: landmarks and helper points after cutting, in the body frame.
        points: landmarks and helper points, in px.
        keys: keys along the outline of the visible side.
        step: target distance between neighbouring points of curves, in px.
        ring: points of the outline, in px, not closed.
    """

    def __init__(self, category_id: int, cut: Cut, figure: Figure) -> None:
        """Compute the outline of a garment of this category and cut on a figure."""
        self.template = template_of(category_id)
        self.figure = figure
        self.flat_points = cut_points(category_id, cut)
        self.points = {key: figure.place(self.template, key, point) for key, point in self.flat_points.items()}
        self.keys = self.template.back_ring if figure.is_back_view else self.template.ring
        self.step = max(4.0, figure.scale * 0.012)
        corners = [key in self.template.corners for key in self.keys]
        self.ring, positions = smooth_curve([self.points[key] for key in self.keys], corners, True, self.step)
        self._ring_index = dict(zip(self.keys, positions, strict=True))

    def stretch(self, first: Key, last: Key) -> list[Point]:
        """Return the points of the outline from ``first`` to ``last``, both included, in ring order."""
        start, end = self._ring_index[first], self._ring_index[last]
        if start <= end:
            return self.ring[start : end + 1]
        return self.ring[start:] + self.ring[: end + 1]

    def curve(self, keys: Sequence[Key], corners: Iterable[Key] = ()) -> list[Point]:
        """Return a smooth open curve through the points of these keys; it may turn sharply at ``corners``."""
        corner_keys = set(corners)
        is_corner = [key in corner_keys for key in keys]
        return smooth_curve([self.points[key] for key in keys], is_corner, False, self.step)[0]

    def part_rings(self) -> list[list[Point]]:
        """Return the rings of the sleeves or legs, image-left first; empty for other garments."""
        rings = []
        for first, last, closing in self.template.parts:
            rings.append([*self.stretch(first, last), *(self.points[key] for key in closing)])
        return rings

    def collar_ring(self) -> list[Point]:
        """Return the ring between the back and the front edge of the neck; empty for bottoms."""
        collar = self.template.collar
        if not collar:
            return []
        back = self.curve((collar[-1], 1, collar[1]))
        gap = collar[len(collar) // 2 : len(collar) // 2 + 2] if self.template.category_id in OUTWEAR else ()
        return [*back, *self.curve(collar[1:], gap)[1:-1]]

    def box(self) -> Box:
        """Return the bounds of the outline in pixels."""
        return bounds(self.ring)
