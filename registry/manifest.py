"""The manifest: which files a registry consists of. A reader sees what the manifest names and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from mmap import mmap
from typing import Any, Final

from registry.errors import NotFoundError, RegistryFormatError
from registry.storage import Place
from registry.tables import SCHEMA_VERSION, TABLES

MANIFEST_NAME: Final = "manifest.json"
#: What is read of a remote file at least: as small as a look-up needs, as large as is worth a request.
BLOCK_BYTES: Final = 32_768
BLOCK_DIGEST_BYTES: Final = 8

_Data = bytes | mmap


@dataclass(frozen=True, order=True, slots=True)
class DataFile:
    """One Parquet file of a registry.

    Attributes:
        path: relative to the registry; its name is the beginning of its sha256.
        table: the table it belongs to.
        split: the split, or None for the tables of facts.
        rows: number of rows.
        bytes: size.
        sha256: of the file, hex digits.
        blocks: digests of its blocks (:func:`block_digests`); empty in schema version 1. What is read from a remote
            place is compared with them before it is used.
        schema_version: of the tables when it was written.
    """

    path: str
    table: str
    split: str | None
    rows: int
    bytes: int
    sha256: str
    blocks: str = ""
    schema_version: int = 1

    @classmethod
    def of(cls, data: _Data, folder: str, table: str, split: str | None, rows: int) -> DataFile:
        """Return the entry of a file with this content, of this version's tables."""
        with memoryview(data) as view:
            digest = hashlib.sha256(view).hexdigest()
            path, blocks = f"{folder}/{digest[:16]}.parquet", block_digests(view)
            return cls(path, table, split, rows, len(view), digest, blocks, SCHEMA_VERSION)


def block_digest(block: bytes | memoryview) -> bytes:
    """Return the first bytes of the SHA-256 of a block."""
    return hashlib.sha256(block).digest()[:BLOCK_DIGEST_BYTES]


def block_digests(data: memoryview) -> str:
    """Return the digests of a file's blocks of :data:`BLOCK_BYTES`, one after another, in base64.

    Eight bytes a block are enough to notice damage, and keep the manifest of the released data near 100 kB.
    """
    blocks = (data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES))
    return base64.b64encode(b"".join(map(block_digest, blocks))).decode()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a registry consists of.

    Attributes:
        files: all data files, sorted by path.
        sources: split -> fingerprint of the raw annotations (or photo names) it was made from.
    """

    files: tuple[DataFile, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def schema_version(self) -> int:
        """The lowest version among the files: columns that are newer cannot be read of all of them."""
        return min((file.schema_version for file in self.files), default=SCHEMA_VERSION)

    @property
    def splits(self) -> list[str]:
        """The splits that were ingested, sorted."""
        return sorted(self.sources)

    def of_table(self, table: str) -> list[DataFile]:
        """Return the files of one table, sorted by path."""
        return [file for file in self.files if file.table == table]

    def with_split(self, split: str, files: Iterable[DataFile], source: str) -> Manifest:
        """Return a manifest in which the files of one split, and those of no split, are exchanged."""
        kept = [file for file in self.files if file.split not in (split, None)]
        sources = dict(sorted({**self.sources, split: source}.items()))
        return replace(self, files=tuple(sorted([*kept, *files])), sources=sources)

    def to_json(self) -> bytes:
        """Return the manifest as deterministic JSON text."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "sources": self.sources,
            "files": [asdict(file) for file in self.files],
        }
        return (json.dumps(document, indent=1) + "\n").encode("ascii")

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Manifest:
        """Return the manifest in a JSON text.

        Raises:
            RegistryFormatError: it is none, or of a later version.
        """
        try:
            document: dict[str, Any] = json.loads(data)
            version = document["schema_version"]
            if version > SCHEMA_VERSION:
                raise RegistryFormatError(
                    f"{where} has schema version {version}, this program reads up to {SCHEMA_VERSION}: upgrade it."
                )
            files = tuple(DataFile(**entry) for entry in document["files"])
            return cls(files, document["sources"])
        except (ValueError, KeyError, TypeError) as error:
            raise RegistryFormatError(f"{where} is not a manifest of a registry: {error}") from error


def read_manifest(place: Place) -> Manifest:
    """Return the manifest of a registry.

    Raises:
        NotFoundError: there is no registry.
        RegistryFormatError: there is something else, or one of a later version.
    """
    return parse_manifest(read_manifest_bytes(place), place)


def parse_manifest(data: bytes, place: Place) -> Manifest:
    """Return the manifest that was read at a place.

    Raises:
        RegistryFormatError: it is none, or of a later version.
    """
    return Manifest.from_json(data, f"{place}/{MANIFEST_NAME}")


def read_manifest_bytes(place: Place) -> bytes:
    """Return the manifest of a registry as it is written.

    Raises:
        NotFoundError: there is no registry.
    """
    try:
        return place.read(MANIFEST_NAME, not_empty=True)
    except NotFoundError as error:
        raise NotFoundError(
            f"There is no registry at {place}. Make one with 'dvc repro' or 'df2 ingest', or name another place "
            "with --registry or DF2_REGISTRY."
        ) from error


def rebuild_manifest(place: Place) -> Manifest:
    """Return the manifest that follows from the files that are in a registry.

    Every file is read whole, for its digest. What is in the manifest already is not looked at.

    Raises:
        RegistryFormatError: a file is not what its path says.
    """
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    files: list[DataFile] = []
    sources: dict[str, str] = {}
    for table in TABLES.values():
        for path in place.list(table.name):
            if not path.endswith(".parquet"):
                continue
            data = place.read(path)
            try:
                metadata = pq.read_metadata(io.BytesIO(data))
            except pa.ArrowException as error:
                raise RegistryFormatError(f"{place}/{path} is not a Parquet file: {error}") from error
            notes = {key.decode(): value.decode() for key, value in (metadata.metadata or {}).items()}
            if notes.get("df2.table") != table.name:
                raise RegistryFormatError(f"{place}/{path} is not a file of the table {table.name}.")
            split = notes.get("df2.split")
            if split and f"/split={split}/" not in path:
                raise RegistryFormatError(f"{place}/{path} belongs to the split {split}.")
            if split and "df2.source" in notes:
                sources[split] = notes["df2.source"]
            found = DataFile.of(data, path.rpartition("/")[0], table.name, split, metadata.num_rows)
            files.append(replace(found, path=path, schema_version=int(notes["df2.schema_version"])))
    return Manifest(tuple(sorted(files)), dict(sorted(sources.items())))
