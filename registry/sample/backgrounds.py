"""Backgrounds of photos: studios, rooms, streets, parks, floors and beds.

Backgrounds are drawn at half size and enlarged, which is fast and blurs them a little.
"""

from __future__ import annotations

import random
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from registry.sample.fabrics import Color, shade
from registry.sample.furniture import FLOORS, GREENS, WALLS, furnish, vertical_ramp

_STUDIOS: Final[tuple[Color, ...]] = (
    (246, 246, 246), (242, 240, 236), (238, 240, 243), (245, 238, 232), (236, 240, 236), (250, 250, 250),
)  # fmt: skip

_HOUSES: Final[tuple[Color, ...]] = (
    (196, 170, 150), (176, 180, 186), (206, 190, 160), (160, 124, 108), (148, 156, 166), (214, 206, 196),
)  # fmt: skip
#: Scenes of user photos; a repeated name is drawn more often.
USER_SCENES: Final = ("room", "room", "mirror", "street", "park", "fitting", "brick")


def studio(rng: random.Random, size: tuple[int, int], floor_y: float) -> Image.Image:
    """Return the light background of a shop photo, with a faint floor from ``floor_y`` (px) down."""
    width, height = size[0] // 2, size[1] // 2
    color = rng.choice(_STUDIOS)
    image = vertical_ramp(shade(color, 1.0), shade(color, 0.955), (width, height))
    edge = round(floor_y / 2)
    if edge < height and rng.random() < 0.75:
        image.paste(vertical_ramp(shade(color, 0.915), shade(color, 0.975), (width, height - edge)), (0, edge))
        image = image.filter(ImageFilter.BoxBlur(5))
    return image.resize(size, Image.Resampling.BILINEAR)


def surroundings(rng: random.Random, scene: str, size: tuple[int, int], floor_y: float) -> Image.Image:
    """Return the background of a user photo.

    Args:
        rng: random generator of the photo.
        scene: one of `USER_SCENES`.
        size: width and height of the photo.
        floor_y: y of the line between wall and floor, in px; may be outside the photo.
    """
    width, height = size[0] // 2, size[1] // 2
    image = Image.new("RGB", (width, height), (200, 200, 200))
    edge = round(floor_y / 2)
    painter = {
        "room": _room, "mirror": _mirror, "street": _street, "park": _park, "fitting": _fitting,
        "brick": _brick,
    }[scene]  # fmt: skip
    painter(rng, image, edge)
    image = image.filter(ImageFilter.BoxBlur(1.6 if scene in ("street", "park") else 0.7))
    return image.resize(size, Image.Resampling.BILINEAR)


def surface(rng: random.Random, size: tuple[int, int], shop: bool) -> Image.Image:
    """Return the background of clothes laid flat: a table, floorboards, a bed or a rug."""
    width, height = size[0] // 2, size[1] // 2
    kind = rng.choice(("plain", "plain", "boards")) if shop else rng.choice(("boards", "bed", "rug", "bed"))
    if kind == "plain":
        color = rng.choice(_STUDIOS)
        return vertical_ramp(color, shade(color, 0.96), size)
    if kind == "boards":
        image = Image.new("RGB", (width, height))
        color = shade(rng.choice(FLOORS), 1.5 if shop else 1.1)
        _boards(rng, image, color)
    elif kind == "bed":
        color = rng.choice(((232, 230, 232), (214, 222, 230), (236, 224, 216), (206, 200, 212), (226, 230, 214)))
        # Wrinkles: 45 random values, enlarged.
        wrinkles = Image.frombytes("L", (5, 9), rng.randbytes(45)).rotate(rng.choice((0, 90)), expand=True)
        wrinkles = wrinkles.resize((width, height), Image.Resampling.BICUBIC)
        image = Image.new("RGB", (width, height), shade(color, 0.88))
        image.paste(shade(color, 1.3), (0, 0), wrinkles)
    else:
        color = rng.choice(((170, 120, 104), (120, 134, 150), (190, 170, 140), (130, 120, 130)))
        image = Image.new("RGB", (width, height), color)
        draw = ImageDraw.Draw(image)
        for y in range(-8, height, 5):
            draw.line((0, y, width, y + 3), fill=shade(color, rng.choice((0.9, 1.08, 0.96))), width=2)
        border = rng.randint(8, 18)
        draw.rectangle((border, border, width - border, height - border), outline=shade(color, 0.7), width=4)
        image = image.filter(ImageFilter.BoxBlur(0.8))
    return image.resize(size, Image.Resampling.BILINEAR)


def _boards(rng: random.Random, image: Image.Image, color: Color) -> None:
    draw = ImageDraw.Draw(image)
    pitch = rng.randint(24, 40)
    for x in range(-rng.randint(0, pitch), image.width, pitch):
        tone = shade(color, rng.uniform(0.90, 1.04))
        draw.rectangle((x, 0, x + pitch, image.height), fill=tone)
        for _ in range(3):
            grain = x + rng.uniform(2, pitch - 2)
            draw.line((grain, 0, grain + rng.uniform(-4, 4), image.height), fill=shade(tone, 0.95))
        joint = rng.randint(0, image.height)
        draw.line((x, joint, x + pitch, joint), fill=shade(color, 0.70))
        draw.line((x, 0, x, image.height), fill=shade(color, 0.70))


def _floor(rng: random.Random, image: Image.Image, edge: int, color: Color) -> None:
    """Draw floorboards in perspective below ``edge`` (px)."""
    if edge >= image.height:
        return
    draw = ImageDraw.Draw(image)
    image.paste(vertical_ramp(shade(color, 0.86), color, (image.width, image.height - edge)), (0, edge))
    middle = image.width / 2 + rng.uniform(-40, 40)
    for k in range(-14, 15):
        x = middle + k * 17
        draw.line((x, edge, middle + (x - middle) * 2.6, image.height + 30), fill=shade(color, 0.78))


def _room(rng: random.Random, image: Image.Image, edge: int) -> None:
    width, height = image.size
    wall = rng.choice(WALLS)
    image.paste(vertical_ramp(shade(wall, 1.15), shade(wall, 0.93), (width, height)))
    draw = ImageDraw.Draw(image)
    floor = rng.choice(FLOORS)
    # Limits the size of the furniture in close-ups, which show little wall.
    furnish(rng, image, max(90, min(edge, height + 60)))
    _floor(rng, image, edge, floor)
    if edge < height:
        draw.rectangle((0, edge - 7, width, edge), fill=shade(wall, 1.5))
        draw.line((0, edge, width, edge), fill=shade(floor, 0.6))


def _mirror(rng: random.Random, image: Image.Image, edge: int) -> None:
    _room(rng, image, edge)
    width, height = image.size
    inset = round(width * rng.uniform(0.07, 0.12))
    glass = image.crop((inset, 0, width - inset, height)).point(
        [min(255, round(v * 0.93 + 16)) for v in range(256)] * 3
    )
    wall = rng.choice(WALLS)
    image.paste(shade(wall, 0.9), (0, 0, width, height))
    draw = ImageDraw.Draw(image)
    frame = rng.choice(((64, 52, 46), (206, 170, 108), (240, 238, 234), (40, 40, 44)))
    draw.rectangle((inset - 7, 8, width - inset + 7, height + 20), fill=frame)
    draw.rectangle((inset - 3, 12, width - inset + 3, height + 20), fill=shade(frame, 0.75))
    image.paste(glass.crop((0, 15, glass.width, height)), (inset, 15))


def _street(rng: random.Random, image: Image.Image, edge: int) -> None:
    width, height = image.size
    image.paste(vertical_ramp((166, 198, 226), (228, 234, 236), (width, height)))
    draw = ImageDraw.Draw(image)
    base = min(edge, height + 40)
    x = -rng.randint(0, 30)
    while x < width:
        house_width = rng.randint(44, 84)
        _draw_house(rng, draw, x, house_width, base)
        x += house_width
    pavement = rng.choice(((186, 182, 176), (164, 162, 162), (196, 186, 172)))
    if edge < height:
        _draw_pavement(image, edge, pavement)
    if rng.random() < 0.5:
        _tree(rng, draw, rng.choice((0.06, 0.94)) * width, base, height * 0.6)


def _draw_house(rng: random.Random, draw: ImageDraw.ImageDraw, x: int, width: int, base: int) -> None:
    """Draw a house front with a shop: ``x`` is its left side and ``base`` the y of the street."""
    top = rng.uniform(-0.2, 0.35) * base
    tone = rng.choice(_HOUSES)
    draw.rectangle((x, top, x + width, base), fill=tone)
    draw.rectangle((x + width - 5, top, x + width, base), fill=shade(tone, 0.88))
    pane = rng.choice(((92, 112, 132), (70, 82, 96), (150, 172, 188), (232, 208, 150)))
    y = top + 10
    while y < base - 44:
        for pane_x in range(x + 7, x + width - 14, 18):
            draw.rectangle((pane_x, y, pane_x + 10, y + 14), fill=pane if rng.random() < 0.85 else (236, 216, 160))
        y += 26
    awning = rng.choice(((178, 62, 58), (58, 104, 92), (48, 66, 108), (206, 160, 70)))
    draw.rectangle((x + 4, base - 34, x + width - 6, base), fill=(66, 70, 78))
    upper_edge = ((x + 4, base - 38), (x + width - 6, base - 38))
    draw.polygon((*upper_edge, (x + width - 2, base - 27), (x, base - 27)), fill=awning)


def _draw_pavement(image: Image.Image, edge: int, color: Color) -> None:
    """Draw paving stones in perspective below ``edge`` (px)."""
    width, height = image.size
    image.paste(vertical_ramp(shade(color, 0.9), shade(color, 1.06), (width, height - edge)), (0, edge))
    draw = ImageDraw.Draw(image)
    middle = width / 2
    for k in range(-8, 9):
        draw.line((middle + k * 30, edge, middle + k * 80, height + 20), fill=shade(color, 0.86))
    y, gap = float(edge), 7.0
    while y < height:
        draw.line((0, y, width, y), fill=shade(color, 0.86))
        y, gap = y + gap, gap * 1.5


def _tree(rng: random.Random, draw: ImageDraw.ImageDraw, x: float, base: float, size: float) -> None:
    draw.rectangle((x - 4, base - size * 0.6, x + 4, base), fill=(104, 80, 62))
    green = rng.choice(GREENS)
    for _ in range(16):
        r = size * rng.uniform(0.08, 0.15)
        cx, cy = x + rng.uniform(-0.2, 0.2) * size, base - size * rng.uniform(0.5, 0.95)
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=shade(green, rng.uniform(0.82, 1.2)))


def _park(rng: random.Random, image: Image.Image, edge: int) -> None:
    width, height = image.size
    image.paste(vertical_ramp((190, 216, 236), (236, 240, 224), (width, height)))
    draw = ImageDraw.Draw(image)
    base = min(edge, height + 40)
    for _ in range(4):
        _tree(rng, draw, rng.uniform(-0.1, 1.1) * width, base, base * rng.uniform(0.7, 1.15))
    hedge = rng.choice(GREENS)
    for k in range(int(width / 9) + 2):
        r = rng.uniform(10, 17)
        draw.ellipse((k * 9 - r, base - 10 - r, k * 9 + r, base - 10 + r), fill=shade(hedge, rng.uniform(0.85, 1.12)))
    if edge < height:
        grass = rng.choice(((130, 164, 90), (150, 176, 108), (118, 150, 84)))
        image.paste(vertical_ramp(shade(grass, 0.92), shade(grass, 1.12), (width, height - edge)), (0, edge))
        path = (214, 200, 174)
        path_x = width * rng.uniform(0.15, 0.45)
        far_edge = ((path_x, edge), (path_x + width * 0.3, edge))
        near_edge = ((path_x + width * 0.8, height), (path_x - width * 0.4, height))
        draw.polygon((*far_edge, *near_edge), fill=path)


def _fitting(rng: random.Random, image: Image.Image, edge: int) -> None:
    width, height = image.size
    tone = rng.choice(((150, 52, 58), (88, 98, 120), (196, 178, 152), (74, 92, 84), (190, 150, 146)))
    draw = ImageDraw.Draw(image)
    x, k = 0.0, 0
    while x < width:
        fold = rng.uniform(9, 15)
        draw.rectangle((x, 0, x + fold, height), fill=shade(tone, (0.78, 0.94, 1.08, 0.9)[k % 4]))
        x, k = x + fold, k + 1
    soft = image.filter(ImageFilter.BoxBlur(3))
    image.paste(soft)
    draw.rectangle((0, 8, width, 13), fill=(200, 200, 204))
    _floor(rng, image, edge, rng.choice(FLOORS))


def _brick(rng: random.Random, image: Image.Image, edge: int) -> None:
    width, height = image.size
    tone = rng.choice(((168, 96, 78), (212, 206, 198), (140, 128, 122), (186, 132, 104)))
    image.paste(shade(tone, 0.82), (0, 0, width, height))
    draw = ImageDraw.Draw(image)
    for row in range(int(height / 9) + 1):
        for column in range(-1, int(width / 22) + 1):
            x, y = column * 22 + (11 if row % 2 else 0), row * 9
            draw.rectangle((x, y, x + 20, y + 7), fill=shade(tone, rng.uniform(0.93, 1.08)))
    _floor(rng, image, edge, (150, 148, 146))
