"""Reading a chunk of files into Arrow rows: the work of a worker process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry.dataset.file_names import stem
from registry.execution.memory import without_collection
from registry.ingest.batches import images_batch, items_batch
from registry.ingest.chunks import FileChunk
from registry.ingest.content_digest import annotation_record
from registry.ingest.correct import Corrected, correct
from registry.ingest.decode import Annotations, RawFile, decode_annotations
from registry.parsing.text import MARK, without_mark
from registry.sources.entries import Entry
from registry.sources.faults import Fault
from registry.sources.issues import Issue
from registry.sources.listing import Source
from registry.sources.photo_headers import Size

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that cannot be ingested.

    Attributes:
        file: path in the source, beginning with the split.
        issues: its problems.
        raw: its bytes; None for a photo and for a file that could not be read.
    """

    file: str
    issues: tuple[Issue, ...]
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """The rows of a chunk.

    Attributes:
        images: rows of the table images.
        items: rows of the table items, sorted by category_id, image_id, item_no.
        items_by_category: (category_id, number of items), ascending.
        bad_files: annotation files without rows, and photos without a readable size.
        records: (name, number of bytes, CRC-32) of every annotation file; (name, -1, 0) of an unreadable file.
        num_marked: annotation files that begin with a byte order mark.
        corrected: what became of the corrections of its images.
    """

    images: pa.RecordBatch
    items: pa.RecordBatch
    items_by_category: tuple[tuple[int, int], ...]
    bad_files: tuple[BadFile, ...]
    records: tuple[tuple[str, int, int], ...]
    num_marked: int
    corrected: Corrected = field(default_factory=Corrected)


def read_chunk(source: Source, chunk: FileChunk) -> ChunkRows:
    """Read, check and decode the files of a chunk; return their rows."""
    files: list[RawFile] = []
    contents: list[bytes] = []
    entries: list[Entry] = []
    bad_files: list[BadFile] = []
    records = []
    num_marked = 0
    for entry, data in zip(chunk.annotations, source.read(chunk.annotations), strict=True):
        path = f"{chunk.split}/annos/{entry.name}"
        if isinstance(data, Fault):
            bad_files.append(BadFile(path, (Issue(path, (), data),), None))
            records.append((entry.name, -1, 0))
        else:
            files.append(RawFile(entry.image_id, path, without_mark(data)))
            entries.append(entry)
            contents.append(data)
            num_marked += data.startswith(MARK)
            records.append(annotation_record(entry.name, data))
    columns, issues = decode_annotations(files)
    columns, corrected = correct(columns, chunk.corrections)
    bad_files += [BadFile(files[k].path, tuple(issues[k]), contents[k]) for k in issues]
    sound = [entry for k, entry in enumerate(entries) if k not in issues]
    sizes, bad_photos = _photo_sizes(source, chunk, {entry.image_id for entry in sound})
    items, items_by_category = items_batch(columns)
    photo_names = {photo.image_id: photo.name for photo in chunk.photos or () if photo is not None}
    images = _annotated_images(sound, columns, sizes, photo_names)
    return ChunkRows(
        images,
        items,
        items_by_category,
        tuple(bad_files + bad_photos),
        tuple(records),
        num_marked,
        corrected,
    )


def read_chunks(source: Source, chunks: Sequence[FileChunk]) -> list[ChunkRows]:
    """Return the rows of several chunks; for workers, some of which have collection of cycles on."""
    with without_collection():
        return [read_chunk(source, chunk) for chunk in chunks]


def photo_rows(source: Source, chunk: FileChunk) -> tuple[list[Size | None], list[BadFile]]:
    """Return the size of each photo of a chunk of photos (test split), and the photos without a readable size.

    Sizes are None if the chunk asks for none.
    """
    if chunk.photos is None:
        return [None] * len(chunk.annotations), []
    sizes, bad_photos = _photo_sizes(source, chunk, {entry.image_id for entry in chunk.annotations})
    return [sizes.get(entry.image_id) for entry in chunk.annotations], bad_photos


def _photo_sizes(source: Source, chunk: FileChunk, image_ids: set[int]) -> tuple[dict[int, Size], list[BadFile]]:
    """Return image_id -> size of the chunk's photos of these images, and the photos without a readable size."""
    photos = [photo for photo in chunk.photos or () if photo is not None and photo.image_id in image_ids]
    if not photos:
        return {}, []
    sizes = dict(zip((photo.image_id for photo in photos), source.photo_sizes(photos), strict=True))
    bad_photos = []
    for photo in photos:
        size = sizes[photo.image_id]
        if isinstance(size, str):
            path = f"{chunk.split}/image/{photo.name}"
            bad_photos.append(BadFile(path, (Issue(path, (), size),), None))
    return sizes, bad_photos


def _annotated_images(
    entries: Sequence[Entry], columns: Annotations, sizes: dict[int, Size], photo_names: dict[int, str]
) -> pa.RecordBatch:
    """Return the rows of annotated images; an image without photo has the name of its annotation with .jpg."""
    return images_batch(
        columns.image_ids,
        [photo_names.get(entry.image_id) or f"{stem(entry.name)}.jpg" for entry in entries],
        columns.sources,
        columns.pair_ids,
        [sizes.get(image_id) for image_id in columns.image_ids],
        columns.num_items,
    )
