"""Furniture of rooms, and colours of walls, floors and plants."""

from __future__ import annotations

import random
from typing import Final

from PIL import Image, ImageDraw

from registry.sample.fabrics import Color, shade

WALLS: Final[tuple[Color, ...]] = (
    (226, 220, 210), (206, 214, 214), (232, 214, 200), (196, 206, 190), (214, 208, 224), (240, 232, 216),
    (178, 192, 204), (222, 198, 186), (204, 196, 184), (150, 164, 160),
)  # fmt: skip
FLOORS: Final[tuple[Color, ...]] = (
    (176, 136, 98),
    (142, 104, 74),
    (198, 170, 136),
    (158, 152, 146),
    (208, 200, 190),
)
GREENS: Final[tuple[Color, ...]] = ((74, 116, 66), (96, 138, 76), (56, 96, 62), (128, 156, 84))


def vertical_ramp(top: Color, bottom: Color, size: tuple[int, int]) -> Image.Image:
    """Return a vertical colour gradient of the given width and height."""
    column = Image.new("RGB", (1, 2))
    column.putpixel((0, 0), top)
    column.putpixel((0, 1), bottom)
    # Enlarged to twice the height, the two pixels blend over the middle half only: crop that half.
    tall = column.resize((1, size[1] * 2), Image.Resampling.BILINEAR)
    return tall.crop((0, size[1] // 2, 1, size[1] // 2 + size[1])).resize(size)


def furnish(rng: random.Random, image: Image.Image, base: int) -> None:
    """Draw three pieces of furniture, left, right and behind the person; ``base`` is the y of the wall's lower end."""
    slots = (rng.uniform(-0.05, 0.10), rng.uniform(0.62, 0.78), rng.uniform(0.30, 0.45))
    for draw_piece, slot in zip(rng.sample(_PIECES, 3), slots, strict=True):
        draw_piece(rng, image, slot * image.width, base)


def _window(rng: random.Random, image: Image.Image, x: float, base: int) -> None:
    del rng
    draw = ImageDraw.Draw(image)
    white = (248, 247, 244)
    top, right, bottom = base * 0.10, x + image.width * 0.34, base * 0.52
    draw.rectangle((x - 5, top - 5, right + 5, bottom + 5), fill=white)
    size = (round(right - x), round(bottom - top))
    image.paste(vertical_ramp((206, 228, 244), (232, 240, 238), size), (round(x), round(top)))
    draw.line(((x + right) / 2, top, (x + right) / 2, bottom), fill=white, width=4)
    draw.line((x, (top + bottom) / 2, right, (top + bottom) / 2), fill=white, width=3)


def _door(rng: random.Random, image: Image.Image, x: float, base: int) -> None:
    draw = ImageDraw.Draw(image)
    tone = rng.choice(((242, 240, 234), (164, 122, 86), (120, 136, 140)))
    right = x + image.width * 0.34
    draw.rectangle((x - 4, base * 0.08, right + 4, base), fill=shade(tone, 0.82))
    draw.rectangle((x, base * 0.10, right, base), fill=tone)
    for top, bottom in ((0.15, 0.46), (0.54, 0.92)):
        draw.rectangle((x + 12, base * top, right - 12, base * bottom), outline=shade(tone, 0.8), width=2)
    draw.ellipse((x + 4, base * 0.52, x + 11, base * 0.52 + 7), fill=(206, 176, 108))


def _picture(rng: random.Random, image: Image.Image, x: float, base: int) -> None:
    draw = ImageDraw.Draw(image)
    tone = rng.choice(((206, 120, 92), (92, 132, 150), (196, 160, 84), (120, 146, 106)))
    x1, y1, x2, y2 = x + 3, base * 0.14 + 3, x + image.width * 0.22 - 3, base * 0.38 - 3
    draw.rectangle((x1 - 3, y1 - 3, x2 + 3, y2 + 3), fill=(70, 60, 54))
    draw.rectangle((x1, y1, x2, y2), fill=(240, 236, 226))
    draw.ellipse((x1 + 6, y1 + 8, x2 - 6, y1 + 8 + (x2 - x1 - 12)), fill=tone)
    draw.rectangle((x1 + 3, y2 - 16, x2 - 3, y2 - 3), fill=shade(tone, 0.7))


def _pot_plant(rng: random.Random, image: Image.Image, x: float, base: int) -> None:
    _plant(rng, ImageDraw.Draw(image), x + image.width * 0.12, base + 6, base * 0.46)


def _shelf(rng: random.Random, image: Image.Image, x: float, base: int) -> None:
    draw = ImageDraw.Draw(image)
    for level in (0.22, 0.40):
        y = base * level
        draw.rectangle((x, y, x + image.width * 0.30, y + 4), fill=(150, 110, 78))
        book_x = x + 3
        while book_x < x + image.width * 0.28:
            width, height = rng.randint(4, 8), rng.randint(16, 30)
            draw.rectangle((book_x, y - height, book_x + width, y), fill=rng.choice(WALLS + GREENS + FLOORS))
            book_x += width + 1


def _curtain(rng: random.Random, image: Image.Image, x: float, base: int) -> None:
    draw = ImageDraw.Draw(image)
    tone = rng.choice(((226, 212, 192), (170, 184, 196), (206, 170, 160)))
    fold = image.width * 0.03
    for k in range(9):
        fold_x = x + k * fold
        draw.rectangle((fold_x, 0, fold_x + fold, base), fill=shade(tone, (0.86, 0.97, 1.05)[k % 3]))


def _lamp(rng: random.Random, image: Image.Image, x: float, base: int) -> None:
    del rng
    draw = ImageDraw.Draw(image)
    draw.line((x + 20, base * 0.36, x + 20, base), fill=(90, 84, 80), width=3)
    draw.ellipse((x + 4, base - 4, x + 36, base + 3), fill=(90, 84, 80))
    top, bottom = base * 0.24, base * 0.37
    draw.polygon(((x + 8, top), (x + 32, top), (x + 40, bottom), (x, bottom)), fill=(250, 232, 190))


def _plant(rng: random.Random, draw: ImageDraw.ImageDraw, x: float, y: float, height: float) -> None:
    green = rng.choice(GREENS)
    pot = rng.choice(((188, 108, 78), (236, 232, 226), (90, 96, 104)))
    top = y - height * 0.24
    for k in range(11):
        reach = (k - 5) / 5 * height * 0.30
        tip = (x + reach, top - height * rng.uniform(0.40, 0.74) * (1 - abs(k - 5) / 11))
        middle = ((x + tip[0]) / 2, (top + tip[1]) / 2)
        w = height * 0.035
        draw.polygon(
            ((x, top + 3), (middle[0] - w, middle[1]), tip, (middle[0] + w, middle[1] + w)),
            fill=shade(green, rng.uniform(0.8, 1.15)),
        )
    w = height * 0.13
    draw.polygon(((x - w, top), (x + w, top), (x + w * 0.75, y), (x - w * 0.75, y)), fill=pot)
    draw.rectangle((x - w * 1.08, top - 2, x + w * 1.08, top + height * 0.04), fill=shade(pot, 0.88))


_PIECES: Final = (_window, _door, _picture, _pot_plant, _shelf, _curtain, _lamp)
