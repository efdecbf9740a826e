"""Standard input, output and error of a ``df2`` process: what cannot be written is an error, once."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from typing import Any, Final, TextIO

_NAMES: Final = {1: "standard output", 2: "standard error"}


class OutputError(OSError):
    """Standard output or standard error cannot be written.

    Attributes:
        name: which of the two.
    """

    name = ""

    @property
    def is_reader_gone(self) -> bool:
        """Whether the reader of the pipe closed it, as ``head`` does: no fault, and nothing to be told."""
        return self.errno == errno.EPIPE

    @property
    def reason(self) -> str:
        """What the system says."""
        return "it is closed" if self.errno == errno.EBADF else os.strerror(self.errno or 0)


class _Stream(io.FileIO):
    """A standard stream that fails once: the interpreter, which flushes at its end, must not fail again."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.failure: OutputError | None = None
        self.waited = 0.0
        self._since: float | None = None

    def write(self, data: Any) -> int:
        if self.failure is not None:
            return len(data)
        self._since = time.monotonic()
        try:
            return super().write(data)
        except OSError as error:
            self.failure = OutputError(error.errno, os.strerror(error.errno or 0))
            self.failure.name = _NAMES[self.fileno()]
            raise self.failure from None
        finally:
            self.waited += time.monotonic() - self._since
            self._since = None


_streams: dict[int, _Stream] = {}


def start() -> None:
    """Put streams that report their failures in the place of standard output and standard error."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # for the life of the process
    sys.stdout = _open(1, sys.stdout)
    sys.stderr = _open(2, sys.stderr)


def _open(number: int, old: TextIO | None) -> TextIO:
    if old is None:
        # It was closed. The next file that is opened would get its number, and the output.
        closed = os.open(os.devnull, os.O_RDONLY)
        if closed != number:
            os.dup2(closed, number)
            os.close(closed)
    else:
        old.flush()
    stream = _streams[number] = _Stream(number)
    is_terminal = os.isatty(number)
    return io.TextIOWrapper(
        io.BufferedWriter(stream),
        encoding=old.encoding if old is not None else "utf-8",
        errors=old.errors if old is not None else "backslashreplace",
        line_buffering=number == 2 or is_terminal,
    )


def flush() -> None:
    """Write what is still in the buffers.

    Raises:
        OutputError: it cannot be written, or something before it could not be.
    """
    for file in (sys.stdout, sys.stderr):
        file.flush()
    for stream in _streams.values():
        if stream.failure is not None:
            raise stream.failure


def seconds_waited() -> float:
    """Return how long this process has waited for whoever reads its standard output."""
    stream = _streams.get(1)
    if stream is None:
        return 0.0
    since = stream._since
    return stream.waited + (time.monotonic() - since if since is not None else 0.0)
