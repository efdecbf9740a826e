"""A Dask scheduler and its workers as processes on 127.0.0.1, and calls for them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
_HOST = ("--host", "127.0.0.1", "--no-dashboard")


class Cluster:
    """A running scheduler and its workers.

    Attributes:
        address: of the scheduler.
        scheduler: its process.
    """

    def __init__(self, address: str, scheduler: subprocess.Popen[str]) -> None:
        self.address = address
        self.scheduler = scheduler


@contextmanager
def cluster(folder: Path, num_workers: int, **environment: str) -> Iterator[Cluster]:
    """Yield a cluster whose workers run a call at a time, each in a process without a nanny that restarts it.

    Args:
        folder: for the files of the workers, which run in it.
        num_workers: the workers.
        environment: variables of the scheduler and the workers.
    """
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    scheduler = subprocess.Popen(
        [BIN / "dask", "scheduler", "--port", "0", *_HOST], stderr=subprocess.PIPE, text=True, env=variables
    )
    assert scheduler.stderr is not None
    address = next(match[1] for line in scheduler.stderr if (match := re.search(r"(tcp://127\.0\.0\.1:\d+)", line)))
    command = [BIN / "dask", "worker", address, *_HOST, "--no-nanny", "--nthreads", "1", "--local-directory", folder]
    processes = [
        subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True, env=variables, cwd=folder)
        for _ in range(num_workers)
    ]
    yield Cluster(address, scheduler)
    for process in (*processes, scheduler):
        process.kill()
        process.wait()
    scheduler.stderr.close()


def die_once(marker: str, value: int) -> int:
    """Return a value; the first worker to be called dies as by ``kill -9`` instead."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def sleep(marker: str) -> None:
    """Write a file and sleep for longer than any test."""
    Path(marker).touch()
    time.sleep(300)
