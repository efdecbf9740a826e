"""Moto: an S3 server that starts fast and checks no credentials."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.processes import get, running
from tests.servers.s3 import S3Server


@contextmanager
def run_moto(folder: Path) -> Iterator[S3Server]:
    """Run moto, which keeps its buckets in memory and accepts any credentials.

    Raises:
        ServerError: the server is not installed, or did not start.
    """
    with running(
        lambda ports: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(ports[0])],
        1,
        lambda ports: get(f"http://127.0.0.1:{ports[0]}/moto-api/") is not None,
        folder,
    ) as (port,):
        yield S3Server(f"http://127.0.0.1:{port}", "a", "b")
