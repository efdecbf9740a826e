"""Rows of a user: a file (Parquet, Arrow, CSV, JSON lines) or a frame of Python, with their SHA-256."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.tables import ITEMS
from registry.errors import StorageError, UsageError
from registry.files.regular_files import read_regular
from registry.parsing.text import check_encoding, without_mark
from registry.redaction import redact
from registry.storage.options import StorageOptions

if TYPE_CHECKING:
    import pyarrow as pa

#: Suffix of a file's name -> what it holds.
KINDS: Final = {
    ".parquet": "Parquet", ".pq": "Parquet", ".arrow": "Arrow", ".feather": "Arrow", ".ipc": "Arrow", ".csv": "CSV",
    ".jsonl": "JSON lines", ".ndjson": "JSON lines",
}  # fmt: skip
#: Columns that name an item; the first two alone name an image.
KEY: Final = ITEMS.key
_EXPECTED_KEY: Final = (
    "split (text), image_id and item_no (whole numbers) for rows of items, or split and image_id for rows of images"
)


def suffix_of(url: str) -> str:
    """Return the suffix of the file that a path or URL names, in lower case."""
    return PurePosixPath(url.partition("?")[0] if "://" in url else url).suffix.lower()


def read_row_file(
    url: str, what: str, most: int, storage_options: StorageOptions | None = None
) -> tuple[pa.Table, str]:
    """Return the rows of a file and the SHA-256 of its bytes.

    Args:
        url: path or fsspec URL; its suffix tells the kind (:data:`KINDS`).
        what: the rows in messages, such as ``table scores``.
        most: bytes that the file, and its rows in memory, may have.
        storage_options: passed to fsspec for a URL.

    Raises:
        UsageError: the file is of another kind, is damaged or too large, or has a column twice.
        NotFoundError, StorageError: the file does not exist or cannot be read.
    """
    import pyarrow as pa

    kind = KINDS.get(suffix_of(url))
    if kind is None:
        raise UsageError(f"{what}: expected a file that ends in {', '.join(KINDS)}, found {redact(url)}.")
    data = read_bytes(url, what, most, storage_options)
    try:
        rows = _collect(_READERS[kind](data), what, most)
        rows.validate(full=True)  # an Arrow file may hold offsets that lead out of its buffers
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{what}: {redact(url)} cannot be read as {kind}: {error}") from error
    return _checked(rows, what), hashlib.sha256(data).hexdigest()


def read_bytes(url: str, what: str, most: int, storage_options: StorageOptions | None = None) -> bytes:
    """Return the bytes of a file, which has at most ``most``.

    Raises:
        UsageError: the file has more bytes.
        NotFoundError, StorageError: the file does not exist or cannot be read.
    """
    from tempfile import TemporaryDirectory

    from registry.files.private_folder import private_folder
    from registry.storage.place import Place

    folder, slash, name = url.rpartition("/")
    place = Place(folder or slash or ".", storage_options)
    size = place.size(name)
    if size > most:
        raise UsageError(f"{what}: {redact(url)} has more than the {most:,} bytes that it may have. {_REMEDY}")
    if place.path is not None:
        try:
            return read_regular(place.path / name)
        except OSError as error:
            raise StorageError(f"{what}: {redact(url)} cannot be read: {error}") from error
    # Place.read() takes smaller files only.
    with TemporaryDirectory(dir=private_folder()) as folder_path:
        path = Path(folder_path, "rows")
        place.fetch(name, path, size)
        return path.read_bytes()


_REMEDY: Final = "Keep the columns that you need, or raise the limit (--memory, memory in Python)."


def frame_rows(frame: Any, what: str, most: int) -> tuple[pa.Table, str]:
    """Return the rows of an Arrow table or a frame of pandas or polars, and the SHA-256 of their Arrow IPC bytes.

    Columns of the index of pandas that have a name are columns.

    Raises:
        UsageError: the value is no such frame, is too large, or has a column twice.
    """
    import pyarrow as pa

    try:
        if type(frame).__module__.partition(".")[0] == "pandas" and hasattr(frame, "columns"):
            rows = pa.Table.from_pandas(frame if frame.index.names == [None] else frame.reset_index())
            rows = rows.select([name for name in rows.column_names if not name.startswith("__index_level_")])
        elif isinstance(frame, pa.Table) or hasattr(frame, "__arrow_c_stream__"):
            rows = pa.table(frame)
        else:
            raise UsageError(
                f"{what}: expected a path, a URL, an Arrow table or a frame of pandas or polars, found "
                f"{type(frame).__name__}."
            )
        rows = _checked(_collect(rows.replace_schema_metadata(None).to_batches(), what, most, rows.schema), what)
    except (pa.ArrowException, TypeError, ValueError) as error:  # ValueError: pandas has a column twice
        raise UsageError(f"{what}: the frame cannot be read as Arrow: {error}") from error
    out = _Digest()
    with pa.ipc.new_stream(out, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())  # however the frame is divided
    return rows, out.digest.hexdigest()


class _Digest(io.RawIOBase):
    """A file whose bytes are only hashed."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)


def key_of(rows: pa.Table) -> dict[str, str]:
    """Return the columns that name the item or the image of each row: name in the registry -> name in the rows."""
    names = {name.lower(): name for name in rows.column_names}
    key = KEY if "item_no" in names else KEY[:2]
    return {name: names[name] for name in key} if names.keys() >= set(key) else {}


def key_problem(rows: pa.Table) -> str:
    """Return why rows cannot be joined to items or images; empty if they can."""
    key = key_of(rows)
    if not key:
        columns = ", ".join(rows.column_names) or "none"
        return f"expected the columns {_EXPECTED_KEY}; found {columns}"
    for name, column in key.items():
        problem = _type_problem(rows.column(column), is_text=name == "split")
        if problem:
            expected = "text" if name == "split" else "whole numbers"
            return f"{column}: expected {expected}, found {problem}; a key is {_EXPECTED_KEY}"
    return ""


def double_keys(rows: pa.Table) -> list[str]:
    """Return the columns of the key that hold doubles or decimals, which :func:`key_problem` found to be whole."""
    import pyarrow as pa

    types = {name: rows.schema.field(name).type for name in key_of(rows).values()}
    return [name for name, kind in types.items() if pa.types.is_floating(kind) or pa.types.is_decimal(kind)]


def _type_problem(values: pa.ChunkedArray, *, is_text: bool) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_null(kind):
        return ""
    if is_text:
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        return "" if pa.types.is_string(plain) or pa.types.is_large_string(plain) else f"values of the type {kind}"
    if pa.types.is_integer(kind):
        return ""
    if not (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return f"values of the type {kind}"
    numbers = values.drop_null().cast(pa.float64())
    is_whole = pc.and_(pc.equal(pc.floor(numbers), numbers), pc.is_finite(numbers))
    position = pc.index(is_whole, False).as_py()
    return "" if position < 0 else f"the number {numbers[position].as_py()}"


def _checked(rows: pa.Table, what: str) -> pa.Table:
    """Return rows in plain types; raise UsageError for no column, or for two of a name but for upper and lower case."""
    names = [name.lower() for name in rows.column_names]
    if not names:
        raise UsageError(f"{what}: expected columns, found none.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{what}: expected each column once, found {', '.join(twice)} twice or more.")
    import pyarrow as pa

    return rows.cast(pa.schema([field.with_type(_plain_type(field.type)) for field in rows.schema]))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return a type without views, half floats and lists of fixed size.

    Arrow's functions and DuckDB do not all take them: DuckDB 2.0 cannot sort lists of fixed size behind a join.
    """
    import pyarrow as pa

    # 32-bit floats have all numbers of half floats.
    plain = {
        pa.float16(): pa.float32(), pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary(),
    }  # fmt: skip
    if kind in plain:
        return plain[kind]
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _plain_type(kind.value_type), kind.ordered)
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_type(kind.value_type))
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    return kind


def _collect(
    batches: pa.Table | Iterable[pa.RecordBatch], what: str, most: int, schema: pa.Schema | None = None
) -> pa.Table:
    """Return the rows of batches; raise UsageError as soon as they have more than ``most`` bytes."""
    import pyarrow as pa

    if isinstance(batches, pa.Table):
        batches, schema = batches.to_batches(), batches.schema
    collected, size = [], 0
    for batch in batches:
        size += batch.nbytes
        if size > most:
            raise UsageError(f"{what}: its rows take more than the {most:,} bytes of memory that they may. {_REMEDY}")
        collected.append(batch)
    return pa.Table.from_batches(collected, collected[0].schema if schema is None else schema)


def _read_parquet(data: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data))
    return file.iter_batches() if file.metadata.num_rows else file.read()


def _read_arrow(data: bytes) -> Any:
    import pyarrow as pa

    if data.startswith(b"ARROW1"):
        file = pa.ipc.open_file(pa.BufferReader(data))
        if not file.num_record_batches:
            return file.read_all()
        return (file.get_batch(number) for number in range(file.num_record_batches))
    if data.startswith(b"FEA1"):
        raise ValueError("it is Feather 1: expected Feather 2, which is an Arrow IPC file")
    return pa.ipc.open_stream(pa.BufferReader(data)).read_all()


def _read_csv(data: bytes) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    check_encoding(data)
    # Only the empty cell is NULL: a text such as NA is a text.
    convert = csv.ConvertOptions(null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False)
    parse = csv.ParseOptions(newlines_in_values=True)
    rows = csv.read_csv(pa.BufferReader(without_mark(data)), parse_options=parse, convert_options=convert)
    for name, kind in zip(rows.schema.names, rows.schema.types, strict=True):
        if pa.types.is_binary(kind):
            raise ValueError(f"the column {name} is not UTF-8")
    return rows


def _read_json_lines(data: bytes) -> Any:
    import pyarrow as pa
    from pyarrow import json

    check_encoding(data)
    return json.read_json(pa.BufferReader(without_mark(data)))


_READERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "Parquet": _read_parquet, "Arrow": _read_arrow, "CSV": _read_csv, "JSON lines": _read_json_lines,
}  # fmt: skip
