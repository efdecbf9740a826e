"""Drawing of a photo: pose, camera, background and light, and the order of the layers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from PIL import Image, ImageChops, ImageFilter

from registry.sample import backgrounds
from registry.sample.canvas import Canvas, Layer
from registry.sample.categories import BOTTOMS, LONG_SLEEVED, OUTWEAR, SKIRT, TOPS
from registry.sample.garments import Wardrobe, draw_garment, draw_inside, front_rings, keys_inside
from registry.sample.geometry import Affine, Box, Point, bounds
from registry.sample.identities import PhotoPlan, StyledGarment
from registry.sample.people import draw_over_clothes, draw_person, pick_person, silhouette
from registry.sample.pose import Cut, Figure, Outline, cut_points
from registry.sample.templates import Key, template_of

#: Widths and heights of photos, in px.
_SIZES: Final = (
    (360, 480), (375, 500), (384, 512), (400, 533), (400, 600), (420, 560), (400, 500), (350, 500),
)  # fmt: skip
_IDENTITY: Final = Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
#: Distance between two figures side by side, in body heights.
_APART: Final = 0.46


@dataclass(frozen=True, slots=True)
class DrawnGarment:
    """A garment in a photo.

    Attributes:
        styled: garment and style.
        outline: position in the photo.
        depth: index of its front in the layers of the photo.
        inside_depth: index of the layer with its inside behind the neck.
    """

    styled: StyledGarment
    outline: Outline
    depth: int
    inside_depth: int

    def is_hidden(self, layers: Sequence[Layer], key: Key, point: Point) -> bool:
        """Return whether a later layer covers the landmark ``key`` at ``point``."""
        depth = self.inside_depth if key in keys_inside(self.outline) else self.depth
        return any(layer.covers(point) for layer in layers[depth + 1 :])


@dataclass(frozen=True, slots=True)
class Photo:
    """A drawn photo.

    Attributes:
        image: the pixels.
        garments: its garments by figure; the product is the first of each figure.
        layers: the pixels that each shape covers, in drawing order.
    """

    image: Image.Image
    garments: tuple[DrawnGarment, ...]
    layers: tuple[Layer, ...]


def take_photo(plan: PhotoPlan, wardrobe: Wardrobe) -> Photo:
    """Draw a photo; the same plan gives the same pixels.

    Args:
        plan: photo to draw.
        wardrobe: cache of textures.
    """
    rng = random.Random(plan.seed)
    size = rng.choice(_SIZES)
    figures, floor_y = _pose_and_frame(rng, plan, size)
    on_hanger = not plan.is_worn and rng.random() < 0.45 and _product(plan) not in BOTTOMS
    shop = plan.source == "shop"
    canvas = Canvas(_background(rng, plan, size, floor_y, on_hanger))
    garments: list[DrawnGarment] = []
    for figure, outfit in zip(figures, plan.outfits, strict=True):
        garments += _draw_outfit(rng, canvas, figure, outfit, wardrobe, shop, on_hanger)
    image = canvas.image if shop else _user_photo(rng, canvas.image)
    return Photo(image, tuple(garments), tuple(canvas.layers))


def _product(plan: PhotoPlan) -> int:
    """Return the category id of the product."""
    return plan.outfits[0][0].garment.category_id


def _background(
    rng: random.Random, plan: PhotoPlan, size: tuple[int, int], floor_y: float, on_hanger: bool
) -> Image.Image:
    """Return the background of a photo; behind a hanger no floor is visible."""
    shop = plan.source == "shop"
    if not plan.is_worn and not on_hanger:
        return backgrounds.surface(rng, size, shop)
    if shop:
        return backgrounds.studio(rng, size, size[1] * 2.0 if on_hanger else floor_y)
    scene = rng.choice(("room", "brick", "fitting") if on_hanger else backgrounds.USER_SCENES)
    return backgrounds.surroundings(rng, scene, size, size[1] * 1.1 if on_hanger else floor_y)


def _draw_outfit(
    rng: random.Random, canvas: Canvas, figure: Figure, outfit: tuple[StyledGarment, ...], wardrobe: Wardrobe,
    shop: bool, on_hanger: bool,
) -> list[DrawnGarment]:  # fmt: skip
    """Draw a figure in its outfit: shadow, insides of garments, person, garments, then hair and bag in front."""
    has_jacket = any(styled.garment.category_id in OUTWEAR for styled in outfit)
    has_bottom = any(styled.garment.category_id in BOTTOMS for styled in outfit)
    tucked = figure.is_worn and has_bottom and rng.random() < 0.35
    # Garments of an outfit may be equal, so they are told apart by id.
    outlines = {
        id(styled): Outline(styled.garment.category_id, _cut_as_worn(styled, has_jacket, tucked), figure)
        for styled in outfit
    }
    person = pick_person(rng, shop)
    _draw_shadow(canvas, figure, [ring for outline in outlines.values() for ring in front_rings(outline)], shop)
    if on_hanger:
        _draw_hanger(canvas, figure)
    inside_depths: dict[int, int] = {}
    for styled in outfit:
        if draw_inside(canvas, outlines[id(styled)], styled.garment):
            inside_depths[id(styled)] = len(canvas.layers) - 1
    if figure.is_worn:
        draw_person(canvas, figure, person)
    depths: dict[int, int] = {}
    for styled in sorted(outfit, key=lambda styled: _dressing_order(styled, tucked)):
        draw_garment(canvas, outlines[id(styled)], styled.garment, wardrobe)
        depths[id(styled)] = len(canvas.layers) - 1
    if figure.is_worn:
        draw_over_clothes(canvas, figure, person)
    else:
        # Without a person, only the front of the garment itself is before its inside.
        inside_depths = depths
    return [
        DrawnGarment(
            styled, outlines[id(styled)], depths[id(styled)], inside_depths.get(id(styled), depths[id(styled)])
        )
        for styled in outfit
    ]


def _draw_shadow(canvas: Canvas, figure: Figure, rings: list[list[Point]], shop: bool) -> None:
    """Draw the shadow of a person on wall and floor, or of clothes on the surface behind them.

    Args:
        canvas: photo to draw on.
        figure: figure in the clothes.
        rings: outlines of the clothes, in px.
        shop: shop photos have lighter shadows.
    """
    unit = figure.scale
    if not figure.is_worn:
        canvas.shadow(rings, (unit * 0.010, unit * 0.014), unit * 0.016, 80)
        return
    shapes = [*silhouette(figure), *rings]
    canvas.shadow(shapes, (unit * 0.045, unit * 0.012), unit * 0.035, 34 if shop else 52)
    x, y = figure.body((0.0, 0.990))
    w, h = unit * 0.13, unit * 0.016
    ellipse = [(x + w * math.cos(k * math.tau / 16), y + h * math.sin(k * math.tau / 16)) for k in range(16)]
    canvas.shadow([ellipse], (0.0, 0.0), unit * 0.014, 110)


def _cut_as_worn(styled: StyledGarment, has_jacket: bool, tucked: bool) -> Cut:
    """Return the cut for drawing: narrower under a jacket, shorter and narrower for a tucked top."""
    cut = styled.garment.cut
    if tucked and styled.garment.category_id in TOPS:
        cut = replace(cut, length=min(cut.length, 0.66), flare=-0.10, ease=min(cut.ease, 0.0))
    if has_jacket and styled.garment.category_id not in OUTWEAR | BOTTOMS:
        return replace(cut, ease=min(cut.ease, -0.09), sleeve=min(cut.sleeve, 1.0))
    return cut


def _dressing_order(styled: StyledGarment, tucked: bool) -> int:
    """Return the drawing order of a garment: bottoms first (after a tucked top), jackets last."""
    category_id = styled.garment.category_id
    if category_id in OUTWEAR:
        return 3
    if category_id in BOTTOMS:
        return 2 if tucked else 0
    return 1


def _draw_hanger(canvas: Canvas, figure: Figure) -> None:
    """Draw a coat hanger at the shoulders of the figure."""
    wood = (190, 144, 96)
    bar = [
        (-0.092, 0.196), (-0.045, 0.166), (0.0, 0.148), (0.045, 0.166),
        (0.092, 0.196), (0.090, 0.207), (0.0, 0.163), (-0.090, 0.207),
    ]  # fmt: skip
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


def _arm_angles(rng: random.Random, is_worn: bool, may_raise: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the angles of the two upper arms and of the two forearms, in radians from straight down."""
    if not is_worn:
        spread = math.radians(rng.uniform(26, 62))
        bend = math.radians(rng.uniform(-14, 6))
        return (spread, spread), (spread + bend, spread + bend)
    uppers, fores = [], []
    for _ in (0, 1):
        kind = rng.choices(("hang", "hip", "out", "raise"), (62, 20, 12, 6 if may_raise else 0))[0]
        upper, fore = {
            "hang": (rng.uniform(21, 29), rng.uniform(10, 26)),
            "hip": (rng.uniform(44, 50), rng.uniform(-46, -36)),
            "out": (rng.uniform(32, 44), rng.uniform(24, 44)),
            "raise": (rng.uniform(42, 52), rng.uniform(120, 140)),
        }[kind]
        uppers.append(math.radians(upper))
        fores.append(math.radians(fore))
    return (uppers[0], uppers[1]), (fores[0], fores[1])


def _pose_and_frame(rng: random.Random, plan: PhotoPlan, size: tuple[int, int]) -> tuple[list[Figure], float]:
    """Return the posed figures with their cameras, and the y of the floor's far edge in the photo (px)."""
    poses = _poses(rng, plan)
    target = _extent(poses[0], plan.outfits[0][0])
    if len(poses) > 1:
        # Figures stand side by side at a distance of _APART.
        second = _extent(poses[1], plan.outfits[1][0])
        target = (target[0], min(target[1], second[1]), second[2] + _APART, max(target[3], second[3]))
    shop = plan.source == "shop"
    width, height = size
    squeeze = rng.uniform(0.78, 0.92) if poses[0].is_back_view else rng.uniform(0.95, 1.05)
    scale, middle = _framing(rng, plan, target, size)
    tilt = rng.uniform(-0.8, 0.8) if shop else rng.uniform(-4.0, 4.0)
    if not plan.is_worn:
        tilt *= 4.5
    angle = math.radians(tilt)
    cos, sin = math.cos(angle), math.sin(angle)
    centre = (
        width * (0.5 + rng.uniform(-0.04, 0.04) * (1 if shop else 1.6)),
        height * (0.5 + rng.uniform(-0.02, 0.02)),
    )
    figures = []
    for k, pose in enumerate(poses):
        # The camera rotates, squeezes and enlarges the figure, and moves ``middle`` to the centre of the photo.
        a, b, d, e = scale * squeeze * cos, -scale * sin, scale * squeeze * sin, scale * cos
        fx, fy = middle[0] - k * _APART, middle[1]
        camera = Affine(a, b, centre[0] - a * fx - b * fy, d, e, centre[1] - d * fx - e * fy)
        figures.append(pose.seen_by(camera))
    floor_y = figures[0].camera((0.0, 0.900))[1]
    return figures, floor_y


def _poses(rng: random.Random, plan: PhotoPlan) -> list[Figure]:
    """Return a random pose for each outfit, in the body frame."""
    is_back_view = plan.is_worn and rng.random() < 0.11
    has_long_sleeves = any(w.garment.category_id in LONG_SLEEVED for outfit in plan.outfits for w in outfit)
    stances = (0.0, 0.012) if _product(plan) == SKIRT else (0.004, 0.030)
    poses = []
    for _ in plan.outfits:
        upper, fore = _arm_angles(rng, plan.is_worn, may_raise=not has_long_sleeves)
        stance = rng.uniform(*stances)
        sway = rng.uniform(-0.010, 0.010) if plan.is_worn else 0.0
        poses.append(Figure(_IDENTITY, upper, fore, stance, sway, is_back_view, plan.is_worn))
    return poses


def _framing(rng: random.Random, plan: PhotoPlan, target: Box, size: tuple[int, int]) -> tuple[float, Point]:
    """Return the scale (px per body height) and the body-frame point in the middle of the photo.

    Args:
        rng: random generator of the photo.
        plan: photo to draw.
        target: bounds of the products in the body frame.
        size: width and height of the photo.
    """
    width, height = size
    target_width, target_height = target[2] - target[0], target[3] - target[1]
    middle = ((target[0] + target[2]) / 2, (target[1] + target[3]) / 2)
    weights = (34, 6, 40, 12, 8) if plan.source == "shop" else (30, 12, 28, 18, 12)
    mode = rng.choices(("full", "far", "item", "cropped", "close"), weights)[0]
    if not plan.is_worn and mode in ("full", "far"):
        mode = "item"
    if mode in ("full", "far"):
        share = rng.uniform(0.80, 0.91) if mode == "full" else rng.uniform(0.48, 0.64)
        between = (len(plan.outfits) - 1) * _APART  # from the first to the last figure
        scale = min(height * share, width / (0.52 + between))
        middle_y = 0.5 if mode == "full" else rng.uniform(0.44, 0.56)
        return scale, (between / 2, middle_y)
    fit = min(width / target_width, height / target_height)
    if mode == "item":
        scale = fit * rng.uniform(0.66, 0.92)
    elif mode == "cropped":
        scale = fit * rng.uniform(1.05, 1.30)
    else:
        scale = fit * rng.uniform(1.5, 2.1)
        max_shift = 0.22
        middle = (
            middle[0] + rng.uniform(-max_shift, max_shift) * target_width,
            middle[1] + rng.uniform(-max_shift, max_shift) * target_height,
        )
    return min(scale, 2100.0), middle


def _extent(pose: Figure, styled: StyledGarment) -> Box:
    """Return the bounds of a garment on a posed figure, in the body frame."""
    category_id = styled.garment.category_id
    template = template_of(category_id)
    points = cut_points(category_id, styled.garment.cut)
    return bounds([pose.place(template, key, point) for key, point in points.items()])


def _user_photo(rng: random.Random, image: Image.Image) -> Image.Image:
    """Return the image with the flaws of a phone photo: uneven light, colour cast, grain, sometimes blur."""
    if rng.random() < 0.18:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.4, 0.9)))
    exposure = rng.uniform(0.84, 1.08)
    warmth = rng.uniform(-0.06, 0.06)
    table: list[int] = []
    for gain in (1 + warmth, 1.0, 1 - warmth):
        table += [min(255, round(v * exposure * gain)) for v in range(256)]
    image = image.point(table)
    if rng.random() < 0.6:
        # Light from one side.
        ramp = (
            Image.linear_gradient("L")
            .rotate(rng.choice((90, 270, 0)))
            .point([round(208 + v * 47 / 255) for v in range(256)])
        )
        side = ramp.resize(image.size, Image.Resampling.BILINEAR)
        image = ImageChops.multiply(image, Image.merge("RGB", (side, side, side)))
    grain = Image.frombytes("L", image.size, rng.randbytes(image.width * image.height))
    return Image.blend(image, Image.merge("RGB", (grain, grain, grain)), rng.uniform(0.012, 0.03))
