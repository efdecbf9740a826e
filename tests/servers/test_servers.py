"""The servers that other tests rely on store files and check credentials."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.servers.gcs import GCSServer
from tests.servers.http import HTTPServer
from tests.servers.processes import ServerError, free_ports, listens, running
from tests.servers.s3 import S3Server
from tests.servers.ssh import SSHServer
from tests.servers.webdav import WebDAVServer
from tests.waiting import until_empty

NAME, DATA = "a/b c+ü%.txt", bytes(range(256))


@pytest.fixture(params=["seaweedfs", "moto_server"])
def s3(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    return server


def refusal(call: Any, *arguments: Any, **options: Any) -> str:
    """Return the S3 error code of a failing call; s3fs raises different Python errors for it."""
    with pytest.raises(OSError) as raised:
        call(*arguments, **options)
    return str(raised.value.__cause__.response["Error"]["Code"])  # type: ignore[union-attr]


@pytest.mark.xdist_group("seaweedfs")
def test_s3_servers_return_the_stored_bytes(s3: S3Server) -> None:
    import fsspec

    bucket = s3.make_bucket("round-trip")
    files, path = fsspec.url_to_fs(f"{bucket}/{NAME}", **s3.storage_options)
    files.pipe_file(path, DATA)
    assert files.cat_file(path, start=10, end=20) == DATA[10:20]
    assert s3.files().find(bucket) == [path]
    assert s3.make_bucket("round-trip") == bucket
    assert s3.files().find(bucket) == []


@pytest.mark.xdist_group("seaweedfs")
def test_s3_servers_are_usable_by_environment_variables(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.make_bucket("environment")
    script = f"import fsspec; fsspec.open('{bucket}/new', 'wb').open().close()"
    subprocess.run([sys.executable, "-c", script], env=os.environ | s3.environment, cwd=tmp_path, check=True)
    assert s3.files().find(bucket) == ["environment/new"]


@pytest.mark.xdist_group("seaweedfs")
def test_seaweedfs_refuses_a_wrong_secret_and_an_unknown_key(seaweedfs: S3Server) -> None:
    seaweedfs.make_bucket("closed")
    with pytest.raises(PermissionError):
        replace(seaweedfs, secret="wrong").files().ls("closed")
    with pytest.raises(PermissionError):
        replace(seaweedfs, key="nobody").files().pipe_file("closed/new", b"")
    assert seaweedfs.files().ls("closed") == []


@pytest.mark.xdist_group("seaweedfs")
def test_s3_servers_support_conditional_writes(s3: S3Server) -> None:
    files, path = s3.files(), s3.make_bucket("conditions") + "/manifest"
    old = files.pipe_file(path, b"1", mode="create")["ETag"]
    assert refusal(files.pipe_file, path, b"2", mode="create") == "PreconditionFailed"
    new = files.pipe_file(path, b"3", IfMatch=old)["ETag"]
    assert files.info(path)["ETag"] == new != old
    assert refusal(files.pipe_file, path, b"4", IfMatch=old) == "PreconditionFailed"
    assert files.cat_file(path) == b"3"


def test_ssh_returns_the_stored_bytes_and_runs_commands(ssh_server: SSHServer) -> None:
    import fsspec

    files, path = fsspec.url_to_fs(ssh_server.url(NAME), **ssh_server.storage_options)
    files.pipe_file(path, DATA)
    files.cp_file(path, f"{path}-2")
    files.mv(f"{path}-2", f"{path}-3")
    assert files.cat_file(f"{path}-3") == DATA
    assert (ssh_server.root / NAME).read_bytes() == DATA
    with files.open(path, "rb") as file:
        file.seek(10)
        assert file.read(10) == DATA[10:20]


def test_ssh_accepts_only_its_client_key_and_shows_its_host_key(ssh_server: SSHServer, tmp_path: Path) -> None:
    import asyncssh
    import fsspec

    other = asyncssh.generate_private_key("ssh-ed25519")
    options = ssh_server.storage_options
    with pytest.raises(PermissionError):
        fsspec.url_to_fs(ssh_server.url(), **options | {"client_keys": [other]})
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{ssh_server.port} {other.export_public_key().decode()}")
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        fsspec.url_to_fs(ssh_server.url(), **options | {"known_hosts": str(known_hosts)})


def test_webdav_returns_the_stored_bytes_only_with_the_password(webdav_server: WebDAVServer) -> None:
    import fsspec
    from webdav4.client import HTTPError

    files, path = fsspec.url_to_fs(f"webdav://{NAME}", **webdav_server.storage_options)
    files.pipe_file(path, DATA)
    assert files.cat_file(path, start=10, end=20) == DATA[10:20]
    assert (webdav_server.root / NAME).read_bytes() == DATA
    other, _ = fsspec.url_to_fs("webdav://", base_url=webdav_server.base_url, auth=(webdav_server.user, "wrong"))
    with pytest.raises(HTTPError, match="401"):
        other.ls("")


def test_http_serves_files_and_ranges_and_refuses_uploads(http_server: HTTPServer) -> None:
    import fsspec

    path = f"own/{NAME}"  # other tests have folders there, too
    (http_server.root / path).parent.mkdir(parents=True)
    (http_server.root / path).write_bytes(DATA)
    files, url = fsspec.url_to_fs(http_server.url(path))
    assert files.cat_file(url) == DATA
    assert files.cat_file(url, start=10, end=20) == DATA[10:20]
    assert files.find(http_server.url("own/")) == [url]
    with pytest.raises(FileNotFoundError):
        files.cat_file(http_server.url("../server.log"))
    with pytest.raises(Exception, match="Method Not Allowed"):
        files.pipe_file(http_server.url("new"), b"")


def test_gcs_returns_the_stored_bytes(gcs_server: GCSServer) -> None:
    import fsspec

    bucket = gcs_server.make_bucket("round-trip")
    files, path = fsspec.url_to_fs(f"{bucket}/{NAME}", **gcs_server.storage_options)
    files.pipe_file(path, DATA)
    assert files.cat_file(path, start=10, end=20) == DATA[10:20]
    assert files.find(bucket) == [path]


def test_a_server_that_does_not_start_is_an_error_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no disk')"]
    with pytest.raises(ServerError, match="no disk"), running(lambda _: command, 1, lambda _: False, tmp_path):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the children of a killed process")
def test_a_server_ends_when_its_parent_process_ends_or_is_killed(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    (tmp_path / "start.py").write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.servers import processes\n"
        f"processes.free_ports = lambda count: [{port}]\n"
        f"command = [sys.executable, '-m', 'http.server', '--bind', '127.0.0.1', '{port}']\n"
        "with processes.running(lambda _: command, 1, lambda ports: processes.listens(ports[0]), Path(sys.argv[1])):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, str(tmp_path / "start.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
    )
    with starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"ready\n"
        assert listens(port)
        starter.send_signal(signal.SIGKILL)
    assert not until_empty(lambda: listens(port), 30)
