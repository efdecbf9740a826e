"""Wait for other processes and threads, which may be late on a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until_empty(ask: Callable[[], T], seconds: float) -> T:
    """Call a function until its answer is falsy, at most for ``seconds``; return the last answer."""
    until = time.monotonic() + seconds
    while (answer := ask()) and time.monotonic() < until:
        time.sleep(0.01)
    return answer
