"""Runs git with a remote repository: credentials in its environment, and an end if the server does not answer."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Final
from urllib.parse import unquote, urlsplit

from registry.errors import StorageError, UsageError
from registry.redaction import redact, split_user, without_user
from registry.storage.timeouts import NoAnswerError, attempt_timeout

#: A credential helper of git: a shell command without secrets, as all users can list processes.
_HELPER: Final = (
    '!f() { test "$1" = get && printf \'username=%s\\npassword=%s\\n\' "$DF2_GIT_USER" "$DF2_GIT_PASSWORD"; }; f'
)
#: Lines of git's progress and of updated references; all other lines are messages.
_PROGRESS: Final = re.compile(
    r"(remote: )?[A-Z][\w ]+: +\d+(%|,| |$).*|(remote: )?Enumerating .*|Cloning into .*|From .*| [ *+=t!-] .* -> .*"
    r"|remote: Total .*|\s*"
)
_POLL_SECONDS: Final = 0.05
_END_SECONDS: Final = 5.0


def run_with_remote(
    command: list[str], environment: Mapping[str, str], remote: str
) -> subprocess.CompletedProcess[bytes]:
    """Return the finished process of git; its standard error is without the progress.

    Args:
        command: of git, with ``--progress``: its output shows that data arrives.
        environment: of git.
        remote: URL of the repository, with its credentials.

    Raises:
        FileNotFoundError: git is not installed.
        UsageError: the URL has a secret outside of user name and password.
        StorageError: no output for nearly the time of :func:`registry.storage.timeouts.network_timeout`.
    """
    shown = without_user(remote)
    if redact(shown) != shown:
        # Git passes the whole URL to a child process as an argument.
        raise UsageError(
            f"{redact(shown)} holds a secret that git would show to everybody who lists processes. "
            "Write it as https://USER:PASSWORD@HOST/... or https://TOKEN@HOST/..., where it stays hidden."
        )
    limit = 3 * attempt_timeout()  # a single attempt, as long as the three attempts elsewhere
    # In the terminal's process group, so that ssh may ask for a passphrase and Ctrl-C reaches git's children.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"GIT_TERMINAL_PROMPT": "0", **environment, **_credentials(environment, remote)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    output, messages = _Reader(process.stdout), _Reader(process.stderr)
    try:
        while process.poll() is None:
            seconds = time.monotonic() - max(output.last, messages.last)
            if seconds > limit:
                server = urlsplit(without_user(remote)).netloc.rpartition("@")[2] or None
                raise StorageError(f"git was ended: {NoAnswerError(server, seconds)}")
            time.sleep(_POLL_SECONDS)
    finally:
        _end(process)
        output.join(_END_SECONDS)
        messages.join(_END_SECONDS)
    lines = re.split(rb"[\r\n]", bytes(messages.data))
    message_lines = [line for line in lines if not _PROGRESS.fullmatch(line.decode(errors="replace"))]
    return subprocess.CompletedProcess(command, process.returncode, bytes(output.data), b"\n".join(message_lines))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Terminate git and its children if it runs; git then removes an unfinished clone."""
    if process.poll() is not None:
        return
    import psutil  # type: ignore[import-untyped]

    with suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        for child in children:  # git does not end its HTTP process
            with suppress(psutil.Error):
                child.kill()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Reader(threading.Thread):
    """Collects the output of a process.

    Attributes:
        data: the bytes so far.
        last: monotonic time of the last bytes.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.data = bytearray()
        self.last = time.monotonic()
        self.start()

    def run(self) -> None:
        with self._stream:
            while data := os.read(self._stream.fileno(), 65_536):
                self.data += data
                self.last = time.monotonic()


def _credentials(environment: Mapping[str, str], remote: str) -> dict[str, str]:
    """Return environment variables that give git the credentials of a URL, for its server only."""
    parts = split_user(remote)
    if parts is None or not parts.scheme.lower().startswith("http"):
        return {}  # over SSH, the user stays in the URL, and ssh finds passwords and keys itself
    # An empty helper removes the user's configured helpers, so that the credentials of the URL are used.
    server = f"{parts.scheme}{urlsplit(without_user(remote)).netloc}"
    count = int(environment.get("GIT_CONFIG_COUNT") or 0)
    variables = {"GIT_CONFIG_COUNT": str(count + 2)}
    for number, helper in enumerate(("", _HELPER), count):
        variables[f"GIT_CONFIG_KEY_{number}"] = f"credential.{server}.helper"
        variables[f"GIT_CONFIG_VALUE_{number}"] = helper
    password = unquote(parts.password or "")
    return {**variables, "DF2_GIT_USER": unquote(parts.user), "DF2_GIT_PASSWORD": password}
