"""Run servers as child processes that end with their parent."""

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

#: Runs a command that the kernel kills when the thread that started it ends (Linux only). A preexec_fn would do the
#: same, but Python 3.12 warns about forking a process with threads.
_GUARD = f"""
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)})  # PR_SET_PDEATHSIG
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent process has ended")
os.execvp(sys.argv[2], sys.argv[2:])
"""

#: Prefixes of environment variables that configure client libraries and servers.
_SETTINGS = ("AWS_", "AZURE_", "DF2_", "FSSPEC_", "GOOGLE_", "STORAGE_EMULATOR_", "WEED_")
#: Settings of tests: the folder of an old DuckDB, and the path of a browser.
_NO_SETTINGS = ("DF2_DUCKDB1", "DF2_CHROMIUM")

_SECONDS_TO_START = 60.0
_TRIES = 3


class ServerError(Exception):
    """A server did not start."""


def is_setting(name: str) -> bool:
    """Return whether an environment variable is a setting of the user, which tests must not see."""
    return name.startswith(_SETTINGS) and name not in _NO_SETTINGS


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the user's settings (:func:`is_setting`)."""
    return {name: value for name, value in environment.items() if not is_setting(name)}


def free_ports(count: int) -> list[int]:
    """Return free ports of 127.0.0.1."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


def listens(port: int) -> bool:
    """Return whether a server accepts connections at a port of 127.0.0.1."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def get(url: str) -> bytes | None:
    """Return the body of a web page, or None on an error."""
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
    """Run a server during the block and yield its ports; kill it afterwards.

    Args:
        command: returns the command line for the ports.
        ports: number of ports. If another process takes a port first, the server is started again with other ports.
        is_ready: called with the ports until it returns True.
        folder: working directory of the server, with its ``server.log``.
        environment: additional environment variables.

    Raises:
        ServerError: the server ended, or was not ready in time; the message has the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(_TRIES):
        numbers = free_ports(ports)
        process = _start(command(numbers), folder, environment)
        try:
            deadline = time.monotonic() + _SECONDS_TO_START
            while process.poll() is None and time.monotonic() < deadline:
                if is_ready(numbers):
                    yield numbers
                    return
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        if attempt == _TRIES - 1:
            log = (folder / "server.log").read_text(errors="replace")[-4000:]
            raise ServerError(f"{process.args!r} did not start:\n{log}")


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
