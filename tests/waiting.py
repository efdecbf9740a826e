"""Waiting for what other processes and threads do in a moment, and on a busy machine later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until_empty(ask: Callable[[], T], seconds: float) -> T:
    """Return the first answer that is empty, false or zero, or the last one if there is none in so many seconds."""
    until = time.monotonic() + seconds
    while (answer := ask()) and time.monotonic() < until:
        time.sleep(0.01)
    return answer
