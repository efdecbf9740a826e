"""Reading a query or gallery list: its entries, or all its issues, each with its place.

Lists are checked as strictly as annotations: unknown or repeated keys, wrong types and numbers that a column cannot
hold exactly are issues. A place is the number of the entry, from 1, and its key: ``val_query.json > 17 > bbox``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from registry.dataset.deepfashion2 import CATEGORIES
from registry.dataset.file_names import DATA_NAME, stem
from registry.dataset.tables import INT32_MAX
from registry.ingest.json_checks import (
    IssueCollector,
    Report,
    check_box,
    check_duplicates,
    check_int,
    check_object,
    decode_text,
    kind_of,
    parse_json,
    shown,
)
from registry.parsing.json_files import Duplicates
from registry.sources.issues import Issue

Box = tuple[float, float, float, float]

_IMAGE_NAME: Final = re.compile(rf"(?:.*/)?{DATA_NAME}")
_EXPECTED_NAME: Final = "the name of an image or annotation such as 000001.jpg"


@dataclass(frozen=True, slots=True)
class ListEntry:
    """An entry of a retrieval list; lists of images have no box, category_id, style and pair_id.

    Attributes:
        list_file: name of the list.
        entry_no: position in the list, from 1.
        role: query or gallery.
        image_id: number of the image.
        box: xyxy, px from the top-left corner.
        category_id, style, pair_id: of the item.
    """

    list_file: str
    entry_no: int
    role: str
    image_id: int
    box: Box | None = None
    category_id: int | None = None
    style: int | None = None
    pair_id: int | None = None


def read_list(name: str, role: str, data: bytes) -> tuple[list[ListEntry], list[Issue]]:
    """Return the entries of a list and no issues, or no entries and the issues of the file.

    Args:
        name: file name; its suffix determines the format.
        role: query or gallery.
        data: bytes of the file.
    """
    collector = IssueCollector(name)
    entries: list[ListEntry] = []

    def check() -> None:
        if name.endswith(".txt"):
            entries.extend(_read_names(name, role, data, collector.report))
        elif name.endswith("_information.json"):
            entries.extend(_read_information(name, role, data, collector.report))
        else:
            entries.extend(_read_records(name, role, data, collector.report))

    collector.run(check)
    return ([], collector.issues) if collector else (entries, [])


def _read_names(name: str, role: str, data: bytes, report: Report) -> list[ListEntry]:
    """Read a text file with an image name on each line; empty lines are ignored."""
    text = decode_text(data, report)
    if text is None:
        return []
    names = [line.strip() for line in text.splitlines() if line.strip()]
    return [
        ListEntry(name, number, role, _image_id(line, (str(number),), report)) for number, line in enumerate(names, 1)
    ]


def _read_information(name: str, role: str, data: bytes, report: Report) -> list[ListEntry]:
    """Read the ``images`` of a COCO file without annotations; its other keys are ignored."""
    document = parse_json(data, report)
    if not isinstance(document, Duplicates):
        if document is not None:
            report((), f"expected one JSON object, found {kind_of(document)}")
        return []
    check_duplicates(document, (), report)
    images = document.get("images")
    if not isinstance(images, list):
        report(("images",), f"expected a list of images, found {kind_of(images) if images is not None else 'none'}")
        return []
    entries = []
    for number, image in enumerate(images, 1):
        place = ("images", str(number))
        if not check_object(image, None, place, report):
            continue
        image_id = _image_id(image.get("file_name"), (*place, "file_name"), report)
        entries.append(ListEntry(name, number, role, image_id))
    return entries


def _read_records(name: str, role: str, data: bytes, report: Report) -> list[ListEntry]:
    """Read a list of items, ``val_query.json`` or ``val_gallery.json`` (Source: evaluation.md)."""
    document = parse_json(data, report, "one JSON list")
    if not isinstance(document, list):
        if document is not None:
            report((), f"expected one JSON list, found {kind_of(document)}")
        return []
    id_name = f"{role}_image_id"
    fields = (id_name, "bbox", "style", "pair_id", "cls")
    entries = []
    for number, record in enumerate(document, 1):
        place = (str(number),)
        if not check_object(record, fields, place, report):
            continue
        are_valid = [check_int(record, key, 0, INT32_MAX, place, report) for key in (id_name, "style", "pair_id")]
        if record.get("cls") is not None:  # optional
            are_valid.append(check_int(record, "cls", 1, len(CATEGORIES), place, report))
        box = check_box(record, "bbox", place, report)
        if box is not None and all(are_valid):
            values = record[id_name], box, record.get("cls"), record["style"], record["pair_id"]
            entries.append(ListEntry(name, number, role, *values))
    return entries


def _image_id(name: Any, place: tuple[str, ...], report: Report) -> int:
    """Return the number in the name of an image or annotation; report any other value and return 0."""
    match = _IMAGE_NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        report(place, f"expected {_EXPECTED_NAME}, found {shown(name)}")
        return 0
    return int(stem(name.rpartition("/")[2]))
