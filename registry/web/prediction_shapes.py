"""Predictions of an image as shapes of SVG: dashed, with their kind of error as colour, dashes and letter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from registry.dataset.deepfashion2 import CATEGORY_BY_ID

if TYPE_CHECKING:
    from registry.web.model_results import ModelResult

#: Kind of a prediction -> its letter and its meaning.
KINDS: Final = {
    "correct": ("C", "found an item"),
    "localisation": ("L", "overlaps its item too little"),
    "classification": ("K", "of another category"),
    "both": ("B", "of another category, and overlaps too little"),
    "duplicate": ("D", "of an item that is found already"),
    "background": ("N", "no item is there"),
    "ignored": ("I", "does not count"),
}
#: Points of an outline that differ by less than this are left out, px.
_TOLERANCE: Final = 0.7


@dataclass(frozen=True, slots=True)
class PredictionShape:
    """A prediction as shapes of SVG in px of the photo.

    Attributes:
        model: name of its model.
        number: of the model, 0 or 1.
        position: in the file.
        kind: of its error.
        text: letter of the kind, and score.
        label: all of it, for people.
        score: of the prediction.
        is_shown: whether its score is high enough.
        x, y, width, height: of the box.
        mask: path of the outline; empty without mask.
        landmarks: x and y of each; empty without landmarks.
        size: of the letters, px of the photo.
        text_x, text_y: where the text begins, within the picture.
    """

    model: str
    number: int
    position: int
    kind: str
    text: str
    label: str
    score: float
    is_shown: bool
    x: float
    y: float
    width: float
    height: float
    mask: str
    landmarks: tuple[tuple[float, float], ...]
    size: float
    text_x: float
    text_y: float


def prediction_shapes(
    result: ModelResult,
    name: str,
    number: int,
    key: tuple[str, int],
    least: float,
    most: int,
    *,
    region: tuple[int, int, int, int],
    is_large: bool,
    is_named: bool,
) -> list[PredictionShape]:
    """Return the shapes of the predictions in an image, the highest score last, so that it lies above others.

    Args:
        result: of the model.
        name: of the model.
        number: of the model, 0 or 1.
        key: split and image_id.
        least: predictions with a lower score are not shown.
        most: number of predictions with the highest scores that are drawn.
        region: of the picture: x1, y1, x2, y2, px of the photo.
        is_large: whether the picture is large: outlines of masks are drawn.
        is_named: whether the text has the number of the model.
    """
    positions = result.rows_of(*key)[:most]
    rows = result.detections.take(pa.array(positions)).to_pylist()
    more = result.shapes.take(pa.array(positions)).to_pylist()
    size = round(max(1.0, (region[2] - region[0]) / (45 if is_large else 18)), 2)
    drawn = [
        _shape(row, other, name, number, least, size, is_large, region) for row, other in zip(rows, more, strict=True)
    ]
    if is_named:
        drawn = [replace(shape, text=f"{number + 1} {shape.text}") for shape in drawn]
    return drawn[::-1]


def _shape(
    row: dict[str, Any],
    more: dict[str, Any],
    name: str,
    number: int,
    least: float,
    size: float,
    is_large: bool,
    region: tuple[int, int, int, int],
) -> PredictionShape:
    kind = row["kind"]
    letter, meaning = KINDS[kind]
    flat = more.get("landmarks") or ()
    corners = [float(row[column]) for column in ("x1", "y1", "x2", "y2")]
    return PredictionShape(
        model=name,
        number=number,
        position=row["position"],
        kind=kind,
        text=f"{letter} {row['score']:.2f}",
        label=f"{name}: {CATEGORY_BY_ID[row['category_id']].name} {row['score']:.2f}, {kind}: {meaning}",
        score=row["score"],
        is_shown=row["score"] >= least,
        x=round(corners[0], 1),
        y=round(corners[1], 1),
        width=round(max(0.0, corners[2] - corners[0]), 1),
        height=round(max(0.0, corners[3] - corners[1]), 1),
        mask=outline(more["size"], more["counts"]) if is_large and more.get("counts") else "",
        landmarks=tuple((round(x, 1), round(y, 1)) for x, y in zip(flat[0::2], flat[1::2], strict=True)),
        size=size,
        text_x=round(min(max(corners[0], region[0]), region[2] - 3 * size) + size / 4, 1),
        text_y=round(min(max(corners[1], region[1]) + size, region[3] - size / 4), 1),
    )


def outline(size: list[int], counts: bytes) -> str:
    """Return the outline of a mask as a path.

    Args:
        size: height and width, px.
        counts: runs of pixels as pycocotools writes them.
    """
    import shapely
    from pycocotools import mask

    pixels = mask.decode({"size": size, "counts": counts})
    columns = np.diff(np.pad(pixels.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    # Each run of a column is a rectangle of 1 px width.
    x, top = np.nonzero(columns.T == 1)
    _, bottom = np.nonzero(columns.T == -1)
    shape = shapely.unary_union(shapely.box(x, top, x + 1, bottom)).simplify(_TOLERANCE)
    rings = [
        ring
        for part in shapely.get_parts(shape)
        if part.geom_type == "Polygon"
        for ring in (part.exterior, *part.interiors)
    ]
    paths = (" ".join(f"{px:g} {py:g}" for px, py in list(ring.coords)[:-1]) for ring in rings)
    return "".join(f"M{path}z" for path in paths)
