"""Runs SQL of users in processes of their own, which are ended and replaced when they take too much."""

from __future__ import annotations

import hashlib
import pickle
import signal
import threading
import time
import weakref
from collections import OrderedDict
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from registry.errors import QueryError, RegistryError, StorageError, UnknownNameError, UsageError
from registry.subset.item_list import ItemList
from registry.web.sql_process import SqlProcess
from registry.web.sql_worker import Opening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from registry.store.registry import Registry

_Answer = TypeVar("_Answer")

#: Queries that run at the same time.
_WORKERS: Final = 2
#: Queries that wait for a process; more are refused.
_WAITING: Final = 8
#: Seconds that a query waits for its turn.
_PATIENCE: Final = 15.0
#: Bytes of the keys that a condition chooses.
_KEYS: Final = 256 << 20
#: Bytes of an Arrow stream beside its values.
_BESIDE: Final = 1 << 20
#: Conditions whose keys are kept.
_CONDITIONS: Final = 8
#: Exit codes of processes that somebody ended.
_KILLED: Final = (-signal.SIGTERM, -9)
_ERRORS: Final[Mapping[str, type[RegistryError]]] = {
    kind.__name__: kind for kind in (QueryError, UsageError, UnknownNameError)
}


class _KilledError(Exception):
    """A worker was ended by another process."""


class BusyError(StorageError):
    """The server has too many queries at once."""


@dataclass(frozen=True)
class Result:
    """The answer to a query.

    Attributes:
        table: its rows.
        is_cut: whether there are more.
        seconds: that it took.
    """

    table: pa.Table
    is_cut: bool
    seconds: float


class Ticket:
    """A request that waits for a query: :meth:`cancel` ends the query when nobody waits any longer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None
        self.is_cancelled = False

    def cancel(self) -> None:
        """End the query that runs now, and let no other start."""
        with self._lock:
            self.is_cancelled = True
            if self._end is not None:
                self._end()

    @contextmanager
    def ends(self, end: Callable[[], None]) -> Iterator[None]:
        """Call ``end`` if the request is cancelled inside the block.

        Raises:
            BusyError: it is cancelled already.
        """
        with self._lock:
            self.check()
            self._end = end
        try:
            yield
        finally:
            with self._lock:
                self._end = None

    def check(self) -> None:
        """Raise BusyError where the request is cancelled."""
        if self.is_cancelled:
            raise BusyError("Nobody waits for this answer any longer.")


#: Of the request that this thread answers.
TICKET: ContextVar[Ticket | None] = ContextVar("TICKET", default=None)


class SqlWorkers:
    """The processes that answer SQL of users for one registry.

    Args:
        registry: to read.
        seconds: after which a query ends.
    """

    def __init__(self, registry: Registry, seconds: float) -> None:
        self._registry = registry
        self._seconds = seconds
        self._lock = threading.Lock()
        self._free = threading.Semaphore(_WORKERS)
        self._num_waiting = 0
        self._is_closed = False
        self._idle: list[SqlProcess] = []
        weakref.finalize(self, _close, self._idle)
        self._keys: OrderedDict[tuple[str, str], ItemList] = OrderedDict()

    def start(self) -> None:
        """Start a process, which opens the registry while nobody waits for it."""
        with self._lock:
            if not self._idle and not self._is_closed:
                self._idle.append(self._new_worker())

    def close(self) -> None:
        """End the processes that wait, and those at work as soon as they are done."""
        with self._lock:
            self._is_closed = True
            _close(self._idle)

    def processes(self) -> list[int]:
        """Return the ids of the processes that wait for a query."""
        with self._lock:
            return [worker.process.pid for worker in self._idle]

    def run(self, query: str, *, rows: int, bytes: int) -> Result:
        """Return the first rows of a query's answer.

        Args:
            query: one SELECT of a user.
            rows: at most so many.
            bytes: that they have at most.

        Raises:
            QueryError: it is refused, or reaches a limit.
            BusyError: too many queries run already, or nobody waits any longer.
        """
        begin = time.monotonic()
        head, table = self._ask({"task": "query", "query": query, "rows": rows, "bytes": bytes}, 2 * bytes + _BESIDE)
        return Result(table, bool(head.get("is_cut")), time.monotonic() - begin)

    def keys(self, version: str, where: str) -> ItemList:
        """Return the items for which a condition of a user is true, in the version with this digest.

        Raises:
            UsageError: no such condition is allowed.
            QueryError, BusyError: see :meth:`run`.
        """
        key = version, where
        with self._lock:
            if key in self._keys:
                self._keys.move_to_end(key)
                return self._keys[key]
        _, table = self._ask({"task": "keys", "where": where}, _KEYS)
        items = ItemList(hashlib.sha256(repr(key).encode()).hexdigest(), table)
        with self._lock:
            self._keys[key] = items
            while len(self._keys) > _CONDITIONS:
                self._keys.popitem(last=False)
        return items

    def _ask(self, task: dict[str, Any], most: int) -> tuple[dict[str, Any], pa.Table]:
        ticket = TICKET.get() or Ticket()
        self._wait(ticket)
        try:
            try:
                head, rows = self._asked(task, most, ticket)
            except _KilledError:  # by somebody else, perhaps long ago
                head, rows = self._asked(task, most, ticket)
        except _KilledError:
            raise _memory_error() from None
        finally:
            self._free.release()
        table = None if "error" in head else _read_table(rows)
        if table is None:
            raise self._error(head)
        return head, table

    def _asked(self, task: dict[str, Any], most: int, ticket: Ticket) -> tuple[dict[str, Any], bytes]:
        """Return head and rows of an answer.

        Raises:
            _KilledError: another process ended the worker.
        """
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = self._new_worker()
        try:
            with ticket.ends(worker.kill):
                return worker.ask(task, self._seconds, most)
        except EOFError:
            worker.is_spent = True
            ticket.check()
            if worker.is_late:
                raise self._time_error() from None
            if worker.ended() in _KILLED:
                raise _KilledError from None
            raise _memory_error() from None
        finally:
            self._give_back(worker)

    def _wait(self, ticket: Ticket) -> None:
        """Wait for one of the places; the caller gives it back."""
        with self._lock:
            if self._num_waiting >= _WAITING:
                raise BusyError("The server answers as many queries as it can; ask again in some seconds.")
            self._num_waiting += 1
        try:
            until = time.monotonic() + _PATIENCE
            while not self._free.acquire(timeout=0.1):
                ticket.check()
                if time.monotonic() > until:
                    raise BusyError("The server answers other queries; ask again in some seconds.")
        finally:
            with self._lock:
                self._num_waiting -= 1

    def _give_back(self, worker: SqlProcess) -> None:
        """Keep a worker for the next query, or start another for one that ended or took much memory."""
        if self._is_closed:
            worker.close()
            return
        if worker.is_spent or not worker.is_alive():
            worker.close()
            try:
                worker = self._new_worker()
            except OSError:  # the next query tries again
                return
        with self._lock:
            self._idle.append(worker)

    def _new_worker(self) -> SqlProcess:
        return SqlProcess(pickle.dumps(Opening(self._registry.opening(), self._seconds)))

    def _error(self, head: Mapping[str, Any]) -> RegistryError:
        kind, text = str(head["error"]), str(head.get("text"))
        if kind == "time":
            return self._time_error()
        if kind == "memory":
            return _memory_error()
        if kind in _ERRORS:
            return _ERRORS[kind](text)
        return QueryError(f"{kind}: {text}") if kind.endswith("Error") else QueryError("The query cannot be answered.")

    def _time_error(self) -> QueryError:
        return QueryError(
            f"The query ran longer than {self._seconds:g} seconds and was ended. Ask for less at once, "
            "or start the server with more time: df2 browse --sql-seconds SECONDS."
        )


def _close(workers: list[SqlProcess]) -> None:
    while workers:
        workers.pop().close()


def _memory_error() -> QueryError:
    return QueryError(
        "The query needs more memory than a query on a page may have, and was ended. Ask for fewer rows or shorter "
        "texts at once, or use 'df2 sql'."
    )


def _read_table(rows: bytes) -> pa.Table:
    """Return the table of an Arrow stream, whose every value is checked.

    Raises:
        QueryError: it is none.
    """
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(rows).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise QueryError(f"The answer holds a value that Arrow does not have: {error}") from error
    return table
