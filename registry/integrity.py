"""Whether files are still those that a manifest names."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from registry.manifest import MANIFEST_NAME, read_manifest
from registry.storage import Place

#: Files that are read at the same time.
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Check:
    """How the files of a place differ from those that its manifest names.

    Attributes:
        kind: what it is a manifest of: ``registry``, or the format of an export.
        num_files: how many it names.
        missing: files that are named and not there.
        changed: files whose size or digest is another.
        extra: files that are there and not named.
    """

    kind: str
    num_files: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all that is named is there, as it was written; files beside it do not matter."""
        return not (self.missing or self.changed)


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
    there = set(place.list("")) - {manifest}
    paths = sorted(named)
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # files are waited for, or read where the interpreter is left free
        digests = list(pool.map(lambda path: place.digest(path, sized_only=named[path][1] is None), paths))
    found = dict(zip(paths, digests, strict=True))
    missing = tuple(path for path in paths if found[path] is None)
    changed = tuple(path for path in paths if found[path] not in (None, named[path]))
    return Check(kind, len(named), missing, changed, tuple(sorted(there - set(named))))


def verify_registry(place: Place) -> Check:
    """Return how a registry differs from its manifest.

    Raises:
        NotFoundError, RegistryFormatError: there is no registry.
        StorageError: a file cannot be read.
    """
    files = read_manifest(place).files
    named = {file.path: (file.bytes, bytes.fromhex(file.sha256)) for file in files}
    found = check_files(place, "registry", named, MANIFEST_NAME)
    # The lock of a writer, which stays where one was.
    extra = tuple(path for path in found.extra if path != ".lock")
    return Check(found.kind, found.num_files, found.missing, found.changed, extra)
