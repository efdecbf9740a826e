"""Hugging Face: a folder for ``datasets.load_dataset``: Parquet files with photos inside, features, and a card.

Source: https://huggingface.co/docs/datasets (features, their form in a card's YAML and in the Parquet metadata).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from registry.dataset.deepfashion2 import SOURCES
from registry.dataset.tables import BOX_COLUMNS
from registry.exports.columns.bounds import note_boxes_without_area, note_unlabelled
from registry.exports.columns.own_values import feature, feature_type, own_columns
from registry.exports.huggingface_card import card
from registry.exports.huggingface_layout import data_path, split_names
from registry.exports.job import Job
from registry.exports.work import ChunkWork
from registry.subset.classes import Classes
from registry.subset.rows import Chunk, Part

Feature = Any


def _value(dtype: str) -> Feature:
    return {"dtype": dtype, "_type": "Value"}


def _label(names: Sequence[str]) -> Feature:
    return {"names": list(names), "_type": "ClassLabel"}


#: Features in the JSON form of ``datasets``; every version of it reads ``[feature]`` as a list. :func:`_features` adds
#: the names of the classes to ``category``.
_OBJECT: Final[dict[str, Feature]] = {
    "item_no": _value("int16"),
    "category": _label(()),
    "category_id": _value("int8"),
    "style": _value("int32"),
    "bbox": [_value("float64")],
    "scale": _value("int8"),
    "occlusion": _value("int8"),
    "zoom_in": _value("int8"),
    "viewpoint": _value("int8"),
    "landmarks": [[_value("int32")]],
    "segmentation": [[_value("float64")]],
}
_FEATURES: Final[dict[str, Feature]] = {
    "image": {"_type": "Image"},
    "split": _value("string"),
    "image_id": _value("int32"),
    "file_name": _value("string"),
    "source": _label(SOURCES),
    "pair_id": _value("int32"),
    "width": _value("int32"),
    "height": _value("int32"),
    "objects": [_OBJECT],
}
_COLUMNS: Final = (
    "item_no", "category_id", "style", *BOX_COLUMNS, "scale", "occlusion", "zoom_in", "viewpoint",
    "landmarks", "segmentation",
)  # fmt: skip
#: Columns with dictionary encoding and statistics, which are useless for photos.
_PLAIN: Final = [name for name in _FEATURES if name not in ("image", "objects")]
#: Images in a row group, the unit of reading: about 7 MB of released photos.
_GROUP: Final = 128


def write(job: Job) -> None:
    """Write ``data/SPLIT-NNNNN-of-NNNNN.parquet`` for every part, and the card, ``README.md``.

    A part without images gets a single file without rows.

    Raises:
        UsageError: two parts get the same split name.
    """
    names = split_names(job.parts)
    features = _features(job)
    schema = _schema(features)
    size = job.options["shard-size"]
    sizes = {}
    for part, name in zip(job.parts, names, strict=True):
        num_images = job.counts[part.name]["images"]
        shards = [min(size, num_images - start) for start in range(0, num_images, size)] or [0]
        groups = _groups(job, part, shards)
        num_bytes = 0
        for number, rows in enumerate(shards):
            with job.files.open(data_path(name, "parquet", number, len(shards))) as file:
                with pq.ParquetWriter(
                    file, schema, compression="zstd", use_dictionary=_PLAIN, write_statistics=_PLAIN
                ) as writer:
                    # The last shard drains the iterator, so that progress reaches its total.
                    for group in islice(groups, -(-rows // _GROUP)) if number + 1 < len(shards) else groups:
                        writer.write_table(group.cast(schema))
                num_bytes += file.tell()
        sizes[name] = {"num_bytes": num_bytes, "num_examples": num_images, "items": job.counts[part.name]["items"]}
        job.count(part, "shards", len(shards))
    job.files.write("README.md", card(features, sizes, job.classes).encode())


def _features(job: Job) -> dict[str, Feature]:
    """Return the features of the rows of an export."""
    category = _label([member.name for member in job.classes])
    own_features = {field.name: feature(feature_type(field.name, field.type)) for field in job.own_schema()}
    features = _FEATURES | {"objects": [_OBJECT | {"category": category} | own_features]}
    return {name: feature for name, feature in features.items() if name != "image" or job.images == "copy"}


def _schema(features: dict[str, Feature]) -> pa.Schema:
    types = [(name, _arrow_type(feature)) for name, feature in features.items()]
    return pa.schema(types, {"huggingface": json.dumps({"info": {"features": features}})})


def _arrow_type(feature: Feature) -> pa.DataType:
    """Return the Arrow type in which ``datasets`` stores a feature."""
    if isinstance(feature, list):
        return pa.list_(_arrow_type(feature[0]))
    kind = feature.get("_type")
    if kind == "Image":
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})
    if kind == "ClassLabel":
        return pa.int64()
    if kind == "Value":
        return pa.type_for_alias(feature["dtype"])
    return pa.struct({name: _arrow_type(inner) for name, inner in feature.items()})


def _groups(job: Job, part: Part, shards: Sequence[int]) -> Iterator[pa.Table]:
    """Yield the rows of a part in row groups, photos included. No group crosses a shard boundary.

    Groups do not depend on the boundaries of chunks.
    """
    group_sizes = (min(_GROUP, rows - start) for rows in shards for start in range(0, rows, _GROUP))
    num_missing = next(group_sizes, 0)
    pieces: list[pa.Table] = []
    for chunk, rows in job.map(part, [*_COLUMNS, *own_columns(job.options)], _rows):
        photos = job.photos(chunk) if job.images == "copy" else None
        start = 0
        while start < rows.num_rows:
            piece = rows.slice(start, num_missing)
            start += piece.num_rows
            if photos is not None:
                piece = piece.add_column(0, "image", _images(chunk, piece, photos))
            pieces.append(piece)
            num_missing -= piece.num_rows
            if not num_missing:
                yield pa.concat_tables(pieces).combine_chunks()
                pieces, num_missing = [], next(group_sizes, 0)


def _images(chunk: Chunk, rows: pa.Table, photos: Iterator[bytes]) -> pa.Array:
    names = [chunk.part.file_name(chunk.split, name) for name in rows.column("file_name").to_pylist()]
    data = pa.array(islice(photos, len(names)), pa.binary())
    return pa.StructArray.from_arrays([data, pa.array(names, pa.string())], ["bytes", "path"])


def _rows(work: ChunkWork, chunk: Chunk) -> pa.Table:
    """Return a row per image of a chunk, with all columns but the photo."""
    note_unlabelled(work, chunk)
    note_boxes_without_area(work, chunk.items)
    images = chunk.images
    columns = {name: images.column(name) for name in _FEATURES if name in images.schema.names}
    columns["source"] = pc.index_in(images.column("source"), pa.array(SOURCES)).cast(pa.int64())
    offsets = pa.array(accumulate(chunk.num_items, initial=0), pa.int32())
    columns["objects"] = pa.ListArray.from_arrays(
        offsets, _objects(work.classes, chunk.items, own_columns(work.options))
    )
    return pa.table(columns)


def _objects(classes: Classes, items: pa.RecordBatch, own: Sequence[str]) -> pa.Array:
    columns = {name: items.column(name) for name in (*_OBJECT, *own) if name in items.schema.names}
    columns["category"] = pc.subtract(classes.ids(items.column("category_id")).cast(pa.int64()), 1)
    rows = items.num_rows
    sides = pa.concat_arrays([items.column(name) for name in BOX_COLUMNS])
    in_rows = pa.array((side * rows + row for row in range(rows) for side in range(4)), pa.int32())
    columns["bbox"] = _grouped(sides.take(in_rows), 4)
    columns["landmarks"] = _triples(items.column("landmarks"))
    names = [*_OBJECT, *own]
    return pa.StructArray.from_arrays([columns[name] for name in names], names)


def _grouped(values: pa.Array, length: int) -> pa.Array:
    """Return values as lists of equal length."""
    return pa.ListArray.from_arrays(pa.array(range(0, len(values) + 1, length), pa.int32()), values)


def _triples(landmarks: pa.Array) -> pa.Array:
    """Return flat lists of x, y, v as lists of ``[x, y, v]``; NULL stays NULL."""
    lengths = pc.divide(pc.list_value_length(landmarks), 3).fill_null(0)
    offsets = pa.array(accumulate(lengths.to_pylist(), initial=0), pa.int32())
    mask = landmarks.is_null() if landmarks.null_count else None
    return pa.ListArray.from_arrays(offsets, _grouped(landmarks.flatten(), 3), mask=mask)
