"""Servers that are processes of their own: started, awaited, and ended with whoever started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

#: Runs a command that the kernel kills once the thread that started it is gone (Linux; elsewhere it just runs). A
#: preexec_fn would do the same, but forks a process that has threads, about which Python 3.12 warns.
_GUARD = f"""
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)})  # PR_SET_PDEATHSIG
    if os.getppid() != int(sys.argv[1]):
        sys.exit("whoever wanted this server is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""

#: Variables that tell clients of stores, and some of the servers, who they are and where to go.
_SETTINGS = ("AWS_", "AZURE_", "DF2_", "FSSPEC_", "GOOGLE_", "STORAGE_EMULATOR_", "WEED_")
#: DF2_DUCKDB1 is for tests, not for the registry: it names the folder of an old DuckDB.
_NO_SETTINGS = ("DF2_DUCKDB1",)

_SECONDS_TO_START = 60.0
_TRIES = 3


class ServerError(Exception):
    """A server did not start."""


def is_setting(name: str) -> bool:
    """Return whether a variable belongs to whoever runs the tests, and not to the tests."""
    return name.startswith(_SETTINGS) and name not in _NO_SETTINGS


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what :func:`is_setting` finds in it."""
    return {name: value for name, value in environment.items() if not is_setting(name)}


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens at just now."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


def listens(port: int) -> bool:
    """Return whether somebody accepts connections at a port of 127.0.0.1."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def get(url: str) -> bytes | None:
    """Return the body of a web page of this machine, or None if there is no answer or an error."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
        return body
    return None


@contextmanager
def running(
    command: Callable[[Sequence[int]], Sequence[str]],
    ports: int,
    is_ready: Callable[[Sequence[int]], bool],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Sequence[int]]:
    """Run a server until the end of the block, and yield its ports.

    It is killed in the end: it worked in a folder that nobody wants any more.

    Args:
        command: what to run, given the ports.
        ports: how many it needs. Another process may take one before the server does; then others are tried.
        is_ready: asked with the ports, again and again until it says yes.
        folder: where it runs, and where its ``server.log`` goes.
        environment: variables that it gets besides ours.

    Raises:
        ServerError: it ended, or was not ready in time; the message has the end of what it logged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in reversed(range(_TRIES)):
        chosen = free_ports(ports)
        process = _start(command(chosen), folder, environment)
        try:
            deadline = time.monotonic() + _SECONDS_TO_START
            while process.poll() is None and time.monotonic() < deadline:
                if is_ready(chosen):
                    yield chosen
                    return
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        if not left:
            said = (folder / "server.log").read_text(errors="replace")[-4000:]
            raise ServerError(f"{process.args!r} did not start:\n{said}")


def _start(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    guarded = [sys.executable, "-I", "-c", _GUARD, str(os.getpid()), *command]
    with open(folder / "server.log", "wb") as log:
        return subprocess.Popen(
            guarded,
            cwd=folder,
            env=without_settings(os.environ) | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
