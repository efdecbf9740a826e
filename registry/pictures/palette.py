"""The colours of pictures, which people with any kind of colour vision can tell apart.

Source: Okabe and Ito, "Color Universal Design" (2008), in an order in which neighbours differ most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Colour = tuple[int, int, int]

BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)
#: Text on a page and the paler text beside it.
INK: Final[Colour] = (34, 34, 34)
PALE_INK: Final[Colour] = (89, 89, 89)
PAGE: Final[Colour] = (255, 255, 255)
#: A canvas without a photo, and the surroundings of a photo.
CANVAS: Final[Colour] = (240, 240, 240)
SURROUNDINGS: Final[Colour] = (208, 208, 208)
#: The edge of a photo where annotations reach beyond it.
EDGE: Final[Colour] = (120, 120, 120)
#: Behind the text of a label.
LABEL: Final[Colour] = (24, 24, 24)

#: Colours of the items of an image, in their order; an image of the release has at most 8 items.
ITEM_COLOURS: Final[tuple[Colour, ...]] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
    (204, 121, 167),  # reddish purple
    (0, 158, 115),  # bluish green
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
    (200, 200, 200),  # grey
)


def item_colours(item_numbers: Iterable[int]) -> dict[int, Colour]:
    """Return the colour of each item of an image by its item_no: that of its number, so that versions agree.

    Where a number is larger than the colours are many, the items get colours in the order of their numbers.
    """
    numbers = sorted(item_numbers)
    if numbers and numbers[-1] > len(ITEM_COLOURS):
        return {number: ITEM_COLOURS[position % len(ITEM_COLOURS)] for position, number in enumerate(numbers)}
    return {number: ITEM_COLOURS[number - 1] for number in numbers}


def contrast(first: Colour, second: Colour) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.2, contrast ratio)."""
    brighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    parts = [value / 255 for value in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
