"""An executor of other machines that gets no secrets of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, Final

from registry.errors import UsageError
from registry.execution.packing import check_without_secrets, pack, run_packed
from registry.version import __version__

#: Environment variable that holds the password of protected zips where a worker runs.
PASSWORD_VARIABLE: Final = "DF2_ZIP_PASSWORD"


class ClusterExecutor(Executor):
    """Runs calls by an executor of other machines, without sending them secrets.

    Attributes:
        num_workers: calls that run at a time.
        secrets: text -> environment variable that holds it on each worker (:func:`registry.execution.packing.pack`).
    """

    def __init__(self, executor: Executor, num_workers: int, secrets: Mapping[str, str]) -> None:
        self._executor = executor
        self.num_workers = num_workers
        self.secrets = secrets

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a call and return its future."""
        if kwargs:
            raise TypeError("expected arguments by position")
        return self._executor.submit(run_packed, __version__, pack((fn, args), self.secrets))


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
        jobs: calls that it runs at a time, unless it tells.
        storage_options: of the places; workers get them with their calls.
        password: of protected zips; workers take it from ``DF2_ZIP_PASSWORD`` in their environment.
        urls: of the places that workers read.

    Raises:
        UsageError: an option or a URL holds a secret, or a URL is in the memory of this process.
    """
    check_without_secrets(storage_options, *urls)
    for url in urls:
        if url.startswith("memory://"):
            raise UsageError(f"{url} lies in the memory of this process, which the workers of a cluster cannot read.")
    secrets = {password: PASSWORD_VARIABLE} if password else {}
    return ClusterExecutor(executor, getattr(executor, "num_workers", jobs), secrets)
