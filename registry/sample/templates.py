"""Templates of the 13 categories: positions of the landmarks and outlines, on a standard body.

The body frame has x = 0 on the centre line of the body (image-left is negative) and y from 0 (top of the head) to 1
(soles). All garments are in this frame, so that they fit each other and the person.

The code holds the image-left half of each garment. The image-right half is its mirror image, with the landmark numbers
from the swap pairs of the data set. Points named by a letter are helper points of the outline, not landmarks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Final, TypeAlias

from registry.dataset.deepfashion2 import CATEGORY_BY_ID, LANDMARK_SLOTS
from registry.sample.categories import (
    BOTTOMS,
    DRESSES,
    LEGWEAR,
    LONG_SLEEVED,
    OUTWEAR,
    SHORTS,
    SKIRT,
    SLEEVED_DRESSES,
    SLEEVED_TOPS,
    SLINGS,
    TROUSERS,
)
from registry.sample.geometry import Point

#: A landmark_no, or the letter of a helper point.
Key: TypeAlias = int | str

#: Joints, lengths and angle of the image-left arm at rest, in the body frame.
SHOULDER: Final[Point] = (-0.088, 0.200)
UPPER_ARM: Final = 0.150
FOREARM: Final = 0.135
REST_ANGLE: Final = math.radians(28.0)
WAIST_Y: Final = 0.385
CROTCH_Y: Final = 0.535


def along_arm(distance: float, outward: float) -> Point:
    """Return the body-frame point ``distance`` down the image-left arm at rest and ``outward`` of its middle line."""
    sin, cos = math.sin(REST_ANGLE), math.cos(REST_ANGLE)
    return (SHOULDER[0] - distance * sin - outward * cos, SHOULDER[1] + distance * cos - outward * sin)


def arm_coordinates(point: Point) -> Point:
    """Return the ``(distance, outward)`` of a point of the image-left arm at rest."""
    sin, cos = math.sin(REST_ANGLE), math.cos(REST_ANGLE)
    x, y = point[0] - SHOULDER[0], point[1] - SHOULDER[1]
    return (-x * sin + y * cos, -x * cos - y * sin)


@dataclass(frozen=True, slots=True)
class _Half:
    """The image-left half of a garment.

    Attributes:
        points: landmarks and helper points; points on the centre line have x = 0.
        ring: keys along the outline, from the top of the centre line down to its lower end.
        corners: keys at which the outline turns sharply.
        sleeve: keys that move with the arm.
        parts: sleeve or leg as (first, last, closing): the outline from first to last, closed through ``closing``.
        back_ring: keys along the outline in back views, if they differ.
        collar: keys along the front edge of the collar, from the side of the neck to the centre or placket.
    """

    points: dict[Key, Point]
    ring: tuple[Key, ...]
    corners: frozenset[Key]
    sleeve: frozenset[Key] = frozenset()
    parts: tuple[tuple[Key, Key, tuple[Key, ...]], ...] = ()
    back_ring: tuple[Key, ...] = ()
    collar: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A whole garment in the body frame.

    Attributes:
        category_id: 1 to 13.
        points: landmarks and helper points.
        mirror: for each key, the key of the mirrored point.
        ring: keys once around the outline, in front views.
        back_ring: keys once around the outline, in back views.
        corners: keys at which an outline turns sharply.
        sleeves: keys that move with the image-left and the image-right arm.
        parts: sleeves or legs, image-left first, as in `_Half`.
        collar: keys once around the opening of the neck; empty for bottoms.
        has_legs: whether the garment follows the two legs.
    """

    category_id: int
    points: dict[Key, Point]
    mirror: dict[Key, Key] = field(repr=False)
    ring: tuple[Key, ...]
    back_ring: tuple[Key, ...]
    corners: frozenset[Key]
    sleeves: tuple[frozenset[Key], frozenset[Key]]
    parts: tuple[tuple[Key, Key, tuple[Key, ...]], ...]
    collar: tuple[Key, ...]
    has_legs: bool


_ARMPIT: Final[Point] = (-0.088, 0.262)


def _sleeve_points(numbers: tuple[int, ...], armpit: int, long: bool) -> dict[Key, Point]:
    """Return the landmarks of a sleeve.

    Args:
        numbers: landmark numbers from the shoulder around the cuff.
        armpit: landmark number of the armpit.
        long: long or short sleeve.
    """
    around: tuple[Point, ...]
    if long:
        around = (
            (0.060, 0.0345), (0.140, 0.031), (0.212, 0.028), (0.288, 0.026),
            (0.288, -0.024), (0.212, -0.026), (0.140, -0.030), (0.095, -0.033),
        )  # fmt: skip
    else:
        around = ((0.055, 0.036), (0.110, 0.039), (0.110, -0.032), (0.084, -0.032))
    points: dict[Key, Point] = {numbers[0]: (-0.102, 0.184), armpit: _ARMPIT}
    for number, (distance, outward) in zip(numbers[1:], around, strict=True):
        points[number] = along_arm(distance, outward)
    return points


def _sleeved_top(long: bool) -> _Half:
    last = 15 if long else 11
    armpit = last + 1
    side = (armpit + 1, armpit + 2, armpit + 3, armpit + 4)
    cuff = (11, 12) if long else (9, 10)
    points: dict[Key, Point] = {
        1: (0.0, 0.174), 2: (-0.042, 0.160), 3: (-0.030, 0.190), 4: (0.0, 0.205),
        **_sleeve_points(tuple(range(7, last + 1)), armpit, long),
        side[0]: (-0.084, 0.310), side[1]: (-0.079, 0.395), side[2]: (-0.092, 0.482), side[3]: (0.0, 0.491),
    }  # fmt: skip
    return _Half(
        points=points,
        ring=(4, 3, 2, *range(7, side[3] + 1)),
        corners=frozenset({2, *cuff, armpit, side[2]}),
        sleeve=frozenset(range(8, last + 1)),
        parts=((7, armpit, ()),),
        back_ring=(1, 2, *range(7, side[3] + 1)),
        collar=(2, 3, 4),
    )


def _outwear(long: bool) -> _Half:
    # From the side of the neck to the placket, short sleeve outwear has landmarks 4-3-2, long sleeve outwear 2-3-4.
    neck, front = (2, 4) if long else (4, 2)
    last = 15 if long else 11
    armpit = last + 1
    side = (armpit + 1, armpit + 2, armpit + 3, armpit + 4)
    placket_high, placket_low = (38, 39) if long else (30, 31)
    cuff = (11, 12) if long else (9, 10)
    points: dict[Key, Point] = {
        1: (0.0, 0.164), "c": (0.0, 0.176), "h": (0.0, 0.512),
        neck: (-0.044, 0.156), 3: (-0.031, 0.194), front: (-0.020, 0.222),
        **_sleeve_points(tuple(range(7, last + 1)), armpit, long),
        side[0]: (-0.091, 0.315), side[1]: (-0.088, 0.400), side[2]: (-0.099, 0.502),
        side[3]: (-0.024, 0.510), placket_high: (-0.020, 0.315), placket_low: (-0.022, 0.415),
    }  # fmt: skip
    return _Half(
        points=points,
        ring=(1, neck, *range(7, side[3] + 1), placket_low, placket_high, front, 3, "c"),
        corners=frozenset({neck, *cuff, armpit, side[2], side[3], front, 3}),
        sleeve=frozenset(range(8, last + 1)),
        parts=((7, armpit, ()),),
        back_ring=(1, neck, *range(7, side[2] + 1), "h"),
        collar=(neck, 3, front),
    )


def _sleeveless(dress: bool, sling: bool) -> _Half:
    if sling:
        points: dict[Key, Point] = {
            1: (0.0, 0.247), 2: (-0.052, 0.222), 3: (-0.030, 0.244), 4: (0.0, 0.254),
            7: (-0.054, 0.163), "s": (-0.063, 0.164), "t": (-0.062, 0.221), "a": (-0.075, 0.243),
            8: (-0.083, 0.276),
        }  # fmt: skip
        start: tuple[Key, ...] = (4, 3, 2, 7, "s", "t", "a", 8)
        corners: set[Key] = {2, 7, "s", "t"}
    else:
        points = {
            1: (0.0, 0.184), 2: (-0.047, 0.161), 3: (-0.037, 0.208), 4: (0.0, 0.236),
            7: (-0.074, 0.169), "a": (-0.069, 0.215), "b": (-0.075, 0.243), 8: (-0.085, 0.275),
        }  # fmt: skip
        start = (4, 3, 2, 7, "a", "b", 8)
        corners = {2, 7, 8}
    if dress:
        points |= {
            9: (-0.079, 0.332), 10: (-0.071, WAIST_Y), 11: (-0.098, 0.500), 12: (-0.128, 0.680),
            13: (0.0, 0.694),
        }  # fmt: skip
        ring = (*start, 9, 10, 11, 12, 13)
        corners.add(12)
    else:
        points |= {9: (-0.076, 0.385), 10: (-0.090, 0.478), 11: (0.0, 0.487)}
        ring = (*start, 9, 10, 11)
        corners.add(10)
    return _Half(points, ring, frozenset(corners), back_ring=(1, *ring[2:]), collar=(2, 3, 4))


def _sleeved_dress(long: bool) -> _Half:
    last = 15 if long else 11
    armpit = last + 1
    a, b, waist, thigh, hem, centre = range(armpit + 1, armpit + 7)
    cuff = (11, 12) if long else (9, 10)
    points: dict[Key, Point] = {
        1: (0.0, 0.173), 2: (-0.042, 0.160), 3: (-0.031, 0.192), 4: (0.0, 0.210),
        **_sleeve_points(tuple(range(7, last + 1)), armpit, long),
        a: (-0.084, 0.298), b: (-0.078, 0.340), waist: (-0.072, WAIST_Y),
        thigh: (-0.099, 0.500), hem: (-0.130, 0.690), centre: (0.0, 0.704),
    }  # fmt: skip
    return _Half(
        points=points,
        ring=(4, 3, 2, *range(7, centre + 1)),
        corners=frozenset({2, *cuff, armpit, hem}),
        sleeve=frozenset(range(8, last + 1)),
        parts=((7, armpit, ()),),
        back_ring=(1, 2, *range(7, centre + 1)),
        collar=(2, 3, 4),
    )


# fmt: off
_SHORTS: Final = _Half(
    points={
        1: (-0.070, 0.380),
        2: (0.0, 0.386),
        4: (-0.099, 0.480),
        5: (-0.112, 0.622),
        6: (-0.012, 0.630),
        7: (0.0, CROTCH_Y),
    },
    ring=(2, 1, 4, 5, 6, 7),
    corners=frozenset({1, 5, 6, 7}),
    parts=((1, 7, (2,)),),
)
_TROUSERS: Final = _Half(
    points={
        1: (-0.070, 0.380),
        2: (0.0, 0.386),
        4: (-0.098, 0.490),
        5: (-0.084, 0.725),
        6: (-0.074, 0.948),
        7: (-0.018, 0.951),
        8: (-0.014, 0.730),
        9: (0.0, CROTCH_Y),
    },
    ring=(2, 1, 4, 5, 6, 7, 8, 9),
    corners=frozenset({1, 6, 7, 9}),
    parts=((1, 9, (2,)),),
)
_SKIRT: Final = _Half(
    points={1: (-0.068, 0.378), 2: (0.0, 0.385), 4: (-0.105, 0.510), 5: (-0.130, 0.660), 6: (0.0, 0.676)},
    ring=(2, 1, 4, 5, 6),
    corners=frozenset({1, 5}),
)
# fmt: on


def _half_of(category_id: int) -> _Half:
    """Return the image-left half of a category."""
    if category_id in BOTTOMS:
        return {SHORTS: _SHORTS, TROUSERS: _TROUSERS, SKIRT: _SKIRT}[category_id]
    long = category_id in LONG_SLEEVED
    if category_id in OUTWEAR:
        return _outwear(long)
    if category_id in SLEEVED_DRESSES:
        return _sleeved_dress(long)
    if category_id in SLEEVED_TOPS:
        return _sleeved_top(long)
    return _sleeveless(dress=category_id in DRESSES, sling=category_id in SLINGS)


def _mirror_key(category_id: int, key: Key, point: Point) -> Key:
    """Return the key of a point's mirror image: the swapped landmark, or ``"a'"`` for helper point ``"a"``."""
    if isinstance(key, str):
        return key if point[0] == 0.0 else key + "'"
    category = CATEGORY_BY_ID[category_id]
    slot = LANDMARK_SLOTS[category.landmark_offset + key - 1]
    return slot.swap_slot - category.landmark_offset + 1


@cache
def template_of(category_id: int) -> Template:
    """Return the template of a category."""
    half = _half_of(category_id)
    mirror = {key: _mirror_key(category_id, key, point) for key, point in half.points.items()}
    points = dict(half.points)
    for key, (x, y) in half.points.items():
        points.setdefault(mirror[key], (-x, y))
    both_ways = mirror | {mirrored: key for key, mirrored in mirror.items()}

    def whole(ring: tuple[Key, ...]) -> tuple[Key, ...]:
        # The first and the last key are on the centre line, so they occur once.
        return (*ring, *(mirror[key] for key in reversed(ring[1:-1])))

    parts: list[tuple[Key, Key, tuple[Key, ...]]] = []
    for first, last, closing in half.parts:
        parts.append((first, last, closing))
        parts.append((mirror[last], mirror[first], tuple(mirror[key] for key in closing)))
    collar: tuple[Key, ...] = ()
    if half.collar:
        front = (*half.collar, *(mirror[key] for key in reversed(half.collar)))
        collar = (1, *dict.fromkeys(front))
    return Template(
        category_id=category_id,
        points=points,
        mirror=both_ways,
        ring=whole(half.ring),
        back_ring=whole(half.back_ring or half.ring),
        corners=half.corners | {mirror[key] for key in half.corners},
        sleeves=(half.sleeve, frozenset(mirror[key] for key in half.sleeve)),
        parts=tuple(parts),
        collar=collar,
        has_legs=category_id in LEGWEAR,
    )
