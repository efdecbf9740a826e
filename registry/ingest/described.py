"""Whether the rows of the table photos still fit the photos of a source that is ingested."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Final

from registry.dataset.tables import PHOTOS
from registry.execution.cluster import max_pending
from registry.execution.in_order import in_order
from registry.files.temporary import write_text
from registry.ingest.content_digest import photos_digest
from registry.ingest.photo_journal import FOLDER, make_journal_folder
from registry.snapshot.manifest import DataFile, Manifest
from registry.snapshot.publish import Publication
from registry.sources.entries import Entry
from registry.sources.faults import Fault
from registry.sources.listing import Source
from registry.sources.photo_headers import PhotoChecksum
from registry.storage.place import Place
from registry.wording import plural

#: Photos whose checksums a worker process takes in a call.
_CHUNK: Final = 2_048


def described_files(manifest: Manifest, split: str) -> list[DataFile]:
    """Return the files of the table photos that have rows of a split."""
    return [file for file in manifest.of_table(PHOTOS.name) if file.split == split and file.rows]


def note_described(place: Place, split: str, manifest: Manifest, digest: str) -> None:
    """Write down on this machine which photos the rows of a split describe.

    It stands beside the registry and not in its files, because the digest depends on the kind of source (a zip lists
    other checksums than a folder), while equal photos give equal files.

    Args:
        place: the registry; nothing is written of a remote one.
        split: the split.
        manifest: names the file of the rows.
        digest: of the photos (:func:`registry.ingest.content_digest.photos_digest`).

    Raises:
        StorageError: the note cannot be written.
    """
    if place.path is not None:
        note = {"files": [file.path for file in described_files(manifest, split)], "digest": digest}
        make_journal_folder(place.path / FOLDER)
        write_text(place.path / FOLDER / f"{split}.json", json.dumps(note))


def keep_described(
    tables: Publication, source: Source, photos: Sequence[Entry], pool: Executor | None, jobs: int
) -> list[str]:
    """Keep the rows of the table photos if they describe the photos of a source; return a notice if they do not.

    Rows stay as they are beside a source without photos, which does not tell whether they changed. They go if it is not
    known which photos they describe, as on another machine.

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
    digest = _noted_digest(tables.place, tables.split, files)
    if photos and (
        digest is None or digest != photos_digest(zip(photos, _checksums(source, photos, pool, jobs), strict=True))
    ):
        number = plural(sum(file.rows for file in files), "row")
        return [
            f"{tables.split}: the photos are not known to be those that 'df2 photos describe' read, or come from "
            f"another kind of place: their {number} left the table photos; run it again"
        ]
    tables.keep(files)
    return []


def _noted_digest(place: Place, split: str, files: Sequence[DataFile]) -> str | None:
    """Return the digest of the photos that files of the table photos describe; None if it is not known here."""
    if place.path is None:
        return None
    try:
        note = json.loads((place.path / FOLDER / f"{split}.json").read_bytes())
        return str(note["digest"]) if note["files"] == [file.path for file in files] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checksums(
    source: Source, photos: Sequence[Entry], pool: Executor | None, jobs: int
) -> Iterator[PhotoChecksum | Fault]:
    if pool is None or len(photos) <= _CHUNK:
        yield from source.photo_checksums(photos)
        return
    chunks = (photos[start : start + _CHUNK] for start in range(0, len(photos), _CHUNK))
    calls = ((None, pool.submit(_read_checksums, source, chunk)) for chunk in chunks)
    for _, checksums in in_order(calls, max_pending(pool, jobs)):
        yield from checksums


def _read_checksums(source: Source, photos: Sequence[Entry]) -> list[PhotoChecksum | Fault]:
    return list(source.photo_checksums(photos))
