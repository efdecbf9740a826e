"""A picture in the making: smooth-edged, softly shaded shapes, kept as layers that tell what hides what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from registry.sample.fabrics import Color
from registry.sample.geometry import Box, Point, bounds

#: Shapes are drawn this many times larger and averaged down, which smooths their edges.
SUPERSAMPLING: Final = 2
#: Shadows are not black but a deep violet, which keeps colours alive.
SHADOW: Final[Color] = (16, 11, 26)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one thing covers: a mask and where its upper left corner is in the picture."""

    mask: Image.Image
    left: int
    top: int

    def covers(self, point: Point) -> bool:
        """Return whether the thing covers the pixel at ``point``."""
        x, y = math.floor(point[0]) - self.left, math.floor(point[1]) - self.top
        if 0 <= x < self.mask.width and 0 <= y < self.mask.height:
            value = self.mask.getpixel((x, y))
            return isinstance(value, int) and value > 140
        return False


class Patch:
    """A rectangle of the picture in which one thing is drawn before it is put on the canvas.

    Attributes:
        left: its position in the picture; may be negative.
        top: likewise.
        size: width and height in picture pixels.
    """

    def __init__(self, box: Box, limit: tuple[int, int], margin: float) -> None:
        """Make the patch that covers ``box``, cut to the picture plus a margin."""
        pad = math.ceil(margin) + 2
        # Beyond the picture's edge only as much is needed as shading is shifted by, see `volume`.
        beyond = math.ceil(0.3 * margin) + 2
        self.left = max(-beyond, math.floor(box[0]) - pad)
        self.top = max(-beyond, math.floor(box[1]) - pad)
        right = min(limit[0] + beyond, math.ceil(box[2]) + pad)
        bottom = min(limit[1] + beyond, math.ceil(box[3]) + pad)
        self.size = (max(2, right - self.left), max(2, bottom - self.top))

    def local(self, points: Sequence[Point]) -> list[Point]:
        """Return points in the patch's enlarged pixels."""
        k, left, top = SUPERSAMPLING, self.left, self.top
        return [((x - left) * k, (y - top) * k) for x, y in points]

    def large(self, mode: str, color: Color | int) -> Image.Image:
        """Return an empty image of the patch's enlarged size."""
        return Image.new(mode, (self.size[0] * SUPERSAMPLING, self.size[1] * SUPERSAMPLING), color)

    def mask(self, rings: Sequence[Sequence[Point]]) -> Image.Image:
        """Return the mask of the union of some rings."""
        large = self.large("L", 0)
        draw = ImageDraw.Draw(large)
        for ring in rings:
            draw.polygon(self.local(ring), fill=255)
        return large.reduce(SUPERSAMPLING)


class Ink:
    """Lines and small shapes drawn on one patch, laid over the cloth in one go."""

    def __init__(self, patch: Patch, ground: Color) -> None:
        """Start with nothing drawn; ``ground`` is the colour that soft edges fade from."""
        self._patch = patch
        self._color = patch.large("RGB", ground)
        self._alpha = patch.large("L", 0)
        self._pens = (ImageDraw.Draw(self._color), ImageDraw.Draw(self._alpha))
        self.used = False

    def line(self, points: Sequence[Point], color: Color, width: float, strength: int = 255) -> None:
        """Draw a line ``width`` picture pixels wide."""
        local = self._patch.local(points)
        thick = max(1, round(width * SUPERSAMPLING))
        if thick > 6:
            # Pillow's broad lines gape at their joints: a band of the same width closes them.
            band = _band(local, thick / 2)
            self._pens[0].polygon(band, fill=color)
            self._pens[1].polygon(band, fill=strength)
        self._pens[0].line(local, fill=color, width=thick + 1)
        self._pens[1].line(local, fill=strength, width=thick)
        self.used = True

    def shape(self, ring: Sequence[Point], color: Color, strength: int = 255) -> None:
        """Fill a ring."""
        local = self._patch.local(ring)
        self._pens[0].polygon(local, fill=color)
        self._pens[1].polygon(local, fill=strength)
        self.used = True

    def dot(self, centre: Point, radius: float, color: Color, strength: int = 255) -> None:
        """Draw a disc."""
        ((x, y),) = self._patch.local([centre])
        r = radius * SUPERSAMPLING
        self._pens[0].ellipse((x - r, y - r, x + r, y + r), fill=color)
        self._pens[1].ellipse((x - r, y - r, x + r, y + r), fill=strength)
        self.used = True

    def lay_on(self, cloth: Image.Image) -> None:
        """Put what was drawn on an image of the patch's size."""
        if self.used:
            cloth.paste(self._color.reduce(SUPERSAMPLING), (0, 0), self._alpha.reduce(SUPERSAMPLING))


def _band(line: Sequence[Point], reach: float) -> list[Point]:
    """Return the ring of points within ``reach`` of a gently bent line, both sides in turn."""
    left: list[Point] = []
    right: list[Point] = []
    for i, (x, y) in enumerate(line):
        (x0, y0), (x1, y1) = line[max(0, i - 1)], line[min(len(line) - 1, i + 1)]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        dx, dy = reach * (y1 - y0) / length, -reach * (x1 - x0) / length
        left.append((x + dx, y + dy))
        right.append((x - dx, y - dy))
    return [*left, *reversed(right)]


def _volume_table(depth: float) -> list[int]:
    table = []
    for value in range(256):
        share = min(1.0, max(0.0, (value - 70) / 170))
        table.append(round(255 * depth * (1.0 - share) ** 1.6))
    return table


_VOLUME: Final = {depth: _volume_table(depth / 100) for depth in (20, 30, 38, 46)}


def volume(mask: Image.Image, radius: float, depth: int) -> Image.Image:
    """Return the shadow on a rounded body with this mask, lit from the upper left, as a mask.

    Args:
        mask: what the body covers.
        radius: how far in from its edge it is darker, in pixels.
        depth: how much darker, one of the percentages 20, 30, 38, 46.
    """
    # Soft shading needs no fine grid: half the size is four times as fast.
    coarse = 2 if radius > 3 else 1
    soft = (mask.reduce(coarse) if coarse > 1 else mask).filter(ImageFilter.BoxBlur(radius / coarse))
    shift = max(1, round(radius * 0.55 / coarse))
    soft = ImageChops.offset(soft, -shift, -shift // 2).point(_VOLUME[depth])
    return soft.resize(mask.size, Image.Resampling.BILINEAR) if coarse > 1 else soft


def darken(image: Image.Image, shadow: Image.Image) -> Image.Image:
    """Return an image with a shadow laid on it; the image itself is changed."""
    image.paste(SHADOW, (0, 0), shadow)
    return image


class Canvas:
    """The picture and what has been put on it so far, in order.

    Attributes:
        image: the picture.
        layers: what each thing that was put on it covers; earlier ones may be hidden by later ones.
    """

    def __init__(self, image: Image.Image) -> None:
        """Start from a background."""
        self.image = image
        self.layers: list[Layer] = []

    def body(self, rings: Sequence[Sequence[Point]], color: Color, radius: float, depth: int = 30) -> Layer:
        """Put a softly rounded body of one colour on the picture and remember what it covers."""
        box = bounds([point for ring in rings for point in ring])
        patch = Patch(box, self.image.size, 2 * radius)
        mask = patch.mask(rings)
        fill = darken(Image.new("RGB", patch.size, color), volume(mask, radius, depth))
        return self.put(fill, mask, patch)

    def put(self, fill: Image.Image, mask: Image.Image, patch: Patch) -> Layer:
        """Put a finished patch on the picture and remember what it covers."""
        self.image.paste(fill, (patch.left, patch.top), mask)
        layer = Layer(mask, patch.left, patch.top)
        self.layers.append(layer)
        return layer

    def shadow(self, rings: Sequence[Sequence[Point]], shift: Point, softness: float, strength: int) -> None:
        """Darken the picture where a shape throws its shadow; a shadow hides nothing."""
        moved = [[(x + shift[0], y + shift[1]) for x, y in ring] for ring in rings]
        box = bounds([point for ring in moved for point in ring])
        patch = Patch(box, self.image.size, 2 * softness)
        small = Image.new("L", (patch.size[0] // 5 + 1, patch.size[1] // 5 + 1), 0)
        draw = ImageDraw.Draw(small)
        for ring in moved:
            draw.polygon([((x - patch.left) / 5, (y - patch.top) / 5) for x, y in ring], fill=strength)
        small = small.filter(ImageFilter.BoxBlur(softness / 5)).filter(ImageFilter.BoxBlur(softness / 8))
        mask = small.resize(patch.size, Image.Resampling.BILINEAR)
        self.image.paste(SHADOW, (patch.left, patch.top), mask)
