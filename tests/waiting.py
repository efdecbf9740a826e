"""Polling for effects of other processes and threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until_empty(ask: Callable[[], T], seconds: float) -> T:
    """Call ``ask`` until its answer is falsy, at most for ``seconds``, and return the last answer."""
    deadline = time.monotonic() + seconds
    while (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer
