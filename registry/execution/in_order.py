"""Results of concurrent calls in the order in which the calls were submitted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

Input = TypeVar("Input")
Result = TypeVar("Result")


def in_order(
    calls: Iterator[tuple[Input, Future[Result]]], max_pending: int | Callable[[], int]
) -> Iterator[tuple[Input, Result]]:
    """Yield the input and the result of each call, in the order of submission.

    Args:
        calls: pairs (input, future); advancing the iterator submits the next call.
        max_pending: calls that are running, or done and not yet consumed, at a time; or a function that returns their
            number, asked before each result. Pending calls are cancelled when the consumer stops early.
    """
    pending: deque[tuple[Input, Future[Result]]] = deque()
    try:
        while True:
            most = max_pending if isinstance(max_pending, int) else max_pending()
            pending.extend(islice(calls, max(0, most - len(pending))))
            if not pending:
                return
            call_input, future = pending.popleft()
            yield call_input, future.result()
    finally:
        for _, future in pending:
            future.cancel()
