"""Text of pictures, in the font that comes with Pillow."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Final

from PIL import ImageFont

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

#: Characters beyond ASCII that the font has: signs, quotation marks and an ellipsis.
_MORE: Final = frozenset("\u00a9\u00ab\u00b0\u00b1\u00b4\u00b7\u00bb\u2018\u2019\u201c\u201d\u2026\u2122")


@cache
def font(size: int) -> FreeTypeFont | BitmapFont:
    """Return the font in a size in px."""
    return ImageFont.load_default(size)


def drawable(text: str) -> str:
    """Return a text in one line, with an escape code for each character that the font lacks."""
    parts = (
        character
        if " " <= character <= "~" or character in _MORE
        else character.encode("ascii", "backslashreplace").decode()
        if not character.isspace()
        else " "
        for character in text
    )
    return "".join(parts)


def text_width(text: str, size: int) -> float:
    """Return the width of a text in px."""
    return font(size).getlength(text)


def shortened(text: str, size: int, width: float) -> str:
    """Return the longest beginning of a text that fits into a width in px, with ``…`` where it was cut."""
    text = text[:1000]  # no page is that wide
    if text_width(text, size) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if text_width(text[:middle].rstrip() + "…", size) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…" if low else ""


def packed(parts: Iterable[str], size: int, width: float) -> list[str]:
    """Return parts of a text in lines of at most a width in px, with `` · `` between those of a line."""
    lines: list[str] = []
    for part in parts:
        if lines and text_width(f"{lines[-1]} · {part}", size) <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(shortened(part, size, width))
    return lines
