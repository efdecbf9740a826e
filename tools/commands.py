"""Commands that the tools run, and the environment in which they run them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

#: Variables by which pip reaches its index. PIP_CONSTRAINT is none of them: users install without constraints.
_FOR_PIP: Final = re.compile(r"PIP_(?!CONSTRAINT)|SSL_CERT_|(REQUESTS_CA|CURL_CA)_BUNDLE$|(https?|no)_proxy$", re.I)


class FailedError(click.ClickException):
    """A step of a build or a release failed, or may not begin; the message says what to do."""


def run(
    command: Sequence[str | Path], folder: Path, *, variables: Mapping[str, str] | None = None, umask: int = -1
) -> str:
    """Return the standard output of a command.

    Args:
        command: the program with its arguments.
        folder: working directory.
        variables: the whole environment; that of this process without it.
        umask: of the process; that of this process with -1.

    Raises:
        FailedError: the command cannot be started, or its exit code is not 0; the message holds its output.
    """
    try:
        process = subprocess.run(
            command, cwd=folder, env=variables, umask=umask, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    except OSError as error:
        raise FailedError(f"{command[0]} cannot be started: {error}") from error
    if process.returncode:
        words = " ".join(map(str, command))
        raise FailedError(
            f"{words}\nin {folder} ended with exit code {process.returncode}:\n{process.stdout}{process.stderr}"
        )
    return process.stdout


def empty_environment(home: Path, first: Path | None = None) -> dict[str, str]:
    """Return the variables of a fresh user: a home, a path, a language, and how pip reaches its index.

    Args:
        home: the home folder.
        first: folder of programs to put before those of the system.
    """
    variables = {name: value for name, value in os.environ.items() if _FOR_PIP.match(name)}
    path = os.environ.get("PATH", os.defpath)
    return {**variables, "HOME": str(home), "LANG": "C.UTF-8", "PATH": f"{first}{os.pathsep}{path}" if first else path}
