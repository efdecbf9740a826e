"""The option of commands that can run on the workers of a Dask scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from registry.cli.context import note
from registry.execution.dask import dask_executor
from registry.storage.timeouts import network_timeout

Function = TypeVar("Function", bound=Callable[..., Any])


def scheduler_option(command: Function) -> Function:
    """Add ``--scheduler``, the address of a Dask scheduler or None."""
    return click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Run on the workers of this Dask scheduler (tcp://HOST:PORT) instead of local processes; they must reach "
        "the same places. See docs/how-to/scaling.md.",
    )(command)


@contextmanager
def workers(scheduler: str | None) -> Iterator[Executor | None]:
    """Yield an executor on the workers of a scheduler; None without one."""
    with dask_executor(scheduler, network_timeout(), note) as executor:
        yield executor
