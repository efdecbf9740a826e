"""WebDataset: tar shards with each photo next to the JSON of its image and items.

Source: https://github.com/webdataset/webdataset (a sample is the files that share a name up to the first dot)
and the ustar interchange format of POSIX.1-1988.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, BinaryIO, Final

import pyarrow as pa

from registry.dataset.file_names import suffix
from registry.dataset.tables import FIELDS, IMAGE_COLUMNS, ITEM_COLUMNS
from registry.execution.in_order import in_order
from registry.exports.columns.bounds import note_boxes_without_area, note_unlabelled
from registry.exports.columns.classes import CLASS_COLUMNS, with_class_columns
from registry.exports.columns.own_values import feature, feature_type, note_no_numbers, own_columns
from registry.exports.columns.sinks import row_pieces
from registry.exports.columns.text import concat, join_groups, slices
from registry.exports.huggingface_card import short_card
from registry.exports.huggingface_layout import split_names
from registry.exports.job import Job
from registry.exports.work import ChunkWork
from registry.subset.rows import Chunk, Part

_BLOCK: Final = 512
#: A tar is filled up with zeros to a multiple of this, as tar and Python's tarfile do.
_RECORD: Final = 20 * _BLOCK
_ZEROS: Final = bytes(_BLOCK)


def write(job: Job) -> None:
    """Write ``PART-NNNNNN.tar`` with the images of each part, in order; a part without images gets an empty tar.

    The card, ``README.md``, tells ``datasets.load_dataset`` the splits and the types of all values. Without it, the
    library would infer them from the first samples of a part, and could not read nulls and numbers of other types.
    """
    names = dict(zip([part.name for part in job.parts], split_names(job.parts), strict=True))
    size = job.options["shard-size"]
    for part in job.parts:
        num_shards = max(1, -(-job.counts[part.name]["images"] // size))
        members = _members(job, part)
        members_per_shard = size * (2 if job.images == "copy" else 1)
        for number in range(num_shards):
            with job.files.open(f"{part.name}-{number:06d}.tar") as file:
                # The last shard drains the iterator, so that progress reaches its total.
                _write_tar(file, islice(members, members_per_shard) if number + 1 < num_shards else members)
        job.count(part, "shards", num_shards)
    sizes = {names[part]: {"num_examples": counts["images"]} for part, counts in job.counts.items()}
    paths = {name: f"{part}-*.tar" for part, name in names.items()}
    job.files.write("README.md", short_card(_features(job), sizes, paths).encode())


def _features(job: Job) -> dict[str, Any]:
    """Return the type of every value of a sample, in the JSON form of ``datasets``."""
    document = {name: feature(FIELDS[name].type) for name in IMAGE_COLUMNS}
    columns = {name: FIELDS[name].type for name in ITEM_COLUMNS} | (CLASS_COLUMNS if job.classes.are_chosen else {})
    own_types = {field.name: feature_type(field.name, field.type) for field in job.own_schema()}
    document["items"] = [{name: feature(type_name) for name, type_name in (columns | own_types).items()}]
    photo = {"jpg": {"_type": "Image"}} if job.images == "copy" else {}
    return photo | {"json": document, "__key__": feature("string"), "__url__": feature("string")}


def _members(job: Job, part: Part) -> Iterator[tuple[str, bytes | memoryview]]:
    """Yield name and bytes of the members of a part: for each image its photo, if copied, then its JSON.

    The suffix of a photo is its own in lower case: readers take it as the key of a field.
    """
    for chunk, texts in _with_texts(job, part):
        photos = job.photos(chunk) if job.images == "copy" else None
        if photos is not None:
            job.note_suffixes(chunk)
        image_ids = chunk.images.column("image_id").to_pylist()
        names = chunk.images.column("file_name").to_pylist()
        for image_id, name, text in zip(image_ids, names, slices(texts), strict=True):
            key = f"{chunk.split}_{image_id:06d}"
            if photos is not None:
                yield f"{key}.{suffix(name).lower()}", next(photos)
            yield f"{key}.json", text


def _with_texts(job: Job, part: Part) -> Iterator[tuple[Chunk, pa.Array]]:
    """Yield each chunk with the JSON of its images; without workers, a thread prepares the next chunk."""
    columns = [*ITEM_COLUMNS, *own_columns(job.options)]
    if job.cluster is not None:
        yield from job.map(part, columns, sample_texts)
        return
    with ThreadPoolExecutor(1) as ahead:
        chunks = job.chunks(part, columns)
        yield from in_order(((chunk, ahead.submit(sample_texts, job, chunk)) for chunk in chunks), 2)


def sample_texts(work: ChunkWork, chunk: Chunk) -> pa.Array:
    """Return the JSON of each image of a chunk: its row of images, with its rows of items under ``items``."""
    note_unlabelled(work, chunk)
    note_boxes_without_area(work, chunk.items)
    note_no_numbers(work, chunk.items)
    rows = with_class_columns(work.classes, chunk.items) if work.classes.are_chosen else chunk.items
    items = join_groups(concat(*row_pieces(rows, "{", ", ", "}", named=True)), chunk.num_items, ", ")
    return concat(*row_pieces(chunk.images.select(IMAGE_COLUMNS), "{", ", ", ', "items": [', named=True), items, "]}")


def _write_tar(file: BinaryIO, members: Iterable[tuple[str, bytes | memoryview]]) -> None:
    """Write a reproducible tar: no owner, no time."""
    total = 0
    for name, data in members:
        size = len(data)
        padding = -size % _BLOCK
        file.write(tar_header(name, size))
        file.write(data)
        file.write(_ZEROS[:padding])
        total += _BLOCK + size + padding
    end = 2 * _BLOCK
    file.write(bytes(end + -(total + end) % _RECORD))


# name 100, mode 8, uid 8, gid 8, size 12, mtime 12, checksum 8, type 1, link name 100, magic and version 8,
# user 32, group 32, device 8 + 8, prefix 155, padding 12
_BEFORE_SIZE: Final = b"0000644\0" + b"0000000\0" * 2
_BEFORE_SUM: Final = b"00000000000\0"
_AFTER_SUM: Final = b"0" + bytes(100) + b"ustar\00000" + bytes(247)
#: The checksum counts its own eight bytes as spaces; the size ends in a zero byte.
_FIXED_SUM: Final = sum(_BEFORE_SIZE) + sum(_BEFORE_SUM) + sum(_AFTER_SUM) + 8 * ord(" ")


def tar_header(name: str, size: int) -> bytes:
    """Return the ustar header of a file: mode 0644, owner and group 0 without names, time 0.

    Python's tarfile writes the same bytes, at a twentieth of the speed.
    """
    encoded = name.encode("ascii")
    digits = b"%011o" % size
    checksum = b"%06o\0 " % (_FIXED_SUM + sum(encoded) + sum(digits))
    return b"%b%b%b\0%b%b%b" % (
        encoded.ljust(100, b"\0"), _BEFORE_SIZE, digits, _BEFORE_SUM, checksum, _AFTER_SUM
    )  # fmt: skip
