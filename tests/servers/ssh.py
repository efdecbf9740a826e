"""An SSH server with SFTP and commands that accepts a single client key.

Run as a program, this file is the server; not every machine has sshd.
"""

from __future__ import annotations

import asyncio
import getpass
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncssh

_HOST_KEY, _CLIENT_KEY, _KNOWN_HOSTS = "host_key", "client_key", "known_hosts"


@dataclass(frozen=True)
class SSHServer:
    """An SSH server on this machine and its credentials. It serves all files by absolute path."""

    port: int
    user: str
    root: Path  #: an empty folder for tests
    key_file: Path  #: private key of the client
    known_hosts: Path  #: contains the public host key
    host: str = "127.0.0.1"

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options of fsspec (sshfs) besides the URL with host, port and user."""
        return {"client_keys": [str(self.key_file)], "known_hosts": str(self.known_hosts)}

    @property
    def dvc_config(self) -> dict[str, str]:
        """Settings of ``dvc remote modify`` besides the URL."""
        return {"keyfile": str(self.key_file)}

    def url(self, path: str | Path = "") -> str:
        """Return the URL of a path, absolute or relative to ``root``."""
        return f"ssh://{self.user}@{self.host}:{self.port}{self.root / path}"


@contextmanager
def run_ssh(folder: Path) -> Iterator[SSHServer]:
    """Run an SSH server in a folder, with new keys.

    Raises:
        ServerError: the server is not installed, or did not start.
    """
    from tests.servers.processes import listens, running

    root = folder / "root"
    root.mkdir(parents=True)
    _make_keys(folder)
    with running(
        lambda ports: [sys.executable, "-P", __file__, str(folder), str(ports[0])],
        1,
        lambda ports: listens(ports[0]),
        folder,
    ) as (port,):
        host_key = (folder / f"{_HOST_KEY}.pub").read_text()
        known_hosts = folder / _KNOWN_HOSTS
        known_hosts.write_text(f"[127.0.0.1]:{port} {host_key}")
        yield SSHServer(port, getpass.getuser(), root, folder / _CLIENT_KEY, known_hosts)


def _make_keys(folder: Path) -> None:
    import asyncssh

    for name in (_HOST_KEY, _CLIENT_KEY):
        key = asyncssh.generate_private_key("ssh-ed25519")
        (folder / name).touch(mode=0o600)
        key.write_private_key(str(folder / name))
        key.write_public_key(str(folder / f"{name}.pub"))


async def _run_command(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run a client's command; sshfs uses ``cp`` and ``md5sum``."""
    if process.command is None:
        process.stderr.write(b"There is no shell here, only commands.\n")
        process.exit(1)
        return
    local = await asyncio.create_subprocess_shell(
        process.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    await process.redirect(stdin=local.stdin, stdout=local.stdout, stderr=local.stderr)
    process.exit(await local.wait())
    await process.wait_closed()


async def _serve(folder: Path, port: int) -> None:
    import asyncssh

    await asyncssh.listen(
        "127.0.0.1",
        port,
        server_host_keys=[str(folder / _HOST_KEY)],
        authorized_client_keys=str(folder / f"{_CLIENT_KEY}.pub"),
        password_auth=False,
        kbdint_auth=False,
        gss_host=None,
        sftp_factory=True,
        process_factory=_run_command,
        encoding=None,
        config=None,
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
