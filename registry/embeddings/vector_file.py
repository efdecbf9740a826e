"""Embeddings in a file or a frame: the keys of all rows at once, and the vectors a block at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from registry.dataset.arrays import Bools, Ints
from registry.embeddings.distances import Vectors
from registry.errors import StorageError, UsageError
from registry.redaction import printable, redact
from registry.storage.filesystems import reason
from registry.storage.options import StorageOptions
from registry.store.settings import machine_memory
from registry.subset.local_copy import local_copy
from registry.subset.row_files import KINDS, frame_rows, read_row_file, suffix_of

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

_Value = TypeVar("_Value")

VECTOR: Final = "vector"
#: Columns of a row for an item.
ITEM_COLUMNS: Final = ("split", "image_id", "item_no")
#: Columns of a row for a detection.
DETECTION_COLUMNS: Final = ("split", "image_id", "x1", "y1", "x2", "y2", "score", "category_id")
#: Larger numbers have squares that a float32 cannot hold.
_LARGEST: Final = 1e15
#: Where all numbers but zeros are smaller, a float32 has few of their digits, and the vector has another direction.
_SMALLEST: Final = 1e-30
_BLOCK: Final = 2048
#: Bytes of a file that are read at a time.
_BUFFER: Final = 1 << 20


class EmbeddingsFile:
    """The rows of embeddings.

    Args:
        keys: all columns but the vectors.
        source: paths of Parquet files, one after another, or a table with the vectors.
        name: of the file, as the user gave it.
        found: names of all columns, for messages; those of the keys without it.

    Attributes:
        notices: plain sentences with a count on rows that are out of date.
    """

    def __init__(self, keys: pa.Table, source: Any, name: str = "", found: Sequence[str] = ()) -> None:
        self.notices: list[str] = []
        names = ITEM_COLUMNS if "item_no" in keys.column_names else DETECTION_COLUMNS
        missing = [name for name in names if name not in keys.column_names]
        if missing:
            raise UsageError(
                f"The embeddings lack the columns {', '.join(missing)}: expected {', '.join(ITEM_COLUMNS)} and vector, "
                f"a row for each item; or {', '.join(DETECTION_COLUMNS)} and vector, a row for each detection. Found "
                f"{', '.join(map(printable, found or keys.column_names))}."
            )
        self.keys = keys.select(names)
        self.is_of_items = names is ITEM_COLUMNS
        self._source = source
        self._name = name

    def numbers(self, name: str, kind: Any = np.int64) -> Any:
        """Return a column of numbers; of int64 -1 and of float64 NaN for NULL.

        Raises:
            UsageError: the column holds other values.
        """
        import pyarrow as pa

        column = self.keys.column(name)
        target = pa.from_numpy_dtype(kind)
        if pa.types.is_boolean(column.type) or pa.types.is_temporal(column.type):  # Arrow would make numbers of them
            raise UsageError(f"The column {name} of the embeddings: expected numbers, found {column.type}.")
        try:
            column = column.cast(target)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            expected = "whole numbers" if kind is np.int64 else "numbers"
            raise UsageError(
                f"The column {name} of the embeddings: expected {expected}, found {column.type}: {error}"
            ) from error
        return np.array(column.fill_null(-1 if kind is np.int64 else np.nan).to_numpy(), kind)

    def split_of(self, row: int) -> str:
        """Return the name of the split of a row as the file has it, for messages."""
        value = self.keys.column("split")[row].as_py()
        return "NULL" if value is None else printable(str(value)[:40])

    def is_of_split(self, split: str) -> Bools:
        """Return which rows are of a split."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.keys.column("split")
        try:
            equal = pc.equal(column.cast(pa.string()), split).fill_null(False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UsageError(f"The column split of the embeddings: expected texts, found {column.type}.") from error
        return np.array(equal.to_numpy(), bool)

    @property
    def is_half(self) -> bool:
        """Whether the vectors are lists of float16."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if isinstance(self._source, pa.Table):
            schemas = [self._source.schema]
        else:
            with _reading(self._name):
                schemas = [pq.read_schema(path) for path in self._source]
        return all(pa.types.is_float16(schema.field(VECTOR).type.value_type) for schema in schemas)

    def blocks(self, is_wanted: Bools | None = None, kind: Any = np.float32) -> Iterator[tuple[int, Vectors, Ints]]:
        """Yield the number of the first row of a block, the vectors, and the length of each: -1 for NULL.

        A vector whose length differs from that of the first vector that is read is filled with NaN.

        Args:
            is_wanted: bool [rows]: row groups of a Parquet file without such a row are not read.
            kind: of the numbers: float32, or float16 where :attr:`is_half`.
        """
        size = -1
        for start, column in self._columns(is_wanted):
            lengths, flat, starts = _flat(column, kind)
            if size < 0 and (lengths > 0).any():
                size = int(lengths[lengths > 0][0])
            is_right = lengths == size
            if size > 0 and is_right.all() and len(flat) == size * len(lengths):
                vectors = flat.reshape(len(lengths), size)
            else:
                vectors = np.full((len(lengths), max(0, size)), np.nan, kind)
                at = np.flatnonzero(is_right)
                vectors[at] = flat[starts[at][:, None] + np.arange(max(0, size))]
            yield start, vectors, lengths

    def _columns(self, is_wanted: Bools | None) -> Iterator[tuple[int, pa.Array]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        start = 0
        if isinstance(self._source, pa.Table):
            for batch in self._source.select([VECTOR]).to_batches(max_chunksize=_BLOCK):
                yield start, batch.column(0)
                start += len(batch)
            return
        with _reading(self._name):
            for path in self._source:
                # Without a buffer size, all pages of a row group are read at once: as much memory as the vectors again.
                with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
                    end = start + file.metadata.num_rows
                    for first, column in _ahead(_batches(file, None if is_wanted is None else is_wanted[start:end])):
                        yield start + first, column
                    start = end


def _batches(file: Any, is_wanted: Bools | None) -> Iterator[tuple[int, pa.Array]]:
    """Yield the number of the first row and the vectors of each batch of the wanted row groups."""
    start = 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        if is_wanted is None or is_wanted[start:end].any():
            for batch in file.iter_batches(batch_size=_BLOCK, row_groups=[group], columns=[VECTOR]):
                yield start, batch.column(0)
                start += len(batch)
        start = end


def _ahead(values: Iterator[_Value]) -> Iterator[_Value]:
    """Yield values; a thread makes the next while the caller works on the last."""
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, values, None)
        while (value := upcoming.result()) is not None:
            upcoming = pool.submit(next, values, None)
            yield value


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Raise errors of reading a Parquet file as those of this package."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        raise UsageError(f"The embeddings {redact(name)} cannot be read as Parquet: {error}") from error
    except OSError as error:
        raise StorageError(f"{redact(name)} cannot be read: {reason(error)}") from error


@contextmanager
def open_embeddings(source: Any, storage_options: StorageOptions | None = None) -> Iterator[EmbeddingsFile]:
    """Yield the rows of a file or a frame.

    Args:
        source: path or fsspec URL of a file, Arrow table, or frame of pandas or polars.
        storage_options: passed to fsspec for a URL.

    Raises:
        UsageError: the value is no such source, or columns are missing.
        NotFoundError, StorageError: the file does not exist or cannot be read.
    """
    import pyarrow.parquet as pq

    most = machine_memory() // 2
    if not isinstance(source, str | os.PathLike):
        rows, _ = frame_rows(source, "the embeddings", most)
        yield _of_table(rows)
        return
    name = os.fspath(source)
    if KINDS.get(suffix_of(name)) != "Parquet":
        rows, _ = read_row_file(name, "the embeddings", most, storage_options)
        yield _of_table(rows)
        return
    with local_copy(name, storage_options) as path:
        with _reading(name), pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_vector(file.schema_arrow)
            keys = file.read([name for name in names if name in {*ITEM_COLUMNS, *DETECTION_COLUMNS}])
        yield EmbeddingsFile(keys, [path], name, names)


def open_parts(parts: Sequence[tuple[str, Path]], name: str) -> EmbeddingsFile:
    """Return the rows of Parquet files, each with the items of a split, behind each other.

    Args:
        parts: split and path.
        name: of all of them, for messages.

    Raises:
        UsageError, StorageError: a file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    with _reading(name):
        for split, path in parts:
            with pq.ParquetFile(path) as file:
                _check_vector(file.schema_arrow)
                rows = file.read(["image_id", "item_no"])
            splits = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows.num_rows, np.int8)), [split])
            tables.append(rows.append_column("split", splits.cast(pa.string())))
    return EmbeddingsFile(pa.concat_tables(tables), [path for _, path in parts], name)


def _of_table(rows: pa.Table) -> EmbeddingsFile:
    _check_vector(rows.schema)
    return EmbeddingsFile(rows.drop_columns([VECTOR]), rows)


def _check_vector(schema: pa.Schema) -> None:
    import pyarrow as pa

    used = {VECTOR, *ITEM_COLUMNS, *DETECTION_COLUMNS}
    twice = sorted({name for name in schema.names if name in used and schema.names.count(name) > 1})
    if twice:
        raise UsageError(f"The embeddings: expected each column once, found {', '.join(twice)} twice or more.")
    if VECTOR not in schema.names:
        raise UsageError(f"The embeddings have no column vector: found {', '.join(map(printable, schema.names))}.")
    kind = schema.field(VECTOR).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise UsageError(f"The column vector of the embeddings: expected lists of numbers, found {kind}.")


def _flat(column: pa.Array, kind: Any) -> tuple[Ints, Vectors, Ints]:
    """Return the length of each list (-1 for NULL), all numbers, and where those of each list begin."""
    import pyarrow.compute as pc

    lengths = np.array(pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
    numbers = pc.list_flatten(column)
    filled = numbers if not numbers.null_count else numbers.cast("float64").fill_null(np.nan)
    with np.errstate(over="ignore"):
        # A copy, as callers change the vectors, and those of Arrow are read-only.
        flat: Vectors = filled.to_numpy(zero_copy_only=False).astype(kind)
    counted = np.maximum(lengths, 0)
    return lengths, flat, np.cumsum(counted) - counted


def not_finite(vectors: Vectors) -> Bools:
    """Return which vectors have numbers that are not finite, or too large or all too small to be compared."""
    if not vectors.shape[1]:
        return np.zeros(len(vectors), bool)
    largest = np.maximum(vectors.max(1), -vectors.min(1))  # NaN where a number is
    return np.asarray(~(largest <= _LARGEST) | ((largest > 0) & (largest < _SMALLEST)), bool)
