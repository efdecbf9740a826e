"""Pages with pictures: a picture with its title and legend, and contact sheets with a caption under each picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw

from registry.pictures.palette import BLACK, INK, ITEM_COLOURS, PAGE, PALE_INK, WHITE
from registry.pictures.stencils import Stencil
from registry.pictures.text import drawable, font, packed, shortened, text_width

#: Longer side of a picture on a sheet, px.
THUMBNAIL: Final = 300
#: Rows of pictures on a page.
ROWS: Final = 4
#: Pictures beside each other on a page.
ACROSS: Final = 5

#: The marks that the legend names.
BOX: Final = "box"
MARKS: Final = ("visible landmark", "occluded landmark", "mask", BOX)

_GAP: Final = 14
#: Px between the pictures of a cell.
_BESIDE: Final = 4
#: Size of captions, px.
TEXT: Final = 13
_LINE: Final = 17
_HEADING: Final = 20


@dataclass(frozen=True, slots=True)
class Cell:
    """A place on a sheet: pictures beside each other and their caption.

    Attributes:
        pictures: RGB.
        caption: lines; those that are too long are cut.
    """

    pictures: Sequence[Image.Image]
    caption: Sequence[str]

    @property
    def width(self) -> int:
        """Width on the sheet, px."""
        return cell_width(len(self.pictures))


@dataclass(frozen=True, slots=True)
class Block:
    """Cells in rows and columns, with a heading above them.

    Attributes:
        heading: one line, or "".
        cells: from left to right, row by row.
        columns: their number.
    """

    heading: str
    cells: Sequence[Cell]
    columns: int


def cell_width(pictures: int) -> int:
    """Return the width of a cell with this number of pictures, px."""
    return pictures * (THUMBNAIL + _BESIDE) - _BESIDE


def cells_on_page(pictures: int) -> int:
    """Return how many cells a page holds, if each has this number of pictures."""
    return max(1, ACROSS // pictures) * ROWS


def figure(picture: Image.Image, title: str) -> Image.Image:
    """Return a picture with its title and the legend below it."""
    size = max(12, 10 + round(max(picture.size) / 150))
    lines = packed(drawable(title).split(" · "), size, max(picture.width, 320) - 16)
    legend = _legend(size)
    rows = [legend] if legend.width + 16 <= max(picture.width, 320) else []
    height = 6 + len(lines) * round(size * 1.35) + sum(row.height for row in rows) + 6
    page = Image.new("RGB", (max(picture.width, 320), picture.height + height), PAGE)
    page.paste(picture, ((page.width - picture.width) // 2, 0))
    draw, y = ImageDraw.Draw(page), picture.height + 6
    for line in lines:
        draw.text((8, y), line, INK, font(size))
        y += round(size * 1.35)
    for row in rows:
        page.paste(row, (8, y))
    return page


def sheet(blocks: Sequence[Block], footer: str = "", marks: Sequence[str] = MARKS) -> Image.Image:
    """Return a page with blocks beside each other, and the legend of some marks below them."""
    drawn = [_drawn_block(block) for block in blocks]
    legend = _legend(TEXT, marks)
    foot = min(math.ceil(text_width(drawable(footer), TEXT)), THUMBNAIL) + _GAP if footer else 0
    width = max(sum(block.width for block in drawn) + _GAP * (len(drawn) + 1), legend.width + foot + 2 * _GAP)
    height = max(block.height for block in drawn) + 2 * _GAP + legend.height + _GAP // 2
    page = Image.new("RGB", (width, height), PAGE)
    draw, x = ImageDraw.Draw(page), _GAP
    for number, block in enumerate(drawn):
        if number:
            draw.line((x - _GAP // 2, _GAP, x - _GAP // 2, height - legend.height - _GAP), PALE_INK)
        page.paste(block, (x, _GAP))
        x += block.width + _GAP
    page.paste(legend, (_GAP, height - legend.height - _GAP // 2))
    room = width - legend.width - 3 * _GAP
    draw.text(
        (width - _GAP, height - legend.height / 2 - _GAP // 2), shortened(drawable(footer), TEXT, room), PALE_INK,
        font(TEXT), anchor="rm",
    )  # fmt: skip
    return page


def _drawn_block(block: Block) -> Image.Image:
    """Return a block: each row is as high as its highest picture and its longest caption."""
    wide = max([cell.width for cell in block.cells], default=THUMBNAIL)
    columns = max(1, min(block.columns, len(block.cells)))
    rows = [block.cells[start : start + columns] for start in range(0, len(block.cells), columns)]
    pictures = [max([p.height for cell in row for p in cell.pictures], default=0) for row in rows]
    texts = [max(len(cell.caption) for cell in row) * _LINE + 6 for row in rows]
    top = _HEADING + 10 if block.heading else 0
    width = columns * wide + (columns - 1) * _GAP
    height = top + sum(pictures) + sum(texts) + _GAP * max(0, len(rows) - 1)
    drawn = Image.new("RGB", (width, max(height, 1)), PAGE)
    draw = ImageDraw.Draw(drawn)
    if block.heading:
        draw.text((0, 0), shortened(drawable(block.heading), _HEADING - 2, width), INK, font(_HEADING - 2))
    y = top
    for row, picture_height, text_height in zip(rows, pictures, texts, strict=True):
        for column, cell in enumerate(row):
            x = column * (wide + _GAP)
            at = x
            for picture in cell.pictures:
                drawn.paste(picture, (at, y + picture_height - picture.height))
                at += picture.width + _BESIDE
            for number, line in enumerate(cell.caption):
                text = shortened(drawable(line), TEXT, wide)
                draw.text((x, y + picture_height + 4 + number * _LINE), text, PALE_INK if number else INK, font(TEXT))
        y += picture_height + text_height + _GAP
    return drawn


def _legend(size: int, marks: Sequence[str] = MARKS) -> Image.Image:
    """Return the meaning of marks, as a line on a page."""
    height = round(size * 1.6)
    width = math.ceil(sum(text_width(text, size) + 2.4 * size for text in marks))
    legend = Image.new("RGB", (width, height), PAGE)
    draw, x = ImageDraw.Draw(legend), 0.0
    colour, y, radius = ITEM_COLOURS[0], height / 2, size * 0.36
    for text in marks:
        centre = x + size * 0.6
        outer, inner = Stencil(), Stencil()
        if text == "visible landmark":
            outer.disc(centre, y, radius + 1.3)
            inner.disc(centre, y, radius)
        elif text == "occluded landmark":
            outer.diamond(centre, y, radius * 1.25 + 2)
            inner.diamond(centre, y, radius * 1.25)
        else:
            ring = [(centre + a * radius, y + b * radius) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            if text == "mask":
                inner.polygon([ring])
                inner.fill(legend, colour, 0.35)
                inner = Stencil()
                inner.ring(ring, 1)
            else:
                outer.ring(ring, 2.8)
                inner.ring(ring, 1.2)
        outer.fill(legend, BLACK)
        inner.fill(legend, WHITE if text == "occluded landmark" else colour)
        draw.text((x + size * 1.4, y), text, PALE_INK, font(size), anchor="lm")
        x += text_width(text, size) + 2.4 * size
    return legend
