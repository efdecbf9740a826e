"""Drawing of details: seams, ribs, collars, plackets, waistbands, pockets and buttons.

Seams and hems are on all garments of a category. The trims of a garment are the same in all styles of a pair_id:
``shirt`` (collar and buttoned placket), ``pocket``, ``rib`` (ribbed neckline in the trim colour), ``lapel``, ``zip``,
``buttons``, ``belt``, ``pleats``, ``cuffs``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from registry.sample.canvas import Ink
from registry.sample.categories import (
    BOTTOMS,
    DRESSES,
    LONG_SLEEVE_DRESS,
    LONG_SLEEVE_OUTWEAR,
    LONG_SLEEVE_TOP,
    LONG_SLEEVED,
    OUTWEAR,
    SHORT_SLEEVE_DRESS,
    SHORT_SLEEVE_OUTWEAR,
    SHORT_SLEEVE_TOP,
    SHORTS,
    SKIRT,
    SLEEVED_DRESSES,
    SLEEVED_TOPS,
    SLING,
    SLING_DRESS,
    TROUSERS,
    VEST,
    VEST_DRESS,
    VESTS,
)
from registry.sample.fabrics import Color, Fabric, brightness, shade
from registry.sample.geometry import Point, mix, smooth_curve
from registry.sample.pose import Outline
from registry.sample.templates import WAIST_Y, Key, along_arm, arm_coordinates

#: Trims that a category can have; a repeated name is more frequent.
TRIMS_OF: Final[dict[int, tuple[str, ...]]] = {
    SHORT_SLEEVE_TOP: ("shirt", "pocket", "rib", "rib"),
    LONG_SLEEVE_TOP: ("shirt", "cuffs", "rib", "pocket"),
    SHORT_SLEEVE_OUTWEAR: ("lapel", "zip", "buttons", "pocket"),
    LONG_SLEEVE_OUTWEAR: ("lapel", "zip", "buttons", "pocket", "lapel"),
    VEST: ("rib", "rib", "pocket"),
    SLING: ("rib",),
    SHORTS: ("belt", "cuffs"),
    TROUSERS: ("belt", "cuffs"),
    SKIRT: ("pleats", "buttons", "belt"),
    SHORT_SLEEVE_DRESS: ("belt", "shirt", "pleats"),
    LONG_SLEEVE_DRESS: ("belt", "shirt", "pleats"),
    VEST_DRESS: ("belt", "pleats", "rib"),
    SLING_DRESS: ("belt", "pleats"),
}


class _Tailor:
    """Draws details of a garment, given in the body frame.

    Attributes:
        ink: lines and shapes on the garment, in px.
        outline: outline of the garment in the photo.
        fabric: colours of the garment.
        trims: trims of the garment.
        unit: px per body height.
        is_back_view: whether the garment is seen from behind.
        place: map from the body frame to px.
        seam: colour of seams.
        button: colour of buttons.
    """

    def __init__(self, ink: Ink, outline: Outline, fabric: Fabric, trims: frozenset[str]) -> None:
        self.ink = ink
        self.outline = outline
        self.fabric = fabric
        self.trims = trims
        self.unit = outline.figure.scale
        self.is_back_view = outline.figure.is_back_view
        self.place: Callable[[Point], Point] = outline.figure.leg if outline.template.has_legs else outline.figure.body
        is_dark = brightness(fabric.base) < 70
        self.seam: Color = shade(fabric.base, 1.28 if is_dark else 0.66)
        if fabric.pattern == "denim":
            self.seam = fabric.trim
        self.button: Color = shade(fabric.base, 1.5) if is_dark else shade(fabric.base, 0.55)

    def flat(self, key: Key) -> Point:
        """Return the point of a key in the body frame."""
        return self.outline.flat_points[key]

    def line(self, flat: Sequence[Point], color: Color, width: float, strength: int = 200) -> None:
        """Draw a smooth line through body-frame points.

        Args:
            flat: points of the line.
            color: colour of the line.
            width: width in body heights.
            strength: opacity, 0 to 255.
        """
        placed = [self.place(point) for point in flat]
        dense = smooth_curve(placed, [False] * len(placed), False, max(4.0, self.unit * 0.012))[0]
        self.ink.line(dense, color, max(0.6, width * self.unit), strength)

    def shape(self, flat: Sequence[Point], color: Color, strength: int = 255) -> None:
        """Fill a ring of body-frame points; ``strength`` is its opacity, 0 to 255."""
        self.ink.shape([self.place(point) for point in flat], color, strength)

    def buttons(self, start: Point, end: Point, count: int) -> None:
        """Draw ``count`` buttons from ``start`` to ``end`` in the body frame."""
        for k in range(count):
            x, y = self.place(mix(start, end, (k + 0.5) / count))
            self.ink.dot((x, y), max(1.0, self.unit * 0.0052), self.button)
            self.ink.dot((x - 0.3, y - 0.3), max(0.4, self.unit * 0.0022), shade(self.button, 1.35), 190)


def draw_details(ink: Ink, outline: Outline, fabric: Fabric, trims: frozenset[str]) -> None:
    """Draw the seams and trims of a garment."""
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
    """Draw the seams at shoulder and cuff of both sleeves, and the cuffs if the trims have them."""
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
        if "cuffs" in tailor.trims or ("rib" in tailor.trims and category_id in SLEEVED_TOPS):
            band = [outline.points[keys[2]], outline.points[keys[3]], edge[1], edge[0]]
            tailor.ink.shape(band, tailor.fabric.trim, 235)
        tailor.ink.line(edge, tailor.seam, max(0.7, tailor.unit * 0.0020), 170)


def _hem(tailor: _Tailor) -> None:
    """Draw the hem of a top or dress, or of outwear in back views."""
    keys = tailor.outline.keys
    lowest = max(range(len(keys)), key=lambda k: tailor.flat(keys[k])[1])
    around = [keys[(lowest + d) % len(keys)] for d in (-1, 0, 1)]
    if tailor.outline.template.category_id in OUTWEAR and not tailor.is_back_view:
        return
    tailor.line([(x, y - 0.012) for x, y in map(tailor.flat, around)], tailor.seam, 0.0018, 150)


def _neck(tailor: _Tailor) -> None:
    """Draw the edges of neckline and armholes, and the trims on the chest."""
    outline = tailor.outline
    category_id = outline.template.category_id
    front = outline.template.collar[1:]
    edge = outline.curve((front[-1], 1, front[0]) if tailor.is_back_view else front)
    if "rib" in tailor.trims:
        tailor.ink.line(edge, tailor.seam, tailor.unit * 0.0235, 150)
        tailor.ink.line(edge, tailor.fabric.trim, tailor.unit * 0.0195)
    else:
        tailor.ink.line(edge, tailor.seam, tailor.unit * 0.0150, 120)
        tailor.ink.line(edge, shade(tailor.fabric.base, 0.92), tailor.unit * 0.0115, 255)
    if category_id in VESTS:
        for first, last in ((7, 8), (outline.template.mirror[8], outline.template.mirror[7])):
            tailor.ink.line(outline.stretch(first, last), tailor.seam, tailor.unit * 0.0130, 130)
            if "rib" in tailor.trims:
                tailor.ink.line(outline.stretch(first, last), tailor.fabric.trim, tailor.unit * 0.0100)
    if tailor.is_back_view:
        if category_id in SLEEVED_TOPS:
            tailor.line([(-0.088, 0.222), (0.0, 0.216), (0.088, 0.222)], tailor.seam, 0.0018, 130)
        return
    if "shirt" in tailor.trims and category_id in SLEEVED_TOPS | SLEEVED_DRESSES:
        _shirt_front(tailor)
    if "pocket" in tailor.trims and category_id in SLEEVED_TOPS | {VEST} and tailor.fabric.pattern != "logo":
        x1, x2, y1, y2 = 0.024, 0.060, 0.262, 0.306
        pocket = [(x1, y1), (x2, y1), (x2, y2 - 0.008), ((x1 + x2) / 2, y2), (x1, y2 - 0.008)]
        tailor.shape(pocket, shade(tailor.fabric.base, 0.94), 150)
        tailor.ink.line([tailor.place(p) for p in [*pocket, pocket[0]]], tailor.seam, tailor.unit * 0.0022, 180)


def _shirt_front(tailor: _Tailor) -> None:
    """Draw the buttoned placket and the collar of a shirt."""
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
    """Draw the fronts of outwear: placket, collar or lapel, pockets and hem; the seam of the back in back views."""
    if tailor.is_back_view:
        tailor.line([(0.0, 0.180), (0.0, 0.33), (0.0, 0.50)], tailor.seam, 0.0016, 120)
        return
    keys = tailor.outline.keys
    centre = keys.index("c")
    # Before "c", the ring passes the image-left hem corner, lower and upper placket, neckline end, and landmark 3.
    placket = [tailor.flat(keys[centre - k]) for k in (2, 3, 4, 5)]
    neck = tailor.flat(keys[1])
    for sign in (-1.0, 1.0):
        edge = [(sign * abs(x), y) for x, y in placket]
        _placket(tailor, sign, edge)
        if "lapel" in tailor.trims:
            _lapel(tailor, sign, edge, neck)
        else:
            _stand_collar(tailor, sign, edge, neck)
        _jacket_pocket_and_hem(tailor, sign, edge)


def _placket(tailor: _Tailor, sign: float, edge: list[Point]) -> None:
    """Draw zip or seam along a front edge (top to bottom), and the buttons of the image-left front.

    Args:
        tailor: draws the garment.
        sign: -1 for the image-left front, 1 for the image-right front.
        edge: points of the front edge from the neckline to the hem.
    """
    if "zip" in tailor.trims:
        tailor.line([(x + sign * 0.003, y) for x, y in edge], (206, 208, 212), 0.006, 255)
        tailor.line([(x + sign * 0.004, y) for x, y in edge], (120, 122, 128), 0.0016, 255)
        tailor.line([(x + sign * 0.011, y) for x, y in edge], tailor.seam, 0.0018, 170)
    else:
        tailor.line([(x + sign * 0.013, y) for x, y in edge], tailor.seam, 0.0018, 150)
    if "buttons" in tailor.trims and sign < 0:
        start, end = edge[0], edge[-1]
        tailor.buttons((start[0] - 0.008, start[1] + 0.01), (end[0] - 0.008, end[1] - 0.02), 5)


def _lapel(tailor: _Tailor, sign: float, edge: list[Point], neck: Point) -> None:
    """Draw a lapel from the side of the neck to the front edge; arguments as in `_placket`."""
    x, y = edge[0]
    lapel = [
        (sign * abs(neck[0]), neck[1]), (sign * 0.060, 0.196), (sign * 0.048, 0.214), (sign * 0.068, 0.232),
        (x, y + 0.075), (x, y), (sign * 0.031, 0.194),
    ]  # fmt: skip
    tailor.shape(lapel, shade(tailor.fabric.base, 1.07))
    tailor.ink.line([tailor.place(p) for p in lapel[1:5]], tailor.seam, tailor.unit * 0.0026, 220)


def _stand_collar(tailor: _Tailor, sign: float, edge: list[Point], neck: Point) -> None:
    """Draw half a stand-up collar from the side of the neck to the front edge; arguments as in `_placket`."""
    x, y = edge[0]
    collar = [
        (sign * abs(neck[0]), neck[1]), (sign * 0.031, 0.194), (x, y), (x + sign * 0.014, y + 0.002),
        (sign * 0.046, 0.196), (sign * 0.056, 0.168),
    ]  # fmt: skip
    tailor.shape(collar, tailor.fabric.trim, 235)
    tailor.ink.line([tailor.place(p) for p in collar[3:]], tailor.seam, tailor.unit * 0.0024, 200)


def _jacket_pocket_and_hem(tailor: _Tailor, sign: float, edge: list[Point]) -> None:
    """Draw a pocket (with a flap if the trims have it) and the hem; arguments as in `_placket`."""
    hem_x, hem_y = edge[-1]
    y = 0.3 + (hem_y - 0.3) * 0.62
    if "pocket" in tailor.trims:
        x1, x2 = sign * 0.036, sign * 0.078
        flap = [(x1, y), (x2, y + 0.004), (x2, y + 0.020), (x1, y + 0.017)]
        tailor.shape(flap, shade(tailor.fabric.base, 0.92))
        tailor.ink.line([tailor.place(p) for p in [*flap, flap[0]]], tailor.seam, tailor.unit * 0.0020, 180)
    else:
        slit = [(sign * 0.050, y), (sign * 0.058, y + 0.02), (sign * 0.064, y + 0.045)]
        tailor.line(slit, tailor.seam, 0.0030, 200)
    hem = [(hem_x, hem_y - 0.012), (sign * 0.06, hem_y - 0.015), (sign * 0.10, hem_y - 0.019)]
    tailor.line(hem, tailor.seam, 0.0018, 150)


def _waist(tailor: _Tailor) -> None:
    """Draw the belt or the waist seam of a dress, and its pleats."""
    line = [(-0.085, WAIST_Y - 0.002), (0.0, WAIST_Y + 0.004), (0.085, WAIST_Y - 0.002)]
    if "belt" in tailor.trims:
        tailor.line(line, tailor.seam, 0.0205, 150)
        tailor.line(line, tailor.fabric.trim, 0.0165, 255)
        if not tailor.is_back_view:
            buckle = (0.006, WAIST_Y + 0.004)
            tailor.shape(_square(buckle, 0.010), (216, 178, 92))
            tailor.shape(_square(buckle, 0.006), tailor.fabric.trim)
    else:
        tailor.line(line, tailor.seam, 0.0024, 150)
    if "pleats" in tailor.trims:
        _pleats(tailor, WAIST_Y + 0.006, max(tailor.flat(k)[1] for k in tailor.outline.keys))


def _square(centre: Point, half: float) -> list[Point]:
    x, y = centre
    return [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]


def _pleats(tailor: _Tailor, top: float, bottom: float) -> None:
    """Draw pleats between the body-frame heights ``top`` and ``bottom``."""
    hem_x = max(tailor.flat(key)[0] for key in tailor.outline.keys if tailor.flat(key)[1] > bottom - 0.05)
    for k in range(-4, 5):
        x1, x2 = k * 0.0145, k * hem_x / 4.6
        line = [(x1, top), (x1 + (x2 - x1) * 0.45, (top + bottom) / 2), (x2, bottom)]
        tailor.line(line, shade(tailor.fabric.base, 0.55), 0.0022, 120)
        tailor.line([(x + 0.0045, y) for x, y in line], shade(tailor.fabric.base, 1.3), 0.0040, 70)


def _bottom(tailor: _Tailor) -> None:
    """Draw the details of shorts, trousers and skirts."""
    waist = [tailor.flat(key) for key in (1, 2, 3)]
    bottom = max(tailor.flat(key)[1] for key in tailor.outline.keys)
    if tailor.outline.template.category_id == SKIRT:
        if "pleats" in tailor.trims:
            _pleats(tailor, waist[0][1] + 0.02, bottom)
        _waistband(tailor, waist)
        _skirt_front_and_hem(tailor, waist[1][1], bottom)
    else:
        _waistband(tailor, waist)
        _fly_and_pockets(tailor, waist[1][1])
        _leg_hems(tailor)


def _waistband(tailor: _Tailor, waist: list[Point]) -> None:
    """Draw the waistband below the body-frame points ``waist``."""
    band = tailor.fabric.trim if "belt" in tailor.trims else shade(tailor.fabric.base, 0.88)
    if tailor.fabric.pattern == "denim" and "belt" not in tailor.trims:
        band = shade(tailor.fabric.base, 0.9)
    tailor.line([(x * 1.04, y + 0.0085) for x, y in waist], band, 0.024, 255)
    tailor.line([(x * 1.06, y + 0.0205) for x, y in waist], tailor.seam, 0.0022, 210)


def _skirt_front_and_hem(tailor: _Tailor, top: float, bottom: float) -> None:
    """Draw the buttons and the hem of a skirt between the body-frame heights ``top`` and ``bottom``."""
    if "buttons" in tailor.trims and not tailor.is_back_view:
        tailor.buttons((0.0, top + 0.02), (0.0, bottom - 0.01), max(3, round((bottom - top) / 0.05)))
        placket = [(-0.010, top + 0.02), (-0.011, (top + bottom) / 2), (-0.012, bottom)]
        tailor.line(placket, tailor.seam, 0.0018, 150)
    hem = [tailor.flat(key) for key in (5, 6, 7)]
    tailor.line([(x, y - 0.013) for x, y in hem], tailor.seam, 0.0018, 160)


def _fly_and_pockets(tailor: _Tailor, top: float) -> None:
    """Draw the fly, pockets and belt loops of shorts or trousers; ``top`` is the body-frame y of the waist."""
    crotch = tailor.flat(7 if tailor.outline.template.category_id == SHORTS else 9)
    tailor.line([(0.0, top + 0.02), (0.0, (top + crotch[1]) / 2), crotch], tailor.seam, 0.0022, 190)
    for sign in (-1.0, 1.0):
        if tailor.is_back_view:
            x, y = sign * 0.046, 0.440
            pocket = [(x - 0.022, y), (x + 0.022, y), (x + 0.021, y + 0.036), (x, y + 0.046), (x - 0.021, y + 0.036)]
            tailor.ink.line([tailor.place(p) for p in [*pocket, pocket[0]]], tailor.seam, tailor.unit * 0.0024, 210)
        else:
            slit = [(sign * 0.046, 0.403), (sign * 0.058, 0.440), (sign * 0.098, 0.462)]
            tailor.line(slit, tailor.seam, 0.0026, 210)
        for x in (0.030, 0.058):
            belt_loop = [(sign * x, top - 0.004), (sign * x, top + 0.008), (sign * x, top + 0.022)]
            tailor.line(belt_loop, tailor.seam, 0.0050, 200)
    if not tailor.is_back_view:
        tailor.line([(0.014, top + 0.022), (0.014, 0.470), (0.002, 0.505)], tailor.seam, 0.0020, 190)
        tailor.ink.dot(tailor.place((0.006, top + 0.009)), max(1.0, tailor.unit * 0.006), (206, 186, 128))


def _leg_hems(tailor: _Tailor) -> None:
    """Draw the hems of shorts or trousers, with cuffs if the trims have them."""
    hems = ((5, 6), (8, 9)) if tailor.outline.template.category_id == SHORTS else ((6, 7), (11, 12))
    height = 0.030 if "cuffs" in tailor.trims else 0.013
    for keys in hems:
        outer, inner = (tailor.flat(key) for key in keys)
        if "cuffs" in tailor.trims:
            cuff = [outer, inner, (inner[0], inner[1] - height), (outer[0], outer[1] - height)]
            tailor.shape(cuff, shade(tailor.fabric.base, 1.18), 170)
        middle = ((outer[0] + inner[0]) / 2, outer[1] - height)
        seam = [(outer[0] * 1.02, outer[1] - height), middle, (inner[0] * 0.8, inner[1] - height)]
        tailor.line(seam, tailor.seam, 0.0022, 190)
