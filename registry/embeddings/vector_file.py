"""Embeddings in a file or a frame: the keys of all rows at once, and the vectors a block at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.arrays import Bools, Ints
from registry.embeddings.distances import Vectors
from registry.errors import StorageError, UsageError
from registry.redaction import redact
from registry.storage.filesystems import reason
from registry.storage.options import StorageOptions
from registry.store.settings import machine_memory
from registry.subset.local_copy import local_copy
from registry.subset.row_files import KINDS, frame_rows, read_row_file, suffix_of

if TYPE_CHECKING:
    import pyarrow as pa

VECTOR: Final = "vector"
#: Columns of a row for an item.
ITEM_COLUMNS: Final = ("split", "image_id", "item_no")
#: Columns of a row for a detection.
DETECTION_COLUMNS: Final = ("split", "image_id", "x1", "y1", "x2", "y2", "score", "category_id")
#: Larger numbers have squares that a float32 cannot hold.
_LARGEST: Final = 1e15
_BLOCK: Final = 2048
#: Bytes of a file that are read at a time.
_BUFFER: Final = 1 << 20


class EmbeddingsFile:
    """The rows of embeddings.

    Args:
        keys: all columns but the vectors.
        source: path of a Parquet file, or a table with the vectors.
        name: of the file, as the user gave it.
    """

    def __init__(self, keys: pa.Table, source: Any, name: str = "") -> None:
        names = ITEM_COLUMNS if "item_no" in keys.column_names else DETECTION_COLUMNS
        missing = [name for name in names if name not in keys.column_names]
        if missing:
            raise UsageError(
                f"The embeddings lack the columns {', '.join(missing)}: expected {', '.join(ITEM_COLUMNS)} and vector, "
                f"a row for each item; or {', '.join(DETECTION_COLUMNS)} and vector, a row for each detection. Found "
                f"{', '.join(keys.column_names)}."
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
        try:
            column = column.cast(target)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            expected = "whole numbers" if kind is np.int64 else "numbers"
            raise UsageError(
                f"The column {name} of the embeddings: expected {expected}, found {column.type}: {error}"
            ) from error
        return np.array(column.fill_null(-1 if kind is np.int64 else np.nan).to_numpy(), kind)

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

    def blocks(self) -> Iterator[tuple[int, Vectors, Ints]]:
        """Yield the number of the first row of a block, the vectors, and the length of each: -1 for NULL.

        A vector whose length differs from that of the first vector in the file is filled with NaN.
        """
        start, size = 0, -1
        for column in self._columns():
            lengths, flat, starts = _flat(column)
            if size < 0 and (lengths > 0).any():
                size = int(lengths[lengths > 0][0])
            vectors = np.full((len(lengths), max(0, size)), np.nan, np.float32)
            is_right = lengths == size
            if is_right.all() and len(flat) == vectors.size:
                vectors[:] = flat.reshape(vectors.shape)
            else:
                at = np.flatnonzero(is_right)
                vectors[at] = flat[starts[at][:, None] + np.arange(max(0, size))]
            yield start, vectors, lengths
            start += len(lengths)

    def _columns(self) -> Iterator[pa.Array]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if isinstance(self._source, pa.Table):
            for batch in self._source.select([VECTOR]).to_batches(max_chunksize=_BLOCK):
                yield batch.column(0)
            return
        # Without a buffer size, all pages of a row group are read at once: as much memory as the vectors again.
        with _reading(self._name), pq.ParquetFile(self._source, pre_buffer=False, buffer_size=_BUFFER) as file:
            for batch in file.iter_batches(batch_size=_BLOCK, columns=[VECTOR]):
                yield batch.column(0)


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
            keys = file.read([column for column in names if column != VECTOR])
        yield EmbeddingsFile(keys, path, name)


def _of_table(rows: pa.Table) -> EmbeddingsFile:
    _check_vector(rows.schema)
    return EmbeddingsFile(rows.drop_columns([VECTOR]), rows)


def _check_vector(schema: pa.Schema) -> None:
    import pyarrow as pa

    if VECTOR not in schema.names:
        raise UsageError(f"The embeddings have no column vector: found {', '.join(schema.names)}.")
    kind = schema.field(VECTOR).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise UsageError(f"The column vector of the embeddings: expected lists of numbers, found {kind}.")


def _flat(column: pa.Array) -> tuple[Ints, Vectors, Ints]:
    """Return the length of each list (-1 for NULL), all numbers, and where those of each list begin."""
    import pyarrow.compute as pc

    lengths = np.array(pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
    numbers = pc.list_flatten(column)
    filled = numbers if not numbers.null_count else numbers.cast("float64").fill_null(np.nan)
    with np.errstate(over="ignore"):
        flat: Vectors = filled.to_numpy(zero_copy_only=False).astype(np.float32)
    counted = np.maximum(lengths, 0)
    return lengths, flat, np.cumsum(counted) - counted


def not_finite(vectors: Vectors) -> Bools:
    """Return which vectors have numbers that are not finite, or too large to be compared."""
    with np.errstate(invalid="ignore"):
        return np.asarray(~(np.abs(vectors) <= _LARGEST).all(1), bool)
