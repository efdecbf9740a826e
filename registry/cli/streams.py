"""Standard output and error of a ``df2`` process: a failure to write is reported once."""

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
        name: ``standard output`` or ``standard error``.
    """

    name = ""

    @property
    def is_reader_gone(self) -> bool:
        """Whether the reader closed the pipe, as ``head`` does: no message is printed."""
        return self.errno == errno.EPIPE

    @property
    def reason(self) -> str:
        """The reason that the operating system gives."""
        return "it is closed" if self.errno == errno.EBADF else os.strerror(self.errno or 0)


class _Stream(io.FileIO):
    """A standard stream that raises its first failure and ignores later writes, such as the flush at exit.

    Attributes:
        failure: the first failure, or None.
        waited: seconds spent in writes, which take as long as the reader needs.
    """

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
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams that report failures, and open a closed standard input."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # for the life of the process
    sys.stdout = _open(1, sys.stdout)
    sys.stderr = _open(2, sys.stderr)


def _open(number: int, old: TextIO | None) -> TextIO:
    if old is None:
        # Descriptor 1 or 2 is closed. The next file opened would get the number, and the output.
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
    """Flush standard output and standard error.

    Raises:
        OutputError: this write or an earlier write failed.
    """
    for file in (sys.stdout, sys.stderr):
        file.flush()
    for stream in _streams.values():
        if stream.failure is not None:
            raise stream.failure


def seconds_waited() -> float:
    """Return how many seconds this process has waited for the reader of its standard output."""
    stream = _streams.get(1)
    if stream is None:
        return 0.0
    since = stream._since
    return stream.waited + (time.monotonic() - since if since is not None else 0.0)
