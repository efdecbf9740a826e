"""Seams, ribs, collars, plackets, waistbands, pockets and buttons of the 13 categories.

A pair fixes its trims, drawn alike in all of its styles: ``shirt`` (collar and buttoned placket), ``pocket``,
``rib`` (neck rib in the trim colour), ``lapel``, ``zip``, ``buttons``, ``belt``, ``pleats``, ``cuffs``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from registry.sample.canvas import Ink
from registry.sample.fabrics import Color, Fabric, brightness, shade
from registry.sample.geometry import Point, mix, smooth_curve
from registry.sample.pose import Outline
from registry.sample.templates import (
    BOTTOMS,
    DRESSES,
    LONG_SLEEVED,
    OUTWEAR,
    WAIST_Y,
    Key,
    along_arm,
    arm_coordinates,
)

TRIMS_OF: dict[int, tuple[str, ...]] = {
    1: ("shirt", "pocket", "rib", "rib"), 2: ("shirt", "cuffs", "rib", "pocket"),
    3: ("lapel", "zip", "buttons", "pocket"), 4: ("lapel", "zip", "buttons", "pocket", "lapel"),
    5: ("rib", "rib", "pocket"), 6: ("rib",), 7: ("belt", "cuffs"), 8: ("belt", "cuffs"),
    9: ("pleats", "buttons", "belt"), 10: ("belt", "shirt", "pleats"), 11: ("belt", "shirt", "pleats"),
    12: ("belt", "pleats", "rib"), 13: ("belt", "pleats"),
}  # fmt: skip


class _Tailor:
    """What all details of one garment need."""

    def __init__(self, ink: Ink, outline: Outline, fabric: Fabric, trims: frozenset[str]) -> None:
        self.ink = ink
        self.outline = outline
        self.fabric = fabric
        self.trims = trims
        self.unit = outline.figure.scale
        self.back = outline.figure.back
        self.place: Callable[[Point], Point] = outline.figure.leg if outline.template.legs else outline.figure.body
        dark_cloth = brightness(fabric.base) < 70
        self.seam: Color = shade(fabric.base, 1.28 if dark_cloth else 0.66)
        if fabric.pattern == "denim":
            self.seam = fabric.trim
        self.button: Color = shade(fabric.base, 1.5) if dark_cloth else shade(fabric.base, 0.55)

    def flat(self, key: Key) -> Point:
        """Return a point of the garment in the body frame."""
        return self.outline.flat_points[key]

    def line(self, flat: Sequence[Point], color: Color, width: float, strength: int = 200) -> None:
        """Draw a smooth line through body-frame points, ``width`` in body heights."""
        placed = [self.place(point) for point in flat]
        dense = smooth_curve(placed, [False] * len(placed), False, max(4.0, self.unit * 0.012))[0]
        self.ink.line(dense, color, max(0.6, width * self.unit), strength)

    def shape(self, flat: Sequence[Point], color: Color, strength: int = 255) -> None:
        """Fill a body-frame ring."""
        self.ink.shape([self.place(point) for point in flat], color, strength)

    def buttons(self, start: Point, end: Point, count: int) -> None:
        """Draw a row of buttons."""
        for k in range(count):
            at = self.place(mix(start, end, (k + 0.5) / count))
            self.ink.dot(at, max(1.0, self.unit * 0.0052), self.button)
            self.ink.dot((at[0] - 0.3, at[1] - 0.3), max(0.4, self.unit * 0.0022), shade(self.button, 1.35), 190)


def draw_details(ink: Ink, outline: Outline, fabric: Fabric, trims: frozenset[str]) -> None:
    """Draw everything that is sewn on or into a garment."""
    tailor = _Tailor(ink, outline, fabric, trims)
    category_id = outline.template.category_id
    if outline.template.sleeves[0]:
        _sleeves(tailor)
    if category_id in BOTTOMS:
        _bottom(tailor)
        return
    if category_id in DRESSES:
        _waist(tailor)
    _hem(tailor)
    if category_id in OUTWEAR:
        _jacket(tailor)
    else:
        _neck(tailor)


def _sleeves(tailor: _Tailor) -> None:
    outline = tailor.outline
    category_id = outline.template.category_id
    long = category_id in LONG_SLEEVED
    armpit = 16 if long else 12
    outer, inner = (11, 12) if long else (9, 10)
    mirror = outline.template.mirror
    for side in (0, 1):
        keys: list[Key] = [7, armpit, outer, inner]
        if side:
            keys = [mirror[key] for key in keys]
        top, bottom = outline.points[keys[0]], outline.points[keys[1]]
        bulge = outline.figure.body((0.082 if side else -0.082, 0.218))
        seam = smooth_curve([top, bulge, bottom], [False] * 3, False, 4.0)[0]
        tailor.ink.line(seam, tailor.seam, max(0.7, tailor.unit * 0.0022), 170)
        sign = 1.0 if side == 0 else -1.0
        cuff = 0.026 if long and "cuffs" in tailor.trims else 0.013
        edge = []
        for key in keys[2:]:
            x, y = tailor.flat(key)
            distance, outward = arm_coordinates((sign * x, y))
            x, y = along_arm(distance - cuff, outward * 1.03)
            edge.append(outline.figure.arm(side, (sign * x, y)))
        if "cuffs" in tailor.trims or ("rib" in tailor.trims and category_id in (1, 2)):
            band = [outline.points[keys[2]], outline.points[keys[3]], edge[1], edge[0]]
            tailor.ink.shape(band, tailor.fabric.trim, 235)
        tailor.ink.line(edge, tailor.seam, max(0.7, tailor.unit * 0.0020), 170)


def _hem(tailor: _Tailor) -> None:
    keys = tailor.outline.keys
    lowest = max(range(len(keys)), key=lambda k: tailor.flat(keys[k])[1])
    around = [keys[(lowest + d) % len(keys)] for d in (-1, 0, 1)]
    if tailor.outline.template.category_id in OUTWEAR and not tailor.back:
        return
    tailor.line([(x, y - 0.012) for x, y in map(tailor.flat, around)], tailor.seam, 0.0018, 150)


def _neck(tailor: _Tailor) -> None:
    outline = tailor.outline
    category_id = outline.template.category_id
    front = outline.template.collar[1:]
    edge = outline.curve((front[-1], 1, front[0]) if tailor.back else front)
    if "rib" in tailor.trims:
        tailor.ink.line(edge, tailor.seam, tailor.unit * 0.0235, 150)
        tailor.ink.line(edge, tailor.fabric.trim, tailor.unit * 0.0195)
    else:
        tailor.ink.line(edge, tailor.seam, tailor.unit * 0.0150, 120)
        tailor.ink.line(edge, shade(tailor.fabric.base, 0.92), tailor.unit * 0.0115, 255)
    if category_id in (5, 12):
        for first, last in ((7, 8), (outline.template.mirror[8], outline.template.mirror[7])):
            tailor.ink.line(outline.stretch(first, last), tailor.seam, tailor.unit * 0.0130, 130)
            if "rib" in tailor.trims:
                tailor.ink.line(outline.stretch(first, last), tailor.fabric.trim, tailor.unit * 0.0100)
    if tailor.back:
        if category_id in (1, 2):
            tailor.line([(-0.088, 0.222), (0.0, 0.216), (0.088, 0.222)], tailor.seam, 0.0018, 130)
        return
    if "shirt" in tailor.trims and category_id in (1, 2, 10, 11):
        _shirt_front(tailor)
    if "pocket" in tailor.trims and category_id in (1, 2, 5) and tailor.fabric.pattern != "logo":
        x1, x2, y1, y2 = 0.024, 0.060, 0.262, 0.306
        pocket = [(x1, y1), (x2, y1), (x2, y2 - 0.008), ((x1 + x2) / 2, y2), (x1, y2 - 0.008)]
        tailor.shape(pocket, shade(tailor.fabric.base, 0.94), 150)
        tailor.ink.line([tailor.place(p) for p in [*pocket, pocket[0]]], tailor.seam, tailor.unit * 0.0022, 180)


def _shirt_front(tailor: _Tailor) -> None:
    centre_y = tailor.flat(4)[1]
    keys = tailor.outline.keys
    bottom = max(tailor.flat(key)[1] for key in keys)
    if tailor.outline.template.category_id in DRESSES:
        bottom = WAIST_Y
    for x in (-0.009, 0.009):
        tailor.line([(x, centre_y + 0.012), (x, (centre_y + bottom) / 2), (x, bottom)], tailor.seam, 0.0018, 160)
    tailor.buttons((0.0, centre_y + 0.014), (0.0, bottom), max(3, round((bottom - centre_y) / 0.052)))
    for sign in (-1.0, 1.0):
        x2, y2 = tailor.flat(2)
        flap = [
            (sign * abs(x2), y2), (sign * 0.052, y2 + 0.020), (sign * 0.040, centre_y + 0.026),
            (sign * 0.001, centre_y + 0.004), (sign * 0.024, y2 + 0.028),
        ]  # fmt: skip
        tailor.shape(flap, shade(tailor.fabric.base, 1.08))
        tailor.ink.line([tailor.place(p) for p in flap[1:4]], tailor.seam, tailor.unit * 0.0024, 210)


def _jacket(tailor: _Tailor) -> None:
    if tailor.back:
        tailor.line([(0.0, 0.180), (0.0, 0.33), (0.0, 0.50)], tailor.seam, 0.0016, 120)
        return
    outline = tailor.outline
    keys = outline.keys
    centre = keys.index("c")
    # From "c" outwards on the image-left side: 3, top of the placket, its two middles, the hem's corner.
    _, top, high, low, hem = keys[centre - 1], *(keys[centre - k] for k in (2, 3, 4, 5))
    length = tailor.flat(hem)[1]
    for sign, first in ((-1.0, 0), (1.0, 1)):
        edge: list[Point] = []
        for key in (top, high, low, hem):
            x, y = tailor.flat(key)
            edge.append((sign * abs(x), y))
        inner = [(x + sign * 0.013, y) for x, y in edge]
        if "zip" in tailor.trims:
            tailor.line([(x + sign * 0.003, y) for x, y in edge], (206, 208, 212), 0.006, 255)
            tailor.line([(x + sign * 0.004, y) for x, y in edge], (120, 122, 128), 0.0016, 255)
            tailor.line([(x + sign * 0.011, y) for x, y in edge], tailor.seam, 0.0018, 170)
        else:
            tailor.line(inner, tailor.seam, 0.0018, 150)
        if "buttons" in tailor.trims and first == 0:
            start, end = edge[0], edge[-1]
            tailor.buttons((start[0] - 0.008, start[1] + 0.01), (end[0] - 0.008, end[1] - 0.02), 5)
        nx, ny = tailor.flat(keys[1])
        if "lapel" in tailor.trims:
            tip = edge[0][1] + 0.075
            lapel = [
                (sign * abs(nx), ny), (sign * 0.060, 0.196), (sign * 0.048, 0.214), (sign * 0.068, 0.232),
                (edge[0][0], tip), (edge[0][0], edge[0][1]), (sign * 0.031, 0.194),
            ]  # fmt: skip
            tailor.shape(lapel, shade(tailor.fabric.base, 1.07))
            tailor.ink.line([tailor.place(p) for p in lapel[1:5]], tailor.seam, tailor.unit * 0.0026, 220)
        else:
            stand = [
                (sign * abs(nx), ny), (sign * 0.031, 0.194), (edge[0][0], edge[0][1]),
                (edge[0][0] + sign * 0.014, edge[0][1] + 0.002), (sign * 0.046, 0.196), (sign * 0.056, 0.168),
            ]  # fmt: skip
            tailor.shape(stand, tailor.fabric.trim, 235)
            tailor.ink.line([tailor.place(p) for p in stand[3:]], tailor.seam, tailor.unit * 0.0024, 200)
        y = 0.3 + (length - 0.3) * 0.62
        if "pocket" in tailor.trims:
            flap = [
                (sign * 0.036, y),
                (sign * 0.078, y + 0.004),
                (sign * 0.078, y + 0.020),
                (sign * 0.036, y + 0.017),
            ]
            tailor.shape(flap, shade(tailor.fabric.base, 0.92))
            tailor.ink.line([tailor.place(p) for p in [*flap, flap[0]]], tailor.seam, tailor.unit * 0.0020, 180)
        else:
            tailor.line(
                [(sign * 0.050, y), (sign * 0.058, y + 0.02), (sign * 0.064, y + 0.045)],
                tailor.seam,
                0.0030,
                200,
            )
        tailor.line(
            [(edge[-1][0], length - 0.012), (sign * 0.06, length - 0.015), (sign * 0.10, length - 0.019)],
            tailor.seam, 0.0018, 150,
        )  # fmt: skip


def _waist(tailor: _Tailor) -> None:
    line = [(-0.085, WAIST_Y - 0.002), (0.0, WAIST_Y + 0.004), (0.085, WAIST_Y - 0.002)]
    if "belt" in tailor.trims:
        tailor.line(line, tailor.seam, 0.0205, 150)
        tailor.line(line, tailor.fabric.trim, 0.0165, 255)
        if not tailor.back:
            x, y = 0.006, WAIST_Y + 0.004
            tailor.shape(
                [
                    (x - 0.010, y - 0.010),
                    (x + 0.010, y - 0.010),
                    (x + 0.010, y + 0.010),
                    (x - 0.010, y + 0.010),
                ],
                (216, 178, 92),
            )
            tailor.shape(
                [
                    (x - 0.006, y - 0.006),
                    (x + 0.006, y - 0.006),
                    (x + 0.006, y + 0.006),
                    (x - 0.006, y + 0.006),
                ],
                tailor.fabric.trim,
            )
    else:
        tailor.line(line, tailor.seam, 0.0024, 150)
    if "pleats" in tailor.trims:
        _pleats(tailor, WAIST_Y + 0.006, max(tailor.flat(k)[1] for k in tailor.outline.keys))


def _pleats(tailor: _Tailor, top: float, bottom: float) -> None:
    hem_x = max(tailor.flat(key)[0] for key in tailor.outline.keys if tailor.flat(key)[1] > bottom - 0.05)
    for k in range(-4, 5):
        x1, x2 = k * 0.0145, k * hem_x / 4.6
        line = [(x1, top), (x1 + (x2 - x1) * 0.45, (top + bottom) / 2), (x2, bottom)]
        tailor.line(line, shade(tailor.fabric.base, 0.55), 0.0022, 120)
        tailor.line([(x + 0.0045, y) for x, y in line], shade(tailor.fabric.base, 1.3), 0.0040, 70)


def _bottom(tailor: _Tailor) -> None:
    outline = tailor.outline
    category_id = outline.template.category_id
    waist = [tailor.flat(key) for key in (1, 2, 3)]
    bottom = max(tailor.flat(key)[1] for key in outline.keys)
    if category_id == 9 and "pleats" in tailor.trims:
        _pleats(tailor, waist[0][1] + 0.02, bottom)
    band = tailor.fabric.trim if "belt" in tailor.trims else shade(tailor.fabric.base, 0.88)
    if tailor.fabric.pattern == "denim" and "belt" not in tailor.trims:
        band = shade(tailor.fabric.base, 0.9)
    tailor.line([(x * 1.04, y + 0.0085) for x, y in waist], band, 0.024, 255)
    tailor.line([(x * 1.06, y + 0.0205) for x, y in waist], tailor.seam, 0.0022, 210)
    top = waist[1][1]
    if category_id == 9:
        if "buttons" in tailor.trims and not tailor.back:
            tailor.buttons((0.0, top + 0.02), (0.0, bottom - 0.01), max(3, round((bottom - top) / 0.05)))
            tailor.line(
                [(-0.010, top + 0.02), (-0.011, (top + bottom) / 2), (-0.012, bottom)],
                tailor.seam,
                0.0018,
                150,
            )
        around = [tailor.flat(key) for key in (5, 6, 7)]
        tailor.line([(x, y - 0.013) for x, y in around], tailor.seam, 0.0018, 160)
        return
    crotch = tailor.flat(7 if category_id == 7 else 9)
    tailor.line([(0.0, top + 0.02), (0.0, (top + crotch[1]) / 2), crotch], tailor.seam, 0.0022, 190)
    for sign in (-1.0, 1.0):
        if tailor.back:
            x, y = sign * 0.046, 0.440
            pocket = [
                (x - 0.022, y),
                (x + 0.022, y),
                (x + 0.021, y + 0.036),
                (x, y + 0.046),
                (x - 0.021, y + 0.036),
            ]
            tailor.ink.line([tailor.place(p) for p in [*pocket, pocket[0]]], tailor.seam, tailor.unit * 0.0024, 210)
        else:
            tailor.line(
                [(sign * 0.046, 0.403), (sign * 0.058, 0.440), (sign * 0.098, 0.462)],
                tailor.seam,
                0.0026,
                210,
            )
        for x in (0.030, 0.058):
            tailor.line(
                [(sign * x, top - 0.004), (sign * x, top + 0.008), (sign * x, top + 0.022)],
                tailor.seam,
                0.0050,
                200,
            )
    if not tailor.back:
        tailor.line([(0.014, top + 0.022), (0.014, 0.470), (0.002, 0.505)], tailor.seam, 0.0020, 190)
        tailor.ink.dot(tailor.place((0.006, top + 0.009)), max(1.0, tailor.unit * 0.006), (206, 186, 128))
    hems = ((5, 6), (8, 9)) if category_id == 7 else ((6, 7), (11, 12))
    rise = 0.030 if "cuffs" in tailor.trims else 0.013
    for pair in hems:
        outer, inner = (tailor.flat(key) for key in pair)
        if "cuffs" in tailor.trims:
            fold = [outer, inner, (inner[0], inner[1] - rise), (outer[0], outer[1] - rise)]
            tailor.shape(fold, shade(tailor.fabric.base, 1.18), 170)
        tailor.line(
            [
                (outer[0] * 1.02, outer[1] - rise),
                ((outer[0] + inner[0]) / 2, outer[1] - rise),
                (inner[0] * 0.8, inner[1] - rise),
            ],
            tailor.seam,
            0.0022,
            190,
        )
