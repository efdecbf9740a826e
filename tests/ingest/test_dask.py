"""Ingestion on a Dask scheduler and worker, started as processes on 127.0.0.1."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.packing import files_in

BIN = Path(sys.executable).parent


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a scheduler with a single worker."""
    environment = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__ENABLED": "false"}
    host = ["--host", "127.0.0.1", "--no-dashboard"]
    started = subprocess.Popen(
        [BIN / "dask", "scheduler", "--port", "0", *host], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert started.stderr is not None
    address = next(match[1] for line in started.stderr if (match := re.search(r"(tcp://127\.0\.0\.1:\d+)", line)))
    worker = subprocess.Popen(
        [BIN / "dask", "worker", address, *host, "--no-nanny", "--nthreads", "1", "--local-directory", str(tmp_path)],
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    yield address
    for process in (worker, started):
        process.terminate()
        process.wait()
    started.stderr.close()


def test_a_dask_cluster_gives_the_same_bytes(
    scheduler: str, small_source: Path, small_registry: Path, tmp_path: Path
) -> None:
    target = tmp_path / "by-dask"
    command = [BIN / "df2", "ingest", "--split", "train", small_source, target, "--dask", scheduler]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert files_in(target) == files_in(small_registry)


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("nonsense", 2, "--dask is 'nonsense': expected tcp://HOST:PORT; missing port number"),
        ("magic://127.0.0.1:1", 2, "--dask is 'magic://127.0.0.1:1': expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:1", 4, "Cannot reach the Dask scheduler at tcp://127.0.0.1:1: Timed out"),
    ],
)
def test_an_address_without_a_scheduler_is_one_error(
    small_source: Path, tmp_path: Path, address: str, code: int, message: str
) -> None:
    command = [BIN / "df2", "--network-timeout", "2", "ingest", "--split", "train", small_source, tmp_path / "r"]
    done = subprocess.run([*command, "--dask", address], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"Error: {message}")
    assert not (tmp_path / "r").exists()
