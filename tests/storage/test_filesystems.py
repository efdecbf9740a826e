"""File systems of URLs: options, errors, retries."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import fsspec.config
import pytest

from registry.errors import MissingDependencyError, StorageError, UsageError
from registry.storage import filesystems
from registry.storage.filesystems import filesystem, is_conflict, retried
from registry.storage.options import options_of
from registry.storage.paths import local_path


def test_options_apply_to_their_protocol_or_url() -> None:
    options = {"anon": True, "s3:key": "a", "s3://lab:key": "b", "ssh:port": 22, "s3://lab/x:anon": False}
    assert options_of("s3://other/x", options) == {"anon": True, "key": "a"}
    assert options_of("s3://lab/y", options) == {"anon": True, "key": "b"}
    assert options_of("s3://lab/x/y", options) == {"anon": False, "key": "b"}
    assert options_of("s3://laboratory/x", options) == {"anon": True, "key": "a"}
    assert options_of("ssh://host/x", options) == {"anon": True, "port": 22}
    assert options_of("http://host", None) == {}
    assert options_of("s3://lab/y", {"s3://lab:key": "b", "s3:key": "a", "key": "c"}) == {"key": "b"}


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("s3://b/x", "s3fs", "s3"), ("gs://b/x", "gcsfs", "gs"), ("abfs://b/x", "adlfs", "azure"),
        ("webdav://h/x", "webdav4", "webdav"),
    ],
)  # fmt: skip
def test_a_missing_package_is_reported_with_its_install_command(url: str, package: str, extra: str) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = None
from registry.errors import MissingDependencyError
from registry.storage.filesystems import filesystem
try:
    filesystem({url!r})
except MissingDependencyError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"pip install 'deepfashion2-registry[{extra}]'" in done.stdout


@pytest.mark.parametrize("url", ["nosuch://x/y", "memory://x/y"])
def test_an_unknown_protocol_or_option_is_an_error(url: str) -> None:
    with pytest.raises((StorageError, MissingDependencyError), match=r"Cannot use|needs a package"):
        filesystem(url.replace("memory", "webdav"), {"nosuch_option": 1})


def test_the_environment_overrides_the_attempts_of_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="needs the extra s3")
    assert filesystem("s3://bucket/x")[0].config_kwargs["retries"]["total_max_attempts"] == 1
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    config = filesystem("s3://bucket/x")[0].config_kwargs
    assert "retries" not in config
    assert config["connect_timeout"] == 13.5


def test_fsspecs_configuration_overrides_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="needs the extra s3")
    configured = {"config_kwargs": {"s3": {"addressing_style": "path"}, "read_timeout": 99}}
    monkeypatch.setitem(fsspec.config.conf, "s3", configured)
    config = filesystem("s3://bucket/x")[0].config_kwargs
    assert (config["s3"], config["read_timeout"]) == ({"addressing_style": "path"}, 99)
    assert config["connect_timeout"] == 13.5


def test_a_webdav_url_gives_server_user_and_path() -> None:
    pytest.importorskip("webdav4", reason="needs the extra webdav")
    fs, path = filesystem("webdavs://ada:hunter%2F2@host:8443/dav/a%20b/")
    assert path == "dav/a b"
    assert str(fs.client.base_url) == "https://host:8443"
    fs, path = filesystem("webdav://host/x", {"auth": ["ada", "hunter2"]})
    assert (str(fs.client.base_url), path) == ("http://host", "x")


def test_file_urls_and_paths_are_local(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_path("file:///a/b") == local_path("/a/b")
    assert local_path("x") == tmp_path / "x"
    assert local_path("s3://x") is None
    assert local_path("simplecache::/x") is None
    assert local_path("zip://annos::train.zip") is None
    assert local_path("simplecache::s3://b/x") is None
    for url in ("file::x", "file::", "zip://a::", "memory::x", "simplecache::a/b"):
        with pytest.raises(UsageError, match="is no URL and no absolute path"):
            local_path(url)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(filesystems.time, "sleep", taken.append)
    return taken


def test_temporary_errors_are_retried_with_growing_delays(naps: list[float]) -> None:
    answers = iter([OSError("busy"), RuntimeError("of a client library"), "done"])

    def call() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retried(call) == "done"
    assert len(naps) == 2
    assert naps[0] <= 0.3 < 1 <= naps[1] <= 2


@pytest.mark.parametrize("error", [FileNotFoundError(), PermissionError(), FileExistsError(), IsADirectoryError()])
def test_permanent_errors_are_not_retried(naps: list[float], error: OSError) -> None:
    def call() -> None:
        raise error

    with pytest.raises(type(error)):
        retried(call)
    assert naps == []


def test_after_the_last_attempt_the_original_error_is_raised(naps: list[float]) -> None:
    def call() -> None:
        raise RuntimeError("gone for good")

    with pytest.raises(OSError, match="RuntimeError: gone for good"):
        retried(call)
    assert len(naps) == 2


def test_a_call_longer_than_half_the_network_timeout_is_not_retried(
    naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, 0.0, 46.0, 46.0])
    monkeypatch.setattr(filesystems.time, "monotonic", lambda: next(clock))

    def call() -> None:
        raise OSError("no such host")

    with pytest.raises(OSError, match="no such host"):
        retried(call)
    assert naps == []


def test_a_refused_conditional_write_is_recognised_by_its_code() -> None:
    class ClientError(Exception):
        response: dict[str, Any] = {"Error": {"Code": "PreconditionFailed"}}  # noqa: RUF012

    refused = OSError("At least one of the pre-conditions you specified did not hold")
    refused.__cause__ = ClientError()
    assert is_conflict(refused)
    assert is_conflict(FileExistsError())
    assert not is_conflict(OSError("other"))
