"""One chunk of a source -> Arrow: what every worker process does."""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.content_hash import HASHED, content_hashes
from registry.dataset.tables import IMAGES, ITEMS, arrow_schema, record_batch
from registry.ingest.decode import Annotations, Item, RawFile, decode_annotations
from registry.ingest.diagnose import item_no
from registry.sources.issues import Issue
from registry.sources.listing import Entry, Source
from registry.sources.photo_headers import Size
from registry.sources.reading import Fault

if TYPE_CHECKING:
    import pyarrow as pa

#: Files in a chunk: enough to make the work worth its delivery, few enough to stay in the processor's caches.
CHUNK_FILES: Final = 512
#: Bytes of annotations in a chunk, unless a single one has more. Decoded numbers take some 16 times as much.
CHUNK_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a worker shall read: annotation entries, and the photo of each if sizes are wanted."""

    split: str
    annotations: Sequence[Entry]
    photos: Sequence[Entry | None] | None


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that cannot be ingested.

    Attributes:
        file: its path in the source, from the split on.
        issues: what is wrong with it.
        raw: its bytes, or None where they could not be read or are a photo's.
    """

    file: str
    issues: tuple[Issue, ...]
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """The rows of one chunk.

    Attributes:
        images: rows of the table images.
        items: rows of the table items, sorted by category_id, image_id, item_no.
        items_by_category: how many of them each category has, ascending by category_id.
        bad_files: the files that gave no rows, and photos without a size.
        fingerprints: (name, bytes, CRC-32) of every annotation file.
    """

    images: pa.RecordBatch
    items: pa.RecordBatch
    items_by_category: tuple[tuple[int, int], ...]
    bad_files: tuple[BadFile, ...]
    fingerprints: tuple[tuple[str, int, int], ...]


def read_chunk(source: Source, chunk: Chunk) -> ChunkRows:
    """Read, check and convert the files of a chunk."""
    files: list[RawFile] = []
    entries: list[Entry] = []
    bad: list[BadFile] = []
    fingerprints = []
    for entry, data in zip(chunk.annotations, source.read(chunk.annotations), strict=True):
        path = f"{chunk.split}/annos/{entry.name}"
        if isinstance(data, Fault):
            bad.append(BadFile(path, (Issue(path, (), data),), None))
            fingerprints.append((entry.name, -1, 0))
        else:
            files.append(RawFile(entry.image_id, path, data))
            entries.append(entry)
            fingerprints.append((entry.name, len(data), zlib.crc32(data)))
    columns, issues = decode_annotations(files)
    bad += [BadFile(files[k].path, tuple(found), files[k].data) for k, found in issues.items()]
    sound = [entry for k, entry in enumerate(entries) if k not in issues]
    sizes, bad_photos = _photo_sizes(source, chunk, {entry.image_id for entry in sound})
    items = _items_batch(columns)
    return ChunkRows(
        _images_batch(sound, columns, sizes),
        *items,
        tuple(bad + bad_photos),
        tuple(fingerprints),
    )


def _photo_sizes(source: Source, chunk: Chunk, image_ids: set[int]) -> tuple[dict[int, Size], list[BadFile]]:
    photos = [photo for photo in chunk.photos or () if photo is not None and photo.image_id in image_ids]
    if not photos:
        return {}, []
    sizes = dict(zip((photo.image_id for photo in photos), source.photo_sizes(photos), strict=True))
    bad = []
    for photo in photos:
        size = sizes[photo.image_id]
        if isinstance(size, str):
            path = f"{chunk.split}/image/{photo.name}"
            bad.append(BadFile(path, (Issue(path, (), size),), None))
    return sizes, bad


def photo_rows(source: Source, chunk: Chunk) -> tuple[list[Size | None], list[BadFile]]:
    """Return the size of every photo of a chunk without annotations (the test split), None where none is wanted."""
    if chunk.photos is None:
        return [None] * len(chunk.annotations), []
    sizes, bad = _photo_sizes(source, chunk, {entry.image_id for entry in chunk.annotations})
    return [sizes.get(entry.image_id) for entry in chunk.annotations], bad


def images_batch(
    image_ids: Sequence[int],
    file_names: Sequence[str],
    sources: Sequence[str | None],
    pair_ids: Sequence[int | None],
    sizes: Sequence[Size | None],
    num_items: Sequence[int | None],
) -> pa.RecordBatch:
    """Return rows of the table images."""
    known = [size if isinstance(size, tuple) else (None, None) for size in sizes]
    widths, heights = [size[0] for size in known], [size[1] for size in known]
    return record_batch(IMAGES, (image_ids, file_names, sources, pair_ids, widths, heights, num_items))


def _images_batch(entries: Sequence[Entry], columns: Annotations, sizes: dict[int, Size]) -> pa.RecordBatch:
    return images_batch(
        columns.image_ids,
        [f"{entry.name.removesuffix('.json')}.jpg" for entry in entries],
        columns.sources,
        columns.pair_ids,
        [sizes.get(image_id) for image_id in columns.image_ids],
        columns.num_items,
    )


def _items_batch(columns: Annotations) -> tuple[pa.RecordBatch, tuple[tuple[int, int], ...]]:
    import pyarrow as pa

    number_of = {key: item_no(key) for key in set(columns.item_keys)}
    numbers = [number_of[key] for key in columns.item_keys]
    owners = list(chain.from_iterable([k] * n for k, n in enumerate(columns.num_items)))
    orders = list(chain.from_iterable(range(1, n + 1) for n in columns.num_items))
    categories = [item.category_id for item in columns.items]
    # Items of one category stand together, by image and number; one integer compares faster than three.
    keys = [(c << 48) + (k << 16) + n for c, k, n in zip(categories, owners, numbers, strict=True)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    items = [columns.items[k] for k in order]
    owners = [owners[k] for k in order]
    visibilities = [columns.visibilities[k] for k in order]
    values: dict[str, Any] = {
        "image_id": [columns.image_ids[k] for k in owners],
        "item_no": [numbers[k] for k in order],
        "item_order": [orders[k] for k in order],
        "source": [columns.sources[k] for k in owners],
        "pair_id": [columns.pair_ids[k] for k in owners],
        "category_id": [categories[k] for k in order],
        "landmarks": _flat_lists([item.landmarks for item in items], "i"),
        "num_landmarks_labelled": [len(codes) - codes.count(0) for codes in visibilities],
        "segmentation": _segmentations(items),
    }
    names = ("style", "category_name", "scale", "occlusion", "zoom_in", "viewpoint", "bounding_box")
    rows = list(zip(*map(attrgetter(*names), items), strict=True)) or [()] * len(names)
    values |= dict(zip(names, rows, strict=True))
    values |= dict(zip(("x1", "y1", "x2", "y2"), zip(*values["bounding_box"], strict=True), strict=False))
    counts = Counter(categories)
    schema = arrow_schema(ITEMS, stored=False)
    values |= {name: pa.array(values.get(name, ()), schema.field(name).type) for name in HASHED}
    values["content_hash"] = content_hashes(values)
    rows_of = record_batch(ITEMS, (values.get(column.name, ()) for column in ITEMS.stored_columns))
    return rows_of, tuple(sorted(counts.items()))


def _offsets(lengths: Iterable[int]) -> Any:
    import pyarrow as pa

    return pa.py_buffer(array("i", accumulate(lengths, initial=0)))


def _flat_lists(lists: Sequence[list[Any]], code: str) -> pa.Array:
    """Return a list array of numbers; ``array`` fills flat buffers several times faster than Arrow from objects."""
    import pyarrow as pa

    flat = array(code)
    extend = flat.fromlist
    for numbers in lists:
        extend(numbers)
    number_type = pa.int32() if code == "i" else pa.float64()
    values = pa.Array.from_buffers(number_type, len(flat), [None, pa.py_buffer(flat)])
    list_type = pa.list_(pa.field("element", number_type, nullable=False))
    return pa.Array.from_buffers(
        list_type, len(lists), [None, _offsets(map(len, lists))], null_count=0, children=[values]
    )


def _segmentations(items: Sequence[Item]) -> pa.Array:
    import pyarrow as pa

    segmentations = [item.segmentation for item in items]
    polygons = _flat_lists(list(chain.from_iterable(segmentations)), "d")
    list_type = pa.list_(pa.field("element", polygons.type, nullable=False))
    return pa.Array.from_buffers(
        list_type, len(items), [None, _offsets(map(len, segmentations))], null_count=0, children=[polygons]
    )
