"""Chunks: runs of a source's files, each the work of a single call in a worker process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from registry.ingest.corrections import RawLine
from registry.sources.entries import Entry
from registry.sources.faults import MAX_ANNOTATION
from registry.sources.listing import Listing

#: Maximum files in a chunk: enough to outweigh the cost of sending it, few enough for the processor's caches.
CHUNK_FILES: Final = 512
#: Maximum bytes of annotations in a chunk of several files. Decoded numbers take some 16 times as much memory.
CHUNK_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class FileChunk:
    """Files to read in a single call.

    Attributes:
        split: the split.
        annotations: annotation files.
        photos: the photo of each annotation, None where there is none; None if no sizes are wanted.
        corrections: of these annotations, by image_id.
    """

    split: str
    annotations: Sequence[Entry]
    photos: Sequence[Entry | None] | None
    corrections: Mapping[int, Sequence[RawLine]] = field(default_factory=dict)


def make_chunks(
    split: str, listing: Listing, image_sizes: bool, corrections: Mapping[int, Sequence[RawLine]]
) -> Iterator[FileChunk]:
    """Yield the chunks of a listing, with photos if ``image_sizes`` is set and the source has any."""
    for entries in _runs(listing.annotations):
        photos: list[Entry | None] | None = None
        if image_sizes and listing.photos:
            photos = listing.photos.find([entry.image_id for entry in entries])
        of_entries = corrections_of((entry.image_id for entry in entries), corrections)
        yield FileChunk(split, entries, photos, of_entries)


def corrections_of(
    image_ids: Iterable[int], corrections: Mapping[int, Sequence[RawLine]]
) -> dict[int, Sequence[RawLine]]:
    """Return the corrections of some images."""
    return {image_id: corrections[image_id] for image_id in image_ids if image_id in corrections} if corrections else {}


def _runs(entries: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield runs of at most CHUNK_FILES files; also of at most CHUNK_BYTES bytes if the listing has sizes."""
    run: list[Entry] = []
    num_bytes = 0
    for entry in entries:
        # A file above MAX_ANNOTATION counts as empty: it is refused without being read.
        size = entry.size if entry.size is not None and entry.size <= MAX_ANNOTATION else 0
        if run and (len(run) == CHUNK_FILES or num_bytes + size > CHUNK_BYTES):
            yield run
            run, num_bytes = [], 0
        run.append(entry)
        num_bytes += size
    if run:
        yield run
