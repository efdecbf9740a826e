"""An executor of other machines that gets no secrets of this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, Final

from registry.errors import UsageError
from registry.execution.packing import check_without_secrets, pack, pack_for_run
from registry.execution.worker import Sample, run_packed, versions

#: Environment variable that holds the password of protected zips where a worker runs.
PASSWORD_VARIABLE: Final = "DF2_ZIP_PASSWORD"


class ClusterExecutor(Executor):
    """Runs calls by an executor of other machines, without sending them secrets.

    Attributes:
        secrets: text -> environment variable that holds it on each worker (:func:`registry.execution.packing.pack`).
    """

    def __init__(self, executor: Executor, jobs: int, secrets: Mapping[str, str]) -> None:
        self._executor = executor
        self._jobs = jobs
        self.secrets = secrets
        #: Makes samples of each executor different: a worker compares files of an earlier run again.
        self._run = os.urandom(8)
        self._samples: tuple[bytes, ...] = ()
        self._shared: tuple[bytes, ...] = ()
        self._sent: tuple[Any, ...] = ()

    def share(self, value: Any) -> bytes:
        """Return a value that many calls need, for ``unpack_once``; it is sent beside these calls, not within each.

        An executor of Dask sends it to each worker once.
        """
        packed = pack_for_run(value, self.secrets)
        send_once = getattr(self._executor, "send_once", lambda data: data)
        self._sent += (send_once(packed),)
        self._shared += (packed,)
        return packed

    @property
    def num_workers(self) -> int:
        """Calls that run at a time: workers come and go."""
        return int(getattr(self._executor, "num_workers", self._jobs))

    def expect(self, sample: Sample) -> None:
        """Have each worker compare files of a place with those that are seen here, before its next call."""
        packed = pack((self._run, sample), self.secrets, self._shared)
        if packed not in self._samples:
            self._samples += (packed,)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a call and return its future."""
        if kwargs:
            raise TypeError("expected arguments by position")
        call = pack((fn, args), self.secrets, self._shared)
        return self._executor.submit(run_packed, versions(), self._samples, call, *self._sent)


def for_cluster(
    executor: Executor,
    jobs: int,
    storage_options: Mapping[str, Any] | None,
    password: str | None,
    *urls: str,
) -> ClusterExecutor:
    """Return an executor that keeps the secrets of a source to itself.

    Args:
        executor: of Dask, Ray, Spark or another engine.
        jobs: calls that it runs at a time, unless it has ``num_workers``.
        storage_options: of the places; workers get them with their calls.
        password: of protected zips; workers take it from ``DF2_ZIP_PASSWORD`` in their environment.
        urls: of the places that workers read.

    Raises:
        UsageError: an option or a URL holds a secret, or a URL is in the memory of this process.
    """
    check_without_secrets(storage_options, *urls)
    for url in urls:
        if "memory://" in url:
            raise UsageError(f"{url} lies in the memory of this process, which the workers of a cluster cannot read.")
    secrets = {password: PASSWORD_VARIABLE} if password else {}
    return ClusterExecutor(executor, jobs, secrets)


def max_pending(pool: Executor, jobs: int) -> Callable[[], int]:
    """Return a function for :func:`registry.execution.in_order.in_order`: two calls for each worker of now, and one.

    Args:
        pool: of local processes or of a cluster.
        jobs: number of local processes.
    """
    return lambda: 2 * (pool.num_workers if isinstance(pool, ClusterExecutor) else jobs) + 1
