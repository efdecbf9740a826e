"""A registry or a selection that the workers of a cluster read themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from registry.execution.cluster import ClusterExecutor, for_cluster
from registry.execution.packing import unpack_once
from registry.execution.worker import Sample

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from registry.snapshot.manifest import Manifest
    from registry.storage.place import Place
    from registry.store.registry import Registry


class Versioned(Protocol):
    """A registry, or a selection of one.

    Attributes:
        place: of the registry.
    """

    place: Place

    @property
    def manifest(self) -> Manifest:
        """The manifest of the version that is read."""
        ...


def for_registry(executor: Executor | None, registry: Registry) -> ClusterExecutor | None:
    """Return an executor whose workers read a registry themselves; None without one.

    Raises:
        UsageError: an option or the URL of the registry holds a secret, or it is in the memory of this process.
    """
    if executor is None:
        return None
    opening = registry.opening()
    return for_cluster(executor, 1, opening["storage_options"], None, opening["url"])


def share_version(cluster: ClusterExecutor, rows: Versioned) -> bytes:
    """Return a registry or selection as bytes for ``unpack_once``; each worker compares its version first."""
    packed = cluster.share(rows)
    cluster.expect(Sample(str(rows.place), _file_digests(rows), _digests_on_worker, (packed,)))
    return packed


def _file_digests(rows: Versioned) -> dict[str, str]:
    """Return the digest of each file of a registry: another version has the same name, and other rows."""
    return {file.path: file.sha256 for file in rows.manifest.files}


def _digests_on_worker(packed: bytes) -> dict[str, str]:
    return _file_digests(unpack_once(packed))
