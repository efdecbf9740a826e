"""From a template to a photograph: the cut of a garment, the pose of a body, the camera.

A point goes through cut (how this garment differs from its template), pose (arms, legs, sway) and camera
(scale, tilt, squeeze, shift). Outline, landmarks, seams and the person's own limbs all take the same way, so
they agree in the picture to the pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from registry.sample.geometry import Affine, Box, Point, bounds, rotation, smooth_curve, smoothstep
from registry.sample.templates import (
    BOTTOMS,
    CROTCH_Y,
    DRESSES,
    FOREARM,
    OUTWEAR,
    REST_ANGLE,
    SHORT_SLEEVED,
    SHOULDER,
    SLINGS,
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
    """How a garment differs from its category's template; all styles of one pair share it.

    Attributes:
        length: the part below the waist (of tops: below the chest) as a multiple of the template's.
        flare: how much wider the hem is.
        ease: how much wider the garment is.
        neck: depth of the front neckline as a multiple.
        sleeve: length of a short sleeve as a multiple.
        opening: half the gap between the two fronts of outwear.
    """

    length: float = 1.0
    flare: float = 0.0
    ease: float = 0.0
    neck: float = 1.0
    sleeve: float = 1.0
    opening: float = 0.02


@lru_cache(maxsize=512)
def cut_points(category_id: int, cut: Cut) -> dict[Key, Point]:
    """Return the template's points after cutting, still in the body frame with the arms at rest."""
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
        if template.legs:
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
    """Return a point of trousers or shorts after cutting: legs shorten and widen about their own middle."""
    x, y = point
    if y <= CROTCH_Y:
        return (x * (1.0 + cut.ease * 0.6 * smoothstep(WAIST_Y, CROTCH_Y, y)), y)
    side = math.copysign(1.0, x)
    down = (y - CROTCH_Y) / (bottom - CROTCH_Y)
    middle = side * (0.050 - 0.004 * down)
    width = 1.0 + cut.ease + cut.flare * down
    # Widening the inside of a leg beyond the centre line would cross the other leg.
    x = middle + (x - middle) * width
    if abs(x) < 0.004 or x * side < 0:
        x = side * 0.004
    return (x, CROTCH_Y + (y - CROTCH_Y) * cut.length)


@dataclass(frozen=True)
class Figure:
    """One body (or one laid-out set of clothes) in one picture.

    Attributes:
        camera: from the body frame to pixels.
        upper: angle of the left and the right upper arm from hanging straight down, in radians.
        fore: angle of the two forearms.
        stance: how far each ankle stands out.
        sway: how far the hips are pushed to one side.
        back: seen from behind.
        worn: False for clothes laid flat or on a hanger.
    """

    camera: Affine
    upper: tuple[float, float] = (REST_ANGLE, REST_ANGLE)
    fore: tuple[float, float] = (REST_ANGLE, REST_ANGLE)
    stance: float = 0.0
    sway: float = 0.0
    back: bool = False
    worn: bool = True

    @cached_property
    def scale(self) -> float:
        """Pixels per body height."""
        return math.hypot(self.camera.b, self.camera.e)

    def seen_by(self, camera: Affine) -> Figure:
        """Return the same pose before another camera."""
        return Figure(camera, self.upper, self.fore, self.stance, self.sway, self.back, self.worn)

    def body(self, point: Point) -> Point:
        """Return where a point of head or torso is in the picture."""
        return self.camera((point[0] + self.sway * math.sin((point[1] - 0.12) * 5.0), point[1]))

    def leg(self, point: Point) -> Point:
        """Return where a point of a leg is in the picture."""
        x, y = point
        if y > 0.5 and x != 0.0:
            x += math.copysign(self.stance * (y - 0.5) / 0.45, x)
        return self.body((x, y))

    def arm(self, side: int, point: Point) -> Point:
        """Return where a point of an arm (given at rest) is in the picture; side 0 is image-left."""
        return self.body(self._turn_arm(side, point))

    def arm_turn(self, side: int) -> Affine:
        """Return the rotation of a whole upper arm in the body frame, for the cloth on it."""
        sign = 1.0 if side == 0 else -1.0
        return rotation(sign * (self.upper[side] - REST_ANGLE), (sign * SHOULDER[0], SHOULDER[1]))

    def _turn_arm(self, side: int, point: Point) -> Point:
        sign = 1.0 if side == 0 else -1.0
        rest = (sign * point[0], point[1])
        distance, _ = arm_coordinates(rest)
        first = self.upper[side] - REST_ANGLE
        x, y = rotation(first * smoothstep(0.0, 0.07, distance), SHOULDER)(rest)
        bend = (self.fore[side] - self.upper[side]) * smoothstep(UPPER_ARM - 0.03, UPPER_ARM + 0.03, distance)
        if bend:
            x, y = rotation(bend, rotation(first, SHOULDER)(along_arm(UPPER_ARM, 0.0)))((x, y))
        return (sign * x, y)

    def wrist(self, side: int) -> Point:
        """Return where a wrist is in the picture."""
        x, y = along_arm(UPPER_ARM + FOREARM, 0.0)
        return self.arm(side, (x if side == 0 else -x, y))

    def place(self, template: Template, key: Key, point: Point) -> Point:
        """Return where a point of a garment is in the picture."""
        for side in (0, 1):
            if key in template.sleeves[side]:
                return self.arm(side, point)
        return self.leg(point) if template.legs else self.body(point)


class Outline:
    """A garment's outline in the picture.

    Attributes:
        template: the template it came from.
        points: every landmark and helper point, in pixels.
        ring: the dense outline, in pixels, open.
    """

    def __init__(self, category_id: int, cut: Cut, figure: Figure) -> None:
        """Place the garment on the figure."""
        self.template = template_of(category_id)
        self.figure = figure
        self.flat_points = cut_points(category_id, cut)
        self.points = {key: figure.place(self.template, key, point) for key, point in self.flat_points.items()}
        self.keys = self.template.back_ring if figure.back else self.template.ring
        self.step = max(4.0, figure.scale * 0.012)
        corners = [key in self.template.corners for key in self.keys]
        self.ring, positions = smooth_curve([self.points[key] for key in self.keys], corners, True, self.step)
        self._position = dict(zip(self.keys, positions, strict=True))

    def stretch(self, first: Key, last: Key) -> list[Point]:
        """Return the dense outline from one key to another, walking in ring order."""
        start, end = self._position[first], self._position[last]
        if start <= end:
            return self.ring[start : end + 1]
        return self.ring[start:] + self.ring[: end + 1]

    def curve(self, keys: Sequence[Key], corners: Iterable[Key] = ()) -> list[Point]:
        """Return a smooth open curve through some points."""
        sharp = set(corners)
        return smooth_curve([self.points[k] for k in keys], [k in sharp for k in keys], False, self.step)[0]

    def part_rings(self) -> list[list[Point]]:
        """Return the rings of the sleeves or legs, left and right in turn."""
        rings = []
        for first, last, closing in self.template.parts:
            rings.append([*self.stretch(first, last), *(self.points[key] for key in closing)])
        return rings

    def collar_ring(self) -> list[Point]:
        """Return the ring between the neck's back edge and its front edge; empty for bottoms."""
        collar = self.template.collar
        if not collar:
            return []
        back = self.curve((collar[-1], 1, collar[1]))
        gap = collar[len(collar) // 2 : len(collar) // 2 + 2] if self.template.category_id in OUTWEAR else ()
        return [*back, *self.curve(collar[1:], gap)[1:-1]]

    def box(self) -> Box:
        """Return the bounds of the outline in pixels."""
        return bounds(self.ring)
