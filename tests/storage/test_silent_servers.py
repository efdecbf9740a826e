"""A server that accepts connections and sends nothing is a timeout error, for every kind of place."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.errors import StorageError, UsageError
from registry.storage import timeouts
from registry.storage.filesystems import set_network_timeout
from registry.storage.place import Place
from registry.storage.timeouts import VARIABLE, network_timeout
from tests.servers.silent import run_silent
from tests.waiting import until_empty

#: Network timeout in seconds.
LIMIT = 4.0
#: That of S3 clients: they get a seventh of it to connect, and start late on a busy machine.
LIMIT_OF_S3 = 14.0
#: Additional seconds for imports and for the pauses between attempts.
SLACK = 20


def s3(host: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "s3://bucket/x", {"key": "ada", "secret": "hunter2", "endpoint_url": f"http://{host}", **more}


PLACES: dict[str, tuple[str, Callable[[str], tuple[str, dict[str, Any]]]]] = {
    "s3, asked with obstore first": ("s3fs", s3),
    "s3, asked with s3fs alone": ("s3fs", lambda host: s3(host, use_ssl=False)),
    "http": ("aiohttp", lambda host: (f"http://{host}/x", {})),
    "webdav": ("webdav4", lambda host: (f"webdav://ada:hunter2@{host}/x", {})),
    "ssh": ("sshfs", lambda host: (f"ssh://ada:hunter2@{host}/x", {})),
}


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(LIMIT))


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("use", ["read", "write"])
def test_a_silent_server_is_a_timeout_error_with_its_name(kind: str, use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, place_at = PLACES[kind]
    pytest.importorskip(package)
    limit = LIMIT_OF_S3 if package == "s3fs" else LIMIT
    monkeypatch.setenv(VARIABLE, str(limit))
    with run_silent() as server:
        url, options = place_at(server.host)
        begin = time.monotonic()
        with pytest.raises(StorageError) as raised:
            place = Place(url, options)
            place.read("a") if use == "read" else place.write("a", b"x" * 5_000)
        assert time.monotonic() - begin < limit + SLACK
        # The server's threads may run late on a busy machine.
        assert not until_empty(lambda: not server.requests, SLACK)
    message = str(raised.value)
    assert "no answer from" in message
    assert server.host in message
    assert f"--network-timeout or DF2_NETWORK_TIMEOUT (now {limit:g} s) allows more" in message
    assert "hunter2" not in message


def test_a_silent_google_cloud_storage_is_a_timeout_error(monkeypatch: pytest.MonkeyPatch) -> None:
    retry = pytest.importorskip("gcsfs.retry")
    naps: list[float] = []

    class Pauses:
        """Records gcsfs' pauses, which cannot be configured, instead of waiting."""

        async def sleep(self, seconds: float) -> None:
            naps.append(seconds)

    monkeypatch.setattr(retry, "asyncio", Pauses())
    with run_silent() as server:
        begin = time.monotonic()
        with pytest.raises(StorageError, match="no answer from"):
            Place("gs://bucket/x", {"token": "anon", "endpoint_url": f"http://{server.host}"}).read("a")
        assert time.monotonic() - begin < LIMIT + SLACK
    assert len(naps) % 5 == 0
    assert sum(naps[:5]) <= timeouts._GCSFS_PAUSES


def test_a_slow_answer_with_progress_may_exceed_the_timeout(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    body = bytes(range(16))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n"
    with run_silent(says=head, drips=body, seconds=LIMIT / 6) as server:
        begin = time.monotonic()
        assert Place(f"http://{server.host}").read("a") == body
        assert time.monotonic() - begin > LIMIT


def test_an_answer_that_stops_halfway_is_a_timeout_error(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    with run_silent(says=b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n0123") as server:
        begin = time.monotonic()
        with pytest.raises(StorageError, match="no answer from"):
            Place(f"http://{server.host}").fetch("a", tmp_path / "a")
        assert time.monotonic() - begin < LIMIT + SLACK


def test_an_error_of_a_web_server_is_not_reported_as_a_missing_file() -> None:
    pytest.importorskip("aiohttp")
    broken = run_silent(says=b"HTTP/1.1 500 Broken\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    with broken as server, pytest.raises(StorageError, match="500"):
        Place(f"http://{server.host}").digest("a")


@pytest.mark.parametrize("cache", ["simplecache", "filecache", "blockcache"])
def test_a_silent_server_behind_a_cache_is_not_reported_as_a_missing_file(cache: str) -> None:
    pytest.importorskip("aiohttp")
    with run_silent() as server, pytest.raises(StorageError, match="no answer from"):
        Place(f"{cache}::http://{server.host}/x").read("a")


def test_network_timeout_is_a_command_line_option(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    with run_silent() as server:
        command = [sys.executable, "-m", "registry.cli.main", "--network-timeout", "0.5"]
        begin = time.monotonic()
        done = subprocess.run(
            [*command, "-r", f"http://{server.host}/x", "tables"], capture_output=True, text=True, check=False
        )
        assert time.monotonic() - begin < 0.5 + SLACK
    assert done.returncode == 4
    assert done.stderr.startswith(f"Error: Cannot read http://{server.host}/x/manifest.json: no answer from")
    assert done.stderr.count("\n") == 1


def test_the_default_network_timeout_is_90_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    assert network_timeout() == 90
    set_network_timeout(5)
    assert network_timeout() == 5


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", "1e9"])
def test_an_invalid_network_timeout_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match=r"DF2_NETWORK_TIMEOUT is .* expected seconds"):
        network_timeout()
    if text != "soon":
        with pytest.raises(UsageError, match="Expected a network timeout"):
            set_network_timeout(float(text))
