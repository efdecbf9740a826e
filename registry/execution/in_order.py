"""Results of concurrent calls in the order in which the calls were submitted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

Input = TypeVar("Input")
Result = TypeVar("Result")


def in_order(calls: Iterator[tuple[Input, Future[Result]]], max_pending: int) -> Iterator[tuple[Input, Result]]:
    """Yield the input and the result of each call, in the order of submission.

    Args:
        calls: pairs (input, future); advancing the iterator submits the next call.
        max_pending: calls that are running, or done and not yet consumed, at a time. Pending calls are cancelled when
            the consumer stops early.
    """
    pending = deque(islice(calls, max_pending))
    try:
        while pending:
            call_input, future = pending.popleft()
            yield call_input, future.result()
            pending.extend(islice(calls, 1))
    finally:
        for _, future in pending:
            future.cancel()
