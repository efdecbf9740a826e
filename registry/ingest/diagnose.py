"""All issues of an annotation file, each with its place.

The decoder (:mod:`registry.ingest.decode`) is fast and rejects a whole chunk; these checks are slow and run only on the
files of a rejected chunk. Both accept the same files, which a property test checks.
"""

from __future__ import annotations

import re
from typing import Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID, SOURCES, Category
from registry.dataset.tables import INT32_MAX
from registry.ingest.json_checks import (
    IssueCollector,
    Place,
    Report,
    check_box,
    check_duplicates,
    check_int,
    check_list,
    check_number,
    check_object,
    kind_of,
    parse_json,
    shown,
)
from registry.parsing.json_files import Duplicates
from registry.sources.issues import Issue

INT16_MAX: Final = 2**15 - 1
#: Key of an item in an annotation file.
ITEM_KEY: Final = re.compile(r"item([1-9][0-9]*)", re.ASCII)

#: Keys of an item, all required.
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
#: Fields of an item that can be corrected: its keys, but the category as one.
ITEM_VALUES: Final = (*(name for name in ITEM_FIELDS if not name.startswith("category")), "category")
#: Fields of an image.
IMAGE_FIELDS: Final = ("source", "pair_id")


def item_no(key: str) -> int:
    """Return the number in an item key, such as 12 for ``item12``; 0 for any other key."""
    match = ITEM_KEY.fullmatch(key)
    return int(match[1]) if match and len(match[1]) <= 5 and int(match[1]) <= INT16_MAX else 0


def check_annotation(data: bytes, file: str) -> list[Issue]:
    """Return the issues of an annotation file, sorted; an empty list if it is valid.

    Args:
        data: bytes of the file.
        file: its path in the source, for the issues.
    """
    collector = IssueCollector(file)
    document = parse_json(data, collector.report)
    if not collector:
        collector.run(lambda: _check_document(document, collector.report))
    return collector.issues


def _check_document(document: Any, report: Report) -> None:
    if not isinstance(document, Duplicates):
        report((), f"expected one JSON object, found {kind_of(document)}")
        return
    check_duplicates(document, (), report)
    items = {key: value for key, value in document.items() if item_no(key)}
    for key in document:
        if key not in items and key not in IMAGE_FIELDS:
            report((key,), f"unknown key; expected source, pair_id, and item1, item2, ... up to item{INT16_MAX}")
    if not items:
        report((), "expected at least one item (item1, item2, ...), found none")
    if "source" not in document:
        report(("source",), "missing; expected user or shop")
    else:
        _check_source(document["source"], ("source",), report)
    check_int(document, "pair_id", 0, INT32_MAX, (), report)
    for key, value in items.items():
        _check_item(value, (key,), report)


def check_field(name: str, value: Any, place: Place, report: Report) -> None:
    """Report the problems of a corrected value.

    Args:
        name: one of ITEM_VALUES or IMAGE_FIELDS; another name stands for a whole item.
        value: the parsed JSON.
        place: keys that lead to it.
        report: called with the place and the text of each problem.
    """
    # The checks of an item take the item and a key, and report the key as the end of the place.
    holder, outer = Duplicates({place[-1]: value}), place[:-1]
    if name in ATTRIBUTE_CODES:
        check_int(holder, place[-1], 1, 3, outer, report)
    elif name in ("style", "pair_id"):
        check_int(holder, place[-1], 0, INT32_MAX, outer, report)
    elif name == "source":
        _check_source(value, place, report)
    elif name == "category":
        names = [category.name for category in CATEGORY_BY_ID.values()]
        if value not in names:
            report(place, f"expected the name of a category ({', '.join(names)}), found {shown(value)}")
    elif name == "bounding_box":
        check_box(holder, place[-1], outer, report)
    elif name == "landmarks":
        _check_landmarks(holder, place[-1], None, outer, report)
    elif name == "segmentation":
        _check_segmentation(holder, place[-1], outer, report)
    else:
        _check_item(value, place, report)


def _check_source(source: Any, place: Place, report: Report) -> None:
    if source not in SOURCES:
        report(place, f"expected user or shop, found {shown(source)}")


def _check_item(item: Any, place: Place, report: Report) -> None:
    if not check_object(item, ITEM_FIELDS, place, report):
        return
    for name in ATTRIBUTE_CODES:
        check_int(item, name, 1, 3, place, report)
    check_int(item, "style", 0, INT32_MAX, place, report)
    category = _check_category(item, place, report)
    check_box(item, "bounding_box", place, report)
    _check_landmarks(item, "landmarks", category, place, report)
    _check_segmentation(item, "segmentation", place, report)


def _check_category(item: Duplicates, place: Place, report: Report) -> Category | None:
    """Check category_id and category_name; return the category if category_id is valid."""
    category = None
    if check_int(item, "category_id", 1, len(CATEGORY_BY_ID), place, report):
        category = CATEGORY_BY_ID[item["category_id"]]
    place = (*place, "category_name")
    if "category_name" not in item:
        report(place, "missing; expected the name of the category")
    elif category and item["category_name"] != category.name:
        text = f"expected {category.name!r} for category {category.id}, found {shown(item['category_name'])}"
        report(place, text)
    elif not category and not isinstance(item["category_name"], str):
        report(place, f"expected a name, found {kind_of(item['category_name'])}")
    return category


def _check_landmarks(item: Duplicates, key: str, category: Category | None, place: Place, report: Report) -> None:
    landmarks = check_list(item, key, "a flat list of x, y, v", place, report)
    if landmarks is None:
        return
    place = (*place, key)
    if category is None and len(landmarks) % 3:
        report(place, f"expected three numbers for each landmark, found {len(landmarks)}")
    if category is not None:
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


def _check_segmentation(item: Duplicates, key: str, place: Place, report: Report) -> None:
    polygons = check_list(item, key, "a list of polygons", place, report)
    for polygon_no, polygon in enumerate(polygons or [], start=1):
        here = (*place, key, f"polygon {polygon_no}")
        if not isinstance(polygon, list):
            report(here, f"expected a list of numbers, found {kind_of(polygon)}")
            continue
        if len(polygon) < 6 or len(polygon) % 2:
            report(here, f"expected an even count of at least 6 numbers, found {len(polygon)}")
        for index, number in enumerate(polygon):
            check_number(number, (*here, str(index)), report)
