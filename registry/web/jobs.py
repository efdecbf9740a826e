"""Results that take a while: each is made once, in a thread of its own, however many requests ask for it."""

from __future__ import annotations

import atexit
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any, Final
from weakref import WeakKeyDictionary

from registry.errors import StorageError

#: Seconds for a job that works when the process ends.
_LAST_SECONDS: Final = 10


class ForgottenError(StorageError):
    """A job was pushed out by newer jobs before its turn came."""


class Job:
    """A result that is being made, or is there.

    Attributes:
        done: set once there is a result or an error.
        error: why there is no result; None with a result.
        is_wanted: False for a job that waits for its turn, and that newer jobs have pushed out.
    """

    def __init__(self, make: Callable[[], Any], turn: AbstractContextManager[Any]) -> None:
        self.done = threading.Event()
        self.error: BaseException | None = None
        self.is_wanted = True
        self._result: Any = None
        self._make: Callable[[], Any] | None = make
        self._turn = turn
        thread = threading.Thread(target=self._run, daemon=True)
        _WORKING[thread] = self
        thread.start()

    def _run(self) -> None:
        assert self._make is not None
        try:
            with self._turn:
                if not self.is_wanted:
                    raise ForgottenError("So many other pages were asked for since that this was left; ask again.")
                self._result = self._make()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            self.error = error
        finally:
            self._make = None
            self.done.set()

    def result(self) -> Any:
        """Return the result, once it is there; raise the error of making it."""
        self.done.wait()
        if self.error is not None:
            raise self.error
        return self._result


#: Threads that work, each with its job.
_WORKING: Final[WeakKeyDictionary[threading.Thread, Job]] = WeakKeyDictionary()


@atexit.register
def _end() -> None:
    """Wait for the jobs that work: a process that ends amid a query of DuckDB aborts."""
    working = list(_WORKING.items())
    for _, job in working:
        job.is_wanted = False
    for thread, _ in working:
        thread.join(_LAST_SECONDS)


class Jobs:
    """The results asked for last, by key.

    Args:
        size: results that are kept, and jobs that wait.
        at_once: jobs that work at the same time.
    """

    def __init__(self, size: int, at_once: int = 1) -> None:
        self._size = size
        self._turn = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()

    def start(self, key: Hashable, make: Callable[[], Any], *, again: bool = True) -> Job:
        """Return the job of a key; it is started where there is none, or ``again`` where the last job failed."""
        with self._lock:
            job = self._jobs.get(key)
            is_forgotten = job is not None and isinstance(job.error, ForgottenError)
            if job is None or is_forgotten or (again and job.done.is_set() and job.error is not None):
                job = self._jobs[key] = Job(make, self._turn)
            self._jobs.move_to_end(key)
            while len(self._jobs) > self._size:
                self._jobs.popitem(last=False)[1].is_wanted = False
            return job

    def result(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the result of a key, made now where there is none; raise the error of making it."""
        return self.start(key, make).result()
