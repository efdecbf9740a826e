"""A process that answers SQL of users, seen from the server: it is asked through a pipe, and ended when it is late."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar, cast

from registry.web.sql_worker import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Answer = TypeVar("_Answer")

#: Seconds after its time limit, or after its start, until a process that says nothing is ended.
_GRACE: Final = 2.0
_START: Final = 60.0
#: Bytes of a frame beside its rows.
_HEAD: Final = 1 << 20
_COMMAND: Final = "from registry.web.sql_worker import main; main()"


class SqlProcess:
    """A process that opens the registry as soon as it starts, and answers one query at a time.

    Args:
        opening: how it opens the registry, pickled.

    Attributes:
        is_late: whether it was ended because it said nothing for too long.
        is_spent: whether it should answer no other query.
    """

    def __init__(self, opening: bytes) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # The C library's arenas and Arrow's pool take address space, which is limited, long before they use it.
            env={**os.environ, "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"},
        )
        self.is_late = False
        self.is_spent = False
        self._is_open = False
        # Secrets of storage options go through the pipe: arguments and environment of a process are for all to read.
        self._opening: bytes = opening

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process; whoever waits for its answer gets an EOFError."""
        self.process.kill()

    def ended(self) -> int:
        """Return the exit code of a process that said its last word."""
        try:
            return self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            return 0

    def close(self) -> None:
        """End the process, for which nobody waits."""
        self.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                cast("BinaryIO", stream).close()

    def ask(self, task: Mapping[str, Any], seconds: float, most: int) -> tuple[dict[str, Any], bytes]:
        """Return head and rows of the answer.

        Raises:
            EOFError: the process ended.
        """
        reader = cast("BinaryIO", self.process.stdout)
        if not self._is_open:
            head = self._timed(_START, lambda: self._opened(reader))
            if "error" in head:
                self.kill()
                return head, b""
            self._is_open = True

        def answer() -> tuple[dict[str, Any], bytes]:
            self._send(json.dumps(task).encode())
            return _head(read_frame(reader, _HEAD)), read_frame(reader, most)

        head, rows = self._timed(seconds + _GRACE, answer)
        self.is_spent = head.get("is_spent") is True or head.get("error") in ("memory", "time")
        return head, rows

    def _opened(self, reader: BinaryIO) -> dict[str, Any]:
        self._send(self._opening)
        self._opening = b""
        return _head(read_frame(reader, _HEAD))

    def _send(self, content: bytes) -> None:
        try:
            write_frame(cast("BinaryIO", self.process.stdin), content)
        except OSError as error:
            raise EOFError from error

    def _timed(self, seconds: float, ask: Callable[[], _Answer]) -> _Answer:
        """Return the answer of a worker, which is ended after some seconds."""

        def end() -> None:
            self.is_late = True
            self.process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            return ask()
        finally:
            timer.cancel()


def _head(frame: bytes) -> dict[str, Any]:
    """Return the head of an answer.

    Raises:
        EOFError: it is none.
    """
    try:
        head = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise EOFError from error
    if not isinstance(head, dict):
        raise EOFError
    return head
