"""Results of calls that run elsewhere, in the order in which the calls were made, while later ones are on their way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

Of = TypeVar("Of")
Result = TypeVar("Result")


def in_order(started: Iterator[tuple[Of, Future[Result]]], most: int) -> Iterator[tuple[Of, Result]]:
    """Yield what calls were made of, with their results, in order.

    Args:
        started: makes a call each time it is asked for the next: what of, and its future.
        most: calls that are on their way, or done and not yet asked for, at a time. What is not asked for is cancelled.
    """
    waiting = deque(islice(started, most))
    try:
        while waiting:
            of, future = waiting.popleft()
            yield of, future.result()
            waiting.extend(islice(started, 1))
    finally:
        for _, future in waiting:
            future.cancel()
