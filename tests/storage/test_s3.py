"""obstore reads the same bytes as s3fs in plain setups; s3fs reads in all others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec.config
import pytest

from registry.errors import NotFoundError, StorageError
from registry.storage.place import Place
from tests.servers.faults import first, status
from tests.servers.proxy import S3Proxy
from tests.servers.s3 import S3Server

pytest.importorskip("obstore", reason="needs the extra s3")
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("seaweedfs")]

DATA = bytes(range(256)) * 300


@pytest.fixture
def url(seaweedfs: S3Server) -> str:
    """Return the URL of a folder in a bucket."""
    folder = f"{seaweedfs.make_bucket('reader')}/some/where"
    seaweedfs.files().pipe_file(f"{folder}/items/split=train/0a.parquet", DATA)
    return folder


def is_fast(place: Place) -> bool:
    """Read the file and a part of it; return whether that was done without s3fs."""
    assert place.read("items/split=train/0a.parquet") == DATA
    assert place.read_range("items/split=train/0a.parquet", 100, 70_000) == DATA[100:70_000]
    return "_filesystem" not in vars(place._folder)


def use(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_settings_come_from_the_options(url: str, seaweedfs: S3Server) -> None:
    options = seaweedfs.storage_options
    assert is_fast(Place(url, options))
    assert is_fast(Place(url.replace("s3://", "s3a://"), options))
    endpoint = options.pop("endpoint_url")
    assert is_fast(Place(url, {**options, "client_kwargs": {"endpoint_url": endpoint, "region_name": "eu-west-1"}}))


def test_settings_come_from_the_environment(url: str, seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, seaweedfs.environment)
    assert is_fast(Place(url))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", seaweedfs.endpoint_url)
    assert is_fast(Place(url))


@pytest.mark.parametrize("by", ["option", "environment"])
def test_settings_come_from_a_profile(
    url: str, seaweedfs: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    (tmp_path / "config").write_text(f"[profile mine]\nendpoint_url = {seaweedfs.endpoint_url}\nregion = eu-west-1\n")
    keys = f"aws_access_key_id = {seaweedfs.key}\naws_secret_access_key = {seaweedfs.secret}\n"
    (tmp_path / "credentials").write_text(f"[mine]\n{keys}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    if by == "environment":
        monkeypatch.setenv("AWS_PROFILE", "mine")
    assert is_fast(Place(url, {"profile": "mine"} if by == "option" else None))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"), ("AWS_BUCKET", "another"), ("AWS_SKIP_SIGNATURE", "true"),
        ("AWS_SESSION_TOKEN", "none-of-these-keys"), ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
        ("AWS_PROXY_URL", "http://127.0.0.1:1"),
    ],
)  # fmt: skip
def test_options_override_the_environment(
    url: str, seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert is_fast(Place(url, seaweedfs.storage_options))


@pytest.mark.parametrize(
    "options",
    [
        {"config_kwargs": {"s3": {"addressing_style": "path"}}}, {"requester_pays": True}, {"use_ssl": False},
        {"client_kwargs": {"verify": False}},
    ],
)  # fmt: skip
def test_special_options_use_s3fs(url: str, seaweedfs: S3Server, options: dict[str, Any]) -> None:
    assert not is_fast(Place(url, {**seaweedfs.storage_options, **options}))


def test_special_settings_of_botocore_and_fsspec_use_s3fs(
    url: str, seaweedfs: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = seaweedfs.storage_options
    (tmp_path / "config").write_text("[default]\ns3 =\n    addressing_style = path\n")
    with monkeypatch.context() as patched:
        patched.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        assert not is_fast(Place(url, options))
    with monkeypatch.context() as patched:
        patched.setitem(fsspec.config.conf, "s3", {"requester_pays": True})
        assert not is_fast(Place(url, options))
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    assert is_fast(Place(url))


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_CA_BUNDLE", "/some/bundle.pem"), ("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "true")],
)
def test_settings_of_tls_and_endpoints_use_s3fs(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    from registry.storage.s3 import s3_reader

    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    options = {"key": "someone", "secret": "hunter22", "endpoint_url": "https://127.0.0.1:1"}
    plain = s3_reader("s3://bucket/x", options)
    assert plain is not None and plain._store is not None
    monkeypatch.setenv(name, value)
    special = s3_reader("s3://bucket/x", options)
    assert special is not None and special._store is None


@pytest.mark.parametrize("url", ["s3://bucket/a b", "s3://bucket/a//b", "s3://bucket/a%20b", "s3://a:b/c", "gs://b/c"])
def test_names_that_need_percent_encoding_use_s3fs(url: str) -> None:
    from registry.storage.s3 import s3_reader

    assert s3_reader(url, {}) is None


def test_errors_are_reported_by_s3fs(url: str, seaweedfs: S3Server) -> None:
    with pytest.raises(NotFoundError, match=r"s3://reader/some/where/none does not exist"):
        Place(url, seaweedfs.storage_options).read("none")
    with pytest.raises(StorageError, match=r"Cannot read s3://reader/some/where/items"):
        Place(url, {**seaweedfs.storage_options, "secret": "another-one"}).read("items/split=train/0a.parquet")
    with pytest.raises(StorageError, match=r"Cannot read"):
        Place(url, {**seaweedfs.storage_options, "profile": "nobodys"}).read("items/split=train/0a.parquet")


@pytest.mark.parametrize(("failures", "fast"), [(1, True), (2, False)])
def test_a_temporary_error_is_retried_once_and_then_left_to_s3fs(
    url: str, seaweedfs: S3Server, s3_proxy: S3Proxy, failures: int, fast: bool
) -> None:
    place = Place(url, s3_proxy.through(seaweedfs).storage_options)
    s3_proxy.fault = first(failures, status(503, "SlowDown"))
    assert is_fast(place) is fast


def test_a_forked_process_uses_s3fs(url: str, seaweedfs: S3Server) -> None:
    code = f"""
import os
from registry.storage.place import Place
place = Place({url!r}, {seaweedfs.storage_options!r})
data = place.read("items/split=train/0a.parquet")
assert "_filesystem" not in vars(place._folder)
child = os.fork()
if child == 0:
    same = place.read("items/split=train/0a.parquet") == data
    os._exit(0 if same and "_filesystem" in vars(place._folder) else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
