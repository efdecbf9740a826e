"""Writers of row batches: Parquet, Arrow, CSV and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from registry.dataset.tables import arrow_type
from registry.exports.columns.own_values import csv_name, csv_texts, json_texts
from registry.exports.columns.text import concat, join_all, number_lists, polygon_lists, typed_numbers

#: Minimum number of rows in a row group of Parquet.
_GROUP_ROWS: Final = 8_192


#: Writes a batch of rows.
Sink = Callable[[pa.RecordBatch], None]


@contextmanager
def parquet_rows(file: BinaryIO, schema: pa.Schema) -> Iterator[Sink]:
    """Yield a function that writes batches as Parquet, encoded as :mod:`registry.snapshot.publish` does."""
    polygons = [
        field.name for field in schema if field.type == arrow_type("list<list<float64>>") and "." not in field.name
    ]
    pending: list[pa.RecordBatch] = []
    with pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[field.name for field in schema if pa.types.is_string(field.type)],
        column_encoding={f"{name}.list.element.list.element": "BYTE_STREAM_SPLIT" for name in polygons} or None,
        store_schema=False,
    ) as writer:

        def write_group() -> None:
            # combine_chunks, because Parquet pages end at the end of each chunk.
            table = pa.Table.from_batches(pending, schema).combine_chunks()
            writer.write_table(table, row_group_size=max(1, len(table)))
            pending.clear()

        def write_batch(batch: pa.RecordBatch) -> None:
            pending.append(batch)
            if sum(map(len, pending)) >= _GROUP_ROWS:
                write_group()

        yield write_batch
        if pending:
            write_group()


@contextmanager
def arrow_rows(file: BinaryIO, schema: pa.Schema) -> Iterator[Sink]:
    """Yield a function that writes batches as an Arrow file (Feather 2)."""
    with pa.ipc.new_file(file, schema) as writer:
        yield writer.write_batch


@contextmanager
def csv_rows(file: BinaryIO, schema: pa.Schema) -> Iterator[Sink]:
    """Yield a function that writes batches as CSV: a header, lists as quoted JSON, null as the empty cell."""
    file.write((",".join(map(csv_name, schema.names)) + "\n").encode())
    yield lambda batch: _write_lines(file, concat(*row_pieces(batch, "", ",", "", quote_lists=True)))


@contextmanager
def jsonl_rows(file: BinaryIO, schema: pa.Schema) -> Iterator[Sink]:
    """Yield a function that writes batches as JSON lines."""
    yield lambda batch: _write_lines(file, concat(*row_pieces(batch, "{", ", ", "}", named=True)))


SINKS: Final = {"parquet": parquet_rows, "arrow": arrow_rows, "csv": csv_rows, "jsonl": jsonl_rows}


def _write_lines(file: BinaryIO, texts: pa.Array) -> None:
    if len(texts):
        file.write(join_all(texts, "\n"))
        file.write(b"\n")


def row_pieces(
    batch: pa.RecordBatch, before: str, between: str, after: str, *, named: bool = False, quote_lists: bool = False
) -> Iterator[pa.Array | str]:
    """Yield the pieces of the text of each row, for :func:`~registry.exports.columns.text.concat`.

    Args:
        batch: the rows.
        before: text before the first value.
        between: text between two values.
        after: text after the last value.
        named: as JSON, with the column name before each value.
        quote_lists: lists in quotes, as in CSV.
    """
    yield before
    for position, name in enumerate(batch.schema.names):
        yield between if position else ""
        if named:
            yield f"{json.dumps(name)}: "
        values = batch.column(position)
        if "." in name:  # of a table of the user
            yield json_texts(values) if named else csv_texts(values)
        else:
            yield cell_texts(values, in_json=named, quote_lists=quote_lists)
    yield after


def cell_texts(values: pa.Array, *, in_json: bool, quote_lists: bool) -> pa.Array:
    """Return the values of a column as text: strings in quotes in JSON, lists in quotes in CSV, doubles as 10.0."""
    kind = values.type
    if pa.types.is_string(kind):
        # Only names of splits, sources and categories: nothing to escape.
        texts = concat('"', values, '"') if in_json else values
    elif pa.types.is_list(kind) and pa.types.is_list(kind.value_type):
        texts = polygon_lists(values, texts_of=typed_numbers)
    elif pa.types.is_list(kind):
        texts = number_lists(values, texts_of=typed_numbers)
    else:
        texts = typed_numbers(values)
    if quote_lists and pa.types.is_list(kind):
        texts = concat('"', texts, '"')
    return texts.fill_null("null" if in_json else "")
