"""Fabrics: colours, patterns and folds, painted as flat textures in the body frame."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final, TypeAlias

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from registry.sample.categories import BOTTOMS, DRESSES, LEGWEAR, OUTWEAR, SKIRT
from registry.sample.folds import DENSITY, HALF_WIDTH, TOP, draw_folds, texture_column, texture_row

Color: TypeAlias = tuple[int, int, int]

PALETTE: Final[dict[str, Color]] = {
    "ivory": (241, 234, 220), "white": (246, 246, 244), "black": (38, 38, 43), "charcoal": (74, 77, 84),
    "grey": (160, 164, 168), "navy": (36, 51, 92), "cobalt": (42, 88, 178), "sky": (148, 190, 224),
    "teal": (24, 122, 126), "mint": (163, 214, 190), "emerald": (22, 118, 80), "olive": (112, 116, 66),
    "sage": (158, 174, 142), "mustard": (214, 162, 44), "lemon": (243, 218, 112), "coral": (236, 112, 94),
    "red": (190, 38, 48), "burgundy": (112, 28, 50), "blush": (238, 190, 190), "rose": (214, 98, 138),
    "lilac": (186, 168, 220), "plum": (98, 58, 112), "camel": (192, 148, 98), "chocolate": (92, 62, 46),
    "rust": (180, 84, 44), "sand": (220, 202, 172),
}  # fmt: skip
DENIMS: Final[tuple[Color, ...]] = (
    (52, 76, 118), (96, 130, 172), (36, 44, 66), (150, 178, 206), (70, 72, 80),
)  # fmt: skip
_LIGHT: Final = ("ivory", "white", "sand", "blush", "lemon", "sky", "mint")
_DARK: Final = ("black", "navy", "burgundy", "charcoal", "emerald", "plum", "chocolate")


@dataclass(frozen=True, slots=True)
class Fabric:
    """Colours and pattern of a garment; for the same category and cut, equal fabrics have equal textures.

    Attributes:
        pattern: name of the pattern: "solid", or a key of ``_PAINTERS``.
        base: main colour.
        accent: colour of the pattern.
        trim: colour of ribs, belts and cuffs.
        size: scale of the pattern.
        seed: seed of the positions of flowers and folds.
    """

    pattern: str
    base: Color
    accent: Color
    trim: Color
    size: float
    seed: int


def brightness(color: Color) -> float:
    """Return the perceived brightness of a colour (luma), 0 to 255."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def shade(color: Color, factor: float) -> Color:
    """Return a darker (factor below 1) or lighter (above 1) shade of a colour; 2 gives white."""
    if factor <= 1.0:
        return (round(color[0] * factor), round(color[1] * factor), round(color[2] * factor))
    lift = factor - 1.0
    red, green, blue = (round(c + (255 - c) * lift) for c in color)
    return (red, green, blue)


def color_distance(first: Color, second: Color) -> float:
    """Return the Euclidean distance of two colours in RGB."""
    return math.dist(first, second)


def pick_fabric(rng: random.Random, category_id: int, avoid: list[Fabric]) -> Fabric:
    """Return a random fabric for a category, with a base colour far from those in ``avoid``."""
    best: Fabric | None = None
    best_gap = -1.0
    for _ in range(6):
        fabric = _random_fabric(rng, category_id)
        gap = min((color_distance(fabric.base, other.base) for other in avoid), default=999.0)
        if gap > best_gap:
            best, best_gap = fabric, gap
        if gap > 130.0:
            break
    assert best is not None
    return best


def _random_fabric(rng: random.Random, category_id: int) -> Fabric:
    if category_id in LEGWEAR:
        weights = {"denim": 9, "solid": 9, "pinstripe": 2, "plaid": 2, "gingham": 1}
    elif category_id in OUTWEAR:
        weights = {"solid": 9, "denim": 3, "plaid": 3, "knit": 2, "blocks": 2, "pinstripe": 1}
    elif category_id in BOTTOMS | DRESSES:
        weights = {
            "solid": 5, "floral": 5, "dots": 4, "stripes": 2, "gingham": 2, "plaid": 2, "dip": 2,
            "chevron": 1,
        }  # fmt: skip
        if category_id == SKIRT:
            weights["denim"] = 2
    else:
        weights = {
            "solid": 5, "breton": 4, "stripes": 3, "logo": 5, "dots": 2, "gingham": 2, "floral": 2,
            "blocks": 2, "knit": 2, "plaid": 1, "dip": 1, "chevron": 1,
        }  # fmt: skip
    pattern = rng.choices(list(weights), list(weights.values()))[0]
    names = list(PALETTE)
    base = PALETTE[rng.choice(names)]
    if pattern == "denim":
        base = rng.choice(DENIMS)
        return Fabric(pattern, base, shade(base, 1.25), (206, 160, 92), 1.0, rng.getrandbits(30))
    if pattern == "breton":
        base = PALETTE[rng.choice(_LIGHT)]
        accent = PALETTE[rng.choice((*_DARK, "red", "cobalt", "teal"))]
    else:
        accent = PALETTE[rng.choice(names)]
        for _ in range(8):
            if abs(brightness(accent) - brightness(base)) > 55:
                break
            accent = PALETTE[rng.choice((*_LIGHT, *_DARK))]
    trim = accent if rng.random() < 0.5 else shade(base, 0.72 if brightness(base) > 90 else 1.22)
    return Fabric(pattern, base, accent, trim, rng.choice((0.75, 1.0, 1.0, 1.4)), rng.getrandbits(30))


def texture(fabric: Fabric, category_id: int, bottom: float) -> Image.Image:
    """Return the texture of a garment: fabric with pattern and folds, flat in the body frame.

    Pixel (u, v) is the body-frame point ``(u / DENSITY - HALF_WIDTH, v / DENSITY + TOP)``.

    Args:
        fabric: colours and pattern.
        category_id: decides the position of folds and of some patterns.
        bottom: body-frame y of the garment's lower end.
    """
    width = round(2 * HALF_WIDTH * DENSITY)
    height = round((bottom + 0.03 - TOP) * DENSITY)
    cloth = Image.new("RGB", (width, height), fabric.base)
    _PAINTERS.get(fabric.pattern, _paint_solid)(cloth, fabric, category_id)
    if fabric.pattern not in ("solid", "knit", "denim", "dip"):
        cloth = cloth.filter(ImageFilter.BoxBlur(0.6))
    folds = draw_folds(fabric.seed, category_id, cloth.size)
    return ImageChops.multiply(cloth, Image.merge("RGB", (folds, folds, folds)))


def _paint_solid(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del cloth, fabric, category_id


def _paint_stripes(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    draw = ImageDraw.Draw(cloth)
    band = 15.0 * fabric.size
    upright = category_id in DRESSES and fabric.seed % 3 == 0
    limit = cloth.width if upright else cloth.height
    at = 6.0
    while at < limit:
        box = (at, 0, at + band, cloth.height) if upright else (0, at, cloth.width, at + band)
        draw.rectangle(box, fill=fabric.accent)
        at += 2 * band


def _paint_breton(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del category_id
    draw = ImageDraw.Draw(cloth)
    at = texture_row(0.235)
    while at < cloth.height:
        draw.rectangle((0, at, cloth.width, at + 4.5 * fabric.size), fill=fabric.accent)
        at += 14.0 * fabric.size


def _paint_pinstripe(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del category_id
    draw = ImageDraw.Draw(cloth)
    soft = _between(fabric.base, fabric.accent, 0.55)
    at = 4.0
    while at < cloth.width:
        draw.rectangle((at, 0, at + 1.5, cloth.height), fill=soft)
        at += 13.0 * fabric.size


def _paint_dots(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del category_id
    draw = ImageDraw.Draw(cloth)
    pitch, radius = 22.0 * fabric.size, 5.6 * fabric.size
    for row in range(int(cloth.height / pitch * 2) + 2):
        y = row * pitch / 2
        for column in range(int(cloth.width / pitch) + 2):
            x = column * pitch + (pitch / 2 if row % 2 else 0)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fabric.accent)


def _paint_gingham(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del category_id
    cell = 11.0 * fabric.size
    _weave(cloth, fabric.accent, [(0.0, cell)], 2 * cell, 128)


def _paint_plaid(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del category_id
    pitch = 62.0 * fabric.size
    _weave(cloth, fabric.accent, [(0.0, pitch * 0.34)], pitch, 120)
    _weave(cloth, fabric.trim, [(pitch * 0.62, pitch * 0.07), (pitch * 0.78, pitch * 0.04)], pitch, 190)


def _weave(cloth: Image.Image, color: Color, bands: list[tuple[float, float]], pitch: float, strength: int) -> None:
    """Paint translucent bands of ``color`` across and along the texture.

    Args:
        cloth: texture to paint on.
        color: colour of the bands.
        bands: (offset, width) of each band in px.
        pitch: distance after which the bands repeat, in px.
        strength: opacity, 0 to 255.
    """
    for upright in (False, True):
        mask = Image.new("L", cloth.size, 0)
        draw = ImageDraw.Draw(mask)
        limit = cloth.width if upright else cloth.height
        for offset, band in bands:
            at = offset
            while at < limit:
                end = at + band - 1
                draw.rectangle((at, 0, end, cloth.height) if upright else (0, at, cloth.width, end), fill=strength)
                at += pitch
        cloth.paste(color, (0, 0), mask)


def _paint_blocks(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    draw = ImageDraw.Draw(cloth)
    edge = texture_row(0.50 if category_id in DRESSES | BOTTOMS else 0.305)
    draw.rectangle((0, edge, cloth.width, cloth.height), fill=fabric.accent)
    draw.rectangle((0, edge - 9, cloth.width, edge), fill=fabric.trim)


def _paint_dip(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    start = 0.46 if category_id in DRESSES | BOTTOMS else 0.30
    ramp = Image.linear_gradient("L").resize((cloth.width, round(0.22 * DENSITY)))
    mask = Image.new("L", cloth.size, 0)
    mask.paste(255, (0, round(texture_row(start)) + ramp.height, cloth.width, cloth.height))
    mask.paste(ramp, (0, round(texture_row(start))))
    cloth.paste(fabric.accent, (0, 0), mask)


def _paint_floral(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del category_id
    rng = random.Random(f"floral:{fabric.seed}")
    draw = ImageDraw.Draw(cloth)
    pitch = 30.0 * fabric.size
    leaf = PALETTE["sage"] if brightness(fabric.base) < 120 else PALETTE["emerald"]
    for row in range(int(cloth.height / pitch) + 2):
        for column in range(int(cloth.width / pitch) + 2):
            x = (column + (row % 2) / 2 + rng.uniform(-0.2, 0.2)) * pitch
            y = (row + rng.uniform(-0.2, 0.2)) * pitch
            turn = rng.uniform(0, math.tau)
            petal = pitch * rng.uniform(0.11, 0.17)
            lx, ly = x + 2.6 * petal * math.cos(turn), y + 2.6 * petal * math.sin(turn)
            draw.ellipse((lx - petal, ly - petal * 0.6, lx + petal, ly + petal * 0.6), fill=leaf)
            color = fabric.accent if rng.random() < 0.72 else fabric.trim
            for k in range(5):
                px = x + 1.15 * petal * math.cos(turn + k * math.tau / 5)
                py = y + 1.15 * petal * math.sin(turn + k * math.tau / 5)
                draw.ellipse((px - petal, py - petal, px + petal, py + petal), fill=color)
            core = petal * 0.7
            draw.ellipse((x - core, y - core, x + core, y + core), fill=PALETTE["mustard"])


def _paint_chevron(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del category_id
    draw = ImageDraw.Draw(cloth)
    pitch, wave = 30.0 * fabric.size, 13.0 * fabric.size
    for row in range(int(cloth.height / pitch) + 2):
        points = []
        for k in range(int(cloth.width / wave) + 2):
            points.append((k * wave, row * pitch + (wave if k % 2 else 0)))
        draw.line(points, fill=fabric.accent, width=round(9 * fabric.size), joint="curve")


def _paint_logo(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del category_id
    draw = ImageDraw.Draw(cloth)
    x, y = texture_column(0.0), texture_row(0.300)
    kind = fabric.seed % 5
    r = 26.0
    accent, trim = fabric.accent, fabric.trim
    if trim == accent:
        trim = fabric.base
    if kind == 0:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=accent)
        peaks = [(x - r * 0.8, y + r * 0.45), (x - r * 0.25, y - r * 0.4), (x + r * 0.08, y + r * 0.1)]
        peaks += [(x + r * 0.35, y - r * 0.15), (x + r * 0.8, y + r * 0.45)]
        draw.polygon(peaks, fill=trim)
    elif kind == 1:
        star = []
        for k in range(10):
            reach = r * (1.1 if k % 2 == 0 else 0.46)
            star.append((x + reach * math.sin(k * math.pi / 5), y - reach * math.cos(k * math.pi / 5)))
        draw.polygon(star, fill=accent)
    elif kind == 2:
        heart = []
        for k in range(40):
            t = k * math.tau / 40
            hx = 16 * math.sin(t) ** 3
            hy = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
            heart.append((x + hx * r / 15, y - hy * r / 15))
        draw.polygon(heart, fill=accent)
    elif kind == 3:
        for k, w in enumerate((1.7, 1.2, 1.5)):
            top = y - r * 0.8 + k * r * 0.6
            draw.rectangle((x - r * w, top, x + r * w, top + r * 0.34), fill=accent if k != 1 else trim)
    else:
        draw.rectangle((x - r * 1.5, y - r * 0.62, x + r * 1.5, y + r * 0.62), fill=accent)
        for k in range(4):
            letter_x = x - r * 1.25 + k * r * 0.66
            draw.ellipse((letter_x, y - r * 0.3, letter_x + r * 0.5, y + r * 0.3), outline=fabric.base, width=5)


def _paint_knit(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    del category_id
    draw = ImageDraw.Draw(cloth)
    dark, light = shade(fabric.base, 0.86), shade(fabric.base, 1.10)
    for at in range(0, cloth.width, 9):
        draw.rectangle((at, 0, at + 1, cloth.height), fill=dark)
        draw.rectangle((at + 4, 0, at + 5, cloth.height), fill=light)


def _paint_denim(cloth: Image.Image, fabric: Fabric, category_id: int) -> None:
    rng = random.Random(f"denim:{fabric.seed}")
    grain = Image.frombytes(
        "L", (cloth.width // 2, cloth.height // 8), rng.randbytes((cloth.width // 2) * (cloth.height // 8))
    )
    grain = grain.resize(cloth.size, Image.Resampling.BILINEAR).point([v // 6 for v in range(256)])
    cloth.paste(fabric.accent, (0, 0), grain)
    if category_id in LEGWEAR:
        # Denim is faded at the thighs.
        faded = Image.new("L", (cloth.width // 4, cloth.height // 4), 0)
        draw = ImageDraw.Draw(faded)
        for side in (-1, 1):
            x, y = texture_column(side * 0.052) / 4, texture_row(0.62) / 4
            draw.ellipse((x - 4, y - 18, x + 4, y + 22), fill=110)
        faded = faded.filter(ImageFilter.BoxBlur(4)).resize(cloth.size, Image.Resampling.BILINEAR)
        cloth.paste(shade(fabric.base, 1.45), (0, 0), faded)


def _between(first: Color, second: Color, share: float) -> Color:
    """Return the colour at ``share`` of the way from ``first`` to ``second``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return (red, green, blue)


#: Function that paints each pattern on a texture of the base colour.
_PAINTERS: Final = {
    "stripes": _paint_stripes, "breton": _paint_breton, "pinstripe": _paint_pinstripe, "dots": _paint_dots,
    "gingham": _paint_gingham, "plaid": _paint_plaid, "blocks": _paint_blocks, "dip": _paint_dip,
    "floral": _paint_floral, "chevron": _paint_chevron, "logo": _paint_logo, "knit": _paint_knit,
    "denim": _paint_denim,
}  # fmt: skip
