"""Submissions of retrieval: one record for each detected consumer item, with its 20 answers from the gallery.

**JSON**, the official form: a list of ``{query_image_id, query_bbox, query_cls, query_score, gallery_image_id: [20],
gallery_bbox: [[x1, y1, x2, y2] x 20]}``; ``query_bbox`` is x1, y1, x2, y2 too, px.

**Parquet, Arrow IPC or JSON lines**, by the suffix of the name, an Arrow table, or a frame of pandas or polars: columns
of the same names.

Records count from 0 in messages and in :attr:`Submission.position`.
"""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import msgspec
import numpy as np

from registry.dataset.arrays import Bools, Floats, Ints
from registry.errors import AnnotationError, StorageError, UsageError
from registry.files.regular_files import open_regular
from registry.parsing.json_stream import JsonStream, StreamError
from registry.parsing.problems import Problems
from registry.redaction import redact
from registry.storage.filesystems import reason
from registry.storage.options import StorageOptions
from registry.store.settings import machine_memory
from registry.subset.local_copy import local_copy
from registry.subset.row_files import KINDS, frame_rows, read_row_file, suffix_of

if TYPE_CHECKING:
    import pyarrow as pa

#: Answers of a record that count.
NUM_ANSWERS: Final = 20
_Id = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
_EXPECTED: Final = (
    "query_image_id, query_bbox [x1, y1, x2, y2], query_cls, query_score, gallery_image_id [20 numbers] and "
    "gallery_bbox [20 x [x1, y1, x2, y2]]"
)


class _Record(msgspec.Struct, gc=False):
    """A record; other keys are passed over."""

    query_image_id: _Id
    query_bbox: Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]
    query_cls: _Id
    query_score: float
    gallery_image_id: list[_Id]
    gallery_bbox: list[Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]]


@dataclass(frozen=True)
class Submission:
    """The records of a submission, in the order of the file.

    Attributes:
        image_id: int64 [records]: query image.
        category_id: int64 [records].
        score: float64 [records].
        boxes: float64 [records, 4]: x, y, width, height, px.
        position: int64 [records]: 0-based place in the file.
        num_images, num_boxes: int64 [records]: entries of ``gallery_image_id`` and of ``gallery_bbox``.
        first_answer: int64 [records]: where the answers of each record begin.
        num_answers: int64 [records]: answers with image and box, at most 20.
        answer_image_id: int64 [answers].
        answer_boxes: float64 [answers, 4]: x, y, width, height, px.
    """

    image_id: Ints
    category_id: Ints
    score: Floats
    boxes: Floats
    position: Ints
    num_images: Ints
    num_boxes: Ints
    first_answer: Ints
    num_answers: Ints
    answer_image_id: Ints
    answer_boxes: Floats

    def __len__(self) -> int:
        return len(self.image_id)

    def of(self, chosen: Bools) -> Submission:
        """Return the records with a True; the answers stay all."""
        names = ("image_id", "category_id", "score", "boxes", "position", "num_images", "num_boxes")
        columns = {name: getattr(self, name)[chosen] for name in (*names, "first_answer", "num_answers")}
        return Submission(**columns, answer_image_id=self.answer_image_id, answer_boxes=self.answer_boxes)


class SubmissionBuilder:
    """Gathers records in flat arrays."""

    def __init__(self) -> None:
        self._ids, self._numbers = array("q"), array("d")
        self._answer_ids, self._answer_numbers = array("q"), array("d")

    def add(self, record: _Record, position: int) -> None:
        """Add a record."""
        images, boxes = record.gallery_image_id, record.gallery_bbox
        number = min(len(images), len(boxes), NUM_ANSWERS)
        self._ids.extend((record.query_image_id, record.query_cls, position, len(images), len(boxes), number))
        self._numbers.extend(record.query_bbox)
        self._numbers.append(record.query_score)
        self._answer_ids.extend(images[:number])
        self._answer_numbers.extend(chain.from_iterable(boxes[:number]))

    def submission(self) -> Submission:
        """Return the records that were added."""
        ids = np.frombuffer(self._ids, np.int64).reshape(-1, 6).T
        numbers = np.frombuffer(self._numbers, np.float64).reshape(-1, 5)
        image_id, category_id, position, num_images, num_boxes, num_answers = ids
        return Submission(
            image_id=image_id,
            category_id=category_id,
            score=numbers[:, 4],
            boxes=as_xywh(numbers[:, :4]),
            position=position,
            num_images=num_images,
            num_boxes=num_boxes,
            first_answer=np.cumsum(num_answers) - num_answers,
            num_answers=num_answers,
            answer_image_id=np.frombuffer(self._answer_ids, np.int64),
            answer_boxes=as_xywh(np.frombuffer(self._answer_numbers, np.float64).reshape(-1, 4)),
        )


def as_xywh(boxes: Floats) -> Floats:
    """Return boxes of x1, y1, x2, y2 as x, y, width, height."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.column_stack([boxes[:, 0], boxes[:, 1], boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]])


def read_submission(source: Any, problems: Problems, storage_options: StorageOptions | None = None) -> Submission:
    """Return the records of a file or a frame that can be read; the others become problems.

    Args:
        source: path or fsspec URL, Arrow table, or frame of pandas or polars.
        problems: gathers the records that cannot be read.
        storage_options: passed to fsspec for a URL.

    Raises:
        UsageError: the value is no such source, or columns are missing.
        NotFoundError, StorageError: the file does not exist or cannot be read.
        AnnotationError: the file is no list of records at all.
    """
    builder = SubmissionBuilder()
    if not isinstance(source, str | os.PathLike):
        rows, _ = frame_rows(source, "the submission", machine_memory() // 2)
        _read_table(rows, builder, problems)
        return builder.submission()
    name = os.fspath(source)
    if suffix_of(name) in KINDS:
        rows, _ = read_row_file(name, "the submission", machine_memory() // 2, storage_options)
        _read_table(rows, builder, problems)
        return builder.submission()
    with local_copy(name, storage_options) as path:
        try:
            with open_regular(path) as descriptor, open(descriptor, "rb", closefd=False) as file:
                _read_json(file, builder, problems)
        except StreamError as error:
            raise AnnotationError(f"{redact(name)} is no submission: {error}; expected a list of records.") from error
        except OSError as error:
            raise StorageError(f"{redact(name)} cannot be read: {reason(error)}") from error
    return builder.submission()


def _read_json(file: BinaryIO, builder: SubmissionBuilder, problems: Problems) -> None:
    stream = JsonStream(file)
    decode = msgspec.json.Decoder(_Record).decode
    for position, (_, text) in enumerate(stream.elements()):
        try:
            record = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            try:
                problem = _problem(json.loads(text), error)
            except (ValueError, RecursionError):
                problem = "records with malformed JSON", str(error)
            problems.add(problem[0], _EXPECTED, [f"record {position:,}: {problem[1]}"])
        else:
            builder.add(record, position)
    if stream.peek():
        raise StreamError("expected nothing after the list of records, found more")


def _read_table(rows: pa.Table, builder: SubmissionBuilder, problems: Problems) -> None:
    """Gather the rows of a table."""
    names: Sequence[str] = _Record.__struct_fields__
    missing = [name for name in names if name not in rows.column_names]
    if missing:
        raise UsageError(
            f"The submission lacks the columns {', '.join(missing)}: expected {', '.join(names)}; found "
            f"{', '.join(rows.column_names)}."
        )
    position = 0
    for batch in rows.select(names).to_batches(max_chunksize=1_000):
        for row in batch.to_pylist():
            try:
                record = msgspec.convert(row, _Record)
            except msgspec.ValidationError as error:
                kind, description = _problem(row, error)
                problems.add(kind, _EXPECTED, [f"record {position:,}: {description}"])
            else:
                builder.add(record, position)
            position += 1


def _problem(record: Any, error: Exception) -> tuple[str, str]:
    """Return the kind of problem of a record that cannot be read, and its description."""
    if not isinstance(record, dict):
        return "values in place of a record", str(record)[:80]
    missing = [name for name in _Record.__struct_fields__ if record.get(name) is None]
    if missing:
        return "records without a key", f"no {', '.join(missing)}"
    score = record["query_score"]
    if isinstance(score, float) and not math.isfinite(score):
        return "scores without a finite number", f"score {score}"
    boxes = record["gallery_bbox"]
    if isinstance(boxes, list) and any(not isinstance(box, list) or len(box) != 4 for box in boxes):
        return "records with answers whose box has not four numbers", str(error)
    return "records with values of a wrong type", str(error)
