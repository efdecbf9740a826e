"""The careful reading of one annotation file: every problem in it, each with its place.

This is the slow twin of the decoder in :mod:`registry.ingest.decode`, called for the files which that one
refuses. It accepts a file if and only if the decoder does (a property test holds the two together).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID, SOURCES
from registry.dataset.tables import INT32_MAX
from registry.parsing.json_files import REPEATED, CutNumber, Duplicates, decode, lost_digits
from registry.sources.issues import MOST_OF_FILE, Issue

INT16_MAX: Final = 2**15 - 1
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
#: Further issues of a file that are counted, though not told, before it is given up.
_MOST_COUNTED: Final = 10_000


class _EnoughError(Exception):
    """There are so many issues in a file that it is not looked at further."""


class Collector:
    """The first issues of one file, and how many more there are.

    Args:
        file: its path in the source.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._issues: set[Issue] = set()
        self._more = 0

    def __bool__(self) -> bool:
        return bool(self._issues)

    def report(self, place: Place, text: str) -> None:
        """Take an issue.

        Raises:
            _EnoughError: there are more than are even counted.
        """
        if len(self._issues) < MOST_OF_FILE:
            self._issues.add(Issue(self._file, tuple(map(_shown_key, place)), text))
        else:
            self._more += 1
            if self._more >= _MOST_COUNTED:
                raise _EnoughError

    def run(self, check: Callable[[], None]) -> None:
        """Run a check until there are too many issues."""
        with suppress(_EnoughError):
            check()

    @property
    def issues(self) -> list[Issue]:
        """The issues, sorted."""
        if not self._more:
            return sorted(self._issues)
        number = f"{self._more:,}" if self._more < _MOST_COUNTED else f"{_MOST_COUNTED:,} or more"
        text = f"has {number} issues more than the {MOST_OF_FILE} that are told"
        return sorted([Issue(self._file, (), text), *self._issues])


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
    found = Collector(file)
    document = parse_json(data, found.report)
    if not found:
        found.run(lambda: _check_document(document, found.report))
    return found.issues


def parse_json(data: bytes, report: Report, expected: str = "one JSON object") -> Any:
    """Return the parsed JSON; why there is none is reported."""
    if not data.strip(b" \t\r\n"):
        report((), f"the file is empty; expected {expected}")
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        report((), f"expected UTF-8 text, found byte 0x{data[error.start]:02x} at byte {error.start}")
        return None

    try:
        return decode(text)
    except json.JSONDecodeError as error:
        report((), f"expected valid JSON: {error.msg} (character {error.pos} of {len(text)})")
    except RecursionError:
        report((), "expected JSON nested at most 4 deep, found it nested too deeply to read")
    except ValueError as error:  # NaN, Infinity, or an integer of more digits than Python converts
        report((), str(error).partition(":")[0] if "digits" in str(error) else str(error))
    return None


def _check_document(document: Any, report: Report) -> None:
    if not isinstance(document, Duplicates):
        report((), f"expected one JSON object, found {kind_of(document)}")
        return
    check_duplicates(document, (), report)
    items = {key: value for key, value in document.items() if item_no(key)}
    for key in document:
        if key not in items and key not in ("source", "pair_id"):
            report((key,), f"unknown key; expected source, pair_id, and item1, item2, ... up to item{INT16_MAX}")
    if not items:
        report((), "expected at least one item (item1, item2, ...), found none")
    if "source" not in document:
        report(("source",), "missing; expected user or shop")
    elif document["source"] not in SOURCES:
        report(("source",), f"expected user or shop, found {shown(document['source'])}")
    check_int(document, "pair_id", 0, INT32_MAX, (), report)
    for key, value in items.items():
        _check_item(value, (key,), report)


def _check_item(item: Any, place: Place, report: Report) -> None:
    if not isinstance(item, Duplicates):
        report(place, f"expected an object, found {kind_of(item)}")
        return
    check_duplicates(item, place, report)
    for key in item:
        if key not in ITEM_FIELDS:
            report((*place, key), f"unknown key; expected {', '.join(ITEM_FIELDS)}")
    for name in ATTRIBUTE_CODES:
        check_int(item, name, 1, 3, place, report)
    check_int(item, "style", 0, INT32_MAX, place, report)
    category = None
    if check_int(item, "category_id", 1, len(CATEGORY_BY_ID), place, report):
        category = CATEGORY_BY_ID[item["category_id"]]
    if "category_name" not in item:
        report((*place, "category_name"), "missing; expected the name of the category")
    elif category and item["category_name"] != category.name:
        found = shown(item["category_name"])
        report((*place, "category_name"), f"expected {category.name!r} for category {category.id}, found {found}")
    elif not category and not isinstance(item["category_name"], str):
        report((*place, "category_name"), f"expected a name, found {kind_of(item['category_name'])}")
    check_box(item, "bounding_box", place, report)
    _check_landmarks(item, category.id if category else None, place, report)
    _check_segmentation(item, place, report)


def check_box(item: Duplicates, key: str, place: Place, report: Report) -> Any:
    """Return the box, or None if it is not sound, which is reported."""
    box = _list(item, key, "[x1, y1, x2, y2]", place, report)
    if box is None:
        return None
    place = (*place, key)
    if len(box) != 4:
        report(place, f"expected 4 numbers (x1, y1, x2, y2), found {len(box)}")
    are_sound = [_check_number(number, (*place, str(index)), report) for index, number in enumerate(box)]
    return tuple(map(float, box)) if len(box) == 4 and all(are_sound) else None


def _check_landmarks(item: Duplicates, category_id: int | None, place: Place, report: Report) -> None:
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
            report((*place, str(index)), f"expected an integer, found {shown(number)}")
        elif index % 3 == 2 and number not in (0, 1, 2):
            report((*place, str(index)), f"expected v 0, 1 or 2, found {shown(number)}")
        elif abs(number) > INT32_MAX:
            report((*place, str(index)), f"expected an integer of at most 32 bits, found {shown(number)}")


def _check_segmentation(item: Duplicates, place: Place, report: Report) -> None:
    polygons = _list(item, "segmentation", "a list of polygons", place, report)
    for polygon_no, polygon in enumerate(polygons or [], start=1):
        here = (*place, "segmentation", f"polygon {polygon_no}")
        if not isinstance(polygon, list):
            report(here, f"expected a list of numbers, found {kind_of(polygon)}")
            continue
        if len(polygon) < 6 or len(polygon) % 2:
            report(here, f"expected an even count of at least 6 numbers, found {len(polygon)}")
        for index, number in enumerate(polygon):
            _check_number(number, (*here, str(index)), report)


def check_duplicates(value: Duplicates, place: Place, report: Report) -> None:
    """Report keys that stand more than once."""
    for key in value.duplicates:
        report((*place, key), REPEATED)


def check_int(value: Duplicates, key: str, low: int, high: int, place: Place, report: Report) -> bool:
    """Report unless ``value[key]`` is an integer from ``low`` to ``high``; return whether it is."""
    expected = f"an integer from {low} to {high}"
    if key not in value:
        report((*place, key), f"missing; expected {expected}")
    elif type(value[key]) is not int or not low <= value[key] <= high:
        report((*place, key), f"expected {expected}, found {shown(value[key])}")
    else:
        return True
    return False


def _check_number(number: Any, place: Place, report: Report) -> bool:
    """Report unless a double holds all of a number; return whether it does."""
    if type(number) not in (int, float, CutNumber):
        report(place, f"expected a number, found {shown(number)}")
    elif not math.isfinite(number) if isinstance(number, float) else False:
        report(place, "expected a number that fits a double, found one that is too large")
    elif abs(number) >= EXACT_MAX:
        report(place, f"expected a number below 2^53 in size, found {shown(number)}")
    elif isinstance(number, CutNumber):
        report(place, f"expected {lost_digits(number.literal)}, found {shown(number)}")
    else:
        return True
    return False


def _list(item: Duplicates, key: str, expected: str, place: Place, report: Report) -> list[Any] | None:
    if key not in item:
        report((*place, key), f"missing; expected {expected}")
    elif not isinstance(item[key], list):
        report((*place, key), f"expected {expected}, found {kind_of(item[key])}")
    else:
        found: list[Any] = item[key]
        return found
    return None


def kind_of(value: Any) -> str:
    """Return what kind of JSON value there is, for a message."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(dict if isinstance(value, dict) else type(value), "a number")


def shown(value: Any) -> str:
    """Return a short form of a JSON value for a message."""
    if isinstance(value, dict | list):
        return kind_of(value)
    if type(value) is int and abs(value) >= 10**40:
        return "an integer of more than 40 digits"
    text = value.literal if isinstance(value, CutNumber) else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _shown_key(key: str) -> str:
    """Return a key as it is, or quoted and short if it would break a line, a terminal or an encoding."""
    return key if key and key.isprintable() and len(key) <= 40 else shown(key)
