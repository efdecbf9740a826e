"""Runs the blocks of a page as a reader would: one shell, one Python, one folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from tests.docs.blocks import Block, shows

#: Seconds that a block may take.
TIME_LIMIT = 60
COLUMNS = 100
#: Colours, bold text and a hidden cursor, which a page does not show.
_STYLE = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[hl])")
_END = re.compile(r"\x00(?P<failures>.*?)\x00(?P<folder>.*?)\x00")
#: Sent before the blocks. Commands that fail are collected as LINE:CODE; an error does not end the shell.
_PROLOGUE = """\
set -o pipefail
trap 'code=$?; failures+="${LINENO}:${code} "' ERR
"""
_WORKER = Path(__file__).with_name("python_worker.py")
#: Packages that the tests have and no extra brings to a user.
_OF_NO_EXTRA = ("pandas", "polars")


def packages_that_a_reader_lacks(page: Path) -> list[str]:
    """Return the packages of no extra that the page does not tell to install."""
    lines = re.findall(r"pip install ([\w ]+)", page.read_text(encoding="utf-8"))
    return [name for name in _OF_NO_EXTRA if name not in " ".join(lines).split()]


class BlockError(AssertionError):
    """A block that failed or shows other output than it has; the text begins with file and line."""


class Session:
    """A shell and a Python interpreter, which run blocks in the order in which they come.

    ``sh`` blocks run in the shell, in a terminal of :data:`COLUMNS` columns, without progress; results and notes
    stand in the order in which a reader sees them. ``sql`` blocks are the queries of ``df2 sql``. ``python`` blocks
    share their names and run in the working directory of the shell. A block with a title is saved as that file. Blocks
    in other languages, and those with the remark ``not run: REASON``, are passed over. The remark ``exit CODE`` expects
    a command to fail.
    """

    def __init__(self, folder: Path, home: Path, without: Iterable[str] = ()) -> None:
        """Start the shell.

        Args:
            folder: its working directory.
            home: empty folder for what programs keep in the user's home.
            without: packages that the Python blocks cannot import, though the tests have them.
        """
        self._without = list(without)
        self._scratch = home
        self._folder = folder
        self._environment = _environment(home)
        self._terminal, end = os.openpty()
        tty.setraw(end)
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=end,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=self._environment,
            start_new_session=True,
        )
        os.close(end)
        self._send(_PROLOGUE)
        self._python: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the shell and the interpreter, with all that they started."""
        for process in (self._shell, self._python):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        with contextlib.suppress(BrokenPipeError):  # of commands that an ended shell did not read
                            stream.close()
        os.close(self._terminal)

    def run(self, block: Block) -> str:
        """Return the output of a block, compared with the output on the page.

        Raises:
            BlockError: a command failed, took too long, or has other output.
        """
        if block.remark.startswith("not run: "):
            return ""
        if block.title is not None:
            file = self._folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
            return ""
        if block.language == "sh":
            output = self._run_shell(block, block.text)
        elif block.language == "sql":
            output = self._run_shell(block, f"df2 sql {shlex.quote(block.text)}\n")
        elif block.language == "python":
            output = self._run_python(block)
        else:
            return ""
        if block.output is not None and not shows(block.output, output):
            raise BlockError(f"{block.place}: the page shows\n{block.output}\nbut the output is\n{output}")
        return output

    def _run_shell(self, block: Block, commands: str) -> str:
        """Return the output of commands in the shell."""
        script = self._scratch / "block.sh"
        # Empty lines before the commands make line numbers in messages of the shell those of the page.
        # The last line keeps the trap from counting a failure of the last command again, for the whole script.
        script.write_text("\n" * (block.line - 1) + commands + "\ntrue\n", encoding="utf-8")
        self._send(
            f'failures=; . {shlex.quote(str(script))} </dev/null 2>&1\nprintf \'\\0%s\\0%s\\0\' "$failures" "$PWD"\n'
        )
        text, end = self._read(block)
        output = _STYLE.sub("", text)
        if end is None:
            raise BlockError(f"{block.place}: the shell ended\n{output}")
        self._folder = Path(end["folder"])
        failures = [tuple(map(int, failure.split(":"))) for failure in end["failures"].split()]
        expected = [int(code) for code in re.findall(r"\Aexit (\d+)\Z", block.remark)]
        if [code for _, code in failures] != expected:
            lines = "".join(f"{block.path}:{line}: exit code {code}\n" for line, code in failures)
            raise BlockError(f"{lines or f'{block.place}: expected {block.remark}'}\n{output}")
        return output

    def _read(self, block: Block) -> tuple[str, re.Match[str] | None]:
        """Return what the shell writes until the end of a block, and that end; None where the shell ended itself."""
        deadline, data = time.monotonic() + TIME_LIMIT, b""
        while True:
            ready, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise BlockError(f"{block.place}: not done after {TIME_LIMIT} s\n{data.decode(errors='replace')}")
            try:
                data += os.read(self._terminal, 65536)
            except OSError:  # Linux says so when nothing holds the other end any more
                return data.decode(errors="replace"), None
            end = _END.search(data.decode(errors="replace"))
            if end is not None:
                return end.string[: end.start()], end

    def _run_python(self, block: Block) -> str:
        """Return the output of Python code."""
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-W", "error", str(_WORKER), *self._without],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        request = {"code": block.text, "path": str(block.path), "line": block.line, "cwd": str(self._folder)}
        self._python.stdin.write(json.dumps(request).encode() + b"\n")
        self._python.stdin.flush()
        ready, _, _ = select.select([self._python.stdout], [], [], TIME_LIMIT)
        if not ready:
            raise BlockError(f"{block.place}: not done after {TIME_LIMIT} s")
        line = self._python.stdout.readline()
        if not line:
            raise BlockError(f"{block.place}: the interpreter ended")
        answer = json.loads(line)
        if answer["error"] is not None:
            raise BlockError(f"{block.place}: {answer['error']}{answer['output']}")
        return str(answer["output"])

    def _send(self, commands: str) -> None:
        """Send commands to the shell; :meth:`_read` notices one that has ended."""
        assert self._shell.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._shell.stdin.write(commands.encode())
            self._shell.stdin.flush()


def _environment(home: Path) -> dict[str, str]:
    """Return the environment of a reader: this installation, and a home that has a name for git alone."""
    (home / ".gitconfig").write_text("[user]\n\tname = Ann\n\temail = ann@example.org\n", encoding="utf-8")
    passed = {name: os.environ[name] for name in ("TMPDIR", "SSL_CERT_FILE") if name in os.environ}
    return passed | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm",
        "TTY_INTERACTIVE": "0",  # rich draws no progress
        "COLUMNS": str(COLUMNS),
        "PAGER": "cat",
        "DVC_NO_ANALYTICS": "1",
    }
