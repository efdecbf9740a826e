"""Smooth shapes: Pillow draws hard edges, so stencils are drawn larger, made smaller, and filled with a colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Final

from PIL import Image, ImageDraw

from registry.pictures.outlines import Line, Rings
from registry.pictures.palette import Colour
from registry.pictures.view import Rect

#: Times that a stencil is larger than the picture.
_TIMES: Final = 3
#: Side of a stencil beyond which it is only as large as the picture, to bound its memory.
_LARGE: Final = 2400


@dataclass
class Stencil:
    """Shapes of one colour, drawn onto a picture all at once.

    Attributes:
        shapes: (kind, coordinates in px of the picture, width of its line in px), in the order of drawing; a kind that
            begins with "no" cuts a hole.
    """

    shapes: list[tuple[str, Line, float]] = field(default_factory=list)

    def line(self, line: Line, width: float) -> None:
        """Add a line with round joints and ends."""
        self.shapes.append(("line", line, width))

    def ring(self, line: Line, width: float) -> None:
        """Add a closed line."""
        self.line([*line, line[0]], width)

    def polygon(self, rings: Rings) -> None:
        """Add a filled polygon; its holes are cut out of all that was added before."""
        self.shapes.append(("polygon", rings[0], 0))
        self.shapes += [("no polygon", hole, 0) for hole in rings[1:]]

    def disc(self, x: float, y: float, radius: float) -> None:
        """Add a filled circle."""
        self.shapes.append(("disc", [(x - radius, y - radius), (x + radius, y + radius)], 0))

    def diamond(self, x: float, y: float, radius: float) -> None:
        """Add a filled square that stands on a corner."""
        self.shapes.append(("polygon", [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)], 0))

    def fill(self, picture: Image.Image, colour: Colour, opacity: float = 1.0) -> None:
        """Draw the shapes onto an RGB picture."""
        bounds = self._bounds(picture.width, picture.height)
        if bounds is None:
            return
        x1, y1, x2, y2 = bounds
        times = _TIMES if max(x2 - x1, y2 - y1) <= _LARGE else 1
        stencil = Image.new("L", ((x2 - x1) * times, (y2 - y1) * times))
        draw = ImageDraw.Draw(stencil)
        for kind, points, width in self.shapes:
            line = [((x - x1) * times, (y - y1) * times) for x, y in points]
            if kind == "line":
                _draw_line(draw, line, max(1, round(width * times)))
            elif kind == "disc":
                draw.ellipse([*line[0], *line[1]], fill=255)
            else:
                draw.polygon(line, fill=255 if kind == "polygon" else 0)
        if times > 1:
            stencil = stencil.reduce(times)
        if opacity < 1:
            stencil = stencil.point([round(value * opacity) for value in range(256)])
        picture.paste(colour, (x1, y1, x2, y2), stencil)

    def _bounds(self, width: int, height: int) -> tuple[int, int, int, int] | None:
        """Return the part of a picture of this size that the shapes touch; None if they touch nothing."""
        edges: list[Rect] = []
        for _, line, thickness in self.shapes:
            xs, ys = zip(*line, strict=True)
            around = thickness / 2 + 1
            edges.append((min(xs) - around, min(ys) - around, max(xs) + around, max(ys) + around))
        if not edges:
            return None
        lefts, tops, rights, bottoms = zip(*edges, strict=True)
        x1, y1 = max(0, floor(min(lefts))), max(0, floor(min(tops)))
        x2, y2 = min(width, ceil(max(rights))), min(height, ceil(max(bottoms)))
        return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _draw_line(draw: ImageDraw.ImageDraw, line: Sequence[tuple[float, float]], width: int) -> None:
    draw.line(line, fill=255, width=width, joint="curve")
    if width > 2:
        radius = width / 2
        for x, y in (line[0], line[-1]):
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
