"""Predictions in the JSON of COCO results, read a block at a time."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, BinaryIO, Final, cast

import msgspec
import numpy as np

from registry.errors import AnnotationError
from registry.evaluation.landmark_numbers import JsonLandmarkLists
from registry.evaluation.records import Collector, Records
from registry.evaluation.segmentations import Segmentation
from registry.parsing.json_stream import JsonStream, StreamError
from registry.redaction import redact

_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _BoxRecord(msgspec.Struct, gc=False):
    """A record; other keys are passed over."""

    image_id: _Number | str
    score: float
    category_id: _Number | str | None = None
    category_name: str | None = None
    bbox: list[float] | None = None
    split: str | None = None


class _MaskRecord(_BoxRecord, gc=False):
    segmentation: Segmentation | None = None


class _LandmarkRecord(_BoxRecord, gc=False):
    keypoints: msgspec.Raw = msgspec.Raw()


_RECORDS: Final[dict[str, type[_BoxRecord]]] = {
    "boxes": _BoxRecord, "masks": _MaskRecord, "landmarks": _LandmarkRecord,
}  # fmt: skip
#: Keys under which tools put the list of records into an object.
_LISTS: Final = ("annotations", "predictions")
#: Key under which an object or the metadata of a table names the registry.
REGISTRY_KEY: Final = "registry"

_SHA256: Final = re.compile("[0-9a-f]{64}")


def read_coco_results(file: BinaryIO, name: str, task: str, collector: Collector) -> str | None:
    """Gather the records of a JSON document; return the registry version that it names, or None.

    Args:
        file: the document at its beginning; gzip where the name ends in ``.gz``.
        name: of the file, as the user gave it.
        task: ``boxes``, ``masks`` or ``landmarks``.
        collector: gathers the records.

    Raises:
        AnnotationError: the file is not JSON, or holds no list of records.
    """
    if name.partition("?")[0].lower().endswith(".gz"):
        file = cast(BinaryIO, gzip.GzipFile(fileobj=file))
    registry, has_list = None, False
    try:
        stream = JsonStream(file)
        if stream.peek() != b"{":
            _read_list(stream, task, collector)
            if stream.peek():
                raise StreamError("expected nothing after the list of records, found more")
            return None
        for key in stream.members():
            if key in _LISTS and stream.peek() == b"[":
                if has_list:
                    raise StreamError(f"expected a single list of records, found two ({' and '.join(_LISTS)})")
                _read_list(stream, task, collector)
                has_list = True
            elif key == REGISTRY_KEY:
                registry = registry_named(stream.value())
            elif stream.peek() == b"[":
                for _ in stream.elements():
                    pass
            else:
                stream.value()
    except (StreamError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise AnnotationError(f"{redact(name)} cannot be read as JSON: {error}") from error
    if not has_list:
        raise AnnotationError(
            f"{redact(name)}: expected a list of records, or an object with one under {' or '.join(_LISTS)}."
        )
    return registry


def registry_named(text: bytes) -> str | None:
    """Return the SHA-256 of a registry's manifest: a text, or ``manifest_sha256`` of a JSON object; else None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text.decode("utf-8", "replace")
    value = value.get("manifest_sha256") if isinstance(value, dict) else value
    digest = value.removeprefix("sha256:").lower() if isinstance(value, str) else ""
    return digest if _SHA256.fullmatch(digest) else None


def _read_list(stream: JsonStream, task: str, collector: Collector) -> None:
    kind: Any = _RECORDS[task]
    decode_all, decode_one = msgspec.json.Decoder(list[kind]).decode, msgspec.json.Decoder(kind).decode
    position = 0

    def decode(text: bytes) -> list[_BoxRecord] | None:
        try:
            return cast("list[_BoxRecord]", decode_all(text))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    for values, texts in stream.decoded_elements(decode):
        if values is not None:
            collector.add(_records(values, np.arange(position, position + len(values)), task))
            position += len(values)
            continue
        good: list[_BoxRecord] = []
        positions: list[int] = []
        for text in texts:
            record: _BoxRecord | None
            try:
                record = decode_one(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                record = _read_odd(text, position, task, collector)
            if record is not None:
                good.append(record)
                positions.append(position)
            position += 1
        if good:
            collector.add(_records(good, np.array(positions, np.int64), task))


def _records(values: Sequence[_BoxRecord], position: np.ndarray, task: str) -> Records:
    number = len(values)
    boxes = [value.bbox for value in values]
    has_box = np.fromiter(map(bool, boxes), bool, number)
    corners = np.full((number, 4), np.nan)
    is_four = np.fromiter((box is not None and len(box) == 4 for box in boxes), bool, number)
    of_four = boxes if is_four.all() else [box for box in boxes if box is not None and len(box) == 4]
    flat = np.fromiter(chain.from_iterable(cast(Any, of_four)), np.float64, 4 * len(of_four))
    corners[is_four] = flat.reshape(-1, 4)
    names: list[str | None] | None = [value.category_name for value in values]
    splits: list[str | None] | None = [value.split for value in values]
    segmentations = keypoints = None
    if task == "masks":
        segmentations = [value.segmentation for value in cast("Sequence[_MaskRecord]", values)]
    if task == "landmarks":
        texts = (bytes(value.keypoints) for value in cast("Sequence[_LandmarkRecord]", values))
        keypoints = JsonLandmarkLists([None if text in (b"", b"null") else text for text in texts])
    return Records(
        position=position,
        image_id=[value.image_id for value in values],
        category=[value.category_id for value in values],
        score=np.fromiter((value.score for value in values), np.float64, number),
        boxes=corners,
        has_box=has_box,
        split=splits if any(splits or ()) else None,
        category_name=names if any(names or ()) else None,
        segmentations=segmentations,
        keypoints=keypoints,
    )


def _read_odd(text: bytes, position: int, task: str, collector: Collector) -> _BoxRecord | None:
    """Return a record that may hold NaN, or a number such as 1.0 for an image; None after noting the problem."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        collector.add_unread(position, "", f"no JSON: {error}")
        return None
    if not isinstance(value, dict):
        collector.add_unread(position, "", f"found {text[:60].decode('utf-8', 'replace')}")
        return None
    image_id = value.get("image_id")
    image_id = image_id if isinstance(image_id, int | str) else None
    keypoints = value.pop("keypoints", None) if task == "landmarks" else None
    for key in ("image_id", "score"):
        if key not in value:
            collector.add_unread(position, key, "", image_id)
            return None
    for key in ("image_id", "category_id"):
        number = value.get(key)
        if isinstance(number, float) and number.is_integer():  # as pandas writes the numbers of some columns
            value[key] = int(number)
    try:
        record = msgspec.convert(value, _RECORDS[task])
    except (msgspec.ValidationError, RecursionError, OverflowError) as error:
        reason, _, path = str(error).partition(" - at `$")
        key = path.strip(".`").split(".")[0].split("[")[0]
        collector.add_unread(position, key, reason, image_id)
        return None
    if isinstance(record, _LandmarkRecord):
        record.keypoints = msgspec.Raw(json.dumps(keypoints).encode())
    return record
