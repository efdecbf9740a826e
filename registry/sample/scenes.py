"""Taking one picture: pose, camera, place, light, and the order in which things hide each other."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from PIL import Image, ImageChops, ImageFilter

from registry.sample import backgrounds
from registry.sample.canvas import Canvas, Layer
from registry.sample.garments import Wardrobe, draw_garment, draw_inside, front_rings, keys_inside
from registry.sample.geometry import Affine, Box, Point, bounds
from registry.sample.identities import Picture, Worn
from registry.sample.people import draw_over_clothes, draw_person, pick_person, silhouette
from registry.sample.pose import Cut, Figure, Outline, cut_points
from registry.sample.templates import BOTTOMS, OUTWEAR, TOPS, Key, template_of

_SIZES: Final = (
    (360, 480),
    (375, 500),
    (384, 512),
    (400, 533),
    (400, 600),
    (420, 560),
    (400, 500),
    (350, 500),
)
_IDENTITY: Final = Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
#: Distance of two people side by side, in body heights.
_APART: Final = 0.46


@dataclass(frozen=True, slots=True)
class Shown:
    """One garment as it came out in the picture.

    Attributes:
        worn: the garment and its style.
        outline: where it is.
        depth: position of its front among the layers of the picture.
        inside_depth: position of its inside behind the neck.
    """

    worn: Worn
    outline: Outline
    depth: int
    inside_depth: int

    def hidden_by(self, layers: Sequence[Layer], key: Key, point: Point) -> bool:
        """Return whether something in front covers a landmark."""
        depth = self.inside_depth if key in keys_inside(self.outline) else self.depth
        return any(layer.covers(point) for layer in layers[depth + 1 :])


@dataclass(frozen=True, slots=True)
class Taken:
    """A finished picture with what is in it, front of the listing first."""

    image: Image.Image
    shown: tuple[Shown, ...]
    layers: tuple[Layer, ...]


def take(picture: Picture, wardrobe: Wardrobe) -> Taken:
    """Take a picture."""
    rng = random.Random(picture.seed)
    size = rng.choice(_SIZES)
    figures, floor_y = _pose_and_frame(rng, picture, size)
    hung = picture.laid and rng.random() < 0.45 and picture.outfits[0][0].garment.category_id not in BOTTOMS
    shop = picture.source == "shop"
    if picture.laid and not hung:
        ground = backgrounds.surface(rng, size, shop)
    elif shop:
        ground = backgrounds.studio(rng, size, size[1] * 2.0 if hung else floor_y)
    else:
        scene = rng.choice(("room", "brick", "fitting")) if hung else rng.choice(backgrounds.USER_SCENES)
        ground = backgrounds.surroundings(rng, scene, size, size[1] * 1.1 if hung else floor_y)
    canvas = Canvas(ground)
    shown: list[Shown] = []
    for figure, outfit in zip(figures, picture.outfits, strict=True):
        shown += _draw_outfit(rng, canvas, figure, outfit, wardrobe, shop, hung)
    image = canvas.image if shop else _amateur(rng, canvas.image)
    return Taken(image, tuple(shown), tuple(canvas.layers))


def _draw_outfit(
    rng: random.Random, canvas: Canvas, figure: Figure, outfit: tuple[Worn, ...], wardrobe: Wardrobe,
    shop: bool, hung: bool,
) -> list[Shown]:  # fmt: skip
    covered = any(worn.garment.category_id in OUTWEAR for worn in outfit)
    tucked = figure.worn and any(worn.garment.category_id in BOTTOMS for worn in outfit) and rng.random() < 0.35
    outlines = {
        id(worn): Outline(worn.garment.category_id, _cut_as_worn(worn, covered, tucked), figure) for worn in outfit
    }
    rings = [ring for worn in outfit for ring in front_rings(outlines[id(worn)])]
    unit = figure.scale
    person = pick_person(rng, shop)
    if figure.worn:
        shapes = [*silhouette(figure), *rings]
        canvas.shadow(shapes, (unit * 0.045, unit * 0.012), unit * 0.035, 34 if shop else 52)
        x, y = figure.body((0.0, 0.990))
        w, h = unit * 0.13, unit * 0.016
        oval = [(x + w * math.cos(k * math.tau / 16), y + h * math.sin(k * math.tau / 16)) for k in range(16)]
        canvas.shadow([oval], (0.0, 0.0), unit * 0.014, 110)
    else:
        canvas.shadow(rings, (unit * 0.010, unit * 0.014), unit * 0.016, 80)
    inside: dict[int, int] = {}
    if hung:
        _draw_hanger(canvas, figure)
    for worn in outfit:
        layer = draw_inside(canvas, outlines[id(worn)], worn.garment)
        inside[id(worn)] = len(canvas.layers) - 1 if layer else -1
    if figure.worn:
        draw_person(canvas, figure, person)
    shown = []
    depth = {}
    for worn in sorted(outfit, key=lambda worn: _dressing_order(worn, tucked)):
        draw_garment(canvas, outlines[id(worn)], worn.garment, wardrobe)
        depth[id(worn)] = len(canvas.layers) - 1
    if figure.worn:
        draw_over_clothes(canvas, figure, person)
    for worn in outfit:
        behind = inside[id(worn)] if inside[id(worn)] >= 0 else depth[id(worn)]
        if not figure.worn:
            # Nothing stands between the viewer and the inside of laid-out clothes but their own front.
            behind = depth[id(worn)]
        shown.append(Shown(worn, outlines[id(worn)], depth[id(worn)], behind))
    return shown


def _cut_as_worn(worn: Worn, covered: bool, tucked: bool) -> Cut:
    """Return the cut of a garment, pressed flat under a jacket and gathered where it is tucked in."""
    cut = worn.garment.cut
    if tucked and worn.garment.category_id in TOPS:
        cut = replace(cut, length=min(cut.length, 0.66), flare=-0.10, ease=min(cut.ease, 0.0))
    if covered and worn.garment.category_id not in OUTWEAR | BOTTOMS:
        return replace(cut, ease=min(cut.ease, -0.09), sleeve=min(cut.sleeve, 1.0))
    return cut


def _dressing_order(worn: Worn, tucked: bool) -> int:
    category_id = worn.garment.category_id
    if category_id in OUTWEAR:
        return 3
    if category_id in BOTTOMS:
        return 2 if tucked else 0
    return 1


def _draw_hanger(canvas: Canvas, figure: Figure) -> None:
    wood = (190, 144, 96)
    bar = [
        (-0.092, 0.196),
        (-0.045, 0.166),
        (0.0, 0.148),
        (0.045, 0.166),
        (0.092, 0.196),
        (0.090, 0.207),
        (0.0, 0.163),
        (-0.090, 0.207),
    ]
    canvas.body([[figure.body(p) for p in bar]], wood, figure.scale * 0.004)
    hook = []
    for k in range(22):
        turn = -0.9 + k * 0.21
        hook.append((0.017 * math.cos(turn + 2.2), 0.106 + 0.017 * math.sin(turn + 2.2)))
    outer = [figure.body(p) for p in hook]
    inner = [figure.body((x * 0.75, 0.106 + (y - 0.106) * 0.75)) for x, y in reversed(hook)]
    canvas.body([[*outer, *inner]], (150, 152, 158), figure.scale * 0.002)
    stem = [(-0.0022, 0.122), (0.0022, 0.122), (0.0022, 0.152), (-0.0022, 0.152)]
    canvas.body([[figure.body(p) for p in stem]], (150, 152, 158), figure.scale * 0.002)


def _arms(rng: random.Random, laid: bool, bare: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the angles of the two upper arms and of the two forearms."""
    if laid:
        spread = math.radians(rng.uniform(26, 62))
        bend = math.radians(rng.uniform(-14, 6))
        return (spread, spread), (spread + bend, spread + bend)
    uppers, fores = [], []
    for _ in (0, 1):
        kind = rng.choices(("hang", "hip", "out", "raise"), (62, 20, 12, 6 if bare else 0))[0]
        upper, fore = {
            "hang": (rng.uniform(21, 29), rng.uniform(10, 26)),
            "hip": (rng.uniform(44, 50), rng.uniform(-46, -36)),
            "out": (rng.uniform(32, 44), rng.uniform(24, 44)),
            "raise": (rng.uniform(42, 52), rng.uniform(120, 140)),
        }[kind]
        uppers.append(math.radians(upper))
        fores.append(math.radians(fore))
    return (uppers[0], uppers[1]), (fores[0], fores[1])


def _pose_and_frame(rng: random.Random, picture: Picture, size: tuple[int, int]) -> tuple[list[Figure], float]:
    """Return the posed bodies before the camera, and where the floor begins in the picture."""
    shop = picture.source == "shop"
    product = picture.outfits[0][0].garment.category_id
    back = not picture.laid and rng.random() < 0.11
    sleeved = any(w.garment.category_id in (2, 4, 11) for outfit in picture.outfits for w in outfit)
    poses = []
    for _ in picture.outfits:
        upper, fore = _arms(rng, picture.laid, not sleeved)
        stance = rng.uniform(0.004, 0.030) if product != 9 else rng.uniform(0.0, 0.012)
        sway = 0.0 if picture.laid else rng.uniform(-0.010, 0.010)
        poses.append(Figure(_IDENTITY, upper, fore, stance, sway, back, not picture.laid))
    target = _extent(poses[0], picture.outfits[0][0])
    count = len(poses)
    if count > 1:
        other = _extent(poses[1], picture.outfits[1][0])
        target = (target[0], min(target[1], other[1]), other[2] + _APART, max(target[3], other[3]))
    width, height = size
    squeeze = rng.uniform(0.78, 0.92) if back else rng.uniform(0.95, 1.05)
    scale, middle = _framing(rng, picture, target, size, shop)
    tilt = rng.uniform(-0.8, 0.8) if shop else rng.uniform(-4.0, 4.0)
    if picture.laid:
        tilt *= 4.5
    angle = math.radians(tilt)
    cos, sin = math.cos(angle), math.sin(angle)
    centre = (
        width * (0.5 + rng.uniform(-0.04, 0.04) * (1 if shop else 1.6)),
        height * (0.5 + rng.uniform(-0.02, 0.02)),
    )
    figures = []
    for k, pose in enumerate(poses):
        # The camera looks at ``middle``: turned, squeezed, enlarged, then moved to the middle of the picture.
        a, b, d, e = scale * squeeze * cos, -scale * sin, scale * squeeze * sin, scale * cos
        fx, fy = middle[0] - k * _APART, middle[1]
        camera = Affine(a, b, centre[0] - a * fx - b * fy, d, e, centre[1] - d * fx - e * fy)
        figures.append(pose.seen_by(camera))
    floor_y = figures[0].camera((0.0, 0.900))[1]
    return figures, floor_y


def _framing(
    rng: random.Random, picture: Picture, target: Box, size: tuple[int, int], shop: bool
) -> tuple[float, Point]:
    """Return pixels per body height and the body-frame point in the middle of the picture."""
    width, height = size
    across, down = target[2] - target[0], target[3] - target[1]
    middle = ((target[0] + target[2]) / 2, (target[1] + target[3]) / 2)
    weights = (34, 6, 40, 12, 8) if shop else (30, 12, 28, 18, 12)
    mode = rng.choices(("full", "far", "item", "cropped", "close"), weights)[0]
    if picture.laid and mode in ("full", "far"):
        mode = "item"
    if mode in ("full", "far"):
        share = rng.uniform(0.80, 0.91) if mode == "full" else rng.uniform(0.48, 0.64)
        group = 0.52 + (len(picture.outfits) - 1) * _APART
        scale = min(height * share, width / group)
        below = 0.5 if mode == "full" else rng.uniform(0.44, 0.56)
        return scale, ((len(picture.outfits) - 1) * _APART / 2, below)
    fit = min(width / across, height / down)
    if mode == "item":
        scale = fit * rng.uniform(0.66, 0.92)
    elif mode == "cropped":
        scale = fit * rng.uniform(1.05, 1.30)
    else:
        scale = fit * rng.uniform(1.5, 2.1)
        reach = 0.22
        middle = (
            middle[0] + rng.uniform(-reach, reach) * across,
            middle[1] + rng.uniform(-reach, reach) * down,
        )
    return min(scale, 2100.0), middle


def _extent(pose: Figure, worn: Worn) -> Box:
    """Return the bounds of a garment on a body, in the body frame."""
    category_id = worn.garment.category_id
    template = template_of(category_id)
    points = cut_points(category_id, worn.garment.cut)
    return bounds([pose.place(template, key, point) for key, point in points.items()])


def _amateur(rng: random.Random, image: Image.Image) -> Image.Image:
    """Return the picture as a phone takes it: uneven light, a colour cast, grain, sometimes unsharp."""
    if rng.random() < 0.18:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.4, 0.9)))
    exposure = rng.uniform(0.84, 1.08)
    warmth = rng.uniform(-0.06, 0.06)
    table: list[int] = []
    for gain in (1 + warmth, 1.0, 1 - warmth):
        table += [min(255, round(v * exposure * gain)) for v in range(256)]
    image = image.point(table)
    if rng.random() < 0.6:
        # Light falls in from one side.
        ramp = (
            Image.linear_gradient("L")
            .rotate(rng.choice((90, 270, 0)))
            .point([round(208 + v * 47 / 255) for v in range(256)])
        )
        side = ramp.resize(image.size, Image.Resampling.BILINEAR)
        image = ImageChops.multiply(image, Image.merge("RGB", (side, side, side)))
    grain = Image.frombytes("L", image.size, rng.randbytes(image.width * image.height))
    return Image.blend(image, Image.merge("RGB", (grain, grain, grain)), rng.uniform(0.012, 0.03))
