"""Fixtures of all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from registry.ingest.build import ingest
from tests.helpers import SMALL_SPLIT, write_split

# Examples are the same in every run, and a slow machine is no failure.
settings.register_profile(
    "registry", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("registry")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the registry and password of whoever runs the tests out of them."""
    for name in ("DF2_REGISTRY", "DF2_ZIP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def small_source(tmp_path: Path) -> Path:
    """Return a folder that holds the split ``SMALL_SPLIT``."""
    return write_split(tmp_path / "train", SMALL_SPLIT)


@pytest.fixture
def small_registry(tmp_path: Path, small_source: Path) -> Path:
    """Return a registry with ``SMALL_SPLIT`` as its train split."""
    ingest("train", str(small_source), str(tmp_path / "registry"), jobs=1)
    return tmp_path / "registry"


@pytest.fixture(scope="session")
def real_samples() -> Path:
    """Return the folder of real annotations that DEEPFASHION2_SAMPLES names; skip where it is unset."""
    folder = os.environ.get("DEEPFASHION2_SAMPLES")
    if not folder:
        pytest.skip("DEEPFASHION2_SAMPLES is unset; it names a folder with real annotations")
    return Path(folder)


@pytest.fixture
def bucket() -> Iterator[dict[str, Any]]:
    """Yield the storage options of an S3 server on this machine with the empty bucket ``df2``."""
    s3fs = pytest.importorskip("s3fs", reason="needs the extra s3")
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    found = {"key": "a", "secret": "b", "endpoint_url": f"http://{host}:{port}"}
    files = s3fs.S3FileSystem(**found)
    if files.exists("df2"):  # all servers of one process have the same buckets
        files.rm("df2", recursive=True)
    files.mkdir("df2")
    yield found
    server.stop()
