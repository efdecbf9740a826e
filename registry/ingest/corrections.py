"""Corrections: lines of JSON in git, each a change of one value of the annotation files, which stay as they are.

A line names the image, the item and the field, the value in the annotation file (``old``) and the right one (``new``),
both in the form of the annotation file. The order of lines says nothing, since each field may be corrected once.
Lines of other splits are passed over: the ingestion of their own split checks them.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from registry.dataset.deepfashion2 import CATEGORIES, SPLITS
from registry.dataset.tables import INT32_MAX
from registry.errors import SourceError
from registry.ingest.decode import (
    DECODE_ERRORS,
    InvalidError,
    Item,
    check_digits,
    check_item,
    check_landmarks,
    check_segmentation,
)
from registry.ingest.diagnose import IMAGE_FIELDS, INT16_MAX, ITEM_VALUES, check_field
from registry.ingest.json_checks import IssueCollector, Report, check_int, check_object, parse_json, shown
from registry.parsing.json_files import Duplicates, check_keys
from registry.parsing.text import without_mark
from registry.sources.faults import Fault, shown_name
from registry.sources.issues import Issue
from registry.sources.local_reader import LocalReader

#: Fields of a line that stand for a whole item.
ADD: Final = "add"
REMOVE: Final = "remove"
#: All values of ``field``.
CORRECTED_FIELDS: Final = (*ITEM_VALUES, *IMAGE_FIELDS, ADD, REMOVE)
#: Image, item and field of a line.
_Key = tuple[int, int | None, str]
#: Maximum bytes of a file of corrections.
_MAX_FILE: Final = 1 << 30
_SUFFIX: Final = ".jsonl"


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A line of a file of corrections; ``old`` and ``new`` are JSON that is not parsed yet.

    Attributes:
        item_no: number of the item in its file; None for a field of the image.
        who, why: author and reason, which may not be empty.
    """

    split: Literal["train", "validation", "test"]
    image_id: Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)]
    field: Literal[CORRECTED_FIELDS]  # type: ignore[valid-type]  # the tuple is a constant
    who: Annotated[str, msgspec.Meta(min_length=1, pattern=r"\S")]
    why: Annotated[str, msgspec.Meta(min_length=1, pattern=r"\S")]
    item_no: Annotated[int, msgspec.Meta(ge=1, le=INT16_MAX)] | None = None
    old: msgspec.Raw = msgspec.Raw()
    new: msgspec.Raw = msgspec.Raw()
    date: datetime.date | None = None


class RawLine(NamedTuple):
    """A checked line as it is written, which is small to keep and to send.

    Attributes:
        file: path of its file, as the user names the folder.
        line_no: its line, from 1.
        text: the line.
    """

    file: str
    line_no: int
    text: bytes

    def issue(self, place: str, text: str) -> Issue:
        """Return an issue of this line."""
        return Issue(self.file, tuple(filter(None, (f"line {self.line_no}", place))), text)

    def parse_line(self) -> Line:
        """Return the checked line, without its values."""
        return _decode_line(self.text)

    def parse(self) -> Correction:
        """Return the correction of a checked line."""
        line = self.parse_line()
        return Correction(self, line, *(_value(line.field, bytes(raw)) for raw in (line.old, line.new)))


class Correction(msgspec.Struct, frozen=True, gc=False):
    """A correction with its values.

    Attributes:
        raw: the line as it is written, and its place.
        line: the parsed line.
        old, new: values as :class:`registry.ingest.decode.Item` holds them; a whole :class:`Item` for ``add`` and
            ``remove``; None where there is none.
    """

    raw: RawLine
    line: Line
    old: Any
    new: Any

    def issue(self, place: str, text: str) -> Issue:
        """Return an issue of this line."""
        return self.raw.issue(place, text)


@dataclass(slots=True)
class Corrections:
    """The corrections of a split.

    Attributes:
        by_image: image_id -> its lines.
        issues: problems of the lines.
        notices: files that were passed over.
    """

    by_image: dict[int, list[RawLine]] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


class _Split(msgspec.Struct):
    """The split of a line, whatever else stands in it."""

    split: Literal["train", "validation", "test"]


_decode_line: Final = msgspec.json.Decoder(Line).decode
_decode_split: Final = msgspec.json.Decoder(_Split).decode
_ITEM_TYPES: Final = {member.name: member.type for member in msgspec.structs.fields(Item)}
#: An item of a COCO file, which may lack values. It is compared, and never ingested.
_PartialItem: Final = msgspec.defstruct(
    "PartialItem", [(name, kind | None) for name, kind in _ITEM_TYPES.items()], forbid_unknown_fields=True
)
#: Field -> type of its value.
VALUE_TYPES: Final[dict[str, Any]] = {
    **{name: _ITEM_TYPES[name] for name in ITEM_VALUES if name != "category"},
    "category": Literal[tuple(category.name for category in CATEGORIES)],
    "source": Literal["user", "shop"],
    "pair_id": Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)],
    ADD: Item,
    REMOVE: _PartialItem,
}
_DECODERS: Final = {name: msgspec.json.Decoder(kind) for name, kind in VALUE_TYPES.items()}
#: Rules that the decoders cannot express.
_CHECKS: Final[dict[str, Callable[[Any], None]]] = {
    "landmarks": check_landmarks,
    "segmentation": check_segmentation,
    ADD: check_item,
}


def read_corrections(folder: str | Path, split: str) -> Corrections:
    """Return the corrections of a split in the files ``*.jsonl`` of a folder.

    Raises:
        SourceError: the folder does not exist or cannot be read.
    """
    corrections = Corrections(notices=_passed_over(folder))
    places: dict[_Key, RawLine] = {}
    for file, data in _files(folder):
        if isinstance(data, Fault):
            corrections.issues.append(Issue(file, (), data))
            continue
        collector = IssueCollector(file)
        for line_no, text in _lines(data):
            raw = RawLine(file, line_no, text)
            line = _read_line(raw, split, collector)
            if line is not None:
                _add(raw, line, places, corrections)
        corrections.issues += collector.issues
    _check_whole_items(places, corrections)
    return corrections


def corrections_digest(folder: str | Path, split: str) -> dict[str, Any]:
    """Return ``lines`` and ``digest`` of the corrections of a split, which change when any of them does.

    Lines whose split cannot be read count for every split, since each ingestion reports them.

    Raises:
        SourceError: the folder does not exist or cannot be read.
    """
    digest, num_lines = hashlib.sha256(), 0
    for file, data in _files(folder):
        name = os.path.basename(file)
        lines = [(0, data.encode())] if isinstance(data, Fault) else _lines(data)
        for line_no, text in lines:
            if _split_of(text) in (split, None):
                digest.update(repr((name, line_no, text)).encode())
                num_lines += 1
    return {"lines": num_lines, "digest": digest.hexdigest()}


def _files(folder: str | Path) -> Iterator[tuple[str, bytes | Fault]]:
    """Yield path and content of each file of corrections, sorted by name."""
    if not os.path.isdir(folder):
        raise SourceError(
            f"There is no folder {shown_name(str(folder))}: expected a folder of corrections, with files *{_SUFFIX} or "
            "empty."
        )
    with LocalReader(Path(folder), []) as reader:
        for name in sorted(os.listdir(folder)):
            if name.endswith(_SUFFIX) and not name.startswith("."):
                yield os.path.join(folder, shown_name(name)), reader.read(name, _MAX_FILE)


def _passed_over(folder: str | Path) -> list[str]:
    """Return a notice for the files that are neither corrections nor a text about them."""
    if not os.path.isdir(folder):
        return []
    names = sorted(name for name in os.listdir(folder) if not name.endswith((_SUFFIX, ".md")) and name[0] != ".")
    return [
        f"{os.path.join(folder, shown_name(name))} holds no corrections, as its name does not end in {_SUFFIX}; it "
        "was not read"
        for name in names
    ]


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of each line that is not empty."""
    for line_no, line in enumerate(without_mark(data).split(b"\n"), 1):
        if text := line.strip():
            yield line_no, text


def _split_of(text: bytes) -> str | None:
    """Return the split of a line; None if it names none."""
    try:
        return _decode_split(text).split
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _read_line(raw: RawLine, split: str, collector: IssueCollector) -> Line | None:
    """Return a line; None for a line of another split, and for a bad line after reporting it."""
    try:
        line = _decode_line(raw.text)
        if line.split != split:
            return None
        if line.field in (ADD, REMOVE) or raw.text.count(b'"') != _least_quotes(line):
            check_keys(raw.text)
        values = [_value(line.field, bytes(value)) for value in (line.old, line.new)]
        if _missing(line, *(value is not None for value in values)):
            raise InvalidError
    except (*DECODE_ERRORS, ValueError):
        if _split_of(raw.text) in (split, None):
            collector.run(lambda: _report(raw, collector))
        return None
    return line


def _report(raw: RawLine, collector: IssueCollector) -> None:
    """Report all problems of a line that was refused; at least one, since no line is left out in silence."""
    problems: list[tuple[tuple[str, ...], str]] = []
    _explain(raw.text, lambda place, problem: problems.append((tuple(place), problem)))
    if not problems:
        problems.append(
            ((), r"expected texts that can be written in UTF-8, found half a surrogate pair such as \ud800")
        )
    for place, problem in problems:
        collector.report((f"line {raw.line_no}", *place), problem)


def _least_quotes(line: Line) -> int:
    """Return the double quotes in a line that repeats no key and has none inside its texts; any other has more."""
    values = [bytes(value) for value in (line.old, line.new) if bytes(value)]
    # Five keys and four texts stand in every line.
    return 18 + 2 * (line.item_no is not None) + 4 * (line.date is not None) + sum(2 + v.count(b'"') for v in values)


def _value(name: str, data: bytes) -> Any:
    """Return the value of a field; None without any.

    Raises:
        InvalidError, or another of DECODE_ERRORS: an annotation file may not hold it.
    """
    if data in (b"", b"null"):
        return None
    value = _DECODERS[name].decode(data)
    if name in _CHECKS:
        _CHECKS[name](value)
    check_digits(data)
    return Item(**msgspec.structs.asdict(value)) if name == REMOVE else value


def _missing(line: Line, has_old: bool, has_new: bool) -> list[tuple[str, str]]:
    """Return what a line lacks or has in vain: (key, problem)."""
    problems = []
    is_image = line.field in IMAGE_FIELDS
    if is_image != (line.item_no is None):
        expected = "none, since the field is one of the image" if is_image else "the number of the item, such as 2"
        problems.append(("item_no", f"expected {expected}, found {shown(line.item_no)}"))
    for key, has_value, is_needed in (("old", has_old, line.field != ADD), ("new", has_new, line.field != REMOVE)):
        may_lack = key == "old" and line.field not in (ADD, REMOVE)  # a COCO file may have no value
        if has_value != is_needed and not may_lack:
            what = "the whole item" if line.field in (ADD, REMOVE) else "the value"
            problem = f"missing; expected {what}" if is_needed else f"expected none for {line.field}"
            problems.append((key, problem))
    return problems


def _explain(text: bytes, report: Report) -> None:
    """Report all problems of a line that was refused."""
    document = parse_json(text, report)
    if document is None or not check_object(document, Line.__struct_fields__, (), report):
        return
    choices = {"split": SPLITS, "field": CORRECTED_FIELDS}
    for key, names in choices.items():
        if document.get(key) not in names:
            hint = " (category stands for both)" if str(document.get(key)).startswith("category") else ""
            report((key,), f"expected one of {', '.join(names)}{hint}, found {_found(document, key)}")
    check_int(document, "image_id", 0, INT32_MAX, (), report)
    if document.get("item_no") is not None:
        check_int(document, "item_no", 1, INT16_MAX, (), report)
    for key in ("who", "why"):
        if not isinstance(document.get(key), str) or not document[key].strip():
            report((key,), f"expected a text, found {_found(document, key)}")
    if document.get("date") is not None and not _is_date(document["date"]):
        report(("date",), f"expected a date such as 2026-11-28, found {_found(document, 'date')}")
    name = document.get("field")
    if name not in CORRECTED_FIELDS:
        return
    values = [document.get(key) for key in ("old", "new")]
    for key, value in zip(("old", "new"), values, strict=True):
        if value is not None:
            check_field(name, value, (key,), report)
    item_no = document.get("item_no")
    line = Line(SPLITS[0], 0, name, "-", "-", item_no)
    for key, problem in _missing(line, *(value is not None for value in values)):
        report((key,), problem)


def _found(document: Duplicates, key: str) -> str:
    return shown(document[key]) if key in document else "none"


def _is_date(value: Any) -> bool:
    try:
        return bool(msgspec.convert(value, datetime.date))
    except msgspec.ValidationError:
        return False


def _add(raw: RawLine, line: Line, places: dict[_Key, RawLine], corrections: Corrections) -> None:
    """Add a line; report it if its field is corrected twice."""
    first = places.setdefault((line.image_id, line.item_no, line.field), raw)
    if first is not raw:
        what = f"item {line.item_no} of image {line.image_id}" if line.item_no else f"image {line.image_id}"
        text = f"{line.field} of {what} is corrected in {first.file}, line {first.line_no} too"
        corrections.issues.append(raw.issue("field", text))
        return
    corrections.by_image.setdefault(line.image_id, []).append(raw)


def _check_whole_items(places: dict[_Key, RawLine], corrections: Corrections) -> None:
    """Report lines that correct a field of an item which another line adds or removes."""
    whole = {key[:2]: (raw, key[2]) for key, raw in places.items() if key[2] in (ADD, REMOVE)}
    if not whole:
        return
    for (image_id, item_no, _), raw in places.items():
        other, field_name = whole.get((image_id, item_no), (raw, ""))
        if other is not raw:
            where = f"{other.file}, line {other.line_no} {field_name}s item {item_no} of image {image_id}"
            corrections.issues.append(raw.issue("field", f"{where}; expected no other line about it"))
