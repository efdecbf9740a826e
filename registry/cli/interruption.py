"""Ends a ``df2`` process in time: on Ctrl-C, SIGTERM and SIGHUP, and when a limit is exceeded.

A signal raises :class:`Interrupted` in the main thread, so every ``finally`` runs. Python delivers signals between two
of its instructions, which is too late while DuckDB or another library works. A second thread therefore reads the
signal from :func:`signal.set_wakeup_fd`. If the process still runs after :data:`GRACE`, that thread removes the
unfinished files, kills the child processes and exits.
"""

from __future__ import annotations

import _thread
import atexit
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from registry.cli import streams
from registry.files.temporary import ending, remove_temporary

#: Seconds after a signal in which the main thread can end by itself.
GRACE: Final = 1.2
#: Seconds between two checks of the limits.
_INTERVAL: Final = 0.05
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))

#: Returns the reason why the process must end, or None.
Check = Callable[[], str | None]


class Interrupted(BaseException):
    """A signal asked the process to end. Not an ``Exception``: handlers of errors must not catch it."""


class _Watch:
    """The state that the main thread and the watching thread share."""

    reader = -1
    writer = -1
    #: The first signal received; 0 before.
    number = 0
    #: Whether a thread is ending the process already; the other thread then waits.
    is_ending = False
    checks: tuple[Check, ...] = ()


def start() -> None:
    """Watch the signals of this process. Call it once, in the main thread."""
    if not hasattr(os, "register_at_fork"):  # Windows, whose select() takes no pipes: Ctrl-C is Python's there
        return
    _Watch.reader, _Watch.writer = os.pipe()
    os.set_blocking(_Watch.writer, False)
    signal.set_wakeup_fd(_Watch.writer, warn_on_full_buffer=False)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and background jobs ignore signals
            signal.signal(number, _on_signal)
    os.register_at_fork(after_in_child=_forget)
    sys.unraisablehook = _unraisable
    # Not a threading.Thread: threading must count a single thread, so that ingest may fork its workers.
    _thread.start_new_thread(_watch, ())


def received() -> bool:
    """Return whether a signal asked this process to end."""
    return _Watch.number != 0


def end(code: int) -> NoReturn:
    """End the process with an exit code, or with that of the signal it received.

    Runs the functions registered with ``atexit`` and skips the rest of the interpreter's shutdown, which aborts the
    process if a thread of a library such as DuckDB calls Python meanwhile.
    """
    if not received():
        atexit._run_exitfuncs()
    if received():
        _end(128 + _Watch.number, "Interrupted.")
    with suppress(OSError):  # output of the atexit functions; that of the command is flushed already
        streams.flush()
    os._exit(code)


@contextmanager
def checked(*checks: Check) -> Iterator[None]:
    """While the block runs, end the process with exit code 1 as soon as a check returns a reason, and print it.

    Another thread calls the checks several times a second.
    """
    before = _Watch.checks
    _Watch.checks = (*before, *checks)
    _wake()
    try:
        yield
    finally:
        _Watch.checks = before


def _wake() -> None:
    if _Watch.writer >= 0:
        with suppress(BlockingIOError):
            os.write(_Watch.writer, b"\0")


def _on_signal(number: int, frame: FrameType | None) -> None:
    if not _Watch.number:  # a second signal must not interrupt the cleanup; the watching thread handles it
        _Watch.number = number
        if not _is_importing(frame):
            raise Interrupted


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether a module is being imported.

    DuckDB's modules abort the process on an exception during their import; the watching thread ends it instead.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _unraisable(unraisable: Any) -> None:
    """Print no traceback for a signal inside a callback that cannot raise; the watching thread handles it."""
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)


def _forget() -> None:
    """Reset signals in a forked child: it ignores Ctrl-C, which a terminal sends to the parent too."""
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    _Watch.reader = _Watch.writer = -1
    _Watch.checks = ()


def _watch() -> None:
    """Wait for signals and check the limits."""
    signalled_at: float | None = None
    while True:
        if signalled_at is not None:
            wait: float | None = max(0.0, signalled_at + GRACE - time.monotonic())
        else:
            wait = _INTERVAL if _Watch.checks else None
        readable, _, _ = select.select([_Watch.reader], [], [], wait)
        numbers = {*os.read(_Watch.reader, 64)} & {*_SIGNALS} if readable else set()
        if signalled_at is not None and (numbers or not readable):
            _end(128 + (_Watch.number or signal.SIGTERM), "Interrupted.")
        if numbers and signalled_at is None:
            signalled_at = time.monotonic()
            _Watch.number = _Watch.number or min(numbers)
        if signalled_at is None:
            for check in _Watch.checks:
                if reason := check():
                    _end(1, f"Error: {reason}")


def _end(code: int, line: str) -> NoReturn:
    if _Watch.is_ending:
        while True:
            time.sleep(1)  # the other thread ends the process
    _Watch.is_ending = True
    try:
        ending.acquire()  # never released: no file is completed from here on
        remove_temporary()
        _end_children()
        remove_temporary()  # the main thread may have created a registered file meanwhile
        is_terminal = os.isatty(2)
        # On a terminal: show the cursor, which a progress bar hides, and begin a line after its ^C.
        os.write(2, (f"\x1b[?25h\r\n{line}\n" if is_terminal else f"{line}\n").encode(errors="replace"))
    except BaseException:  # noqa: BLE001, S110  # nothing may keep the process from ending
        pass
    finally:
        os._exit(code)


def _end_children() -> None:
    """Kill the direct child processes; workers of a pool hold nothing to save."""
    parent = str(os.getpid())
    numbers: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            # "PID (NAME) STATE PARENT ..."; the name may hold blanks and brackets.
            if path.read_text(errors="replace").rpartition(")")[2].split()[1] == parent:
                numbers.add(int(path.parent.name))
    if "multiprocessing" in sys.modules:  # where there is no /proc
        import multiprocessing

        numbers |= {child.pid for child in multiprocessing.active_children() if child.pid}
    for number in numbers:
        with suppress(OSError):
            os.kill(number, getattr(signal, "SIGKILL", signal.SIGTERM))
