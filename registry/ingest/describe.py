"""Reads the photos of a split once into the table photos of a registry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from registry.dataset.deepfashion2 import find_split
from registry.dataset.tables import PHOTOS, arrow_schema, record_batch
from registry.errors import UnknownNameError
from registry.execution.cluster import max_pending
from registry.execution.in_order import in_order
from registry.execution.processes import process_pool
from registry.execution.progress import Progress
from registry.ingest.content_digest import ContentDigest, photo_records
from registry.ingest.described import note_described
from registry.ingest.photo_journal import FOLDER, Journal
from registry.ingest.photo_measures import Measures, measure_photo
from registry.snapshot.manifest import read_manifest
from registry.snapshot.publish import publication
from registry.sources.cluster_places import expect_same_files, for_workers
from registry.sources.coco_files import find_coco
from registry.sources.entries import Entry
from registry.sources.faults import Fault
from registry.sources.issues import Issue
from registry.sources.listing import Source
from registry.sources.locate import archive_suffix, locate_source
from registry.sources.open import open_location
from registry.sources.photo_headers import PhotoChecksum
from registry.storage.filesystems import StorageOptions
from registry.storage.place import Place

if TYPE_CHECKING:
    import pyarrow as pa

#: Photos that a worker process reads in a call; what was read is kept after each.
_CHUNK: Final = 64


@dataclass(slots=True)
class DescribeReport:
    """The result of reading the photos of a split.

    Attributes:
        split: the split.
        photos: rows of the table photos.
        read: photos that were read now; the others were read before and are unchanged.
        issues: photos that cannot be read or decoded; their rows have NULLs.
        notices: oddities that were accepted, sorted.
    """

    split: str
    photos: int = 0
    read: int = 0
    issues: list[Issue] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


class _StoredRows:
    """Rows that wait in a temporary file until all are there: the registry is locked for their writing alone."""

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow as pa

        self._file = file
        self._writer = pa.ipc.new_stream(file, arrow_schema(PHOTOS))

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._writer.write_batch(batch)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows."""
        import pyarrow as pa

        self._writer.close()
        self._file.seek(0)
        yield from pa.ipc.open_stream(self._file)


class _Photo(NamedTuple):
    """What a worker tells of a photo; ``measures`` is None for a photo that is as it was."""

    checksum: PhotoChecksum | Fault
    measures: Measures | None
    fault: Fault | None


def describe_photos(
    split: str,
    source: str,
    registry: str,
    *,
    jobs: int,
    password: str | None = None,
    storage_options: StorageOptions | None = None,
    follow_links: bool = False,
    cache: str | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> DescribeReport:
    """Measure the photos of a source, replace the rows of a split in the table photos, and return a report.

    A journal on this machine, in the folder of the registry or in ``cache``, keeps the measures. Photos that are
    in it and have the same size and checksum (:data:`registry.sources.photo_headers.PhotoChecksum`) are not read again.

    Args:
        split: train, validation or test; it must have been ingested.
        source: as for :func:`registry.ingest.build.ingest`.
        registry: folder or fsspec URL of the registry.
        jobs: number of processes.
        password: password of a protected zip.
        storage_options: passed to fsspec, for the source and the registry.
        follow_links: whether photos of a local source may be links that lead out of it.
        cache: folder for the journal of a remote registry; without it none is kept.
        executor: reads the photos instead of local processes, as for :func:`registry.ingest.build.ingest`.
        progress: called with the number of photos done, and of all.

    Raises:
        UnknownNameError: the registry has no such split.
        SourceError, PasswordError: the source cannot be read.
        StorageError: the registry or the journal cannot be written.
    """
    split = find_split(split)
    place = Place(registry, storage_options)
    splits = read_manifest(place).splits
    if split not in splits:
        raise UnknownNameError(
            f"{place} has no {split}; there is: {', '.join(splits) or 'none yet'}. Ingest it first, with 'df2 ingest'."
        )
    report = DescribeReport(split)
    digest = ContentDigest()
    jobs = 1 if source.startswith("memory://") else jobs  # other processes cannot read memory://
    cluster, jobs, source = for_workers(executor, jobs, source, storage_options, password)
    with tempfile.TemporaryFile() as file:
        rows = _StoredRows(file)
        with process_pool(cluster, jobs, "What was read is kept") as pool:
            opened, photos = _open(source, split, report, password, storage_options, follow_links)
            if opened is not None:
                expect_same_files(cluster, source, opened, (), photos)
            journal = Journal(_journal_folder(place, cache), split)
            for entries, chunk in _read_photos(
                pool if len(photos) > 2 * _CHUNK else None, opened, photos, journal, jobs
            ):
                rows.add(_add(report, journal, entries, chunk))
                digest.update(photo_records(zip(entries, (photo.checksum for photo in chunk), strict=True)))
                if progress:
                    progress(report.photos, len(photos))
        with publication(place, split) as tables:
            for batch in rows.batches():
                tables.writer(PHOTOS, split=split).write(batch)
            manifest = tables.publish_table(PHOTOS)
            note_described(place, split, manifest, digest.hexdigest())
        journal.forget_others(entry.name for entry in photos)
    report.notices.sort()
    return report


def _open(
    url: str,
    split: str,
    report: DescribeReport,
    password: str | None,
    options: StorageOptions | None,
    follow_links: bool,
) -> tuple[Source | None, Sequence[Entry]]:
    """Return the source of a split and its photos, none where it has none that can be read; add notices to a report."""
    without = f"so the table photos has no rows of {split}; --photos RELEASE names another place"
    if find_coco(url, options, password):
        report.notices.append(f"{split}: the source is a COCO file, which holds no photos, {without}")
        return None, []
    location = locate_source(url, split, options)
    if archive_suffix(location.url) not in ("", ".zip", ".tar"):
        report.notices.append(
            f"{split}: photos cannot be taken one by one out of a compressed tar, {without}, such as the tar unpacked"
        )
        return None, []
    opened = open_location(location, split, options, password, follow_links=follow_links)
    listing = opened.list_files(split, photos=True)
    photos = listing.photos
    report.notices += [*location.notices, *listing.notices]
    report.issues += [issue for issue in listing.issues if issue.file.startswith(f"{split}/image")]
    if not photos:
        report.notices.append(f"{split}: no photos were found in image/, {without}")
    return opened, photos


def _journal_folder(place: Place, cache: str | None) -> Path | None:
    """Return the folder of the journals of a registry; None for a remote registry without a cache folder."""
    if place.path is not None:
        return place.path / FOLDER
    return Path(cache) / "described" / sha256(place.absolute_url.encode()).hexdigest()[:16] if cache else None


def _read_photos(
    pool: Executor | None, source: Source | None, photos: Sequence[Entry], journal: Journal, jobs: int
) -> Iterator[tuple[Sequence[Entry], list[_Photo]]]:
    """Yield runs of photos and what they say, in order."""
    runs = (photos[start : start + _CHUNK] for start in range(0, len(photos), _CHUNK))
    work = ((entries, [journal.checksum(entry.name) for entry in entries]) for entries in runs)
    if source is None:
        return
    if pool is None:
        yield from ((entries, _read_chunk(source, entries, checksums)) for entries, checksums in work)
        return
    calls = ((entries, pool.submit(_read_chunk, source, entries, checksums)) for entries, checksums in work)
    yield from in_order(calls, max_pending(pool, jobs))


def _read_chunk(
    source: Source, entries: Sequence[Entry], old_checksums: Sequence[PhotoChecksum | None]
) -> list[_Photo]:
    """Return what each photo says; photos that have their old checksums are not read. The work of a worker process."""
    checksums = list(source.photo_checksums(entries))
    changed = [
        entry
        for entry, checksum, old in zip(entries, checksums, old_checksums, strict=True)
        if checksum != old and not isinstance(checksum, Fault)
    ]
    contents = iter(source.read_photos(changed) if changed else ())
    photos = []
    for checksum, old in zip(checksums, old_checksums, strict=True):
        if isinstance(checksum, Fault):
            photos.append(_Photo(checksum, Measures(None), checksum))
        elif checksum == old:
            photos.append(_Photo(checksum, None, None))
        else:
            data = next(contents)
            measures, fault = (Measures(None), data) if isinstance(data, Fault) else measure_photo(data)
            photos.append(_Photo(checksum, measures, fault))
    return photos


def _add(
    report: DescribeReport, journal: Journal, entries: Sequence[Entry], photos: Sequence[_Photo]
) -> pa.RecordBatch:
    """Return the rows of a run of photos; count them, and keep what was read in the journal."""
    rows: list[tuple[Any, ...]] = []
    new = []
    for entry, photo in zip(entries, photos, strict=True):
        measures, fault = photo.measures, photo.fault
        if measures is None:
            old_photo = journal.find(entry.name)
            assert old_photo is not None  # its checksum came from there
            _, measures, fault = old_photo
        else:
            report.read += 1
            if measures.sha256 is not None and not isinstance(photo.checksum, Fault):  # a place may mend what it lost
                new.append((entry.name, photo.checksum, measures, fault))
        if fault is not None:
            report.issues.append(Issue(f"{report.split}/image/{entry.name}", (), fault))
        rows.append((entry.image_id, *measures))
    journal.add(new)
    report.photos += len(rows)
    return record_batch(PHOTOS, zip(*rows, strict=True))
