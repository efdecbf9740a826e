"""Predictions of a model on a picture: dashed boxes, apart from the items with their whole lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from PIL import Image

from registry.pictures import outlines
from registry.pictures.palette import BLACK, WHITE, Colour
from registry.pictures.stencils import Stencil
from registry.pictures.view import Rect, View

#: Of dashes and labels; no item has it.
PREDICTED: Final[Colour] = WHITE


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction to draw.

    Attributes:
        box: edges, px of the photo.
        label: such as ``skirt .87``.
    """

    box: Rect
    label: str


def draw_predictions(picture: Image.Image, predictions: Sequence[Prediction], view: View, weight: float) -> None:
    """Draw the boxes of predictions, dashed.

    Args:
        picture: RGB, changed.
        predictions: in any order.
        view: the region of the photo that the picture shows.
        weight: width of a line, px.
    """
    dark, bright = Stencil(), Stencil()
    for prediction in predictions:
        x1, y1, x2, y2 = view.rect(prediction.box)
        corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
        for side in pairwise(corners):
            for dash in outlines.dashes(list(side), 5 * weight) if side[0] != side[1] else ():
                dark.line(dash, weight * 2.4)
                bright.line(dash, weight * 1.2)
    dark.fill(picture, BLACK, 0.85)
    bright.fill(picture, PREDICTED)
