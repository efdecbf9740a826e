"""The workers of a Dask scheduler as an executor."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from typing import Any, Final

from registry.errors import MissingDependencyError, SourceError, StorageError, UsageError
from registry.version import __version__

_log = logging.getLogger(__name__)
#: Seconds that the end of a connection may take.
_CLOSING: Final = 5.0
#: Seconds between two counts of the workers.
_COUNTING: Final = 2.0
#: Seconds without a worker after which the wait is told.
_PATIENCE: Final = 10.0
#: Called with a line for the person who waits.
Tell = Callable[[str], None]
#: Dask warns of calls above this; a slice of a compressed tar has up to 16 MB, and a user's table more.
_NO_WARNING: Final = {"distributed.admin.large-graph-warning-threshold": "1TB"}


@contextmanager
def dask_executor(address: str | None, timeout: float, tell: Tell = _log.warning) -> Iterator[Executor | None]:
    """Yield an executor that runs calls on the workers of a Dask scheduler; None without an address.

    A call whose worker dies is run again by another worker, up to the ``allowed-failures`` of the scheduler (3). While
    there is no worker, calls wait, for ever or for the ``no-workers-timeout`` of the scheduler.

    Args:
        address: such as ``tcp://10.0.0.1:8786``.
        timeout: seconds to wait for the scheduler, and for its first worker.
        tell: called when the wait for another worker gets long, and when it ends; by default it logs a warning.

    Raises:
        MissingDependencyError: the package distributed is not installed.
        UsageError: the address is not valid.
        StorageError: the scheduler cannot be reached, or has no worker.
    """
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError("--scheduler needs: pip install 'deepfashion2-registry[dask]'") from error
    _hand_over_logs()
    try:
        client = Client(address, timeout=timeout, set_as_default=False)  # type: ignore[no-untyped-call,unused-ignore]
    except (ValueError, TypeError) as error:
        raise UsageError(f"--scheduler is {address!r}: expected tcp://HOST:PORT; {error}.") from error
    except OSError as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise StorageError(f"Cannot reach the Dask scheduler at {address}: {error}{cause}") from error
    try:
        try:
            client.wait_for_workers(1, timeout=timeout)  # type: ignore[no-untyped-call,unused-ignore]
        except TimeoutError as error:
            raise StorageError(
                f"The Dask scheduler at {address} has no worker: start some with 'dask worker {address}'."
            ) from error
        yield _DaskExecutor(client, address, tell)
    finally:
        with suppress(TimeoutError):
            client.close(timeout=_CLOSING)  # type: ignore[no-untyped-call,unused-ignore]


class _DaskExecutor(Executor):
    """Runs calls on the workers of a client.

    The executor of Dask's own client waits for ever for a result that was under way when the scheduler died.

    Attributes:
        client: of the scheduler.
        address: of the scheduler, for messages.
    """

    def __init__(self, client: Any, address: str, tell: Tell) -> None:
        self.client = client
        self.address = address
        self._tell = tell
        self._num_workers = 1
        self._counted_at = -math.inf
        self._last_seen = time.monotonic()
        self._is_told = False

    @property
    def num_workers(self) -> int:
        """Calls that run at a time: workers of a cluster start one after another."""
        self._count_workers()
        return self._num_workers

    def _count_workers(self) -> None:
        """Count the workers now and then; tell if there has been none for a while, and when there is one again."""
        now = time.monotonic()
        if now - self._counted_at < _COUNTING or self.client.status != "running":
            return
        with suppress(OSError):  # a scheduler that went away: the next result tells
            self._num_workers = sum(self.client.nthreads().values())
        self._counted_at = now
        if self._num_workers:
            self._last_seen = now
            if self._is_told:
                self._tell(f"The Dask scheduler at {self.address} has a worker again: the work goes on.")
                self._is_told = False
        elif now - self._last_seen >= _PATIENCE and not self._is_told:
            self._is_told = True
            self._tell(
                f"The Dask scheduler at {self.address} has had no worker for {now - self._last_seen:.0f} s. The work "
                f"goes on when there is one: start some with 'dask worker {self.address}', or press Ctrl-C."
            )

    def wait(self, future: Any) -> Any:
        """Return the result of a future of Dask, or raise its error; count the workers meanwhile."""
        while not future.done():
            with suppress(TimeoutError):
                return future.result(_COUNTING)
            self._count_workers()
        return future.result()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a call and return its future.

        Raises:
            StorageError: the scheduler went away.
        """
        return _DaskFuture(self, self._submit(fn, *args, **kwargs))

    def send_once(self, data: bytes) -> Any:
        """Return an argument that stands for these bytes in many calls; the scheduler keeps them for other workers.

        Raises:
            StorageError: the scheduler went away.
        """
        return self._submit(bytes, data)

    def _submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        from dask import config
        from distributed.client import ClosedClientError

        try:
            with config.set(_NO_WARNING):
                return self.client.submit(fn, *args, pure=False, **kwargs)
        except ClosedClientError as error:
            raise _gone(self.address) from error


class _DaskFuture(Future[Any]):
    """The result of a call on a worker."""

    def __init__(self, executor: _DaskExecutor, future: Any) -> None:
        super().__init__()
        self._executor = executor
        self._future = future

    def result(self, timeout: float | None = None) -> Any:
        """Return the result, or raise the error of the call.

        Raises:
            SourceError: the call was lost with several workers.
            StorageError: the scheduler went away, or had no worker for the time that it is set to wait.
            MissingDependencyError: a worker lacks this package, or a package that the call imports.
        """
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import NoWorkerError

        try:
            return self._executor.wait(self._future) if timeout is None else self._future.result(timeout)
        except KilledWorker as error:
            raise SourceError(
                f"Workers of the Dask scheduler at {self._executor.address} died again and again over the same files "
                "(out of memory, or killed). The registry is as it was; give each worker more memory."
            ) from error
        except NoWorkerError as error:
            raise StorageError(
                f"The Dask scheduler at {self._executor.address} had no worker for the time that it waits "
                "(distributed.scheduler.no-workers-timeout). The registry is as it was; start workers, and run this "
                "again."
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise _gone(self._executor.address) from error
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"A worker of the Dask scheduler at {self._executor.address} lacks a package: {error}. Install "
                f"deepfashion2-registry {__version__} on all of them, with the packages that its embedders need."
            ) from error

    def cancel(self) -> bool:
        """Give up a call that has not begun, if the scheduler can be told."""
        if self._executor.client.status == "running":
            self._future.cancel()
        return True


def _gone(address: str) -> StorageError:
    """Return the error of a scheduler that ended, or closed the connection."""
    return StorageError(
        f"The Dask scheduler at {address} went away before the work was done. The registry is as it was; run this "
        "again."
    )


def _hand_over_logs() -> None:
    """Take the handlers of Dask away, which write to stderr; its problems are raised here as errors."""
    for name, log in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "distributed" and isinstance(log, logging.Logger):
            log.handlers[:] = [logging.NullHandler()]
            log.propagate = True
