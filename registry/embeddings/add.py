"""Adds the vectors of a model to a registry, or removes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from registry.dataset.arrays import Ints
from registry.dataset.deepfashion2 import SPLITS, unknown_name
from registry.dataset.names import is_partition_value
from registry.dataset.tables import BOX_COLUMNS, EMBEDDING_MODELS, EMBEDDINGS, record_batch
from registry.embeddings.neighbours import item_keys
from registry.embeddings.vector_file import EmbeddingsFile, not_finite, open_embeddings
from registry.errors import ConflictError, UnknownNameError, UsageError
from registry.files.private_folder import private_folder
from registry.parsing.problems import Problems
from registry.snapshot.manifest import Manifest, read_manifest
from registry.snapshot.parquet import stored_schema
from registry.snapshot.publish import Publication, publication
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

    Raises:
        UsageError: the name or an option cannot be used, or rows cannot; the message counts all of them.
        ConflictError: the registry has a model of this name.
        NotFoundError, StorageError: the file or the registry does not exist, or cannot be read or written.
    """
    check_model(model, dtype, weights)
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
            vectors = _vectors(file, rows >= 0, rows, np.dtype(dtype), Path(folder, "vectors"), problems)
            if problems:
                lines = "\n".join(f"  {line}" for line in problems.lines())
                raise UsageError(f"The embeddings cannot be added, and nothing was changed:\n{lines}")
            counts = _write(tables, model, items, rows, vectors, (weights, crop))
            dimensions = int(vectors.shape[1])
            del vectors
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


def check_model(model: str, dtype: str, weights: str | None) -> None:
    """Refuse a name, a type of vectors or a digest of weights that cannot be used."""
    if not is_partition_value("model", model) or suffix_of(model) in KINDS:
        raise UsageError(
            f"{model!r} cannot name a model: expected at most 63 letters, digits, dots, hyphens and underscores, "
            f"beginning with a letter or digit and not ending in {', '.join(KINDS)}."
        )
    if dtype not in DTYPES:
        raise unknown_name("type of vectors", dtype, list(DTYPES))
    if weights is not None and (len(weights) != 64 or set(weights) - set("0123456789abcdef")):
        raise UsageError(f"The digest of the weights: expected 64 hex digits (SHA-256), found {weights[:80]!r}.")


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
        splits = ("?", *SPLITS)
        return (f"row {row}: {splits[split_no[row]]}/{image_id[row]} item {item_no[row]}" for row in rows[:4].tolist())

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
    if not is_item.any():
        problems.add("rows, none of them of an item of the registry", "a row for each item", [], len(at))
    return at, notices


def _vectors(
    file: EmbeddingsFile, is_wanted: Any, rows: Ints, kind: np.dtype[Any], path: Path, problems: Problems
) -> npt.NDArray[Any]:
    """Return the directions of the vectors in the order of their file, on disk; note bad ones.

    Args:
        file: the embeddings.
        is_wanted: bool [rows]: rows to read.
        rows: position of the item of each row.
        kind: of the stored numbers.
        path: of the file to write.
        problems: gathers the problems.
    """
    vectors: npt.NDArray[Any] | None = None
    for start, block, lengths in file.blocks():
        wanted = is_wanted[start : start + len(block)]
        width = block.shape[1]
        number = np.arange(start, start + len(block))
        if vectors is None and width:
            vectors = np.memmap(path, kind, "w+", shape=(len(rows), width))
        is_right = lengths == width
        with np.errstate(invalid="ignore", over="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
        bad = {
            ("vectors of another length", f"{width} numbers, as the first vector has"): ~is_right,
            ("vectors with NaN or too large numbers", "finite numbers"): is_right & not_finite(block),
            ("vectors of zeros", "a vector that has a direction"): is_right & (norms == 0),
        }
        for (name, expected), is_bad in bad.items():
            at = number[wanted & is_bad]
            if len(at):
                problems.add(name, expected, (f"row {row}" for row in at[:4].tolist()), len(at))
        is_good = wanted & is_right & np.isfinite(norms) & (norms > 0)
        if vectors is not None and is_good.any():
            vectors[number[is_good]] = block[is_good] / norms[is_good, None].astype(np.float32)
    return vectors if vectors is not None else np.zeros((0, 0), kind)


def _write(
    tables: Publication,
    model: str,
    items: pa.Table,
    rows: Ints,
    vectors: npt.NDArray[Any],
    about: tuple[str | None, str | None],
) -> list[tuple[int, int]]:
    """Write the rows of a model; return the number of items and of vectors of each split with vectors."""
    import pyarrow as pa

    of_item = np.full(items.num_rows, -1, np.int64)
    of_item[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
    split_no = np.array(items.column("split_no"), np.int64)
    width = int(vectors.shape[1])
    number = pa.float16() if vectors.dtype == np.float16 else pa.float32()
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
        for start in range(0, len(chosen), _ROWS):
            part = chosen[start : start + _ROWS]
            columns = items.take(pa.array(part)).combine_chunks()
            flat = pa.array(np.asarray(vectors[of_item[part]]).reshape(-1))
            arrays = [columns.column(name).combine_chunks() for name in ("image_id", "item_no", *BOX_COLUMNS, "sha256")]
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=types["vector"]))
            writer.write(pa.record_batch(arrays, schema=schema))
        row = [[value] for value in (width, str(vectors.dtype), *about, tables.old.sha256)]
        tables.writer(EMBEDDING_MODELS, split=split, model=model).write(record_batch(EMBEDDING_MODELS, row))
    return counts
