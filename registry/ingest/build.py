"""Ingestion of a split: chunks of files, read by worker processes, become the tables of a registry."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from itertools import islice
from pathlib import Path
from typing import Final

from registry.dataset.deepfashion2 import find_split
from registry.dataset.tables import CORRECTIONS
from registry.errors import SourceError, UsageError
from registry.execution.cluster import ClusterExecutor, max_pending
from registry.execution.in_order import in_order
from registry.execution.processes import process_pool
from registry.execution.progress import Progress
from registry.ingest.chunks import CHUNK_FILES, FileChunk, make_chunks
from registry.ingest.coco import CocoSource
from registry.ingest.corrections import Corrections, read_corrections
from registry.ingest.described import described_files, keep_described
from registry.ingest.report import IngestError, IngestReport, OnError
from registry.ingest.retrieval_lists import RetrievalLists, read_retrieval
from registry.ingest.shard import BadFile, ChunkRows, read_chunk, read_chunks
from registry.ingest.source_of import read_sources
from registry.ingest.split_writer import SplitWriter
from registry.snapshot.publish import Publication, publication
from registry.sources.cluster_places import expect_same_files, for_workers
from registry.sources.coco_files import find_coco, local_files
from registry.sources.issues import MAX_NAME_ISSUES
from registry.sources.listing import Listing, Source
from registry.sources.locate import locate_source, release_lists
from registry.sources.open import open_location
from registry.storage.filesystems import StorageOptions
from registry.storage.place import Place
from registry.wording import plural

__all__ = ["IngestError", "IngestReport", "ingest"]

#: Up to this number of files a single process ends before others have started.
_FEW_FILES: Final = 2 * CHUNK_FILES
#: Chunks that a worker of a cluster reads in a call: a call costs time of the scheduler and of this process too.
_CHUNKS_PER_CALL: Final = 4
#: Calls that each worker of a cluster gets at least, so that no worker waits long for the last ones.
_CALLS_PER_WORKER: Final = 4


def ingest(
    split: str,
    source: str,
    registry: str,
    *,
    retrieval: Sequence[str] = (),
    corrections: str | Path | None = None,
    on_error: OnError = "fail",
    image_sizes: bool = True,
    jobs: int | None = None,
    password: str | None = None,
    storage_options: StorageOptions | None = None,
    follow_links: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
    source_of: str | Mapping[int, str] | None = None,
) -> IngestReport:
    """Replace a split of a registry with the files of a source; the other splits stay as they are.

    Args:
        split: train, validation or test.
        source: folder, archive or fsspec URL; see :func:`registry.sources.locate.locate_source`. Or a COCO file; see
            :func:`registry.sources.coco_files.find_coco`.
        registry: folder or fsspec URL of the registry; created if it does not exist.
        retrieval: query and gallery lists and ``*_information.json`` files, or folders or zips of them. The
            lists of a release (``json_for_SPLIT`` beside the split) are read as well, unless one of that name is given.
        corrections: folder of corrections (``*.jsonl``) to apply; see :mod:`registry.ingest.corrections`. A bad line
            changes nothing, whatever ``on_error`` says.
        on_error: ``fail`` changes nothing if any file is bad; ``quarantine`` puts bad files into the table quarantine.
        image_sizes: read width and height from the photos if the source has any.
        jobs: number of processes; None for the number of cores. Several processes use multiprocessing, so a script
            needs the usual ``if __name__ == "__main__"``.
        password: password of a protected zip.
        storage_options: passed to fsspec, for the source and the registry.
        follow_links: whether files of a local source may be links that lead out of it.
        executor: runs the chunks instead of local processes, such as Dask's ``Client.get_executor()``; the source must
            be readable where it runs; :func:`registry.execution.cluster.for_cluster` says where secrets come from.
        progress: called with the number of files (images of a COCO file) done, and of all.
        source_of: user or shop by image_id, or a file of them (:func:`registry.ingest.source_of.read_sources`), for
            images whose source the files do not tell: those of COCO files and photos without annotation.

    Returns:
        The number of rows written, bad files, and notices.

    Raises:
        IngestError: files are bad and ``on_error`` is ``fail``, or a correction is bad.
        SourceError, PasswordError: the source cannot be read.
        StorageError: the registry cannot be written.
    """
    split = find_split(split)
    place = Place(registry, storage_options)
    corrected = read_corrections(corrections, split) if corrections is not None else Corrections()
    sources = read_sources(source_of, split, storage_options) if isinstance(source_of, str) else dict(source_of or {})
    jobs = 1 if source.startswith("memory://") else jobs or os.cpu_count() or 1  # other processes cannot read memory://
    cluster, jobs, source = for_workers(executor, jobs, source, storage_options, password)
    with process_pool(cluster, jobs) as pool:
        coco = find_coco(source, storage_options, password)
        if coco:
            lists = read_retrieval(split, retrieval, storage_options, password)
            lists.named_sources = sources
            with local_files(coco, storage_options, password) as files, publication(place, split) as tables:
                tables.keep(described_files(tables.old, split))
                report = IngestReport(split, notices=[*lists.notices, *corrected.notices])
                report.notices += _lost_corrections(tables) if corrections is None else []
                writer = SplitWriter(tables, report, lists, corrected, keeps_raw=on_error == "quarantine")
                _add_coco(writer, report, lists, corrected, files, pool, jobs, on_error, progress)
            return report
        location = locate_source(source, split, storage_options)
        opened = open_location(location, split, storage_options, password, follow_links=follow_links)
        listing = opened.list_files(split, photos=image_sizes or split == "test")
        counts = len(listing.annotations), len(listing.photos)
        logging.getLogger(__name__).info("%s: %d annotation files, %d photos listed", split, *counts)
        list_places = release_lists(location, split, storage_options)
        lists = read_retrieval(split, retrieval, storage_options, password, found=list_places)
        _check_not_empty(source, split, listing)
        report = _begin_report(split, listing, image_sizes)
        report.notices += [*location.notices, *lists.notices, *corrected.notices]
        if sources and listing.annotations:
            raise UsageError("--source-of is for COCO files and photos without annotation: annotation files name it.")
        lists.named_sources = sources
        expect_same_files(cluster, source, opened, listing.annotations, listing.photos)
        with publication(place, split) as tables:
            report.notices += _lost_corrections(tables) if corrections is None else []
            report.notices += keep_described(tables, opened, listing.photos, pool, jobs)
            writer = SplitWriter(tables, report, lists, corrected, keeps_raw=on_error == "quarantine")
            writer.add_bad_files(lists.bad_files)
            if listing.annotations:
                is_parallel = executor is not None or len(listing.annotations) > _FEW_FILES
                chunks = make_chunks(split, listing, image_sizes, corrected.by_image)
                num_files = len(listing.annotations)
                rows = _read_chunks(pool if is_parallel else None, opened, chunks, num_files, jobs)
                writer.add_annotated(rows, num_files, progress)
            else:
                writer.add_photos(opened, listing, image_sizes)
            writer.finish(on_error)
    return report


def _add_coco(
    writer: SplitWriter,
    report: IngestReport,
    lists: RetrievalLists,
    corrections: Corrections,
    files: Sequence[tuple[str, Path]],
    pool: Executor | None,
    jobs: int,
    on_error: OnError,
    progress: Progress | None,
) -> None:
    """Write the rows of COCO files."""
    source = CocoSource(files, report.split, lists.source_of, corrections.by_image)
    writer.add_bad_files([*lists.bad_files, *source.bad_files])
    if source.bad_files:
        writer.finish("fail")  # no image of a file can be trusted whose images or categories are not known
    is_parallel = jobs > 1 and source.num_images > _FEW_FILES
    writer.add_annotated(source.rows(pool if is_parallel else None, jobs, progress), 0, None)
    source.note(report)
    writer.finish(on_error)


def _lost_corrections(tables: Publication) -> list[str]:
    """Return a notice that an ingestion without corrections replaces a split with some."""
    number = sum(file.rows for file in tables.old.of_table(CORRECTIONS.name) if file.split == tables.split)
    if not number:
        return []
    had = plural(number, "correction")
    return [f"{tables.split}: the registry had {had}, and has none now; --corrections DIR applies them again"]


def _check_not_empty(source: str, split: str, listing: Listing) -> None:
    """Raise SourceError unless there are annotations, or photos of the test split."""
    if not listing.annotations and not (split == "test" and listing.photos):
        expected = "image/NNNNNN.jpg" if split == "test" else "annos/NNNNNN.json"
        raise SourceError(f"{source} holds no file of {split}: expected {expected}.")


def _begin_report(split: str, listing: Listing, image_sizes: bool) -> IngestReport:
    """Return a report with the issues and notices of a listing."""
    bad_files = [BadFile(issue.file, (issue,), None) for issue in listing.issues]
    notices = list(listing.notices)
    if image_sizes and listing.annotations:
        notices += _unmatched_files(listing, split) if listing.photos else [_no_photos(listing, split)]
    return IngestReport(split, bad_files=bad_files, notices=notices)


def _no_photos(listing: Listing, split: str) -> str:
    """Return the notice that a source has annotations alone."""
    return (
        f"{split}: no photos were found in image/ beside {plural(len(listing.annotations), 'annotation')}, so width "
        "and height are NULL; ingest from a place with the photos if you need them (yolo and voc do)"
    )


def _unmatched_files(listing: Listing, split: str) -> list[str]:
    """Return notices of photos without annotation and annotations without photo: of each, up to a limit."""
    photos, annotations = listing.photos.not_in(listing.annotations), listing.annotations.not_in(listing.photos)
    notices = []
    for kind, entries, text, rest in (
        ("image", photos, "the photo has no annotation and was not registered", "photos without annotation"),
        ("annos", annotations, "the annotation has no photo; width and height are NULL", "annotations without photo"),
    ):
        notices += [f"{split}/{kind}/{entry.name}: {text}" for entry in islice(entries, MAX_NAME_ISSUES)]
        num_more = sum(1 for _ in entries)
        if num_more:
            notices.append(f"{split}/{kind}: {num_more:,} more {rest}")
    return notices


def _read_chunks(
    pool: Executor | None, source: Source, chunks: Iterator[FileChunk], num_files: int, jobs: int
) -> Iterator[ChunkRows]:
    """Yield the rows of each chunk, in order; in this process without a pool, else with few chunks ahead."""
    if pool is None:
        yield from (read_chunk(source, chunk) for chunk in chunks)
        return
    per_call = 1
    if isinstance(pool, ClusterExecutor):
        for_all_workers = num_files // (CHUNK_FILES * _CALLS_PER_WORKER * pool.num_workers)
        per_call = max(1, min(_CHUNKS_PER_CALL, for_all_workers))
    runs = iter(lambda: list(islice(chunks, per_call)), [])
    calls = ((None, pool.submit(read_chunks, source, run)) for run in runs)
    for _, rows in in_order(calls, max_pending(pool, jobs)):
        yield from rows
