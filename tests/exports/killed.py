"""``df2 export`` in forks of a process, killed after some time (:mod:`tests.forks`)."""

from __future__ import annotations

import os
import signal
import threading

from tests.cli.forked import before_forks, df2

__all__ = ["before_forks"]


def export(words: list[str]) -> None:
    """Run a command."""
    df2(words, {})


def export_until_killed(words: list[str], seconds: float) -> None:
    """Run a command whose process is killed after some seconds, if it has not ended by then."""
    killer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    killer.daemon = True
    killer.start()
    df2(words, {})
