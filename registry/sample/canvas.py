"""The photo while it is drawn: antialiased, shaded shapes, kept as layers to look up occlusion later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from registry.sample.fabrics import Color
from registry.sample.geometry import Box, Point, bounds

#: Shapes are drawn this many times larger and scaled down, which antialiases their edges.
SUPERSAMPLING: Final = 2
#: Colour of shadows: a dark violet, since black would make colours dull.
SHADOW: Final[Color] = (16, 11, 26)


@dataclass(frozen=True, slots=True)
class Layer:
    """The pixels that a shape covers.

    Attributes:
        mask: coverage, 0 to 255.
        left: x of the mask's upper left corner in the photo.
        top: y of that corner.
    """

    mask: Image.Image
    left: int
    top: int

    def covers(self, point: Point) -> bool:
        """Return whether the shape covers the pixel at ``point``."""
        x, y = math.floor(point[0]) - self.left, math.floor(point[1]) - self.top
        if 0 <= x < self.mask.width and 0 <= y < self.mask.height:
            value = self.mask.getpixel((x, y))
            return isinstance(value, int) and value > 140
        return False


class Patch:
    """A rectangle of the photo, in which a shape is drawn before it goes on the canvas.

    Attributes:
        left: x of its upper left corner in the photo; may be negative.
        top: y of that corner; may be negative.
        size: width and height in px of the photo.
    """

    def __init__(self, box: Box, limit: tuple[int, int], margin: float) -> None:
        """Cover ``box`` plus a margin, clipped a little outside the photo.

        Args:
            box: bounds of the shape, in px.
            limit: width and height of the photo.
            margin: px around the box that shading needs.
        """
        pad = math.ceil(margin) + 2
        # Outside the photo, shading needs only the pixels by which `volume` shifts it.
        beyond = math.ceil(0.3 * margin) + 2
        self.left = max(-beyond, math.floor(box[0]) - pad)
        self.top = max(-beyond, math.floor(box[1]) - pad)
        right = min(limit[0] + beyond, math.ceil(box[2]) + pad)
        bottom = min(limit[1] + beyond, math.ceil(box[3]) + pad)
        self.size = (max(2, right - self.left), max(2, bottom - self.top))

    def local(self, points: Sequence[Point]) -> list[Point]:
        """Return points of the photo in enlarged pixels of the patch."""
        k = SUPERSAMPLING
        return [((x - self.left) * k, (y - self.top) * k) for x, y in points]

    def large(self, mode: str, color: Color | int) -> Image.Image:
        """Return a uniform image in the patch's enlarged size."""
        return Image.new(mode, (self.size[0] * SUPERSAMPLING, self.size[1] * SUPERSAMPLING), color)

    def mask(self, rings: Sequence[Sequence[Point]]) -> Image.Image:
        """Return the mask of the union of rings, in the patch's size."""
        large = self.large("L", 0)
        draw = ImageDraw.Draw(large)
        for ring in rings:
            draw.polygon(self.local(ring), fill=255)
        return large.reduce(SUPERSAMPLING)


class Ink:
    """Lines and small shapes, drawn on a layer of their own and pasted on the fabric at the end."""

    def __init__(self, patch: Patch, ground: Color) -> None:
        """Start empty; ``ground`` is the colour that antialiased edges blend with."""
        self._patch = patch
        self._color = patch.large("RGB", ground)
        self._alpha = patch.large("L", 0)
        self._pens = (ImageDraw.Draw(self._color), ImageDraw.Draw(self._alpha))
        self.used = False

    def line(self, points: Sequence[Point], color: Color, width: float, strength: int = 255) -> None:
        """Draw a line ``width`` px of the photo wide; ``strength`` is its opacity, 0 to 255."""
        local = self._patch.local(points)
        local_width = max(1, round(width * SUPERSAMPLING))
        if local_width > 6:
            # Pillow's wide lines have gaps at their joints: a polygon of the same width fills them.
            band = _band(local, local_width / 2)
            self._pens[0].polygon(band, fill=color)
            self._pens[1].polygon(band, fill=strength)
        self._pens[0].line(local, fill=color, width=local_width + 1)
        self._pens[1].line(local, fill=strength, width=local_width)
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
        """Paste the drawing on an image of the patch's size."""
        if self.used:
            cloth.paste(self._color.reduce(SUPERSAMPLING), (0, 0), self._alpha.reduce(SUPERSAMPLING))


def _band(line: Sequence[Point], reach: float) -> list[Point]:
    """Return the ring around a line at distance ``reach``: the line moved to each side."""
    side: list[Point] = []
    other_side: list[Point] = []
    for i, (x, y) in enumerate(line):
        (x0, y0), (x1, y1) = line[max(0, i - 1)], line[min(len(line) - 1, i + 1)]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        dx, dy = reach * (y1 - y0) / length, -reach * (x1 - x0) / length
        side.append((x + dx, y + dy))
        other_side.append((x - dx, y - dy))
    return [*side, *reversed(other_side)]


def _volume_table(depth: float) -> list[int]:
    """Return the shadow for each value of a blurred mask, 0 to 255: deep at its edge, none inside."""
    table = []
    for value in range(256):
        share = min(1.0, max(0.0, (value - 70) / 170))
        table.append(round(255 * depth * (1.0 - share) ** 1.6))
    return table


_VOLUME: Final = {depth: _volume_table(depth / 100) for depth in (20, 30, 38, 46)}


def volume(mask: Image.Image, radius: float, depth: int) -> Image.Image:
    """Return the shadow that makes a shape look round, lit from the upper left, as a mask.

    Args:
        mask: pixels that the shape covers.
        radius: width of the shadow along the edge, in px.
        depth: darkness of the shadow in percent: 20, 30, 38 or 46.
    """
    # At half the size, blurring is four times as fast and looks the same.
    coarse = 2 if radius > 3 else 1
    soft = (mask.reduce(coarse) if coarse > 1 else mask).filter(ImageFilter.BoxBlur(radius / coarse))
    shift = max(1, round(radius * 0.55 / coarse))
    soft = ImageChops.offset(soft, -shift, -shift // 2).point(_VOLUME[depth])
    return soft.resize(mask.size, Image.Resampling.BILINEAR) if coarse > 1 else soft


def darken(image: Image.Image, shadow: Image.Image) -> Image.Image:
    """Darken an image in place by a shadow mask, and return it."""
    image.paste(SHADOW, (0, 0), shadow)
    return image


class Canvas:
    """The photo so far.

    Attributes:
        image: the pixels.
        layers: the pixels that each shape covers, in drawing order; later layers hide earlier layers.
    """

    def __init__(self, image: Image.Image) -> None:
        """Start from a background."""
        self.image = image
        self.layers: list[Layer] = []

    def body(self, rings: Sequence[Sequence[Point]], color: Color, radius: float, depth: int = 30) -> Layer:
        """Draw the union of rings as a rounded surface, as a new layer.

        Args:
            rings: outlines, in px.
            color: colour of the surface.
            radius: width of the shading in px, see `volume`.
            depth: darkness of the shading, see `volume`.
        """
        box = bounds([point for ring in rings for point in ring])
        patch = Patch(box, self.image.size, 2 * radius)
        mask = patch.mask(rings)
        fill = darken(Image.new("RGB", patch.size, color), volume(mask, radius, depth))
        return self.put(fill, mask, patch)

    def put(self, fill: Image.Image, mask: Image.Image, patch: Patch) -> Layer:
        """Paste the finished image of a patch through its mask, as a new layer."""
        self.image.paste(fill, (patch.left, patch.top), mask)
        layer = Layer(mask, patch.left, patch.top)
        self.layers.append(layer)
        return layer

    def shadow(self, rings: Sequence[Sequence[Point]], shift: Point, softness: float, strength: int) -> None:
        """Draw the shadow of rings. It adds no layer, because a shadow hides nothing.

        Args:
            rings: outlines of the shape, in px.
            shift: offset of the shadow, in px.
            softness: blur radius in px.
            strength: opacity, 0 to 255.
        """
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
