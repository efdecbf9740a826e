"""Limits of time and memory for a query of a user.

:func:`registry.open` sets DuckDB's own limits. DuckDB does not check them inside a single call of a function, nor for
long texts and lists, so the process watches itself, too.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from registry.cli import streams
from registry.cli.interruption import checked
from registry.errors import QueryError
from registry.wording import size

DEFAULT_SECONDS: Final = 600
#: Seconds after the limit in which DuckDB can end the query with its own message.
_GRACE_SECONDS: Final = 1
#: Bytes of memory that the process may use besides DuckDB's.
_BESIDES: Final = 512 << 20
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


class SizeType(click.ParamType[int]):
    """A number of bytes with a unit, such as ``4GB`` or ``512MiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes of a text such as ``4GB``."""
        if isinstance(value, int):
            return value
        parts = _SIZE.fullmatch(value.strip())
        if parts is None or (not parts[2] and float(parts[1])):
            self.fail(f"expected a size such as 4GB or 512MB, or 0 for no limit; found {value!r}.", param, ctx)
        base = 1024 if parts[3] else 1000
        return int(float(parts[1]) * base ** " KMGT".index(parts[2].upper() or " "))


def half_of_memory() -> int:
    """Return half of the memory that this process may use, in bytes."""
    from registry.store.settings import machine_memory

    return machine_memory() // 2


@contextmanager
def query_limits(seconds: float, memory: int) -> Iterator[None]:
    """End a query in the block that takes longer, or needs more memory; 0 stands for no limit.

    Args:
        seconds: the time limit.
        memory: the memory limit in bytes.

    Raises:
        QueryError: the query reached a limit of DuckDB or of the operating system; the message names the option.
    """
    time_text = f"The query did not end within {seconds:g} s. --timeout SECONDS allows more, --timeout 0 any time."
    memory_text = (
        f"The query needs more memory than {size(memory)}. --memory LIMIT allows more, --memory 0 all there is."
    )
    checks = [*([_time_check(seconds, time_text)] if seconds else []), *memory_checks(memory, memory_text)]
    try:
        with checked(*checks), _data_limit(memory):
            yield
    except MemoryError as error:
        raise QueryError(memory_text) from error
    except QueryError as error:
        cause = type(error.__cause__).__name__
        if memory and cause == "OutOfMemoryException":
            raise QueryError(memory_text) from error
        if seconds and cause == "InterruptException":
            raise QueryError(time_text) from error
        raise


def memory_checks(memory: int, text: str) -> list[Callable[[], str | None]]:
    """Return the check of this process's memory; none without a limit, or on a system without ``/proc``.

    Args:
        memory: the limit in bytes; 0 for no limit.
        text: the message when the process exceeds it.
    """
    statistics = Path("/proc/self/statm")
    if not memory or not hasattr(os, "sysconf") or not statistics.exists():
        return []
    page = os.sysconf("SC_PAGE_SIZE")

    def check() -> str | None:
        _, resident, shared, *_ = map(int, statistics.read_text().split())
        return text if (resident - shared) * page > memory + _BESIDES else None

    return [check]


def _time_check(seconds: float, text: str) -> Callable[[], str | None]:
    begin = time.monotonic() - streams.seconds_waited()

    def check() -> str | None:
        # Time spent waiting for a slow reader, such as a pager, does not count.
        passed = time.monotonic() - begin - streams.seconds_waited()
        return text if passed > seconds + _GRACE_SECONDS else None

    return check


@contextmanager
def _data_limit(memory: int) -> Iterator[None]:
    """Let the operating system refuse an allocation far beyond the limit."""
    try:
        import resource
    except ImportError:  # Windows
        memory = 0
    if not memory:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory + 4 * _BESIDES
    limits = [value for value in (soft, hard) if value != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *limits]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
