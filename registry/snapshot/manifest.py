"""The manifest: the list of the files of a registry. Readers see the files that it names, and no others."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, BinaryIO, Final

import msgspec
from msgspec import Meta

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.names import (
    Base64,
    Count,
    RelativePath,
    Sha256,
    ShortText,
    SplitName,
    TableName,
    Version,
    is_data_path,
    parse_json,
    shown,
)
from registry.dataset.tables import EMBEDDINGS, MODEL_TABLES, SCHEMA_VERSION, TABLES
from registry.errors import NotFoundError, RegistryFormatError, StorageError
from registry.files.private_folder import private_folder
from registry.files.regular_files import open_regular
from registry.storage.filesystems import reason
from registry.storage.place import Place

MANIFEST_NAME: Final = "manifest.json"
#: Bytes of a block, the least that is read of a remote file: small enough for a look-up, large enough for a request.
BLOCK_BYTES: Final = 32_768
BLOCK_DIGEST_BYTES: Final = 8
#: Foreign files that a message lists.
_MOST_LISTED: Final = 20

_Block = bytes | memoryview


@dataclass(frozen=True, order=True, slots=True)
class DataFile:
    """A Parquet file of a registry.

    Attributes:
        path: relative to the registry; its name is the beginning of its sha256.
        table: the table it belongs to.
        split: the split, or None for the tables of facts.
        rows: number of rows, compared by :func:`registry.snapshot.verify.verify_registry`; no query uses it.
        bytes: size.
        sha256: of the file, hex digits.
        blocks: digests of its blocks (:func:`block_digests`), compared when blocks are read; empty in schema version 1.
        schema_version: of the tables when the file was written.
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
    def of(cls, data: _Block, folder: str, table: str, split: str | None, rows: int) -> DataFile:
        """Return the entry of a file with this content and the current schema version."""
        return cls._of_blocks(_blocks(memoryview(data)), folder, table, split, rows)

    @classmethod
    def of_file(cls, file: BinaryIO, folder: str, table: str, split: str | None, rows: int) -> DataFile:
        """Return the entry of an opened file as :meth:`of` does, a block of it in memory at a time."""
        return cls._of_blocks(iter(lambda: file.read(BLOCK_BYTES), b""), folder, table, split, rows)

    @classmethod
    def _of_blocks(cls, blocks: Iterable[_Block], folder: str, table: str, split: str | None, rows: int) -> DataFile:
        whole, digests, size = hashlib.sha256(), [], 0
        for block in blocks:
            whole.update(block)
            digests.append(block_digest(block))
            size += len(block)
        path = f"{folder}/{whole.hexdigest()[:16]}.parquet"
        text = base64.b64encode(b"".join(digests)).decode()
        return cls(path, table, split, rows, size, whole.hexdigest(), text, SCHEMA_VERSION)


def block_digest(block: bytes | memoryview) -> bytes:
    """Return the first bytes of the SHA-256 of a block."""
    return hashlib.sha256(block).digest()[:BLOCK_DIGEST_BYTES]


def block_digests(data: memoryview) -> str:
    """Return the digests of a file's blocks of :data:`BLOCK_BYTES`, concatenated, in base64.

    Eight bytes a block detect damage and keep the manifest of the released data near 100 kB.
    """
    return base64.b64encode(b"".join(map(block_digest, _blocks(data)))).decode()


def _blocks(data: memoryview) -> Iterator[memoryview]:
    return (data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES))


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a registry.

    Attributes:
        files: all data files, sorted by path.
        sources: split -> fingerprint of the raw annotations (or photo names) it was ingested from.
        read_sha256: SHA-256 of the text that it was read from, which this version might write otherwise; None if it was
            not read.
    """

    files: tuple[DataFile, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    read_sha256: str | None = field(default=None, compare=False)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the manifest's text, hex digits."""
        return self.read_sha256 or hashlib.sha256(self.to_json()).hexdigest()

    @property
    def schema_version(self) -> int:
        """The lowest version among the files: newer columns are missing in some files."""
        return min((file.schema_version for file in self.files), default=SCHEMA_VERSION)

    @property
    def splits(self) -> list[str]:
        """The splits that were ingested, sorted."""
        return sorted(self.sources)

    def of_table(self, table: str) -> list[DataFile]:
        """Return the files of a table, sorted by path."""
        return [file for file in self.files if file.table == table]

    def with_split(self, split: str, files: Iterable[DataFile], source: str) -> Manifest:
        """Return a manifest with new files for a split, and for the tables without split; those of models stay."""
        of_models = {table.name for table in MODEL_TABLES}
        other_splits = [file for file in self.files if file.split not in (split, None) or file.table in of_models]
        sources = dict(sorted({**self.sources, split: source}.items()))
        return replace(self, files=tuple(sorted([*other_splits, *files])), sources=sources, read_sha256=None)

    def with_table(self, split: str, table: str, files: Iterable[DataFile]) -> Manifest:
        """Return a manifest with new files for one table of a split."""
        other_files = [file for file in self.files if (file.split, file.table) != (split, table)]
        return replace(self, files=tuple(sorted([*other_files, *files])), read_sha256=None)

    @property
    def models(self) -> list[str]:
        """The models whose vectors it names, sorted."""
        # embeddings/split=train/model=NAME/...
        return sorted({file.path.split("/")[2].removeprefix("model=") for file in self.of_table(EMBEDDINGS.name)})

    def of_model(self, model: str) -> list[DataFile]:
        """Return the files of a model's vectors, and those that tell of it; sorted by path."""
        tables = {table.name for table in MODEL_TABLES}
        return [file for file in self.files if file.table in tables and f"/model={model}/" in file.path]

    def with_model(self, model: str, files: Iterable[DataFile]) -> Manifest:
        """Return a manifest with new files in place of those of a model."""
        old = set(self.of_model(model))
        other_files = [file for file in self.files if file not in old]
        return replace(self, files=tuple(sorted([*other_files, *files])), read_sha256=None)

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
            RegistryFormatError: the text is no manifest, or of a later version.
        """
        document = parse_json(data, _Document, where, "a manifest of a registry", "schema_version", SCHEMA_VERSION)
        files = tuple(DataFile(*msgspec.structs.astuple(entry)) for entry in document.files)
        return cls(files, document.sources, hashlib.sha256(data).hexdigest())


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A :class:`DataFile` in a manifest; its path must follow from the table, the split and the digest."""

    path: RelativePath
    table: TableName
    split: SplitName | None
    rows: Count
    bytes: Count
    sha256: Sha256
    blocks: Base64 = ""
    schema_version: Annotated[
        int, Meta(ge=1, le=SCHEMA_VERSION, description=f"a whole number from 1 to {SCHEMA_VERSION}")
    ] = 1

    def __post_init__(self) -> None:
        problems = []
        partition = TABLES[self.table].partition
        if ("split" in partition) != (self.split is not None):
            problems.append(f"expected {'a' if 'split' in partition else 'no'} split for the table {self.table}")
        begin = f"{self.table}/split={self.split}/" if self.split else f"{self.table}/"
        name = f"{self.sha256[:16]}.parquet"
        if not (self.path.startswith(begin) and self.path.endswith(f"/{name}") and is_data_path(self.path)):
            folders = "".join(f"{column}=.../" for column in partition[1:])
            problems.append(f"expected the path {begin}{folders}{name}, found {shown(self.path)}")
        expected = BLOCK_DIGEST_BYTES * -(-self.bytes // BLOCK_BYTES)
        size = len(self.blocks) * 3 // 4 - self.blocks[-2:].count("=")
        if size != expected and (self.blocks or self.schema_version > 1):
            problems.append(f"expected {expected:,} bytes of blocks for a file of {self.bytes:,} bytes, found {size:,}")
        if problems:
            raise ValueError("\n".join(problems))


class _Document(msgspec.Struct):
    """A manifest. Any change to the fields of :class:`_Entry` raises the schema version."""

    schema_version: Version
    files: list[_Entry]
    sources: dict[SplitName, ShortText]

    def __post_init__(self) -> None:
        paths = sorted(entry.path for entry in self.files)
        repeated = [path for path, same in groupby(paths) if len(list(same)) > 1]
        if repeated:
            raise ValueError("\n".join(f"expected each path once, found {path} twice or more" for path in repeated))


def read_manifest(place: Place) -> Manifest:
    """Return the manifest of a registry.

    Raises:
        NotFoundError: there is no registry.
        RegistryFormatError: the file is no manifest, or of a later version.
    """
    return parse_manifest(read_manifest_bytes(place), place)


def parse_manifest(data: bytes, place: Place) -> Manifest:
    """Return the manifest in a text that was read at a place.

    Raises:
        RegistryFormatError: the text is no manifest, or of a later version.
    """
    return Manifest.from_json(data, f"{place}/{MANIFEST_NAME}")


def read_manifest_bytes(place: Place) -> bytes:
    """Return the bytes of a registry's manifest.

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
    """Return a new manifest of the data files at a place, without reading the manifest there.

    Every file is read whole, for its digest.

    Raises:
        RegistryFormatError: files were not written by an ingestion; the message lists all of them.
        StorageError: a folder of a table is a link.
    """
    files: list[DataFile] = []
    sources: dict[str, str] = {}
    problems: list[str] = []
    for table in TABLES.values():
        place.check_links(table.name)  # listing skips files behind links
        for path in place.list(table.name):
            if not path.endswith(".parquet"):
                continue
            try:
                file, source = _data_file(place, path, table.name)
            except ValueError as error:
                problems.append(f"{place}/{path} {error}.")
                continue
            files.append(file)
            if file.split and source:
                sources[file.split] = source
    if problems:
        listed = "\n".join(problems[:_MOST_LISTED]) + (
            f"\n... and {len(problems) - _MOST_LISTED:,} more" if problems[_MOST_LISTED:] else ""
        )
        raise RegistryFormatError(
            f"{listed}\nNothing was written. Move or remove the files that 'df2 ingest' did not write."
        )
    return Manifest(tuple(sorted(files)), dict(sorted(sources.items())))


def _data_file(place: Place, path: str, table: str) -> tuple[DataFile, str | None]:
    """Return the entry of a file in a registry, and the fingerprint of the source in its metadata.

    Raises:
        ValueError: its content does not fit its path; the message is to follow the path.
    """
    if not is_data_path(path):
        raise ValueError("has no name that 'df2 ingest' gives")
    if place.path is not None and not (place.path / path).is_file():
        raise ValueError("is no regular file")
    with _opened(place, path) as data:
        return _entry(data, path, table)


@contextmanager
def _opened(place: Place, path: str) -> Iterator[BinaryIO]:
    """Yield an opened file, which may be larger than memory: vectors of a model are."""
    if place.path is None:
        with TemporaryDirectory(dir=private_folder()) as folder:
            local = Path(folder, "file")
            place.fetch(path, local, place.size(path))
            with open(local, "rb") as file:
                yield file
        return
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(open_regular(place.path / path))
        except OSError as error:
            raise StorageError(f"Cannot read {place}/{path}: {reason(error)}") from error
        yield stack.enter_context(open(descriptor, "rb", closefd=False))


def _entry(data: BinaryIO, path: str, table: str) -> tuple[DataFile, str | None]:
    """Return the entry of an opened data file, and the fingerprint in it.

    Raises:
        ValueError: it was not written by an ingestion.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(data)
        notes = {key.decode(): value.decode() for key, value in (metadata.metadata or {}).items()}
        version = int(notes.get("df2.schema_version", "0"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"is not a Parquet file: {' '.join(str(error).split())}") from error
    if notes.get("df2.table") != table:
        raise ValueError(f"is not a file of the table {table}")
    split = notes.get("df2.split")
    folder = path.rpartition("/")[0]
    if split and f"/split={split}/" not in path:
        raise ValueError(f"belongs to the split {split if split in SPLITS else shown(split)}")
    if not split and "split" in TABLES[table].partition:
        raise ValueError("does not say which split it belongs to")
    if not 1 <= version <= SCHEMA_VERSION:
        raise ValueError(f"has schema version {version}; expected 1 to {SCHEMA_VERSION}")
    data.seek(0)
    file = DataFile.of_file(data, folder, table, split or None, metadata.num_rows)
    if file.path != path:
        raise ValueError(f"has another content than its name says, which is that of {file.path}: it was changed")
    return replace(file, schema_version=version), notes.get("df2.source")
