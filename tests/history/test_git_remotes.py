"""Repositories elsewhere: their credentials stay out of process lists and files, and silent servers are given up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from registry.errors import StorageError, UsageError
from registry.history.checkout import checkout
from registry.history.git import find_repository, user_cache
from registry.history.release_check import check_release
from registry.redaction import without_user
from registry.storage.timeouts import VARIABLE
from tests.repositories import Project
from tests.servers.git import run_git_http
from tests.servers.silent import run_silent
from tests.waiting import until_empty

pytestmark = pytest.mark.system

USER, PASSWORD = "ada", "hun/ter'2 %41@\"$x"
ENCODED = "hun%2Fter%272%20%2541%40%22%24x"


@pytest.fixture
def bare(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the bare repository ``x.git``, whose DVC remote is a folder."""
    shutil.copytree(template / "project", tmp_path / "project")
    shutil.copytree(template / "storage", tmp_path / "storage")
    project = Project(tmp_path / "project")
    project.set_remote(str(tmp_path / "storage"))
    project.commit("The remote for all", "v3.0")
    (tmp_path / "served").mkdir()
    subprocess.run(["git", "clone", "-q", "--bare", project.root, tmp_path / "served/x.git"], check=True)
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file:http")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "served"


def secret_in_files(folder: Path) -> list[Path]:
    """Return the files below a folder that hold the password in any spelling."""
    needles = (PASSWORD.encode(), ENCODED.encode(), b"hun%2Fter")
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if any(needle in path.read_bytes() for needle in needles)]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_credentials_of_a_clone_are_in_no_command_line_and_no_file(bare: Path) -> None:
    with run_git_http(bare, USER, PASSWORD) as server:
        url = f"http://{USER}:{ENCODED}@{server.host}/x.git"
        assert (checkout("v3.0", url) / "manifest.json").is_file()
        find_repository(url, "data/registry")[0].update()
        commands = {command for command in server.commands if "x.git" in command}
        assert any("clone" in command for command in commands)
        assert any("remote-http" in command for command in commands)
    shown = [command for command in server.commands if "ter" in command and ("hun%2F" in command or "hun/" in command)]
    assert shown == []
    assert secret_in_files(user_cache()) == []


def test_a_token_without_a_colon_is_a_user_without_a_password(bare: Path) -> None:
    with run_git_http(bare, "token-123456", "") as server:
        assert (checkout("v3.0", f"http://token-123456@{server.host}/x.git") / "manifest.json").is_file()
    assert not any("token-123456" in command for command in server.commands)


def test_wrong_credentials_end_in_one_error_and_nobody_is_asked(bare: Path) -> None:
    with run_git_http(bare, USER, PASSWORD) as server, pytest.raises(StorageError) as raised:
        checkout("v3.0", f"http://{USER}:wrong-one@{server.host}/x.git")
    assert str(raised.value).startswith(
        f"Cannot clone http://{server.host}/x.git. git says: fatal: Authentication failed"
    )
    assert "wrong-one" not in str(raised.value)


def test_a_clone_that_kept_credentials_is_taken_over_without_them(bare: Path) -> None:
    with run_git_http(bare, USER, PASSWORD) as server:
        url = f"http://{USER}:{ENCODED}@{server.host}/x.git"
        checkout("v3.0", url)
        (folder,) = (path for path in user_cache().iterdir() if (path / "git").is_dir())
        subprocess.run(["git", "--git-dir=.", "config", "remote.origin.url", url], cwd=folder / "git", check=True)
        import hashlib

        folder.rename(folder.with_name(hashlib.sha256(url.encode()).hexdigest()[:16]))
        assert secret_in_files(user_cache()) != []
        find_repository(url, "data/registry")
        assert secret_in_files(user_cache()) == []
        assert [path for path in user_cache().iterdir() if (path / "git").is_dir()] == [folder]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_the_check_of_a_release_shows_no_credentials_to_others(bare: Path, tmp_path: Path) -> None:
    with run_git_http(bare, USER, PASSWORD) as server:
        project = Project(tmp_path / "project")
        project.git("remote", "add", "origin", f"http://{USER}:{ENCODED}@{server.host}/x.git")
        findings = list(check_release("v3.0", str(project.root)))
        assert [finding.kind for finding in findings if finding.kind == "fail"] == []
    assert not any("hun%2F" in command for command in server.commands if "config" not in command)


@pytest.mark.parametrize("secret", ["?access_token=abcdef123", "?a=1&private_token=abcdef123", "#token=abcdef123"])
def test_a_secret_behind_the_path_is_refused_as_git_would_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="everybody who lists processes") as raised:
        checkout("v1.0", f"http://127.0.0.1:1/x.git{secret}")
    assert "abcdef123" not in str(raised.value)
    assert not list((tmp_path / "cache").rglob("git*"))


def _git_processes(host: str) -> list[bytes]:
    """Return the commands of the processes of git that name a host."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended
            commands.append(path.read_bytes())
    return [command for command in commands if host.encode() in command and b"git" in command]


def test_a_silent_git_server_is_given_up_and_its_client_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "http:git")
    monkeypatch.setenv(VARIABLE, "1")
    with run_silent() as server:
        for url in (f"http://ada:hunter2@{server.host}/x.git", f"git://{server.host}/x.git"):
            begin = time.monotonic()
            with pytest.raises(StorageError) as raised:
                checkout("v1.0", url)
            assert time.monotonic() - begin < 20
            assert f"Cannot clone {without_user(url)}. git was ended: no answer from {server.host}" in str(raised.value)
            assert "--network-timeout" in str(raised.value)
        assert until_empty(lambda: _git_processes(server.host), 5) == []
    assert not list(user_cache().glob("*/git*"))


def test_a_slow_clone_that_makes_progress_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    script = (
        f"#!{sys.executable}\nimport sys, time, json, os\n"
        "for percent in range(0, 100, 10):\n"
        "    print(f'Receiving objects:  {percent}% (1/9)', end='\\r', file=sys.stderr, flush=True)\n"
        "    time.sleep(0.25)\n"
        "print('fatal: \\x1b[31mthe end', file=sys.stderr)\nsys.exit(128)\n"
    )
    fake.write_text(script)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, "1")
    with pytest.raises(StorageError) as raised:
        checkout("v1.0", "http://127.0.0.1:1/x.git")
    assert str(raised.value) == r"Cannot clone http://127.0.0.1:1/x.git. git says: fatal: \x1b[31mthe end"


def test_settings_of_git_in_the_environment_stay(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Ada"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    from registry.history.git_remotes import _credentials

    variables = os.environ | _credentials(os.environ, "https://ada:hunter2@host:8443/x@v1.git")
    script = ["git", "config", "--get-regexp", r"^(user\.name|credential\..*)"]
    listed = subprocess.run(script, env=variables, capture_output=True, text=True, check=True).stdout
    assert "user.name Ada" in listed
    assert listed.count("credential.https://host:8443.helper") == 2
    assert "hunter2" not in json.dumps(listed)


@pytest.mark.parametrize("kind", ["http", "s3", "ssh", "webdav", "gs"])
def test_a_silent_remote_of_dvc_is_given_up(
    kind: str, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip({"http": "dvc_http", "gs": "dvc_gs"}.get(kind, f"dvc_{kind}"))
    monkeypatch.setenv(VARIABLE, "2")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2222")
    if kind == "gs":
        retry = pytest.importorskip("gcsfs.retry")

        class Pauses:
            async def sleep(self, seconds: float) -> None:
                """Not waited for here; see test_silent_servers."""

        monkeypatch.setattr(retry, "asyncio", Pauses())
    with run_silent() as server:
        project = Project(tmp_path / "project")
        url = {"s3": "s3://bucket/x", "gs": "gs://bucket/x"}.get(kind, f"{kind}://{server.host}/x")
        if kind == "ssh":
            url = f"ssh://ada@{server.host}/x"
        project.set_remote(url)
        with project.dvc() as repo, repo.config.edit("repo") as config:
            (name,) = config["remote"]
            if kind == "s3":
                config["remote"][name]["endpointurl"] = f"http://{server.host}"
            if kind == "gs":
                config["remote"][name] |= {"endpointurl": f"http://{server.host}", "allow_anonymous_login": True}
        project.forget()
        begin = time.monotonic()
        with pytest.raises(StorageError) as raised:
            checkout("v3.0", str(project.root))
        assert time.monotonic() - begin < 30
        assert server.requests
    assert "DF2_NETWORK_TIMEOUT (now 2 s) allows more" in str(raised.value)
