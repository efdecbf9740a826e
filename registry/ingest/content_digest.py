"""The digest of a source's files: SHA-256 over a record of each file, in the order of the listing.

``df2 ingest`` writes it into the manifest, ``df2 fingerprint`` into the fingerprint. Both are committed and compared,
so the records must never change.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator

from registry.sources.entries import Entry
from registry.sources.faults import Fault
from registry.sources.photo_headers import PhotoChecksum


def annotation_record(name: str, data: bytes) -> tuple[str, int, int]:
    """Return the record of an annotation file: (name, number of bytes, CRC-32)."""
    return name, len(data), zlib.crc32(data)


class ContentDigest:
    """A digest of records that are added in turn.

    Args:
        records: records to begin with: tuples or texts, which count with their ``repr``.
    """

    def __init__(self, records: Iterable[object] = ()) -> None:
        self._sha256 = hashlib.sha256()
        self.update(records)

    def update(self, records: Iterable[object]) -> None:
        """Add records."""
        for record in records:
            self._sha256.update(repr(record).encode())

    def hexdigest(self) -> str:
        """Return the digest of all records so far, as hex digits."""
        return self._sha256.hexdigest()


def photos_digest(checksums: Iterable[tuple[Entry, PhotoChecksum | Fault]]) -> str:
    """Return the digest of photos, each with its checksum or its fault."""
    return ContentDigest(photo_records(checksums)).hexdigest()


def photo_records(checksums: Iterable[tuple[Entry, PhotoChecksum | Fault]]) -> Iterator[tuple[str, object]]:
    """Yield the record of each photo: its name, and its checksum or its fault."""
    return ((entry.name, str(checksum) if isinstance(checksum, Fault) else checksum) for entry, checksum in checksums)
