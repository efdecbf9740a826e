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
        workers: their processes.
    """

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._folder = folder
        self._variables = variables
        self.workers: list[subprocess.Popen[str]] = []
        self.scheduler = subprocess.Popen(
            [BIN / "dask", "scheduler", "--port", "0", *_HOST], stderr=subprocess.PIPE, text=True, env=variables
        )
        lines = self.scheduler.stderr
        assert lines is not None
        self.address = next(match[1] for line in lines if (match := re.search(r"(tcp://127\.0\.0\.1:\d+)", line)))

    def start_worker(self) -> None:
        """Start another worker."""
        command = [BIN / "dask", "worker", self.address, *_HOST, "--no-nanny", "--nthreads", "1"]
        worker = subprocess.Popen(
            [*command, "--local-directory", self._folder],
            stderr=subprocess.DEVNULL, text=True, env=self._variables, cwd=self._folder,
        )  # fmt: skip
        self.workers.append(worker)


@contextmanager
def cluster(folder: Path, num_workers: int, **environment: str) -> Iterator[Cluster]:
    """Yield a cluster whose workers run a call at a time, each in a process without a nanny that restarts it.

    Args:
        folder: for the files of the workers, which run in it.
        num_workers: the workers.
        environment: variables of the scheduler and the workers.
    """
    running = Cluster(folder, {**os.environ, "PYTHONPATH": str(ROOT), **environment})
    for _ in range(num_workers):
        running.start_worker()
    yield running
    for process in (*running.workers, running.scheduler):
        process.kill()
        process.wait()
    assert running.scheduler.stderr is not None
    running.scheduler.stderr.close()


def die_once(marker: str, value: int) -> int:
    """Return a value; the first worker to be called dies as by ``kill -9`` instead."""
    try:
        Path(marker).touch(exist_ok=False)  # two workers at the same time: only one of them dies
    except FileExistsError:
        return value
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process went on")


def sleep(marker: str) -> None:
    """Write a file and sleep for longer than any test."""
    Path(marker).touch()
    time.sleep(300)
