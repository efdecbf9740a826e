"""A subset's options as SQL conditions; values are bound, never written into the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES
from registry.subset.options import Subset
from registry.subset.values import Range

#: Up to this many ranges become BETWEEN conditions, which let DuckDB skip row groups. Of more ranges, those with fewer
#: numbers than _NARROW become one list of numbers.
_MOST_WRITTEN: Final = 16
_NARROW: Final = 1_000
#: Whether a row of the table items has a box with width and height.
HAS_AREA: Final = "(x2 > x1 AND y2 > y1)"


def image_conditions(subset: Subset) -> tuple[str, dict[str, Any]]:
    """Return the condition on a row of the table images, and the values of its parameters."""
    parts: list[str] = []
    params: dict[str, Any] = {}
    for name in ("split", "source"):
        _add_values(parts, params, name, getattr(subset, name))
    for name in ("pair_id", "image_id"):
        _add_ranges(parts, params, name, getattr(subset, name))
    return " AND ".join(parts) or "true", params


def item_conditions(subset: Subset, category_ids: Sequence[int] = ()) -> tuple[str, dict[str, Any]]:
    """Return the condition on a row of the table items, and the values of its parameters.

    Args:
        subset: the options.
        category_ids: the only categories beside those of the options; () for all.
    """
    of_image, params = image_conditions(subset)
    parts = [] if of_image == "true" else [of_image]
    _add_values(parts, params, "category_id", subset.category)
    if category_ids:
        parts.append(f"category_id IN ({', '.join(map(str, category_ids))})")
    for name in ATTRIBUTE_CODES:
        _add_values(parts, params, name, getattr(subset, name))
    _add_ranges(parts, params, "style", subset.style)
    if subset.has_landmarks:
        parts.append("num_landmarks_labelled > 0")
    if subset.min_box_area is not None:
        parts.append(f"(x2 - x1) * (y2 - y1) >= $min_box_area AND {HAS_AREA}")
        params["min_box_area"] = subset.min_box_area
    if subset.where:
        parts.append(f"coalesce((\n{subset.where}\n), false)")
    return " AND ".join(parts) or "true", params


def _add_values(parts: list[str], params: dict[str, Any], name: str, values: Sequence[Any]) -> None:
    if values:
        names = [f"{name}_{number}" for number in range(len(values))]
        parts.append(f"{name} IN ({', '.join(f'${placeholder}' for placeholder in names)})")
        params.update(zip(names, values, strict=True))


def _add_ranges(parts: list[str], params: dict[str, Any], name: str, ranges: Sequence[Range]) -> None:
    if not ranges:
        return
    narrow = [(low, high) for low, high in ranges if high - low < _NARROW] if len(ranges) > _MOST_WRITTEN else []
    alternatives = []
    for number, (low, high) in enumerate(sorted(set(ranges) - set(narrow))):
        alternatives.append(f"{name} BETWEEN ${name}_low_{number} AND ${name}_high_{number}")
        params |= {f"{name}_low_{number}": low, f"{name}_high_{number}": high}
    if narrow:
        alternatives.append(f"{name} IN (SELECT unnest(${name}_listed::INTEGER[]))")
        params[f"{name}_listed"] = [number for low, high in narrow for number in range(low, high + 1)]
    parts.append(f"({' OR '.join(alternatives)})")
