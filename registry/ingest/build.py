"""Ingestion of one split: source -> chunks, in several processes -> Parquet -> the new registry."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from registry.dataset.deepfashion2 import find_split
from registry.dataset.tables import IMAGES, ITEMS, QUARANTINE, RETRIEVAL_LISTS, record_batch
from registry.errors import AnnotationError, SourceError
from registry.execution.in_order import in_order
from registry.execution.processes import process_pool
from registry.execution.progress import Progress
from registry.ingest.retrieval_lists import RetrievalLists, read_retrieval
from registry.ingest.shard import (
    CHUNK_BYTES,
    CHUNK_FILES,
    BadFile,
    Chunk,
    ChunkRows,
    images_batch,
    photo_rows,
    read_chunk,
)
from registry.snapshot.publish import Publication, publication
from registry.sources.issues import MOST_OF_ALL, Issue, summarise
from registry.sources.listing import Entry, Listing, Source
from registry.sources.open import open_source, release_lists
from registry.sources.reading import MAX_ANNOTATION
from registry.storage.filesystems import StorageOptions
from registry.storage.place import Place

OnError = Literal["fail", "quarantine"]

#: Below this many files one process is done before others have started.
_SMALL: Final = 2 * CHUNK_FILES
#: Bytes of bad files that are kept for the table quarantine; they are in memory until the end.
_MOST_RAW: Final = 64 << 20


@dataclass(slots=True)
class IngestReport:
    """What an ingestion did.

    Attributes:
        split: the split.
        images, items: rows written.
        bad_files: files that gave no rows (in quarantine), and photos without a readable size.
        notices: what is odd and was ingested all the same: photos without annotation, annotations without photo,
            disagreements of the retrieval lists with the annotations. Sorted.
    """

    split: str
    images: int = 0
    items: int = 0
    bad_files: list[BadFile] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def issues(self) -> list[Issue]:
        """Every issue of every bad file, sorted."""
        return sorted(issue for bad in self.bad_files for issue in bad.issues)


@contextmanager
def _lean_memory() -> Iterator[None]:
    """Save time and memory that this work does not need, and put everything back as it was.

    Decoded annotations hold no cycles, and every collection would walk all of them. Arrow's own allocator keeps what
    is freed, which here is buffers of another size all the time.
    """
    import pyarrow as pa

    was_enabled, pool = gc.isenabled(), pa.default_memory_pool()
    gc.disable()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
        if was_enabled:
            gc.enable()


@_lean_memory()
def ingest(
    split: str,
    source: str,
    registry: str,
    *,
    retrieval: Sequence[str] = (),
    on_error: OnError = "fail",
    image_sizes: bool = True,
    jobs: int | None = None,
    password: str | None = None,
    storage_options: StorageOptions | None = None,
    follow_links: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Replace one split of a registry by what a source holds; the other splits stay as they are.

    Args:
        split: train, validation or test.
        source: folder, archive or fsspec URL; see :func:`registry.sources.open.open_source`.
        registry: folder or fsspec URL of the registry; made if it does not exist.
        retrieval: query and gallery lists and ``*_information.json`` files, or folders or zips of them. Those of
            a release (``json_for_SPLIT`` beside the split) are read too.
        on_error: ``fail`` changes nothing if any file is bad; ``quarantine`` puts bad files into that table.
        image_sizes: read width and height from the photos where the source has them.
        jobs: processes; None for one a core. More than one uses multiprocessing, so a script needs the usual
            ``if __name__ == "__main__"``.
        password: of a protected zip.
        storage_options: passed to fsspec, for the source and the registry.
        follow_links: whether files of a local source may be links that lead out of it.
        executor: runs the chunks instead of local processes, such as Dask's ``Client.getprocess_pool()``; the source
            must be readable where it runs.
        progress: called with the number of files done and of all.

    Returns:
        What was done.

    Raises:
        IngestError: files are bad, under ``fail``.
        SourceError, PasswordError: the source cannot be read.
        StorageError: the registry cannot be written.
    """
    split = find_split(split)
    place = Place(registry, storage_options)
    jobs = 1 if source.startswith("memory://") else jobs or os.cpu_count() or 1  # only this process sees its memory
    with process_pool(executor, jobs) as pool:
        opened = open_source(source, split, storage_options, password, follow_links=follow_links)
        listing = opened.list_files(split, photos=image_sizes or split == "test")
        counts = len(listing.annotations), len(listing.photos)
        logging.getLogger(__name__).info("%s: %d annotation files, %d photos listed", split, *counts)
        report = IngestReport(split)
        report.bad_files += [BadFile(issue.file, (issue,), None) for issue in listing.issues]
        retrieval = [*retrieval, *release_lists(source, split, storage_options)]
        lists = read_retrieval(split, retrieval, storage_options, password)
        if not listing.annotations and not (split == "test" and listing.photos):
            expected = "image/NNNNNN.jpg" if split == "test" else "annos/NNNNNN.json"
            raise SourceError(f"{source} holds no file of {split}: expected {expected}.")
        with publication(place, split) as made:
            build = _Build(made, report, lists, keeps_raw=on_error == "quarantine")
            build.add_bad_files(lists.bad_files)
            if listing.annotations:
                report.notices += _photo_notices(listing, split) if image_sizes else []
                workers = pool if executor or len(listing.annotations) > _SMALL else None
                rows = _map_in_order(workers, opened, _chunks(split, listing, image_sizes), jobs)
                build.add_annotated(rows, len(listing.annotations), progress)
            else:
                build.add_photos(opened, listing, image_sizes)
            build.finish(on_error)
    return report


class IngestError(AnnotationError):
    """Bad files under ``--on-error fail``.

    Attributes:
        report: what was found.
    """

    def __init__(self, message: str, report: IngestReport) -> None:
        super().__init__(message)
        self.report = report


class _Build:
    """The rows of one split on their way into the files of a publication."""

    def __init__(self, made: Publication, report: IngestReport, lists: RetrievalLists, *, keeps_raw: bool) -> None:
        self.made = made
        self.report = report
        self.lists = lists
        self.fingerprint = hashlib.sha256()
        self._num_issues = 0
        self._keeps_raw = keeps_raw
        self._raw_left = _MOST_RAW if keeps_raw else 0

    def add_bad_files(self, bad_files: Iterable[BadFile]) -> None:
        """Take bad files; what they say and hold is bounded in all, however many there are."""
        for bad in bad_files:
            issues, raw = bad.issues, bad.raw
            if self._num_issues > MOST_OF_ALL and len(issues) > 1:
                issues = (issues[0], Issue(bad.file, (), f"has {len(issues) - 1} issues more"))
            self._num_issues += len(issues)
            if raw is not None and len(raw) > self._raw_left:
                if self._keeps_raw:
                    text = f"its bytes are not kept: the bad files have more than {_MOST_RAW:,} bytes"
                    issues = (*issues, Issue(bad.file, (), text))
                raw = None
            self._raw_left -= len(raw or b"")
            self.report.bad_files.append(BadFile(bad.file, issues, raw))

    def add_annotated(self, chunks: Iterable[ChunkRows], total: int, progress: Progress | None) -> None:
        """Write images and items of annotated files."""
        split = self.report.split
        done = 0
        images = self.made.writer(IMAGES, split=split)
        for rows in chunks:
            images.write(rows.images)
            start = 0
            for category_id, count in rows.items_by_category:
                writer = self.made.writer(ITEMS, split=split, category_id=category_id)
                writer.write(rows.items.slice(start, count))
                start += count
            self.lists.note_rows(rows.images, rows.items)
            self.report.images += rows.images.num_rows
            self.report.items += rows.items.num_rows
            self.add_bad_files(rows.bad_files)
            for entry in rows.fingerprints:
                self.fingerprint.update(repr(entry).encode())
            done += len(rows.fingerprints)
            if progress:
                progress(done, total)

    def add_photos(self, source: Source, listing: Listing, image_sizes: bool) -> None:
        """Write the images of a split without annotations."""
        photos = list(listing.photos.values())
        writer = self.made.writer(IMAGES, split=self.report.split)
        for start in range(0, len(photos), CHUNK_FILES):
            entries = photos[start : start + CHUNK_FILES]
            sizes, bad = photo_rows(source, Chunk(self.report.split, entries, entries if image_sizes else None))
            ids = [entry.image_id for entry in entries]
            names = [entry.name for entry in entries]
            nothing: list[Any] = [None] * len(ids)
            sources = [self.lists.source_of(image_id) for image_id in ids]
            rows = images_batch(ids, names, sources, nothing, sizes, nothing)
            writer.write(rows)
            self.lists.note_rows(rows, None)
            self.report.images += len(ids)
            self.add_bad_files(bad)
            for name in names:
                self.fingerprint.update(repr(name).encode())

    def finish(self, on_error: OnError) -> None:
        """Write quarantine and retrieval lists and publish, unless there are issues and the policy is to fail."""
        report, made, split = self.report, self.made, self.report.split
        report.notices = sorted([*report.notices, *self.lists.disagreements()])
        report.bad_files.sort(key=lambda bad: bad.file)
        if report.bad_files and on_error == "fail":
            raise IngestError(
                f"{split} was not ingested, the registry is as it was: {summarise(report.issues)}\n"
                "Mend or remove these files, or ingest the others with --on-error quarantine.",
                report,
            )
        # These two tables have a file even without rows: a catalog that names them by a pattern stays valid.
        quarantine = made.writer(QUARANTINE, split=split)
        if report.bad_files:
            quarantine.write(_quarantine_batch(report.bad_files))
        lists = made.writer(RETRIEVAL_LISTS, split=split)
        if self.lists.entries:
            lists.write(self.lists.batch())
        made.publish(self.fingerprint.hexdigest())


def _quarantine_batch(bad_files: Sequence[BadFile]) -> Any:
    merged: dict[str, tuple[list[str], bytes | None]] = {}
    for bad in bad_files:
        texts, raw = merged.setdefault(bad.file, ([], None))
        merged[bad.file] = texts + [str(issue) for issue in bad.issues], raw or bad.raw
    columns = (list(merged), [row[0] for row in merged.values()], [row[1] for row in merged.values()])
    return record_batch(QUARANTINE, columns)


def _photo_notices(listing: Listing, split: str) -> list[str]:
    """Return what does not match between photos and annotations of one source; nothing where it has no photos."""
    if not listing.photos:
        return []
    annotated = {entry.image_id for entry in listing.annotations}
    alone = [photo.name for image_id, photo in listing.photos.items() if image_id not in annotated]
    missing = [entry.name for entry in listing.annotations if entry.image_id not in listing.photos]
    return [f"{split}/image/{name}: the photo has no annotation and was not registered" for name in alone] + [
        f"{split}/annos/{name}: the annotation has no photo; width and height are NULL" for name in missing
    ]


def _chunks(split: str, listing: Listing, image_sizes: bool) -> Iterator[Chunk]:
    for entries in _cut(listing.annotations):
        photos: list[Entry | None] | None = None
        if image_sizes and listing.photos:
            photos = [listing.photos.get(entry.image_id) for entry in entries]
        yield Chunk(split, entries, photos)


def _cut(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield entries in runs of at most CHUNK_FILES files, and CHUNK_BYTES where listing told the sizes."""
    start = size = 0
    for end, entry in enumerate(entries):
        # A file beyond the bound is refused without being read.
        more = entry.size if entry.size is not None and entry.size <= MAX_ANNOTATION else 0
        if end > start and (end - start == CHUNK_FILES or size + more > CHUNK_BYTES):
            yield entries[start:end]
            start, size = end, 0
        size += more
    if start < len(entries):
        yield entries[start:]


def _map_in_order(pool: Executor | None, source: Source, chunks: Iterable[Chunk], jobs: int) -> Iterator[ChunkRows]:
    """Yield the rows of the chunks in their order, with a bounded number of chunks on the way."""
    if pool is None:
        yield from (read_chunk(source, chunk) for chunk in chunks)
        return
    started = ((None, pool.submit(read_chunk, source, chunk)) for chunk in chunks)
    yield from (rows for _, rows in in_order(started, 2 * jobs + 1))
