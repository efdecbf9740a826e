"""Folds in the fabric, and the frame of textures: where a body-frame point is in a texture."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeAlias

from PIL import Image, ImageDraw, ImageFilter

from registry.sample.categories import BOTTOMS, DRESSES, LEGWEAR, SKIRT
from registry.sample.geometry import Point

#: Draws a line: start and end in the body frame, brightness, width in px of the reduced texture.
_Stroke: TypeAlias = Callable[[Point, Point, int, int], None]

#: Texture pixels per body height.
DENSITY: Final = 640
#: A texture spans x from -HALF_WIDTH to HALF_WIDTH and begins at y = TOP, in body heights.
HALF_WIDTH: Final = 0.30
TOP: Final = 0.12


def texture_row(y: float) -> float:
    """Return the texture row of a body-frame y."""
    return (y - TOP) * DENSITY


def texture_column(x: float) -> float:
    """Return the texture column of a body-frame x."""
    return (x + HALF_WIDTH) * DENSITY


def draw_folds(seed: int, category_id: int, size: tuple[int, int]) -> Image.Image:
    """Return the light and shadow of folds as an 8-bit brightness to multiply a texture by.

    Args:
        seed: seed of the fabric.
        category_id: decides where the folds are.
        size: width and height of the texture.
    """
    rng = random.Random(f"folds:{seed}:{category_id}")
    folds = Image.new("L", (size[0] // 3, size[1] // 3), 236)
    draw = ImageDraw.Draw(folds)

    def stroke(start: Point, end: Point, tone: int, width: int) -> None:
        ends = [(texture_column(x) / 3, texture_row(y) / 3) for x, y in (start, end)]
        draw.line(ends, fill=tone, width=width)

    bottom = size[1] / DENSITY + TOP
    if category_id in DRESSES or category_id == SKIRT:
        _skirt_folds(rng, stroke, bottom)
    if category_id in LEGWEAR:
        _leg_folds(rng, stroke, bottom)
    if category_id not in BOTTOMS:
        _upper_body_folds(rng, stroke)
    folds = folds.filter(ImageFilter.BoxBlur(2)).filter(ImageFilter.BoxBlur(1.5))
    return folds.resize(size, Image.Resampling.BILINEAR)


def _skirt_folds(rng: random.Random, stroke: _Stroke, bottom: float) -> None:
    """Draw folds from the waist down to the body-frame height ``bottom``, spreading."""
    for k in range(-4, 5):
        x = (k + rng.uniform(-0.25, 0.25)) * 0.0145
        spread = 1.9 + rng.uniform(-0.2, 0.2)
        start = rng.uniform(0.41, 0.50)
        stroke((x * 1.2, start), (x * spread, bottom), rng.choice((196, 206, 214)), 3)
        stroke((x * 1.2 + 0.007, start + 0.02), (x * spread + 0.011, bottom), 255, 2)


def _leg_folds(rng: random.Random, stroke: _Stroke, bottom: float) -> None:
    """Draw folds at the crotch and the knees, and a crease down each leg to ``bottom``."""
    for side in (-1, 1):
        stroke((side * 0.004, 0.535), (side * 0.05, 0.515), 196, 2)
        stroke((side * 0.008, 0.550), (side * 0.055, 0.548), 206, 2)
        for _ in range(3):
            y = rng.uniform(0.68, 0.76)
            stroke((side * 0.03, y), (side * 0.07, y + rng.uniform(-0.012, 0.012)), 206, 2)
        stroke((side * 0.050, 0.45), (side * 0.048, bottom), 250, 4)


def _upper_body_folds(rng: random.Random, stroke: _Stroke) -> None:
    """Draw folds at armpits, waist and sleeves, and a few down the chest."""
    for side in (-1, 1):
        stroke((side * 0.082, 0.268), (side * 0.045, rng.uniform(0.285, 0.315)), 198, 3)
        stroke((side * 0.080, 0.385), (side * 0.030, rng.uniform(0.395, 0.420)), 206, 2)
        stroke((side * 0.078, 0.400), (side * 0.038, rng.uniform(0.420, 0.450)), 208, 2)
        # Folds across a sleeve: on the upper arm, at the elbow and above the cuff.
        for distance in (0.06, 0.15, 0.24):
            x, y = 0.088 + distance * 0.469, 0.2 + distance * 0.883
            stroke((side * (x - 0.03), y + 0.012), (side * (x + 0.012), y - 0.006), 204, 2)
    stroke((-0.02, 0.24), (-0.026, 0.36), 255, 5)
    for _ in range(3):
        x = rng.uniform(-0.06, 0.06)
        stroke((x, rng.uniform(0.30, 0.36)), (x * 1.25, 0.48), 212, 3)
