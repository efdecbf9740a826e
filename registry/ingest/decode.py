"""Decoding annotation files into columns: the fast path of ingestion. No I/O.

A chunk of files is decoded as if all were valid. msgspec checks types and ranges while it decodes; the rules that it
cannot express (lengths that depend on the category, polygon lengths, repeated keys) are checked on all items of the
chunk together. If a check fails, :mod:`registry.ingest.diagnose` examines each file and reports its issues.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Final, Literal

import msgspec

from registry.dataset.deepfashion2 import CATEGORIES
from registry.dataset.tables import INT32_MAX
from registry.ingest.diagnose import check_annotation, item_no
from registry.ingest.json_checks import EXACT_MAX
from registry.parsing.json_files import MAX_DIGITS, lost_digits
from registry.sources.issues import Issue

_Code = Annotated[int, msgspec.Meta(ge=1, le=3)]
_Coordinate = Annotated[float, msgspec.Meta(gt=-EXACT_MAX, lt=EXACT_MAX)]
_Int32 = Annotated[int, msgspec.Meta(ge=-INT32_MAX, le=INT32_MAX)]


class Item(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An item of an annotation file; the decoder checks types and ranges."""

    segmentation: list[list[_Coordinate]]
    scale: _Code
    viewpoint: _Code
    zoom_in: _Code
    landmarks: list[_Int32]
    style: Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)]
    bounding_box: tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate]
    category_id: Annotated[int, msgspec.Meta(ge=1, le=len(CATEGORIES))]
    occlusion: _Code
    category_name: str


# The top-level keys vary (item1, item2, ...), so values are told apart by type: items, source, pair_id.
_decode = msgspec.json.Decoder(
    dict[str, Item | Literal["user", "shop"] | Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)]]
).decode

_CATEGORY_FACTS: Final = {(category.id, category.name, 3 * category.num_landmarks) for category in CATEGORIES}
_VISIBILITIES: Final = {0, 1, 2}
# Double quotes in a valid file: 2 keys and 1 text at the top; for each item its key, its 10 keys and its category name.
# More quotes mean a repeated key, which msgspec accepts.
_QUOTES_TOP: Final = 6
_QUOTES_ITEM: Final = 24
# Numbers that a double may not represent exactly: a long run of digits and points, or a negative exponent.
_AS_RUNS: Final = bytes(ord("0") if chr(code) in "0123456789." else code for code in range(256))
_LONG_RUN: Final = b"0" * (MAX_DIGITS + 2)
_NUMBER: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_SMALL_NUMBER: Final = re.compile(rb"-?[0-9.]+[eE]-[0-9]+")


class InvalidError(Exception):
    """An annotation file of a chunk, or a value of a correction, is not valid."""


#: Errors that decoding and the checks below raise for what an annotation file may not hold.
DECODE_ERRORS: Final = (InvalidError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError)


@dataclass(slots=True)
class Annotations:
    """A chunk of annotation files as columns.

    Attributes:
        image_ids, sources, pair_ids, num_items: a value for each image; source and pair_id are None where a COCO file
            does not hold them.
        item_keys, items: a value for each item, image by image in file key order.
        visibilities: for each item the v of its landmarks; None for an item of a COCO file without landmarks.
        num_corrections: for each item the corrections of its row; empty if nothing was corrected.
    """

    image_ids: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    pair_ids: list[int] = field(default_factory=list)
    num_items: list[int] = field(default_factory=list)
    item_keys: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    visibilities: list[list[int]] = field(default_factory=list)
    num_corrections: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RawFile:
    """An annotation file before decoding.

    Attributes:
        image_id: number in its name.
        path: path in the source, beginning with the split.
        data: its bytes.
    """

    image_id: int
    path: str
    data: bytes


def decode_annotations(files: Sequence[RawFile]) -> tuple[Annotations, dict[int, list[Issue]]]:
    """Decode a chunk of annotation files.

    Args:
        files: in ascending order of image_id.

    Returns:
        The columns of the valid files, and the issues of each other file by its position in ``files``.
    """
    try:
        return _decode_valid(files), {}
    except DECODE_ERRORS:
        pass  # each file is checked below
    issues: dict[int, list[Issue]] = {}
    valid = []
    for position, file in enumerate(files):
        file_issues = _find_issues(file)
        if file_issues:
            issues[position] = file_issues
        else:
            valid.append(file)
    return _decode_valid(valid), issues


def _find_issues(file: RawFile) -> list[Issue]:
    """Return the issues of a file; a file with no issues can be decoded."""
    issues = check_annotation(file.data, file.path)
    if not issues:
        try:
            _decode_valid([file])
        except DECODE_ERRORS as error:
            return [Issue(file.path, (), f"the decoder refused it: {error}")]
    return issues


def _decode_valid(files: Sequence[RawFile]) -> Annotations:
    """Return the columns of valid files.

    Raises:
        InvalidError, or another of DECODE_ERRORS: at least one file is not valid.
    """
    columns = Annotations()
    keys, items = columns.item_keys, columns.items
    for file in files:
        data = file.data
        document = _decode(data)
        source = document.pop("source")
        pair_id = document.pop("pair_id")
        count = len(document)
        if source.__class__ is not str or pair_id.__class__ is not int or not count:
            raise InvalidError
        if data.count(b'"') != _QUOTES_TOP + _QUOTES_ITEM * count:
            raise InvalidError
        columns.image_ids.append(file.image_id)
        columns.sources.append(source)
        columns.pair_ids.append(pair_id)
        columns.num_items.append(count)
        keys += document
        items += document.values()  # _check_items() checks their type
    _check_items(columns)
    check_digits(b",".join([file.data for file in files]))
    return columns


def _check_items(columns: Annotations) -> None:
    """Fill ``visibilities``; raise InvalidError if an item breaks a rule that msgspec cannot express."""
    items = columns.items
    if not set(map(type, items)) <= {Item}:
        raise InvalidError
    if not {(item.category_id, item.category_name, len(item.landmarks)) for item in items} <= _CATEGORY_FACTS:
        raise InvalidError
    columns.visibilities = [item.landmarks[2::3] for item in items]
    if not set(chain.from_iterable(columns.visibilities)) <= _VISIBILITIES:
        raise InvalidError
    check_segmentation(list(chain.from_iterable([item.segmentation for item in items])))
    if not all(map(item_no, set(columns.item_keys))):
        raise InvalidError


def check_item(item: Item) -> None:
    """Raise InvalidError if a decoded item breaks a rule that msgspec cannot express."""
    if (item.category_id, item.category_name, len(item.landmarks)) not in _CATEGORY_FACTS:
        raise InvalidError
    check_landmarks(item.landmarks)
    check_segmentation(item.segmentation)


def check_landmarks(landmarks: list[int]) -> None:
    """Raise InvalidError if a landmark has a visibility that does not exist; its category decides on their number."""
    if len(landmarks) % 3 or not set(landmarks[2::3]) <= _VISIBILITIES:
        raise InvalidError


def check_segmentation(polygons: list[list[float]]) -> None:
    """Raise InvalidError if a polygon has no 3 points or half a point."""
    if any(size < 6 or size % 2 for size in set(map(len, polygons))):
        raise InvalidError


def check_digits(text: bytes) -> None:
    """Raise InvalidError if the text of decoded files has a number that a double does not represent exactly."""
    if has_lost_digits(text):
        raise InvalidError


def has_lost_digits(text: bytes) -> bool:
    """Return whether the text of decoded JSON has a number that a double does not represent exactly.

    Only suspicious numbers are parsed. A number with too many digits is a long run of digits with a point; without a
    point it would be beyond the decoder's range. A number that is too small has a negative exponent or is a long run.
    """
    has_small = b"-" in text and (b"e-" in text or b"E-" in text)
    if has_small and any(lost_digits(number.decode()) for number in _SMALL_NUMBER.findall(text)):
        return True
    if b"." not in text:
        return False
    runs = text.translate(_AS_RUNS)
    start = runs.find(_LONG_RUN)
    while start >= 0:
        number = _NUMBER.match(text, start)
        if number is None or lost_digits(number[0].decode()):
            return True
        start = runs.find(_LONG_RUN, number.end())
    return False
