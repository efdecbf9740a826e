"""The places that the workers of a cluster read: named so that they find them, and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import overload

from registry.execution.cluster import ClusterExecutor, for_cluster
from registry.storage.options import StorageOptions
from registry.storage.place import Place


@overload
def for_workers(
    executor: Executor | None, jobs: int, places: str, options: StorageOptions | None, password: str | None
) -> tuple[ClusterExecutor | None, int, str]: ...


@overload
def for_workers(
    executor: Executor | None,
    jobs: int,
    places: str | Mapping[str, str],
    options: StorageOptions | None,
    password: str | None,
) -> tuple[ClusterExecutor | None, int, str | Mapping[str, str]]: ...


def for_workers(
    executor: Executor | None,
    jobs: int,
    places: str | Mapping[str, str],
    options: StorageOptions | None,
    password: str | None,
) -> tuple[ClusterExecutor | None, int, str | Mapping[str, str]]:
    """Return an executor that keeps secrets to itself, the calls that run at a time, and places as workers name them.

    Without an executor, the number of calls and the places stay as they are.

    Args:
        executor: of a cluster, or None.
        jobs: number of local processes.
        places: a path or URL, or one for each split.
        options: of the places; see :func:`registry.execution.cluster.for_cluster`.
        password: of protected zips.

    Raises:
        UsageError: an option or a URL holds a secret, or a URL is in the memory of this process.
    """
    if executor is None:
        return None, jobs, places
    urls = [places] if isinstance(places, str) else list(places.values())
    cluster = for_cluster(executor, jobs, options, password, *urls)
    if isinstance(places, str):
        return cluster, cluster.num_workers, Place(places, options).absolute_url
    return cluster, cluster.num_workers, {split: Place(url, options).absolute_url for split, url in places.items()}
