"""The places that the workers of a cluster read: named so that they find them, without secrets, and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from hashlib import sha256
from typing import Final, TypeVar, overload

from registry.execution.cluster import ClusterExecutor, for_cluster
from registry.execution.worker import Sample
from registry.sources.entries import Entry
from registry.sources.faults import Fault
from registry.sources.listing import Source
from registry.storage.options import StorageOptions
from registry.storage.place import Place

#: Files of each kind whose bytes a worker compares with those of the machine that started the command.
_SAMPLE: Final = 8

_Value = TypeVar("_Value")


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


def expect_same_files(
    cluster: ClusterExecutor | None, place: str, source: Source, annotations: Sequence[Entry], photos: Sequence[Entry]
) -> None:
    """Have the workers of a cluster compare some annotations and photos with those that this process reads.

    A folder of the same path may hold other files there, whose rows nobody could tell from the right ones.

    Args:
        cluster: or None, where there is nothing to compare.
        place: of the source, for messages.
        source: the files.
        annotations: all that are to be read.
        photos: all that are to be read.
    """
    if cluster is None:
        return
    some = spread(annotations), spread(photos)
    cluster.expect(Sample(place, file_digests(source, *some), file_digests, (source, *some)))


def file_digests(source: Source, annotations: Sequence[Entry], photos: Sequence[Entry]) -> dict[str, str]:
    """Return the digest of each annotation, and the checksum of each photo; or their faults."""
    digests: dict[str, str] = {}
    if annotations:
        for entry, data in zip(annotations, source.read(annotations), strict=True):
            digests[f"annos/{entry.name}"] = str(data) if isinstance(data, Fault) else sha256(data).hexdigest()
    if photos:
        for entry, checksum in zip(photos, source.photo_checksums(photos), strict=True):
            digests[f"image/{entry.name}"] = str(checksum)
    return digests


def spread(values: Sequence[_Value]) -> list[_Value]:
    """Return some of many values: the first, the last, and others at equal distances."""
    last = len(values) - 1
    positions = dict.fromkeys(last * number // (_SAMPLE - 1) for number in range(_SAMPLE)) if values else {}
    return [values[position] for position in positions]
