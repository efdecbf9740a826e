"""Finds the interpreters of the Python versions that the package is tested with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Final

#: Versions of Python that a release is tested with, where they are installed.
VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
_PROBE: Final = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


def find_interpreter(version: str) -> Path | None:
    """Return an interpreter of this version that runs and can make environments; None if there is none.

    Looks on the PATH, then among those of pyenv, then asks uv, which may download it.
    """
    for candidate in _candidates(version):
        if _output(candidate, "-I", "-c", _PROBE) == version:
            return Path(candidate)
    return None


def _candidates(version: str) -> Iterator[str]:
    name = f"python{version}"
    for folder in os.get_exec_path():
        yield str(Path(folder) / name)
    if which("pyenv"):
        installed = [line for line in _output("pyenv", "versions", "--bare").split() if line.startswith(f"{version}.")]
        for release in installed:
            yield str(Path(_output("pyenv", "prefix", release)) / "bin" / name)
    if which("uv"):
        yield _output("uv", "python", "find", version)
        _output("uv", "python", "install", version)
        yield _output("uv", "python", "find", version)


def _output(*command: str) -> str:
    """Return the output of a command without line breaks at its ends; an empty text if it fails."""
    try:
        process = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""
