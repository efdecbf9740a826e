"""The careful reading of one annotation file: every problem in it, each with its place.

This is the slow twin of the decoder in :mod:`registry.ingest.annotations`, called for the files which that one
refuses. It accepts a file if and only if the decoder does (a property test holds the two together).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from registry.ingest.issues import Issue
from registry.taxonomy import ATTRIBUTE_CODES, CATEGORY_BY_ID, SOURCES

INT16_MAX: Final = 2**15 - 1
INT32_MAX: Final = 2**31 - 1
#: Beyond this a double no longer tells neighbouring integers apart.
EXACT_MAX: Final = 2**53

ITEM_KEY: Final = re.compile(r"item([1-9][0-9]*)", re.ASCII)

ITEM_FIELDS: Final = (
    "segmentation",
    "scale",
    "viewpoint",
    "zoom_in",
    "landmarks",
    "style",
    "bounding_box",
    "category_id",
    "occlusion",
    "category_name",
)

Place = tuple[str, ...]
Report = Callable[[Place, str], None]


class _Duplicates(dict[str, Any]):
    """A JSON object that remembers which of its keys stood in it more than once."""

    duplicates: list[str]

    @classmethod
    def from_pairs(cls, pairs: list[tuple[str, Any]]) -> _Duplicates:
        found = cls(pairs)
        counts = Counter(key for key, _ in pairs) if len(found) < len(pairs) else {}
        found.duplicates = sorted(key for key, count in counts.items() if count > 1)
        return found


def item_no(key: str) -> int:
    """Return the number in an item key (12 for ``item12``), or 0 if the key is none."""
    match = ITEM_KEY.fullmatch(key)
    return int(match[1]) if match and len(match[1]) <= 5 and int(match[1]) <= INT16_MAX else 0


def check_annotation(data: bytes, file: str) -> list[Issue]:
    """Return every issue of one annotation file, sorted; an empty list if it is sound.

    Args:
        data: the file's bytes.
        file: its path in the source, for the issues.
    """
    issues: set[Issue] = set()

    def report(place: Place, text: str) -> None:
        issues.add(Issue(file, tuple(map(_shown_key, place)), text))

    document = _parse(data, report)
    if not issues:
        _check_document(document, report)
    return sorted(issues)


def _parse(data: bytes, report: Report) -> Any:
    """Return the parsed JSON; why there is none is reported."""
    if not data.strip(b" \t\r\n"):
        report((), "the file is empty; expected one JSON object")
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        report((), f"expected UTF-8 text, found byte 0x{data[error.start]:02x} at byte {error.start}")
        return None

    def refuse_constant(name: str) -> Any:
        raise ValueError(f"expected JSON numbers, found {name}")

    try:
        return json.loads(text, object_pairs_hook=_Duplicates.from_pairs, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        report((), f"expected valid JSON: {error.msg} (character {error.pos} of {len(text)})")
    except RecursionError:
        report((), "expected JSON nested at most 4 deep, found it nested too deeply to read")
    except ValueError as error:  # NaN, Infinity, or an integer of more digits than Python converts
        report((), str(error).partition(":")[0] if "digits" in str(error) else str(error))
    return None


def _check_document(document: Any, report: Report) -> None:
    if not isinstance(document, _Duplicates):
        report((), f"expected one JSON object, found {_kind(document)}")
        return
    _check_duplicates(document, (), report)
    items = {key: value for key, value in document.items() if item_no(key)}
    for key in document:
        if key not in items and key not in ("source", "pair_id"):
            report((key,), f"unknown key; expected source, pair_id, and item1, item2, ... up to item{INT16_MAX}")
    if not items:
        report((), "expected at least one item (item1, item2, ...), found none")
    if "source" not in document:
        report(("source",), "missing; expected user or shop")
    elif document["source"] not in SOURCES:
        report(("source",), f"expected user or shop, found {_shown(document['source'])}")
    _check_int(document, "pair_id", 0, INT32_MAX, (), report)
    for key, value in items.items():
        _check_item(value, (key,), report)


def _check_item(item: Any, place: Place, report: Report) -> None:
    if not isinstance(item, _Duplicates):
        report(place, f"expected an object, found {_kind(item)}")
        return
    _check_duplicates(item, place, report)
    for key in item:
        if key not in ITEM_FIELDS:
            report((*place, key), f"unknown key; expected {', '.join(ITEM_FIELDS)}")
    for name in ATTRIBUTE_CODES:
        _check_int(item, name, 1, 3, place, report)
    _check_int(item, "style", 0, INT32_MAX, place, report)
    category = None
    if _check_int(item, "category_id", 1, len(CATEGORY_BY_ID), place, report):
        category = CATEGORY_BY_ID[item["category_id"]]
    if "category_name" not in item:
        report((*place, "category_name"), "missing; expected the name of the category")
    elif category and item["category_name"] != category.name:
        found = _shown(item["category_name"])
        report((*place, "category_name"), f"expected {category.name!r} for category {category.id}, found {found}")
    elif not category and not isinstance(item["category_name"], str):
        report((*place, "category_name"), f"expected a name, found {_kind(item['category_name'])}")
    _check_box(item, place, report)
    _check_landmarks(item, category.id if category else None, place, report)
    _check_segmentation(item, place, report)


def _check_box(item: _Duplicates, place: Place, report: Report) -> None:
    box = _list(item, "bounding_box", "[x1, y1, x2, y2]", place, report)
    if box is None:
        return
    place = (*place, "bounding_box")
    if len(box) != 4:
        report(place, f"expected 4 numbers (x1, y1, x2, y2), found {len(box)}")
    for index, number in enumerate(box):
        _check_number(number, (*place, str(index)), report)


def _check_landmarks(item: _Duplicates, category_id: int | None, place: Place, report: Report) -> None:
    landmarks = _list(item, "landmarks", "a flat list of x, y, v", place, report)
    if landmarks is None:
        return
    place = (*place, "landmarks")
    if category_id is not None:
        category = CATEGORY_BY_ID[category_id]
        expected = 3 * category.num_landmarks
        if len(landmarks) != expected:
            report(
                place,
                f"expected {expected} numbers for category {category.id} ({category.name}), found {len(landmarks)}",
            )
    for index, number in enumerate(landmarks):
        if type(number) is not int:
            report((*place, str(index)), f"expected an integer, found {_shown(number)}")
        elif index % 3 == 2 and number not in (0, 1, 2):
            report((*place, str(index)), f"expected v 0, 1 or 2, found {_shown(number)}")
        elif abs(number) > INT32_MAX:
            report((*place, str(index)), f"expected an integer of at most 32 bits, found {_shown(number)}")


def _check_segmentation(item: _Duplicates, place: Place, report: Report) -> None:
    polygons = _list(item, "segmentation", "a list of polygons", place, report)
    for polygon_no, polygon in enumerate(polygons or [], start=1):
        here = (*place, "segmentation", f"polygon {polygon_no}")
        if not isinstance(polygon, list):
            report(here, f"expected a list of numbers, found {_kind(polygon)}")
            continue
        if len(polygon) < 6 or len(polygon) % 2:
            report(here, f"expected an even count of at least 6 numbers, found {len(polygon)}")
        for index, number in enumerate(polygon):
            _check_number(number, (*here, str(index)), report)


def _check_duplicates(value: _Duplicates, place: Place, report: Report) -> None:
    for key in value.duplicates:
        report((*place, key), "the key stands more than once; expected it once")


def _check_int(value: _Duplicates, key: str, low: int, high: int, place: Place, report: Report) -> bool:
    """Report unless ``value[key]`` is an integer from ``low`` to ``high``; return whether it is."""
    expected = f"an integer from {low} to {high}"
    if key not in value:
        report((*place, key), f"missing; expected {expected}")
    elif type(value[key]) is not int or not low <= value[key] <= high:
        report((*place, key), f"expected {expected}, found {_shown(value[key])}")
    else:
        return True
    return False


def _check_number(number: Any, place: Place, report: Report) -> None:
    if type(number) not in (int, float):
        report(place, f"expected a number, found {_shown(number)}")
    elif not math.isfinite(number) if isinstance(number, float) else False:
        report(place, "expected a number that fits a double, found one that is too large")
    elif abs(number) >= EXACT_MAX:
        report(place, f"expected a number below 2^53 in size, found {_shown(number)}")


def _list(item: _Duplicates, key: str, expected: str, place: Place, report: Report) -> list[Any] | None:
    if key not in item:
        report((*place, key), f"missing; expected {expected}")
    elif not isinstance(item[key], list):
        report((*place, key), f"expected {expected}, found {_kind(item[key])}")
    else:
        found: list[Any] = item[key]
        return found
    return None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(dict if isinstance(value, dict) else type(value), "a number")


def _shown(value: Any) -> str:
    """Return a short form of a JSON value for a message."""
    if isinstance(value, dict | list):
        return _kind(value)
    if type(value) is int and abs(value) >= 10**40:
        return "an integer of more than 40 digits"
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _shown_key(key: str) -> str:
    """Return a key as it is, or quoted and short if it would break a line, a terminal or an encoding."""
    return key if key and key.isprintable() and len(key) <= 40 else _shown(key)
