"""Lists of items or images (``--items FILE``): their keys, and a digest that does not depend on the file's form."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import find_split
from registry.dataset.image_names import read_item_name
from registry.errors import UnknownNameError, UsageError
from registry.parsing.text import ForeignEncodingError, decode_text
from registry.redaction import redact
from registry.subset.row_files import (
    KEY,
    KINDS,
    frame_rows,
    key_of,
    key_problem,
    read_bytes,
    read_row_file,
    suffix_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

#: Bytes of a file, and of its rows in memory.
_MOST: Final = 1 << 30
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_BIGINT: Final = 2**63
_EXPECTED_LINE: Final = "an item such as train/000001_2, or an image such as train/000001"


@dataclass(frozen=True, slots=True)
class ItemList:
    """A list of items or of images.

    Attributes:
        sha256: of the sorted distinct keys, a line each (``train/1/2``, or ``train/1`` for an image), hex digits.
        keys: the distinct keys: split, image_id and, for items, item_no; None if only the digest is known, as from the
            manifest of an export.
        num_repeated: keys that the list has twice or more.
    """

    sha256: str
    keys: pa.Table | None = field(default=None, repr=False, compare=False)
    num_repeated: int = field(default=0, compare=False)

    @property
    def has_items(self) -> bool:
        """Whether the keys are those of items, not of images."""
        return self.keys is not None and "item_no" in self.keys.column_names

    @property
    def text(self) -> str:
        """The list as a plain value."""
        return f"sha256:{self.sha256}"

    def within(self, chosen: ItemList) -> ItemList:
        """Return the items of another list that are in this one, or on its images.

        Args:
            chosen: a list of items.
        """
        if self.keys is None or chosen.keys is None:
            return self
        keys = chosen.keys.join(
            self.keys.cast(_schema_of(chosen.keys, self.keys)), self.keys.column_names, join_type="left semi"
        )
        digest = hashlib.sha256(f"{self.sha256} {chosen.sha256}".encode()).hexdigest()
        return ItemList(digest, keys.select(chosen.keys.column_names))


def _schema_of(types: pa.Table, names: pa.Table) -> pa.Schema:
    """Return the schema with the columns of one table and the types that these have in another."""
    import pyarrow as pa

    return pa.schema([types.schema.field(name) for name in names.column_names])


def is_digest(value: Any) -> bool:
    """Return whether a value of the option is the digest of a list: ``sha256:...``."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def read_item_list(value: Any, name: str) -> ItemList:
    """Return the list in a file or a frame; of a digest, a list without keys.

    Args:
        value: path or URL of a file (Parquet, Arrow, CSV or JSON lines with the columns split, image_id and item_no, or
            split and image_id; any other file has a name such as ``train/000001_2`` a line), an Arrow table, a frame of
            pandas or polars, or ``sha256:...``.
        name: of the option, for messages.

    Raises:
        UsageError: the value is no such list, has no key, or a key that is none.
        NotFoundError, StorageError: the file does not exist or cannot be read.
    """
    if isinstance(value, ItemList):
        return value
    if isinstance(value, str) and (digest := _DIGEST.fullmatch(value)):
        return ItemList(digest[1])
    what = name if not isinstance(value, str) else f"{name} {redact(value)}"
    if isinstance(value, str) and suffix_of(value) not in KINDS:
        rows = _read_lines(read_bytes(value, name, _MOST), what)
    elif isinstance(value, str):
        rows, _ = read_row_file(value, name, _MOST)
    else:
        rows, _ = frame_rows(value, name, _MOST)
    return _list_of(rows, what)


def _read_lines(data: bytes, what: str) -> pa.Table:
    """Return the keys in the lines of a text; all name items, or all name images."""
    import pyarrow as pa

    try:
        lines = decode_text(data).split("\n")
    except (UnicodeDecodeError, ForeignEncodingError) as error:
        raise UsageError(f"{what} cannot be read: {error}. Expected {_EXPECTED_LINE} a line.") from error
    keys: list[tuple[str, int, int | None]] = []
    for line_no, line in enumerate(map(str.strip, lines), 1):
        if not line:
            continue
        try:
            key = read_item_name(line)
        except UnknownNameError as error:
            raise UsageError(f"{what}, line {line_no}: {error}") from error
        if key is None or key[0] is None or max(key[1], key[2] or 0) >= _BIGINT:
            raise UsageError(f"{what}, line {line_no}: expected {_EXPECTED_LINE}, found {line[:80]!r}.")
        if keys and (key[2] is None) != (keys[0][2] is None):
            raise UsageError(
                f"{what}, line {line_no}: expected numbers of items in all lines or in none, found {line[:80]!r}."
            )
        keys.append((key[0], key[1], key[2]))
    columns = list(zip(*keys, strict=True)) or [()] * len(KEY)
    names = KEY if keys and keys[0][2] is not None else KEY[:2]
    types = (pa.string(), pa.int64(), pa.int64())
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip(names, columns, types, strict=False)})


def _list_of(rows: pa.Table, what: str) -> ItemList:
    """Return the list of the keys in rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    problem = key_problem(rows)
    if problem:
        raise UsageError(f"{what}: {problem}.")
    if not rows.num_rows:
        raise UsageError(f"{what} holds no key.")
    key = key_of(rows)
    types = {"split": pa.string(), "image_id": pa.int64(), "item_no": pa.int64()}
    keys = pa.table({name: rows.column(column).cast(types[name]) for name, column in key.items()})
    for name, column in key.items():
        if keys.column(name).null_count:
            row_no = pc.index(keys.column(name).is_null(), True).as_py() + 1
            raise UsageError(f"{what}: {column} has no value in row {row_no:,}: expected a key in every row.")
    for split in pc.unique(keys.column("split")).to_pylist():
        try:
            find_split(split)
        except UnknownNameError as error:
            raise UsageError(f"{what}: {error}") from error
    counts = keys.group_by(list(key)).aggregate([([], "count_all")]).sort_by([(name, "ascending") for name in key])
    distinct = counts.select(list(key))
    columns = [distinct.column(name).cast(pa.string()) for name in key]
    lines = pc.binary_join_element_wise(*columns, "/").to_pylist()
    digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    return ItemList(digest, distinct, pc.sum(pc.greater(counts.column("count_all"), 1)).as_py())
