"""Whether the rows of the table photos still fit the photos of a source that is ingested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Final

from registry.dataset.tables import PHOTOS
from registry.execution.in_order import in_order
from registry.ingest.content_digest import photos_digest
from registry.snapshot.manifest import DataFile, Manifest
from registry.snapshot.parquet import read_footer
from registry.snapshot.publish import Publication
from registry.sources.faults import Fault
from registry.sources.listing import Entry, Source
from registry.sources.photo_headers import PhotoChecksum
from registry.storage.place import Place
from registry.wording import plural

#: Metadata of a file of the table photos: the digest of the photos that it describes.
DIGEST_NOTE: Final = "df2.photos"
#: Photos whose checksums a worker process takes in a call.
_CHUNK: Final = 2_048


def described_files(manifest: Manifest, split: str) -> list[DataFile]:
    """Return the files of the table photos that have rows of a split."""
    return [file for file in manifest.of_table(PHOTOS.name) if file.split == split and file.rows]


def keep_described(
    tables: Publication, source: Source, photos: Sequence[Entry], pool: Executor | None, jobs: int
) -> list[str]:
    """Keep the rows of the table photos if they describe the photos of a source; return a notice if they do not.

    Rows stay as they are beside a source without photos, which does not tell whether they changed.

    Args:
        tables: the new version of the split.
        source: the files that are ingested.
        photos: its photos, as they were listed; none if they were not.
        pool: runs the calls; this process does without it.
        jobs: number of processes in it.
    """
    files = described_files(tables.old, tables.split)
    if not files:
        return []
    if photos and photos_digest(zip(photos, _checksums(source, photos, pool, jobs), strict=True)) != _digest(
        tables.place, files
    ):
        number = plural(sum(file.rows for file in files), "row")
        return [
            f"{tables.split}: the photos, or the kind of place that they are read from, are not those that "
            f"'df2 photos describe' read: their {number} left the table photos; run it again"
        ]
    tables.keep(files)
    return []


def _digest(place: Place, files: Sequence[DataFile]) -> str | None:
    """Return the digest of the photos that the only file of the table photos describes."""
    try:
        notes = read_footer(place, files[0].path, files[0].bytes).metadata or {}
    except ValueError:
        return None
    digest: str = notes.get(DIGEST_NOTE.encode(), b"").decode()
    return digest


def _checksums(
    source: Source, photos: Sequence[Entry], pool: Executor | None, jobs: int
) -> Iterator[PhotoChecksum | Fault]:
    if pool is None or len(photos) <= _CHUNK:
        yield from source.photo_checksums(photos)
        return
    chunks = (photos[start : start + _CHUNK] for start in range(0, len(photos), _CHUNK))
    calls = ((None, pool.submit(_read_checksums, source, chunk)) for chunk in chunks)
    for _, checksums in in_order(calls, 2 * jobs + 1):
        yield from checksums


def _read_checksums(source: Source, photos: Sequence[Entry]) -> list[PhotoChecksum | Fault]:
    return list(source.photo_checksums(photos))
