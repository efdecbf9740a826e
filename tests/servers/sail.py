"""Sail: an engine that speaks Spark SQL over the protocol of Spark Connect, without Java."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.servers.processes import listens, running


@contextmanager
def run_sail(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Run Sail as a cluster of a driver and workers that send each other messages; yield its URL.

    Raises:
        ServerError: the server is not installed, or did not start.
    """
    with running(
        lambda ports: [sys.executable, "-m", "pysail", "spark", "server", "--ip", "127.0.0.1", "--port", str(ports[0])],
        1,
        lambda ports: listens(ports[0]),
        folder,
        {**environment, "SAIL_MODE": "local-cluster", "RUST_LOG": "error"},
    ) as (port,):
        yield f"sc://127.0.0.1:{port}"
