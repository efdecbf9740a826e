"""The first reading of COCO files: images, categories, and the place of every annotation.

A file may have gigabytes, and its annotations stand in any order. So only their places and image ids are kept; they
are read again, image by image, when all images and categories are known.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, SOURCES, SPLITS, find_category
from registry.dataset.file_names import PHOTO_SUFFIXES, PHOTO_SUFFIXES_TEXT, number_in
from registry.dataset.image_names import read_image_name
from registry.dataset.tables import INT32_MAX
from registry.errors import UnknownNameError
from registry.ingest.json_checks import IssueCollector, shown
from registry.parsing.json_stream import JsonStream, StreamError
from registry.sources.issues import Issue
from registry.subset.rows import SPLIT_STRIDE
from registry.wording import plural, sentence

_Size = Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)]


class _ImageRecord(msgspec.Struct, gc=False):
    """An image as COCO files have it; ``source``, ``pair_id`` and ``orientation`` are those of ``--attributes``."""

    id: int
    file_name: str
    width: _Size | None = None
    height: _Size | None = None
    source: Literal["user", "shop"] | None = None
    pair_id: Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)] | None = None
    orientation: Annotated[int, msgspec.Meta(ge=1, le=8)] | None = None


class _Category(msgspec.Struct):
    id: int
    name: str = ""


class _Owner(msgspec.Struct, gc=False):
    """Image and category of an annotation, of any type: the rest of the annotation is only checked to be JSON."""

    image_id: Any = None
    category_id: Any = None


class CocoImage(msgspec.Struct, frozen=True, gc=False):
    """An image of the split.

    Attributes:
        image_id: number in the name of its photo.
        name: of its photo.
        width, height, orientation, source, pair_id: None where the file does not tell.
        offset: number that is added to its pair_id in the file.
    """

    image_id: int
    name: str
    width: int | None
    height: int | None
    orientation: int | None
    source: str | None
    pair_id: int | None
    offset: int


@dataclass(slots=True)
class CocoIndex:
    """The content of COCO files, without their annotations.

    Attributes:
        images: by image_id.
        categories: for each file its category id -> category id of the dataset.
        image_ids, files, offsets, lengths, numbers: of each annotation its image, file, place in it, and position.
        records: (name, number of bytes, CRC-32) of each file.
        issues: by path of the file; any of them makes the files unreadable.
        notices: oddities that were accepted.
    """

    images: dict[int, CocoImage] = field(default_factory=dict)
    categories: list[dict[int, int]] = field(default_factory=list)
    image_ids: array[int] = field(default_factory=lambda: array("i"))
    files: array[int] = field(default_factory=lambda: array("h"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("i"))
    numbers: array[int] = field(default_factory=lambda: array("i"))
    records: list[tuple[str, int, int]] = field(default_factory=list)
    issues: dict[str, list[Issue]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def by_image(self) -> Iterator[tuple[CocoImage, list[int]]]:
        """Yield each image, ascending, with the positions of its annotations in the arrays, in file order."""
        order = sorted(range(len(self.image_ids)), key=self.image_ids.__getitem__)
        start = 0
        for image_id in sorted(self.images):
            end = start
            while end < len(order) and self.image_ids[order[end]] == image_id:
                end += 1
            yield self.images[image_id], order[start:end]
            start = end


def read_index(files: Sequence[tuple[str, Path]], split: str) -> CocoIndex:
    """Return the index of COCO files.

    Args:
        files: (name for messages, path) of each, in order.
        split: the split that they are to become.
    """
    index = CocoIndex()
    num_other = 0
    for number, (name, path) in enumerate(files):
        reader = _FileReader(index, number, f"{split}/{name}", split)
        with open(path, "rb") as file:
            index.records.append((name, *reader.read(file)))
        if reader.collector:
            index.issues[reader.path] = reader.collector.issues
        num_other += reader.num_other
    if num_other:
        text = sentence(
            num_other, "images of other splits", "are not read; ingest the file for each split to have them"
        )
        index.notices.append(f"{split}: {text}")
    if not index.images and not index.issues:
        first = f"{split}/{files[0][0]}"
        index.issues[first] = [Issue(first, ("images",), f"expected images of {split}, found none")]
    return index


class _FileReader:
    """Reads a file into an index.

    Args:
        index: to fill.
        number: of the file.
        path: of the file, for issues.
        split: the split that it is to become.
    """

    def __init__(self, index: CocoIndex, number: int, path: str, split: str) -> None:
        self.path = path
        self.collector = IssueCollector(path)
        self.num_other = 0
        self._index = index
        self._number = number
        self._split = split
        self._others: set[int] = set()
        #: id in the file -> image_id.
        self._ids: dict[int, int] = {}
        self._bad_ids: set[int] = set()
        self._image_ids: set[int] = set()
        #: id in the file -> (position, name, category of the dataset or None).
        self._categories: dict[int, tuple[int, str, int | None]] = {}
        #: category_id -> number of annotations, position of the first.
        self._used: dict[int, list[int]] = {}
        #: Ids of images in the file, of each annotation.
        self._owners: array[int] = array("q")
        self._first = len(index.offsets)

    def read(self, file: Any) -> tuple[int, int]:
        """Read the file; return its number of bytes and CRC-32."""
        try:
            stream = JsonStream(file)
        except StreamError as error:
            self.collector.report((), str(error))
            return 0, 0
        try:
            self._read_members(stream)
            self.collector.run(self._resolve)
        except StreamError as error:
            self.collector.report((), str(error))
            stream.read_rest()
        if stream.has_mark:
            self._index.notices.append(f"{self.path}: the byte order mark was left out; it changes no value")
        return stream.num_bytes, stream.crc

    def _read_members(self, stream: JsonStream) -> None:
        readers = {"images": self._add_image, "annotations": self._add_annotation, "categories": self._add_category}
        keys: set[str] = set()
        for key in stream.members():
            if key in keys:
                self.collector.report((key,), "the key stands more than once; expected it once")
            keys.add(key)
            if key not in ("images", "annotations", "categories"):
                stream.value()
            elif stream.peek() != b"[":
                self.collector.report((key,), "expected a list")
                stream.value()
            else:
                read = readers[key]
                for number, (offset, text) in enumerate(stream.elements()):
                    self.collector.run(lambda: read(number, offset, text))  # noqa: B023  # called at once
        for key in ("images", "annotations"):
            if key not in keys:
                self.collector.report((key,), "missing; expected a list, as COCO files have it")

    def _add_category(self, number: int, _: int, text: bytes) -> None:
        place = ("categories", str(number))
        record = self._decode(_Category, text, place)
        if record is None:
            return
        if record.id in self._categories:
            self.collector.report((*place, "id"), f"has the id {record.id} of an earlier category")
        try:
            category_id = None if record.name.strip().isdigit() else find_category(record.name).id
        except UnknownNameError:
            category_id = None
        self._categories[record.id] = number, record.name, category_id

    def _add_image(self, number: int, _: int, text: bytes) -> None:
        place = ("images", str(number))
        record = self._decode(_ImageRecord, text, place)
        if record is None:
            bad_id = _lenient_id(text)
            self._bad_ids |= {bad_id} if isinstance(bad_id, int) else set()
            return
        split, image_id, name = read_photo_name(record.file_name)
        if split not in (None, self._split):
            self.num_other += 1
            self._others.add(record.id)
            return
        if record.id in self._ids:
            self.collector.report((*place, "id"), f"has the id {record.id} of an earlier image")
        if image_id is None:
            self._bad_ids.add(record.id)
            expected = f"a number and {PHOTO_SUFFIXES_TEXT}, such as 000001.jpg"
            self.collector.report((*place, "file_name"), f"expected {expected}, found {shown(record.file_name)}")
            return
        offset = SPLIT_STRIDE * (1 + SPLITS.index(self._split))
        offset = offset if record.id - image_id == offset and split else 0
        pair_id = None if record.pair_id is None else record.pair_id - offset
        image = CocoImage(
            image_id, name, record.width or None, record.height or None, record.orientation, record.source, pair_id,
            offset,
        )  # fmt: skip
        self._ids[record.id] = image_id
        earlier = self._index.images.setdefault(image_id, image)
        if image_id in self._image_ids:
            self.collector.report(
                (*place, "file_name"), f"{shown(record.file_name)} has the number of an earlier image"
            )
        elif earlier != image:
            self.collector.report(place, f"{shown(record.file_name)} has other values in an earlier file")
        self._image_ids.add(image_id)

    def _add_annotation(self, number: int, offset: int, text: bytes) -> None:
        place = ("annotations", str(number))
        record = self._decode(_Owner, text, place)
        if record is None:
            return
        owner = record.image_id
        if type(owner) is not int or abs(owner) >= 2**63:
            self.collector.report((*place, "image_id"), f"expected the id of an image, found {shown(owner)}")
            return
        if type(record.category_id) is int:
            self._used.setdefault(record.category_id, [0, number])[0] += 1
        index = self._index
        self._owners.append(owner)
        index.files.append(self._number)
        index.offsets.append(offset)
        index.lengths.append(len(text))
        index.numbers.append(number)

    def _resolve(self) -> None:
        """Replace ids in the file by those of the dataset; leave out annotations of images of other splits."""
        index, first = self._index, self._first
        index.categories.append(self._known_categories())
        positions = [k for k, owner in enumerate(self._owners) if owner not in self._others]
        if len(positions) < len(self._owners):
            for values in (index.files, index.offsets, index.lengths, index.numbers):
                values[first:] = array(values.typecode, [values[first + k] for k in positions])
        for position, k in enumerate(positions):
            owner = self._owners[k]
            image_id = self._ids.get(owner)
            if image_id is None:
                image_id = -1
                if owner not in self._bad_ids:
                    place = ("annotations", str(index.numbers[first + position]), "image_id")
                    self.collector.report(place, f"there is no image with the id {owner}")
            index.image_ids.append(image_id)

    def _known_categories(self) -> dict[int, int]:
        """Return category id in the file -> category id of the dataset, after reporting those that are used in vain."""
        if not self._categories:
            self._index.notices.append(
                f"{self.path}: there are no categories, so category_id is taken for the dataset's own number, 1 to 13"
            )
        categories = {category_id: category_id for category_id in CATEGORY_BY_ID} if not self._categories else {}
        names = ", ".join(category.name for category in CATEGORIES)
        for id_, (number, name, category_id) in self._categories.items():
            if category_id is not None:
                categories[id_] = category_id
            elif id_ in self._used:
                self.collector.report(
                    ("categories", str(number), "name"),
                    f"unknown category {shown(name)} of {plural(self._used[id_][0], 'annotation')}; expected {names}, "
                    "or the names of the official converter",
                )
        for id_, (count, first) in self._used.items():
            if id_ not in categories and id_ not in self._categories:
                more = f", and {count - 1:,} more have it" if count > 1 else ""
                place = ("annotations", str(first), "category_id")
                self.collector.report(place, f"there is no category with the id {id_}{more}")
        return categories

    def _decode(self, kind: type[Any], text: bytes, place: tuple[str, ...]) -> Any:
        """Return a record, or None after reporting why it is none."""
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            inner, reason = decode_problem(error)
            self.collector.report((*place, *inner), reason)
            return None


#: Type names of msgspec -> words.
_WORDS: Final = {
    "int": "an integer", "float": "a number", "str": "a text", "array": "a list", "object": "an object",
    "bool": "a truth value", "null": "null",
}  # fmt: skip
_UNKNOWN_NAME: Final = re.compile(r"Invalid enum value '(.*)'", re.DOTALL)
_LAST_PLACE: Final = re.compile(r"(?P<text>.*?)(?: - at `\$(?P<place>.*)`)?", re.DOTALL)


def decode_problem(error: Exception) -> tuple[tuple[str, ...], str]:
    """Return the place of a decoder's error within a record, and its text in plain words."""
    match = _LAST_PLACE.fullmatch(str(error))
    if not isinstance(error, msgspec.ValidationError) or match is None:
        return (), f"expected valid JSON: {error}"
    place = tuple(part for part in re.split(r"[.\[\]]+", match["place"] or "") if part)

    def words(kinds: re.Match[str]) -> str:
        return " or ".join(_WORDS.get(kind, kind) for kind in kinds[1].split(" | "))

    unknown = _UNKNOWN_NAME.fullmatch(match["text"])
    if unknown:  # the source is the only key with names for values
        return place, f"expected {' or '.join(SOURCES)}, found {json.dumps(unknown[1])}"
    text = re.sub(r"`([a-z| ]+)`", words, match["text"]).replace("Expected", "expected").replace(", got ", ", found ")
    if text.startswith("Object missing required field"):
        key = text.rpartition(" ")[2].strip("`")
        return (*place, key), "missing; expected it in every record"
    if place[-1:] == ("segmentation",) and text.endswith("found an object"):
        text = "expected a list of polygons, found an RLE mask; convert masks to polygons"
    return place, text


def read_photo_name(file_name: str) -> tuple[str | None, int | None, str]:
    """Return the split in the name of a photo, its number (None if it is no such name), and its name in the release."""
    try:
        split_and_number = read_image_name(file_name)
    except UnknownNameError:
        split_and_number = None
    name = re.split(r"[/\\]", file_name)[-1]
    split = split_and_number[0] if split_and_number else None
    if split:
        name = name.removeprefix(f"{split}_")
    return split, number_in(name, PHOTO_SUFFIXES), name


def _lenient_id(text: bytes) -> Any:
    """Return the id of a record that has another problem."""
    try:
        record = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return record.get("id") if isinstance(record, dict) else None
