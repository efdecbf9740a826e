"""Whether files are still those that a manifest names.

Only regular files are read, and of a local file no more than the size that is named: a FIFO, a device or a file of
another size counts as changed without being read. A symbolic link is followed, because DVC puts links into its cache
(``cache.type`` ``symlink``): what counts is that the file it leads to has the size and the digest that are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from registry.errors import NotFoundError, StorageError
from registry.snapshot.manifest import MANIFEST_NAME, DataFile, Manifest, parse_manifest, read_manifest_bytes
from registry.storage.place import Place

#: Files that are read at the same time.
_AT_ONCE: Final = 8
#: Bytes at the end of a Parquet file in which its footer is, but for large ones.
_TAIL: Final = 16_384
#: A Parquet file begins with it.
_MAGIC: Final = b"PAR1"


@dataclass(frozen=True, slots=True)
class Check:
    """How the files of a place differ from those that its manifest names.

    Attributes:
        kind: what it is a manifest of: ``registry``, or the format of an export.
        num_files: how many it names.
        missing: files that are named and not there.
        changed: files whose size or digest is another, or that are no regular files.
        extra: files that are there and not named.
        miscounted: files of a registry whose number of rows is not the one in the manifest, each with both numbers.
    """

    kind: str
    num_files: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]
    miscounted: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether all that is named is there, as it was written; files beside it do not matter."""
        return not (self.missing or self.changed or self.miscounted)


def check_files(place: Place, kind: str, named: Mapping[str, tuple[int, bytes | None]], manifest: str) -> Check:
    """Return how files differ from what is known of them. Every file is read, but those without a digest.

    Args:
        place: where they are.
        kind: see :class:`Check`.
        named: path -> size and SHA-256; None for a link, of which the size is looked at alone.
        manifest: path of the manifest.

    Raises:
        StorageError: a file cannot be read.
    """
    present = set(place.list("")) - {manifest}
    paths = sorted(named)

    def digest(path: str) -> tuple[int, bytes | None] | None:
        size, sha256 = named[path]
        return place.digest(path, sized_only=sha256 is None, size=size)

    with ThreadPoolExecutor(_AT_ONCE) as pool:  # files are waited for, or read where the interpreter is left free
        digests = dict(zip(paths, pool.map(digest, paths), strict=True))
    missing = tuple(path for path in paths if digests[path] is None)
    changed = tuple(path for path in paths if digests[path] not in (None, named[path]))
    return Check(kind, len(named), missing, changed, tuple(sorted(present - set(named))))


def verify_registry(place: Place) -> Check:
    """Return how a registry differs from its manifest; while it is replaced, that of the old or of the new one.

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
        data = newer  # another registry was put in its place meanwhile


def _verify(place: Place, manifest: Manifest) -> Check:
    named = {file.path: (file.bytes, bytes.fromhex(file.sha256)) for file in manifest.files}
    check = check_files(place, "registry", named, MANIFEST_NAME)
    # The lock of a writer, which stays where one was.
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
    """Return how many rows the footer of a Parquet file says, as words."""
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
