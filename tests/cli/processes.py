"""Real ``df2`` processes, with the environment of a fresh machine, and signals to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

from tests.waiting import until_empty

#: A condition that is quick for an item; for thousands, a single call of C code takes a minute.
SLOW = (
    "len(list_filter(landmarks, lambda a: len(list_filter(landmarks, lambda b: regexp_matches("
    "(a + b)::VARCHAR || ' is the sum of two numbers', '(a?){30}(.|b){30}c'))) > 1)) > 1"
)


def environment(unbuffered: str | None = None) -> dict[str, str]:
    """Return the environment of a process, with PYTHONUNBUFFERED as given, whatever the tests run with."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return variables if unbuffered is None else {**variables, "PYTHONUNBUFFERED": unbuffered}


def command(*arguments: object) -> list[str]:
    """Return the command of ``df2`` with these arguments."""
    return [sys.executable, "-m", "registry.cli.main", *map(str, arguments)]


def run_df2(
    *arguments: object, unbuffered: str | None = None, stdout: int | IO[Any] = subprocess.PIPE, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``df2`` in a process of its own."""
    return subprocess.run(
        command(*arguments),
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(unbuffered),
        check=False,
        text=True,
        timeout=120,
        **options,
    )


def run_shell(line: str, *arguments: object, unbuffered: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell in which ``df2`` stands for the command with these arguments before its own."""
    quoted = " ".join(f"'{part}'" for part in command(*arguments))
    return subprocess.run(
        ["bash", "-c", f'df2() {{ {quoted} "$@"; }}; {line}'],
        capture_output=True,
        env=environment(unbuffered),
        check=False,
        text=True,
        timeout=120,
    )


class Started:
    """A ``df2`` process that has begun its work."""

    def __init__(self, *arguments: object, cwd: Path | None = None) -> None:
        if not Path("/proc/self/status").exists():
            pytest.skip("needs /proc to see that a process has begun")
        self.process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment(),
            cwd=cwd,
            text=True,
            start_new_session=True,
        )
        until = time.monotonic() + 60
        while not self._catches_signals():
            assert time.monotonic() < until and self.process.poll() is None
            time.sleep(0.01)

    def _catches_signals(self) -> bool:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        caught = next(line for line in lines if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) & 1 << 14)  # 15, SIGTERM

    def let_work(self, seconds: float) -> None:
        """Wait so long, or until the process ends."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def seconds_to_end(self, number: int, *, group: bool = False) -> float:
        """Send a signal to a process, or to its group as a terminal does; return the seconds until the process ends."""
        begin = time.monotonic()
        (os.killpg if group else os.kill)(self.process.pid, number)
        self.stdout, self.stderr = self.process.communicate(timeout=60)
        return time.monotonic() - begin

    def remaining(self) -> list[int]:
        """Return the processes of the session still there after some time: killed ones may take it."""
        return until_empty(self._members, 5)

    def _members(self) -> list[int]:
        numbers = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                numbers.append(int(path.parent.name))
        return numbers
