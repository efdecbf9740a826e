"""Predictions in the columns of a table: a file of Parquet or Arrow, read a batch at a time, or a frame of Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.tables import BOX_COLUMNS
from registry.errors import AnnotationError
from registry.evaluation.coco_results import REGISTRY_KEY, registry_named
from registry.evaluation.landmark_numbers import LandmarkLists
from registry.evaluation.records import GEOMETRY, Collector, Records
from registry.evaluation.segmentations import Rle, Segmentation
from registry.redaction import redact
from registry.store.settings import machine_memory
from registry.subset.row_files import KINDS, frame_rows, read_row_file, suffix_of

if TYPE_CHECKING:
    import pyarrow.parquet as pq

#: Rows that are read at a time: a row of landmarks may have 882 numbers.
_ROWS: Final[dict[str, int]] = {"boxes": 1 << 17, "masks": 1 << 13, "landmarks": 1 << 12}
#: Bytes of a Parquet file that are read at a time, of each column.
_BUFFER: Final = 1 << 20
#: Column -> its values.
_EXPECTED: Final = {
    "image_id": "whole numbers or names",
    "category_id": "whole numbers or names",
    "category_name": "names",
    "score": "numbers",
    "split": "names",
    "bbox": "lists of numbers",
    **dict.fromkeys(BOX_COLUMNS, "numbers"),
    "segmentation": "lists of polygons, or structs of size and counts",
    "mask": "structs of size and counts",
    "keypoints": "lists of numbers",
}


def read_table(path: Path, name: str, task: str, collector: Collector) -> str | None:
    """Gather the rows of a file; return the registry version that it names, or None.

    Args:
        path: of the local file.
        name: of the file, as the user gave it; its suffix tells the kind.
        task: ``boxes``, ``masks`` or ``landmarks``.
        collector: gathers the records.

    Raises:
        AnnotationError: the file is damaged, or lacks columns.
        UsageError: a file of CSV or JSON lines is damaged.
    """
    kind = KINDS[suffix_of(name)]
    if kind in ("CSV", "JSON lines"):
        rows, _ = read_row_file(str(path), "the predictions", machine_memory() // 2)
        return _gather(rows.schema, rows.to_batches(), redact(name), task, collector)
    try:
        if kind == "Parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
                return _gather(file.schema_arrow, _parquet_batches(file, task), redact(name), task, collector)
        with pa.memory_map(str(path)) as source:
            is_file = source.read(6) == b"ARROW1"
            source.seek(0)
            reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
            batches = (reader.get_batch(k) for k in range(reader.num_record_batches)) if is_file else reader
            return _gather(reader.schema, batches, redact(name), task, collector)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise AnnotationError(f"{redact(name)} cannot be read as {kind}: {error}") from error


def read_frame(frame: Any, task: str, collector: Collector) -> str | None:
    """Gather the rows of an Arrow table or a frame of pandas or polars; return as :func:`read_table`.

    Raises:
        UsageError: the value is no such frame.
        AnnotationError: it lacks columns.
    """
    rows, _ = frame_rows(frame, "the predictions", machine_memory() // 2)
    schema = rows.schema.with_metadata(frame.schema.metadata if isinstance(frame, pa.Table) else None)
    try:
        return _gather(schema, rows.to_batches(), "the predictions", task, collector)
    except pa.ArrowException as error:
        raise AnnotationError(f"the predictions cannot be read: {error}") from error


def _parquet_batches(file: pq.ParquetFile, task: str) -> Iterator[pa.RecordBatch]:
    wanted = [name for name in file.schema_arrow.names if name.lower() in _EXPECTED]
    return iter(file.iter_batches(_ROWS[task], columns=wanted))


def _gather(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], name: str, task: str, collector: Collector
) -> str | None:
    columns = _columns(schema, name, task)
    position = 0
    for batch in batches:
        batch.validate(full=True)  # an Arrow file may hold offsets that lead out of its buffers
        for start in range(0, batch.num_rows, _ROWS[task]):
            rows = batch.slice(start, _ROWS[task])
            collector.add(_records({key: rows.column(column) for key, column in columns.items()}, position, task))
            position += rows.num_rows
    version = (schema.metadata or {}).get(REGISTRY_KEY.encode())
    return None if version is None else registry_named(version)


def _columns(schema: pa.Schema, name: str, task: str) -> dict[str, str]:
    """Return the columns that are read, by the names that they are expected to have.

    Raises:
        AnnotationError: columns lack, stand twice, or have other types.
    """
    spelled = [(column.lower(), column) for column in schema.names]
    columns = {key: column for key, column in spelled if key in _EXPECTED}
    problems = [
        f"the column {key} twice" for key in columns if sum(other == key for other, _ in spelled) > 1
    ]  # but for upper and lower case
    has_box = "bbox" in columns or columns.keys() >= set(BOX_COLUMNS)
    if "mask" in columns and "segmentation" not in columns:
        columns["segmentation"] = columns["mask"]
    lacking = [key for key in ("image_id", "score") if key not in columns]
    if not columns.keys() & {"category_id", "category_name"}:
        lacking.append("category_id or category_name")
    if task == "boxes" and not has_box:
        lacking.append(f"bbox, or {', '.join(BOX_COLUMNS)}")
    if task != "boxes" and GEOMETRY[task] not in columns:
        lacking.append(GEOMETRY[task])
    if not problems:
        problems += [
            f"{_EXPECTED[key]} in {column}, found the type {schema.field(column).type}"
            for key, column in columns.items()
            if not _fits(key, schema.field(column).type)
        ]
    if lacking:
        problems.insert(0, f"the columns {'; '.join(lacking)}; found {', '.join(schema.names) or 'none'}")
    if problems:
        raise AnnotationError(
            "\n".join(
                [f"{name} cannot be read as predictions of {task}; expected", *(f"  {text}" for text in problems)]
            )
        )
    if not has_box or "bbox" in columns:
        columns = {key: column for key, column in columns.items() if key not in BOX_COLUMNS}
    unread = {"boxes": ("segmentation", "keypoints"), "masks": ("keypoints",), "landmarks": ("segmentation",)}[task]
    return {key: column for key, column in columns.items() if key not in ("mask", *unread)}


def _fits(key: str, kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))
    is_struct = pa.types.is_struct(kind) and {field.name for field in kind} >= {"size", "counts"}
    fits = {
        "names": is_text,
        "whole numbers or names": is_text or _is_number(kind),
        "numbers": _is_number(kind),
        "lists of numbers": _is_list(kind) and _is_number(kind.value_type),
        "structs of size and counts": is_struct,
        "lists of polygons, or structs of size and counts": is_struct or (_is_list(kind) and _is_list(kind.value_type)),
    }
    return pa.types.is_null(kind) or fits[_EXPECTED[key]]


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


def _records(columns: dict[str, pa.Array], first: int, task: str) -> Records:
    number = len(columns["score"])
    boxes = np.full((number, 4), np.nan)
    has_box: np.ndarray = np.zeros(number, bool)
    if "bbox" in columns:
        numbers, offsets, _ = _lists(columns["bbox"])
        lengths = np.diff(offsets)
        has_box = lengths > 0
        boxes[lengths == 4] = numbers[np.repeat(lengths == 4, lengths)].reshape(-1, 4)
    elif "x1" in columns:
        corners = np.stack([_doubles(columns[name]) for name in BOX_COLUMNS], 1)
        has_box = np.any([np.array(columns[name].is_valid()) for name in BOX_COLUMNS], axis=0)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    names = columns.get("category_name")
    return Records(
        position=np.arange(first, first + number),
        image_id=_keys(columns["image_id"]),
        category=_keys(columns["category_id"]) if "category_id" in columns else [None] * number,
        score=_doubles(columns["score"]),
        boxes=boxes,
        has_box=has_box,
        split=_plain(columns["split"]).to_pylist() if "split" in columns else None,
        category_name=None if names is None else _plain(names).to_pylist(),
        segmentations=[_segmentation(value) for value in columns["segmentation"].to_pylist()]
        if task == "masks"
        else None,
        keypoints=LandmarkLists(*_lists(columns["keypoints"])) if task == "landmarks" else None,
    )


def _plain(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _keys(values: pa.Array) -> np.ndarray | list[Any]:
    """Return whole numbers, or numbers and names."""
    values = _plain(values)
    if not _is_number(values.type):
        return list(values.to_pylist())
    numbers = values.cast(pa.int64())
    return numbers.to_pylist() if numbers.null_count else np.array(numbers)


def _doubles(values: pa.Array) -> np.ndarray:
    """Return numbers, NaN where there is none."""
    return np.array(_plain(values).cast(pa.float64()).fill_null(np.nan))


def _lists(values: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of all lists, the offset of each list in them, and which rows have a list."""
    number, has_list = len(values), np.array(values.is_valid())
    if pa.types.is_null(values.type):
        return np.zeros(0), np.zeros(number + 1, np.int64), has_list
    lengths = np.array(pc.list_value_length(values).fill_null(0), np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return _doubles(pc.list_flatten(values)), offsets, has_list


def _segmentation(value: Any) -> Segmentation | None:
    if isinstance(value, dict):
        size, counts = value["size"], value["counts"]
        if size is None or counts is None:
            return None
        if isinstance(counts, bytes):
            counts = counts.decode("latin-1")
        return Rle(tuple(size), counts)
    if isinstance(value, list):
        return [[np.nan if number is None else float(number) for number in polygon or ()] for polygon in value]
    return None
