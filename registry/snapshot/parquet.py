"""Writes the Parquet files of a registry: the same rows give the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from registry.dataset.tables import SCHEMA_VERSION, Table, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

#: Batches that are held before they are copied into one; in a large file it is compressed. The 13 categories fill row
#: groups at the same time: uncompressed rows take 50 MiB more at four times the size of the data set.
_MOST_PENDING: Final = 8
#: Row groups of a size that a file has before the size doubles. DuckDB looks at every group of a file that it reads:
#: some 4 us, and 0.7 us for each column of the query.
_GROUPS_OF_A_SIZE: Final = 16


class WriteError(OSError):
    """An error of writing a registry; other OSErrors of an ingestion come from its source."""


@contextmanager
def writing() -> Iterator[None]:
    """Turn an OSError inside the block into a :class:`WriteError`."""
    try:
        yield
    except OSError as error:
        # Arrow's errors have the system's number, but another text.
        raise WriteError(error.errno, os.strerror(error.errno) if error.errno else str(error)) from error


def _encodings(schema: pa.Schema) -> dict[str, str] | None:
    """Return the encodings of columns of lists of floating-point numbers.

    DuckDB 2.0 reads this encoding of float32 and float64, and not of float16.
    """
    import pyarrow as pa

    encodings = {}
    for field in schema:
        path, kind = field.name, field.type
        while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            path, kind = f"{path}.list.element", kind.value_type
        if path != field.name and pa.types.is_floating(kind) and not pa.types.is_float16(kind):
            encodings[path] = "BYTE_STREAM_SPLIT"
    return encodings or None


def stored_schema(table: Table, types: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return the Arrow schema of a table's files."""
    import pyarrow as pa

    return pa.schema(
        [field.with_type(types[field.name]) if field.name in types else field for field in arrow_schema(table)]
    )


class TableWriter:
    """Writes the rows of a Parquet file, in row groups of the table's size; they are larger in a large file.

    Args:
        path: local file to write.
        table: declares the columns.
        split: the split, or None for a table of facts.
        types: of columns that are stored in another type than the declared one.
    """

    def __init__(
        self, path: Path, table: Table, split: str | None, types: Mapping[str, pa.DataType] | None = None
    ) -> None:
        import pyarrow.parquet as pq

        with writing():
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.rows = 0
        self.table = table
        self.split = split
        self._schema = stored_schema(table, types or {})
        # Landmarks and coordinates hardly repeat: a dictionary would be built and discarded for every row group.
        dictionary = [c.name for c in table.stored_columns if c.field.type == "string" and c.name != "file_name"]
        with writing():
            self._writer = pq.ParquetWriter(
                path,
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=dictionary,
                # Neighbouring coordinates share their leading bytes: this takes half the time and, for whole
                # numbers, half the size.
                column_encoding=_encodings(self._schema),
                write_statistics=[c.name for c in table.stored_columns if not c.field.type.startswith("list")],
                store_schema=False,
            )
        self._pending: list[pa.RecordBatch] = []
        self._compressed: list[pa.Buffer] = []
        self._num_pending = 0
        self._group_size = table.row_group_size

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; full row groups are written at once."""
        self._pending.append(batch)
        self._num_pending += batch.num_rows
        if len(self._pending) >= _MOST_PENDING:
            # The batches are slices of larger batches, which a rare category would keep in memory.
            import pyarrow as pa

            rows = pa.concat_batches(self._pending)
            if self._is_large:
                self._compressed.append(_compress(rows))
            self._pending = [] if self._is_large else [rows]
        self.rows += batch.num_rows
        while self._num_pending >= self._group_size:
            self._write_group(self._group_size)
            num_written = self.rows - self._num_pending
            if self._group_size < self.table.max_row_group_size and num_written >= _GROUPS_OF_A_SIZE * self._group_size:
                self._group_size *= 2

    @property
    def _is_large(self) -> bool:
        """Whether the file has so many rows that its row groups became larger."""
        return self._group_size > self.table.row_group_size

    def close(self, notes: dict[str, str] | None = None) -> None:
        """Write the remaining rows and the footer, with schema version, table, split and ``notes`` as metadata."""
        if self._num_pending:
            self._write_group(self._num_pending)
        metadata = {"df2.schema_version": str(SCHEMA_VERSION), "df2.table": self.table.name}
        if self.split:
            metadata["df2.split"] = self.split
        self._writer.add_key_value_metadata(metadata | (notes or {}))
        with writing():
            self._writer.close()

    def abandon(self) -> None:
        """Discard an unfinished file: otherwise the garbage collector would write its footer."""
        self._writer.is_open = False

    def _write_group(self, size: int) -> None:
        import pyarrow as pa

        batches = [_decompress(buffer) for buffer in self._compressed] + self._pending
        table = pa.Table.from_batches(batches).cast(self._schema)
        # One chunk, because pages end where chunks end, and the bytes must depend on the rows only.
        group = table.slice(0, size).combine_chunks()
        self._compressed, self._pending = [], table.slice(size).to_batches()
        self._num_pending -= size
        del batches, table  # the group is a copy
        with writing():
            self._writer.write_table(group, row_group_size=size)
        del group
        if self._is_large:
            # The buffers of a large group leave gaps among small objects, which the process would keep: 50 MiB of an
            # ingestion at four times the size of the data set.
            pa.default_memory_pool().release_unused()


def _compress(rows: pa.RecordBatch) -> pa.Buffer:
    """Return rows as a compressed Arrow stream: a third of their size, in 1.3 us a row."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.ipc.new_stream(sink, rows.schema, options=options) as stream:
        stream.write_batch(rows)
    return sink.getvalue()


def _decompress(buffer: pa.Buffer) -> pa.RecordBatch:
    """Return the rows of a compressed Arrow stream."""
    import pyarrow as pa

    with pa.ipc.open_stream(buffer, options=pa.ipc.IpcReadOptions(use_threads=False)) as stream:
        return stream.read_next_batch()
