"""The workers of a Dask cluster as an executor."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from registry.errors import MissingDependencyError, StorageError, UsageError


@contextmanager
def dask_executor(address: str | None, timeout: float) -> Iterator[Executor | None]:
    """Yield an executor that runs calls on the workers of a Dask scheduler; None without an address.

    Args:
        address: such as ``tcp://10.0.0.1:8786``.
        timeout: seconds to wait for the scheduler.

    Raises:
        MissingDependencyError: the package distributed is not installed.
        UsageError: the address is not valid.
        StorageError: the scheduler cannot be reached.
    """
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError("--dask needs: pip install 'deepfashion2-registry[dask]'") from error
    try:
        client = Client(address, timeout=timeout)  # type: ignore[no-untyped-call,unused-ignore]
    except (ValueError, TypeError) as error:
        raise UsageError(f"--dask is {address!r}: expected tcp://HOST:PORT; {error}.") from error
    except OSError as error:
        raise StorageError(f"Cannot reach the Dask scheduler at {address}: {error}") from error
    with client, client.get_executor(retries=2) as executor:  # type: ignore[no-untyped-call,unused-ignore]
        yield executor
