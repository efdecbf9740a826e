"""The reading of one query or gallery list: its entries, or every problem in it, each with its place.

Lists obey the rule of annotations: unknown or repeated keys, wrong types and numbers that a column cannot hold exactly
are issues. A place is the number of the entry, counted from 1, and its key: ``val_query.json > 17 > bbox``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from registry.dataset.deepfashion2 import CATEGORIES
from registry.dataset.tables import INT32_MAX
from registry.ingest.diagnose import (
    Collector,
    Report,
    check_box,
    check_duplicates,
    check_int,
    kind_of,
    parse_json,
    shown,
)
from registry.parsing.json_files import Duplicates
from registry.sources.issues import Issue

Box = tuple[float, float, float, float]

_IMAGE_NAME: Final = re.compile(r"(?:.*/)?(\d{1,9})\.(?:jpg|json)", re.ASCII)
_EXPECTED_NAME: Final = "the name of an image or annotation such as 000001.jpg"


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One entry of a list; box, category, style and pair_id are None where the list does not give them."""

    list_file: str
    entry_no: int
    role: str
    image_id: int
    box: Box | None = None
    category_id: int | None = None
    style: int | None = None
    pair_id: int | None = None


def read_list(name: str, role: str, data: bytes) -> tuple[list[ListEntry], list[Issue]]:
    """Return the entries of one list file, or the issues of a file that cannot be taken.

    Args:
        name: of the file; its end says what form it has.
        role: query or gallery.
        data: its bytes.
    """
    found = Collector(name)
    entries: list[ListEntry] = []

    def check() -> None:
        if name.endswith(".txt"):
            entries.extend(_of_names(name, role, data, found.report))
        elif name.endswith("_information.json"):
            entries.extend(_of_information(name, role, data, found.report))
        else:
            entries.extend(_of_records(name, role, data, found.report))

    found.run(check)
    return ([], found.issues) if found else (entries, [])


def _of_names(name: str, role: str, data: bytes, report: Report) -> list[ListEntry]:
    """Read a text with a name a line."""
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        report((), f"expected UTF-8 text, found byte 0x{data[error.start]:02x} at byte {error.start}")
        return []
    names = [line.strip() for line in lines if line.strip()]
    return [
        ListEntry(name, number, role, _image_id(text, (str(number),), report)) for number, text in enumerate(names, 1)
    ]


def _of_information(name: str, role: str, data: bytes, report: Report) -> list[ListEntry]:
    """Read COCO's list of images without annotations; what else COCO has in it is passed over."""
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
        if not isinstance(image, Duplicates):
            report(place, f"expected an object, found {kind_of(image)}")
            continue
        check_duplicates(image, place, report)
        image_id = _image_id(image.get("file_name"), (*place, "file_name"), report)
        entries.append(ListEntry(name, number, role, image_id))
    return entries


def _of_records(name: str, role: str, data: bytes, report: Report) -> list[ListEntry]:
    """Read ``val_query.json`` or ``val_gallery.json`` (Source: evaluation.md)."""
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
        if not isinstance(record, Duplicates):
            report(place, f"expected an object, found {kind_of(record)}")
            continue
        check_duplicates(record, place, report)
        for key in record:
            if key not in fields:
                report((*place, key), f"unknown key; expected {', '.join(fields)}")
        is_sound = [check_int(record, key, 0, INT32_MAX, place, report) for key in (id_name, "style", "pair_id")]
        if record.get("cls") is not None:  # only some lists have it
            is_sound.append(check_int(record, "cls", 1, len(CATEGORIES), place, report))
        box = check_box(record, "bbox", place, report)
        if box is not None and all(is_sound):
            ids = record[id_name], box, record.get("cls"), record["style"], record["pair_id"]
            entries.append(ListEntry(name, number, role, *ids))
    return entries


def _image_id(name: Any, place: tuple[str, ...], report: Report) -> int:
    match = _IMAGE_NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        report(place, f"expected {_EXPECTED_NAME}, found {shown(name)}")
        return 0
    return int(match[1])
