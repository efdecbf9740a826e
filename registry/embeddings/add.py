"""Adds the vectors of a model to a registry, or removes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from registry.dataset.arrays import Ints
from registry.dataset.deepfashion2 import SPLITS, unknown_name
from registry.dataset.names import is_partition_value
from registry.dataset.tables import BOX_COLUMNS, EMBEDDING_MODELS, EMBEDDINGS, record_batch
from registry.embeddings.neighbours import item_keys, keys_of
from registry.embeddings.vector_file import EmbeddingsFile, not_finite, open_embeddings
from registry.errors import ConflictError, StorageError, UnknownNameError, UsageError
from registry.files.private_folder import private_folder
from registry.parsing.problems import Problems
from registry.redaction import printable
from registry.snapshot.manifest import Manifest, read_manifest
from registry.snapshot.parquet import stored_schema
from registry.snapshot.publish import Publication, publication
from registry.storage.filesystems import reason
from registry.storage.options import StorageOptions
from registry.storage.place import Place
from registry.store.registry import Registry
from registry.store.sql import SPLIT_ORDER
from registry.subset.row_files import KINDS, suffix_of
from registry.wording import plural

if TYPE_CHECKING:
    import pyarrow as pa

#: Types that vectors are stored in.
DTYPES: Final = ("float16", "float32")
#: Vectors that are written at a time.
_ROWS: Final = EMBEDDINGS.row_group_size
#: Characters of the words on how items were cut out.
_CROP: Final = 1000
_ITEMS: Final = f"""
    SELECT split, {SPLIT_ORDER} AS split_no, image_id, item_no, x1, y1, x2, y2, sha256
    FROM items LEFT JOIN photos USING (split, image_id) ORDER BY split_no, image_id, item_no
"""


@dataclass(slots=True)
class AddReport:
    """The result of adding the vectors of a model.

    Attributes:
        model: its name.
        dimensions: numbers in each vector.
        num_vectors: that were added.
        num_missing: items of the same splits without a vector.
        notices: plain sentences with a count on rows that were left out.
    """

    model: str
    dimensions: int
    num_vectors: int
    num_missing: int
    notices: list[str] = field(default_factory=list)


def add_embeddings(
    registry: str,
    model: str,
    source: Any,
    *,
    dtype: str = "float16",
    weights: str | None = None,
    crop: str | None = None,
    replace: bool = False,
    skip_unknown: bool = False,
    storage_options: StorageOptions | None = None,
    seen: pa.Table | None = None,
) -> AddReport:
    """Add the vectors of a model to a registry, and return a report.

    They are divided by their lengths in float32 and stored in the order of the items, with the box and the digest of
    the photo as the registry has them now: where these change later, the vector is stale.

    Args:
        registry: folder or fsspec URL of the registry.
        model: name of the model: letters, digits, dots, hyphens and underscores, not the name of a file of rows.
        source: path or fsspec URL, Arrow table or frame with split, image_id, item_no and vector.
        dtype: of the stored numbers, from :data:`DTYPES`.
        weights: SHA-256 of the model's weights, hex digits.
        crop: how items were cut out of photos, in words.
        replace: whether the vectors of a model of this name are replaced.
        skip_unknown: whether rows of no item are left out, with a notice, instead of an error.
        storage_options: passed to fsspec.
        seen: the items that the vectors were made of, with the columns of :data:`_ITEMS` in its order. Their boxes and
            digests are stored instead, so that the vector of an item that changed since is stale.

    Raises:
        UsageError: the name or an option cannot be used, or rows cannot; the message counts all of them.
        ConflictError: the registry has a model of this name.
        NotFoundError, StorageError: the file or the registry does not exist, or cannot be read or written.
    """
    check_model(model, dtype, weights, crop)
    place = Place(registry, storage_options)
    splits = read_manifest(place).splits
    with publication(place, splits[0] if splits else SPLITS[0]) as tables:
        if not replace and tables.old.of_model(model):
            raise ConflictError(
                f"{place} has vectors of a model {model}: expected another name, or --replace to put these in their "
                "place."
            )
        alike = [name for name in tables.old.models if name != model and name.lower() == model.lower()]
        if alike:  # the folders of both would be a single folder on file systems of macOS and Windows
            raise ConflictError(f"{place} has vectors of a model {alike[0]}: expected a name that differs in letters.")
        items = Registry(registry, storage_options).sql(_ITEMS).to_arrow_table()
        with TemporaryDirectory(dir=private_folder()) as folder, open_embeddings(source, storage_options) as file:
            problems = Problems("The embeddings")
            rows, notices = _rows_of_items(items, file, problems, skip_unknown)
            vectors = _vectors(file, rows >= 0, np.dtype(dtype), Path(folder, "vectors"), problems)
            if problems:
                lines = "\n".join(f"  {line}" for line in problems.lines())
                raise UsageError(f"The embeddings cannot be added, and nothing was changed:\n{lines}")
            if seen is not None:
                items = _as_seen(items, seen)
            counts = _write(tables, model, items, rows, vectors, (weights, crop))
            dimensions = vectors.width
        tables.publish_model(model)
    num_items = sum(number for number, _ in counts)
    num_vectors = sum(number for _, number in counts)
    return AddReport(model, dimensions, num_vectors, num_items - num_vectors, notices)


def remove_embeddings(registry: str, model: str, storage_options: StorageOptions | None = None) -> Manifest:
    """Remove the vectors of a model from a registry; return the new manifest.

    Raises:
        UnknownNameError: the registry has no such model.
        NotFoundError, StorageError: it does not exist, or cannot be written.
    """
    place = Place(registry, storage_options)
    splits = read_manifest(place).splits
    with publication(place, splits[0] if splits else SPLITS[0]) as tables:
        names = tables.old.models
        if not names:
            raise UnknownNameError(f"{place} has no model {model!r}, nor any other.")
        if model not in names:
            raise unknown_name("model", model, names)
        return tables.publish_model(model)


def check_model(model: str, dtype: str, weights: str | None, crop: str | None = None) -> None:
    """Refuse a name, a type of vectors, a digest of weights or words on crops that cannot be used."""
    if not isinstance(model, str) or not is_partition_value("model", model) or suffix_of(model) in KINDS:
        raise UsageError(
            f"{model!r} cannot name a model: expected at most 63 letters, digits, dots, hyphens and underscores, "
            f"beginning with a letter or digit and not ending in {', '.join(KINDS)}."
        )
    if dtype not in DTYPES:
        raise unknown_name("type of vectors", dtype, list(DTYPES))
    if weights is not None and not (isinstance(weights, str) and re.fullmatch("[0-9a-f]{64}", weights)):
        raise UsageError(
            f"The digest of the weights: expected 64 hex digits (SHA-256) in lower case, found {str(weights)[:80]!r}."
        )
    if crop is not None and not (isinstance(crop, str) and crop.isprintable() and len(crop) <= _CROP):
        raise UsageError(
            f"How items were cut out of photos: expected at most {_CROP} printable characters, found "
            f"{printable(str(crop)[:80])!r}."
        )


def _keys(split_no: Ints, image_id: Ints, item_no: Ints) -> Ints:
    """Return a number for each key; -1 where there can be no such item."""
    is_key = (split_no > 0) & (image_id >= 0) & (image_id < 1 << 31) & (item_no >= 0) & (item_no < 1 << 15)
    return np.where(is_key, item_keys(split_no, np.where(is_key, image_id, 0), np.where(is_key, item_no, 0)), -1)


def _rows_of_items(
    items: pa.Table, file: EmbeddingsFile, problems: Problems, skip_unknown: bool
) -> tuple[Ints, list[str]]:
    """Return the position of the item of each row, -1 for a row that is left out, and notices; note bad keys."""
    if not file.is_of_items:
        raise UsageError("The embeddings have a row for each detection: expected split, image_id, item_no and vector.")
    key = _keys(*(np.array(items.column(name), np.int64) for name in ("split_no", "image_id", "item_no")))
    image_id, item_no = file.numbers("image_id"), file.numbers("item_no")
    split_no = np.zeros(len(image_id), np.int64)
    for number, name in enumerate(SPLITS, 1):
        split_no[file.is_of_split(name)] = number
    asked = _keys(split_no, image_id, item_no)
    at = np.minimum(np.searchsorted(key, asked), max(0, len(key) - 1))
    is_item = key[at] == asked if len(key) else np.zeros(len(asked), bool)
    at[~is_item] = -1

    def places(rows: Ints) -> Iterator[str]:
        return (f"row {row}: {file.split_of(row)}/{image_id[row]} item {item_no[row]}" for row in rows[:4].tolist())

    notices = []
    unknown = np.flatnonzero(~is_item)
    if len(unknown) and skip_unknown:
        first = next(places(unknown))
        notices.append(f"{plural(len(unknown), 'row')} of no item of the registry left out (the first: {first})")
    elif len(unknown):
        problems.add(
            "rows of no item",
            "items of the registry, or --skip-unknown to leave them out",
            places(unknown),
            len(unknown),
        )
    order = np.argsort(at, kind="stable")
    is_again = np.zeros(len(at), bool)
    is_again[order[1:]] = (at[order[1:]] == at[order[:-1]]) & (at[order[1:]] >= 0)
    again = np.flatnonzero(is_again)
    if len(again):
        problems.add("rows of an item of an earlier row", "one row for each item", places(again), len(again))
    if not is_item.any() and not problems:
        raise UsageError("The embeddings have no row of an item of the registry: nothing was changed.")
    return at, notices


@dataclass(frozen=True, slots=True)
class _Stored:
    """Vectors on disk, in the order of their file: a map of them would count as memory of the process.

    Attributes:
        path: of the file.
        kind: of the numbers.
        width: numbers in each vector.
    """

    path: Path
    kind: np.dtype[Any]
    width: int

    def take(self, file: BinaryIO, rows: Ints) -> npt.NDArray[Any]:
        """Return the vectors of rows out of the opened file."""
        taken = np.empty((len(rows), self.width), self.kind)
        size = self.width * self.kind.itemsize
        ends = (np.flatnonzero(np.diff(rows) != 1) + 1).tolist()
        for first, end in pairwise([0, *ends, len(rows)]):
            file.seek(int(rows[first]) * size)
            if file.readinto(taken[first:end].view(np.uint8)) != (end - first) * size:  # type: ignore[attr-defined]
                raise StorageError(f"The temporary file {self.path} was cut by another program.")
        return taken


def _vectors(file: EmbeddingsFile, is_wanted: Any, kind: np.dtype[Any], path: Path, problems: Problems) -> _Stored:
    """Return the directions of the vectors in the order of their file, on disk; note bad ones.

    Args:
        file: the embeddings.
        is_wanted: bool [rows]: rows that are used.
        kind: of the stored numbers.
        path: of the file to write.
        problems: gathers the problems.

    Raises:
        StorageError: the file cannot be written.
    """
    stored = 0
    with open(path, "wb") as out:
        for start, block, lengths in file.blocks():
            wanted = is_wanted[start : start + len(block)]
            width = block.shape[1]
            number = np.arange(start, start + len(block))
            has_vector = lengths > 0
            is_right = has_vector & (lengths == width)
            with np.errstate(invalid="ignore", over="ignore"):
                norms = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
            bad = {
                ("rows without a vector", "a list of numbers"): ~has_vector,
                ("vectors of another length", f"{width} numbers, as the first vector has"): has_vector & ~is_right,
                (
                    "vectors with NaN, or numbers too large or too small",
                    "finite numbers up to 1e15, not all below 1e-30",
                ): is_right & not_finite(block),
                ("vectors of zeros", "a vector that has a direction"): is_right & ~block.any(1),
            }
            for (name, expected), is_bad in bad.items():
                at = number[wanted & is_bad]
                if len(at):
                    problems.add(name, expected, (f"row {row}" for row in at[:4].tolist()), len(at))
            if width and not problems:
                norms[~wanted] = 1  # rows that are left out may hold anything
                with np.errstate(invalid="ignore", over="ignore"):
                    directions = np.divide(block, norms.astype(np.float32)[:, None], out=block).astype(kind, copy=False)
                stored = max(stored, width)
                try:
                    out.seek(start * width * kind.itemsize)  # blocks before the first vector are not written
                    out.write(directions.data)
                except OSError as error:
                    raise StorageError(f"Cannot write the vectors to {path.parent}: {reason(error)}.") from error
    return _Stored(path, kind, stored)


def _as_seen(items: pa.Table, seen: pa.Table) -> pa.Table:
    """Return items with the boxes and digests that they had when they were seen.

    Vectors are of seen items only; those of the other items are not looked at.
    """
    import pyarrow as pa

    if not seen.num_rows:
        return items
    key, known = keys_of(items), keys_of(seen)
    row = np.minimum(np.searchsorted(known, key), len(known) - 1)
    names = (*BOX_COLUMNS, "sha256")
    values = seen.select(names).take(pa.array(row))
    for name in names:
        items = items.set_column(items.column_names.index(name), name, values.column(name))
    return items


def _write(
    tables: Publication,
    model: str,
    items: pa.Table,
    rows: Ints,
    vectors: _Stored,
    about: tuple[str | None, str | None],
) -> list[tuple[int, int]]:
    """Write the rows of a model; return the number of items and of vectors of each split with vectors."""
    import pyarrow as pa

    of_item = np.full(items.num_rows, -1, np.int64)
    of_item[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
    split_no = np.array(items.column("split_no"), np.int64)
    width = vectors.width
    number = pa.float16() if vectors.kind == np.float16 else pa.float32()
    types = {"vector": pa.list_(pa.field("element", number, nullable=False), width)}
    schema = stored_schema(EMBEDDINGS, types)
    counts = []
    for position, split in enumerate(SPLITS, 1):
        first, behind = np.searchsorted(split_no, [position, position + 1])
        chosen = first + np.flatnonzero(of_item[first:behind] >= 0)
        if not len(chosen):
            continue
        counts.append((int(behind - first), len(chosen)))
        writer = tables.writer(EMBEDDINGS, types, split=split, model=model)
        with open(vectors.path, "rb") as file:
            for start in range(0, len(chosen), _ROWS):
                part = chosen[start : start + _ROWS]
                columns = items.take(pa.array(part))
                flat = pa.array(vectors.take(file, of_item[part]).reshape(-1))
                names = ("image_id", "item_no", *BOX_COLUMNS, "sha256")
                arrays = [columns.column(name).combine_chunks() for name in names]
                arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=types["vector"]))
                writer.write(pa.record_batch(arrays, schema=schema))
        row = [[value] for value in (width, str(vectors.kind), *about, tables.old.sha256)]
        tables.writer(EMBEDDING_MODELS, split=split, model=model).write(record_batch(EMBEDDING_MODELS, row))
    return counts
