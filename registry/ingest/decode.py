"""Annotation bytes -> columns of rows: the fast path of ingestion. Pure, no I/O.

Files come in chunks. A chunk is decoded on the assumption that it is sound: msgspec checks the types and ranges
while it decodes, and what it cannot express (counts that depend on the category, polygon lengths, repeated keys)
is checked once a chunk over all items together. Only if something is wrong are the files of the chunk looked at
one by one by :mod:`registry.ingest.diagnose`, which says what and where.
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
from registry.ingest.diagnose import EXACT_MAX, check_annotation, item_no
from registry.parsing.json_files import MAX_DIGITS, lost_digits
from registry.sources.issues import Issue

_Code = Annotated[int, msgspec.Meta(ge=1, le=3)]
_Coordinate = Annotated[float, msgspec.Meta(gt=-EXACT_MAX, lt=EXACT_MAX)]
_Int32 = Annotated[int, msgspec.Meta(ge=-INT32_MAX, le=INT32_MAX)]


class Item(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One item as it stands in an annotation file, types and ranges checked by the decoder."""

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


# The top-level keys are dynamic, so source and pair_id are decoded beside the items, by the type of their value.
_decode = msgspec.json.Decoder(
    dict[str, Item | Literal["user", "shop"] | Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)]]
).decode

_CATEGORY_FACTS: Final = {(category.id, category.name, 3 * category.num_landmarks) for category in CATEGORIES}
_VISIBILITIES: Final = {0, 1, 2}
# A sound file has exactly this many double quotes: 2 keys and 1 text at the top, and for each item its own key,
# its 10 keys and its category name. More of them mean a key that stands twice, which a decoder passes over.
_QUOTES_TOP: Final = 6
_QUOTES_ITEM: Final = 24
# Numbers of which a double may hold only a part: a long run of digits and points, and a negative exponent.
_AS_RUNS: Final = bytes(ord("0") if chr(code) in "0123456789." else code for code in range(256))
_LONG_RUN: Final = b"0" * (MAX_DIGITS + 2)
_NUMBER: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_SMALL_NUMBER: Final = re.compile(rb"-?[0-9.]+[eE]-[0-9]+")


class _UnsoundError(Exception):
    """The chunk is not sound as a whole; its files must be looked at one by one."""


@dataclass(slots=True)
class Annotations:
    """A chunk of annotation files as columns.

    Attributes:
        image_ids, sources, pair_ids, num_items: one entry an image.
        item_keys, items: one entry an item, image by image in file key order.
        visibilities: the v of each item's landmarks.
    """

    image_ids: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    pair_ids: list[int] = field(default_factory=list)
    num_items: list[int] = field(default_factory=list)
    item_keys: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    visibilities: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RawFile:
    """One annotation file before decoding.

    Attributes:
        image_id: the number in its name.
        path: its path in the source from the split on.
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
        The columns of the sound files, and the issues of each of the others by its position in ``files``.
    """
    try:
        return _decode_sound(files), {}
    except (_UnsoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        pass  # looked at one by one below, which says what is wrong
    issues: dict[int, list[Issue]] = {}
    sound = []
    for position, file in enumerate(files):
        found = check_annotation(file.data, file.path)
        if not found:
            try:
                _decode_sound([file])
            except (_UnsoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
                found = [Issue(file.path, (), f"the decoder refused it: {error}")]
        if found:
            issues[position] = found
        else:
            sound.append(file)
    return _decode_sound(sound), issues


def _decode_sound(files: Sequence[RawFile]) -> Annotations:
    """Decode files on the assumption that all are sound.

    Raises:
        _UnsoundError, KeyError, RecursionError, UnicodeDecodeError, msgspec.DecodeError: at least one is not.
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
            raise _UnsoundError
        if data.count(b'"') != _QUOTES_TOP + _QUOTES_ITEM * count:
            raise _UnsoundError
        columns.image_ids.append(file.image_id)
        columns.sources.append(source)
        columns.pair_ids.append(pair_id)
        columns.num_items.append(count)
        keys += document
        items += document.values()  # that all are items is checked below
    _check_together(columns)
    _check_digits(b",".join([file.data for file in files]))
    return columns


def _check_together(columns: Annotations) -> None:
    """Raise _UnsoundError if any item breaks a rule that the decoder cannot express."""
    items = columns.items
    if not set(map(type, items)) <= {Item}:
        raise _UnsoundError
    if not {(item.category_id, item.category_name, len(item.landmarks)) for item in items} <= _CATEGORY_FACTS:
        raise _UnsoundError
    columns.visibilities = [item.landmarks[2::3] for item in items]
    if not set(chain.from_iterable(columns.visibilities)) <= _VISIBILITIES:
        raise _UnsoundError
    sizes = set(map(len, chain.from_iterable([item.segmentation for item in items])))
    if any(size < 6 or size % 2 for size in sizes):
        raise _UnsoundError
    if not all(map(item_no, set(columns.item_keys))):
        raise _UnsoundError


def _check_digits(text: bytes) -> None:
    """Raise _UnsoundError if a double holds only a part of any number in files that were decoded.

    Few numbers are looked at one by one. A number that is cut has more than 17 digits: with its point it is a long run,
    and without one it is beyond the range of the decoder. A number too small has a negative exponent or is a long run.
    """
    has_small = b"-" in text and (b"e-" in text or b"E-" in text)
    if has_small and any(lost_digits(number.decode()) for number in _SMALL_NUMBER.findall(text)):
        raise _UnsoundError
    if b"." not in text:
        return
    runs = text.translate(_AS_RUNS)
    start = runs.find(_LONG_RUN)
    while start >= 0:
        number = _NUMBER.match(text, start)
        if number is None or lost_digits(number[0].decode()):
            raise _UnsoundError
        start = runs.find(_LONG_RUN, number.end())
