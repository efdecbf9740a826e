"""Ingestion of a split from COCO files: their index, then the rows of their images, chunk by chunk."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from registry.dataset.tables import IMAGES, ITEMS, record_batch
from registry.execution.in_order import in_order
from registry.execution.progress import Progress
from registry.files.positions import read_at
from registry.ingest.chunks import CHUNK_BYTES, CHUNK_FILES, corrections_of
from registry.ingest.coco_decode import CocoChunk, CocoRows, read_coco_chunk
from registry.ingest.coco_index import CocoImage, CocoIndex, read_index
from registry.ingest.coco_notices import coco_notices
from registry.ingest.corrections import RawLine
from registry.ingest.report import IngestReport
from registry.ingest.shard import BadFile, ChunkRows

#: Bytes between two annotations that are read with them rather than passed over.
_GAP: Final = 4096


class CocoSource:
    """The rows of a split in COCO files.

    Args:
        files: (name for messages, path) of each local, unpacked file.
        split: the split that they are to become.
        source_of: returns the source of an image where the files do not tell; None if it is not known.
        corrections: image_id -> its corrections.

    Attributes:
        num_images: number of images.
        bad_files: files that cannot be read as COCO; with any of them there are no rows.
    """

    def __init__(
        self,
        files: Sequence[tuple[str, Path]],
        split: str,
        source_of: Callable[[int], str | None],
        corrections: Mapping[int, Sequence[RawLine]],
    ) -> None:
        self._files = files
        self._split = split
        self._source_of = source_of
        self._corrections = corrections
        self._index = read_index(files, split)
        self._counts: Counter[str] = Counter()
        self._other_keys: set[str] = set()
        self.num_images = len(self._index.images)
        self.bad_files = [BadFile(path, tuple(issues), None) for path, issues in self._index.issues.items()]

    def rows(self, pool: Executor | None, jobs: int, progress: Progress | None) -> Iterator[ChunkRows]:
        """Yield the rows of each chunk, in order of image_id; first the records of the files, without rows.

        Args:
            pool: decodes the chunks; None for this process.
            jobs: number of its processes.
            progress: called with the number of images done and of all.
        """
        yield _records(self._index.records)
        num_done = 0
        for rows, num_images in self._decoded(pool, jobs):
            self._counts += rows.counts
            self._other_keys |= rows.other_keys
            yield rows.rows
            num_done += num_images
            if progress:
                progress(num_done, self.num_images)

    def note(self, report: IngestReport) -> None:
        """Add the notices of the files to a report, when all rows are read."""
        report.notices += self._index.notices
        report.notices += coco_notices(self._split, self._counts, self._other_keys)

    def _decoded(self, pool: Executor | None, jobs: int) -> Iterator[tuple[CocoRows, int]]:
        """Yield the rows and the number of images of each chunk."""
        with ExitStack() as stack:
            descriptors = [os.open(path, os.O_RDONLY) for _, path in self._files]
            for descriptor in descriptors:
                stack.callback(os.close, descriptor)
            chunks = (self._chunk(images, descriptors) for images in _runs(self._index))
            if pool is None:
                yield from ((read_coco_chunk(chunk), len(chunk.images)) for chunk in chunks)
                return
            calls = ((len(chunk.images), pool.submit(read_coco_chunk, chunk)) for chunk in chunks)
            yield from ((rows, number) for number, rows in in_order(calls, jobs + 1))

    def _chunk(self, images: Sequence[tuple[CocoImage, list[int]]], descriptors: Sequence[int]) -> CocoChunk:
        """Return a chunk with the texts of its annotations."""
        index = self._index
        positions = [position for _, of_image in images for position in of_image]
        texts = dict(zip(positions, _read(index, positions, descriptors), strict=True))
        return CocoChunk(
            self._split,
            [name for name, _ in self._files],
            index.categories,
            [image for image, _ in images],
            [self._source_of(image.image_id) for image, _ in images],
            [[(index.files[k], index.numbers[k], texts[k]) for k in of_image] for _, of_image in images],
            corrections_of((image.image_id for image, _ in images), self._corrections),
        )


def _records(records: list[tuple[str, int, int]]) -> ChunkRows:
    """Return a chunk without rows, for the digest of the files."""
    images, items = (record_batch(table, [[]] * len(table.stored_columns)) for table in (IMAGES, ITEMS))
    return ChunkRows(images, items, (), (), tuple(records), 0)


def _runs(index: CocoIndex) -> Iterator[list[tuple[CocoImage, list[int]]]]:
    """Yield runs of images with the positions of their annotations, each of bounded size."""
    run: list[tuple[CocoImage, list[int]]] = []
    num_bytes = 0
    for image, positions in index.by_image():
        size = sum(index.lengths[position] for position in positions)
        if run and (len(run) == CHUNK_FILES or num_bytes + size > CHUNK_BYTES):
            yield run
            run, num_bytes = [], 0
        run.append((image, positions))
        num_bytes += size
    if run:
        yield run


def _read(index: CocoIndex, positions: Sequence[int], descriptors: Sequence[int]) -> Iterator[bytes]:
    """Yield the text of annotations; neighbours in a file are read together."""
    start = 0
    while start < len(positions):
        first = positions[start]
        file, begin = index.files[first], index.offsets[first]
        last = end = begin
        stop = start
        while stop < len(positions):
            position = positions[stop]
            offset = index.offsets[position]
            if index.files[position] != file or not last <= offset <= end + _GAP or offset - begin > CHUNK_BYTES:
                break
            last, end = offset, offset + index.lengths[position]
            stop += 1
        data = read_at(descriptors[file], end - begin, begin)
        for position in positions[start:stop]:
            offset = index.offsets[position] - begin
            yield data[offset : offset + index.lengths[position]]
        start = stop
