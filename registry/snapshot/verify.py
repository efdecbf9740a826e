"""Compares the files of a registry or an export with its manifest.

Only regular files are read, and of a local file no more than the size in the manifest: a FIFO, a device or a file of
another size counts as changed without being read. Symbolic links are followed, because DVC makes links into its cache
(``cache.type`` ``symlink``): the file behind the link must have the size and the digest in the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from registry.errors import NotFoundError, StorageError
from registry.snapshot.manifest import MANIFEST_NAME, DataFile, Manifest, parse_manifest, read_manifest_bytes
from registry.storage.place import Place

#: Files read at the same time.
_AT_ONCE: Final = 8
#: Bytes at the end of a Parquet file that hold all but large footers.
_TAIL: Final = 16_384
#: First bytes of a Parquet file.
_MAGIC: Final = b"PAR1"


@dataclass(frozen=True, slots=True)
class Check:
    """The differences between the files of a place and its manifest.

    Attributes:
        kind: ``registry``, or the format of an export.
        num_files: number of files in the manifest.
        missing: files in the manifest that do not exist.
        changed: files whose size or digest differs, or that are no regular files.
        extra: files that the manifest does not name.
        miscounted: files of a registry whose number of rows differs from the manifest, with both numbers.
    """

    kind: str
    num_files: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]
    miscounted: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every file in the manifest exists, unchanged; extra files do not matter."""
        return not (self.missing or self.changed or self.miscounted)


def check_files(place: Place, kind: str, named: Mapping[str, tuple[int, bytes | None]], manifest: str) -> Check:
    """Return the differences between files and their sizes and digests. Every file with a digest is read.

    Args:
        place: folder or URL of the files.
        kind: see :class:`Check`.
        named: path -> size and SHA-256; the digest is None for a link, of which only the size is compared.
        manifest: path of the manifest, which does not count as extra.

    Raises:
        StorageError: a file cannot be read.
    """
    present = set(place.list("")) - {manifest}
    paths = sorted(named)

    def digest(path: str) -> tuple[int, bytes | None] | None:
        size, sha256 = named[path]
        return place.digest(path, sized_only=sha256 is None, size=size)

    with ThreadPoolExecutor(_AT_ONCE) as pool:  # threads wait for storage, or hash without the interpreter's lock
        digests = dict(zip(paths, pool.map(digest, paths), strict=True))
    missing = tuple(path for path in paths if digests[path] is None)
    changed = tuple(path for path in paths if digests[path] not in (None, named[path]))
    return Check(kind, len(named), missing, changed, tuple(sorted(present - set(named))))


def verify_registry(place: Place) -> Check:
    """Return the differences between a registry and its manifest; of the old or new version if it is being replaced.

    Raises:
        NotFoundError, RegistryFormatError: there is no registry.
        StorageError: a file cannot be read.
    """
    data = read_manifest_bytes(place)
    while True:
        try:
            check = _verify(place, parse_manifest(data, place))
        except (NotFoundError, StorageError):
            if (newer := read_manifest_bytes(place)) == data:
                raise
        else:
            if (newer := read_manifest_bytes(place)) == data:
                return check
        data = newer  # the registry was replaced meanwhile


def _verify(place: Place, manifest: Manifest) -> Check:
    expected = {file.path: (file.bytes, bytes.fromhex(file.sha256)) for file in manifest.files}
    check = check_files(place, "registry", expected, MANIFEST_NAME)
    # A writer's lock file stays.
    extra = tuple(path for path in check.extra if path != ".lock")
    unsound = {*check.missing, *check.changed}
    sound = [file for file in manifest.files if file.path not in unsound]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        rows = list(pool.map(lambda file: _num_rows(place, file), sound))
    miscounted = tuple(
        f"{file.path}: {number}, {file.rows:,} in the manifest"
        for file, number in zip(sound, rows, strict=True)
        if number != _shown(file.rows)
    )
    return replace(check, extra=extra, miscounted=miscounted)


def _num_rows(place: Place, file: DataFile) -> str:
    """Return the number of rows in the footer of a Parquet file, as words."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = max(0, file.bytes - _TAIL)
    tail = place.read_range(file.path, start, file.bytes)
    size = int.from_bytes(tail[-8:-4], "little") + 8
    if len(tail) < size <= file.bytes:
        tail = place.read_range(file.path, file.bytes - size, file.bytes)
    try:
        return _shown(pq.read_metadata(pa.BufferReader(_MAGIC + tail[-size:])).num_rows)
    except (pa.ArrowException, OSError, ValueError):
        return "no Parquet file"


def _shown(rows: int) -> str:
    return f"{rows:,} rows"
