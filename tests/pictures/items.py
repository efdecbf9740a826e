"""Rows of items for pictures."""

from __future__ import annotations

from typing import Any

#: Landmarks of a skirt as fractions of its box: 1 to 3 the waist, 4 and 5 the left side, 6 the hem, 7 and 8 the right.
_SKIRT = ((0.25, 0.0), (0.5, 0.0), (0.75, 0.0), (0.125, 0.5), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (0.875, 0.5))


def skirt(item_no: int, box: tuple[float, float, float, float], visibility: str = "22222222", **changes: Any) -> Any:
    """Return the row of a skirt that fills its box; ``visibility`` has the v of each landmark."""
    x1, y1, x2, y2 = box
    points = [(round(x1 + a * (x2 - x1)), round(y1 + b * (y2 - y1))) for a, b in _SKIRT]
    flat = [
        n for (x, y), v in zip(points, visibility, strict=True) for n in ((x, y, int(v)) if v != "0" else (0, 0, 0))
    ]
    row = {
        "item_no": item_no,
        "style": 1,
        "category_id": 9,
        "category_name": "skirt",
        **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
        "landmarks": flat,
        "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
    }
    return row | changes
