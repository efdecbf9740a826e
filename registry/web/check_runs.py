"""Runs of the checks in the background: all of them take seconds on a registry of full size."""

from __future__ import annotations

import atexit
import hashlib
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

from registry.checks.accepted import Accepted
from registry.checks.find import Checks
from registry.checks.run import Result, check_rows, load, run_checks
from registry.checks.settings import CheckSettings, load_check_settings
from registry.dataset.deepfashion2 import SPLITS
from registry.errors import RegistryError, UsageError
from registry.store.connection import duckdb_errors
from registry.subset.options import Subset
from registry.web.security import FAILURE, log_failure

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from registry.checks.tables import Tables
    from registry.store.registry import Registry
    from registry.store.selection import Selection

#: Runs that are kept.
_RUNS: Final = 4
#: Rows of checks that are kept, and the most bytes of each.
_KEPT_ROWS: Final = 2
_MOST_BYTES: Final = 48 << 20
#: How long the end of the process waits for the check that is being counted.
_LAST_SECONDS: Final = 10


@dataclass
class Run:
    """A run of all checks.

    Attributes:
        names: of the checks, those that cannot be read too.
        results: name -> its result, of the checks that are counted.
        notices: plain sentences.
        problem: why the run ended early; empty otherwise.
        is_done: whether it ended.
        is_wanted: False once nobody asks for it any more.
    """

    names: list[str]
    results: dict[str, Result] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    problem: str = ""
    is_done: bool = False
    is_wanted: bool = True


@dataclass(frozen=True)
class Loaded:
    """Checks, settings and accepted exceptions as the files have them now."""

    settings: CheckSettings
    checks: Checks
    accepted: Mapping[str, Sequence[Accepted]]

    def digest(self) -> str:
        """Return a digest that changes with any of the files."""
        return hashlib.sha256(repr((self.settings, self.checks, self.accepted)).encode()).hexdigest()


class HasParams(Protocol):
    """Settings of a site."""

    @property
    def params(self) -> Path:
        """The parameter file."""
        ...


class Checked(Protocol):
    """A site."""

    registry: Registry

    @property
    def settings(self) -> HasParams:
        """How it is served."""
        ...

    def version(self) -> str:
        """Return the digest of the published version."""
        ...

    def selection(self, subset: Subset) -> Selection:
        """Return a subset with all views."""
        ...


class CheckRuns:
    """Runs of the checks of a site; its methods may be called from several threads."""

    def __init__(self, site: Checked) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._one = threading.Lock()  # one run at a time
        self._runs: OrderedDict[tuple[str, ...], Run] = OrderedDict()
        self._rows: OrderedDict[tuple[str, ...], pa.Table] = OrderedDict()

    def load(self) -> Loaded:
        """Return the checks of the parameter file.

        Raises:
            UsageError: a file is not sound; the message says which and why.
        """
        settings = load_check_settings(self._site.settings.params)
        checks, accepted = load(settings)
        return Loaded(settings, checks, accepted)

    def run(self, subset: Subset, loaded: Loaded) -> Run:
        """Return the run of all checks within a subset, which begins where there is none yet."""
        key = self._site.version(), subset.digest, loaded.digest()
        tables = self._tables(subset)
        with self._lock:
            if key in self._runs:
                self._runs.move_to_end(key)
                return self._runs[key]
            run = self._runs[key] = Run(loaded.checks.names)
            while len(self._runs) > _RUNS:
                self._runs.popitem(last=False)[1].is_wanted = False
        arguments = (run, tables, loaded.settings, subset == Subset())
        thread = threading.Thread(target=self._count, args=arguments, daemon=True)
        _COUNTING[thread] = run
        thread.start()
        return run

    def rows(self, subset: Subset, loaded: Loaded, name: str) -> pa.Table:
        """Return the rows of a check that are not accepted, in the order of its key.

        Raises:
            UnknownNameError: there is no such check.
            QueryError, UsageError: the check is broken, or lacks a table.
        """
        key = self._site.version(), subset.digest, loaded.digest(), name
        with self._lock:
            if key in self._rows:
                self._rows.move_to_end(key)
                return self._rows[key]
        relation = check_rows(self._tables(subset), loaded.checks, name, loaded.accepted)
        with duckdb_errors():
            table = relation.to_arrow_table()
        if table.nbytes <= _MOST_BYTES:
            with self._lock:
                self._rows[key] = table
                while len(self._rows) > _KEPT_ROWS:
                    self._rows.popitem(last=False)
        return table

    def _tables(self, subset: Subset) -> Tables:
        return self._site.registry if subset == Subset() else self._site.selection(subset)

    def _count(self, run: Run, tables: Tables, settings: CheckSettings, is_whole: bool) -> None:
        try:
            with self._one:
                for name in run.names:
                    if not run.is_wanted:
                        return
                    part = run_checks(tables, settings, [name], is_whole=is_whole)
                    run.notices += [notice for notice in part.notices if notice not in run.notices]
                    run.results |= {result.name: result for result in part}
        except RegistryError as error:
            run.problem = str(error)
        except Exception as error:  # noqa: BLE001  # the thread has no caller: the page tells it
            log_failure("GET", "/checks", error)
            run.problem = FAILURE
        finally:
            run.is_done = True


#: Threads that count, each with its run.
_COUNTING: Final[WeakKeyDictionary[threading.Thread, Run]] = WeakKeyDictionary()


@atexit.register
def _end() -> None:
    """End all runs: a process that ends amid a query of DuckDB aborts."""
    counting = list(_COUNTING.items())
    for _, run in counting:
        run.is_wanted = False
    for thread, _ in counting:
        thread.join(_LAST_SECONDS)


def key_values(row: Mapping[str, Any], key: Sequence[str]) -> dict[str, Any]:
    """Return the columns of a check's key with the values of a row, as a line of accepted exceptions has them."""
    by_name = {name.lower(): value for name, value in row.items()}  # SQL does not tell cases apart
    return {name: _plain(by_name[name.lower()]) for name in key}


def page_of(
    table: pa.Table, key: Sequence[str], *, after: list[Any] | None, before: list[Any] | None, size: int
) -> tuple[int, int]:
    """Return the first row of a page and that behind its last.

    Args:
        table: sorted by the key.
        key: columns.
        after: values of the key that the page begins behind; None for the beginning.
        before: values that it ends before.
        size: rows of the page; more where rows at its end have the same key.

    Raises:
        UsageError: the values are not those of a key.
    """
    by_name = {name.lower(): name for name in table.column_names}
    columns = [(name, table.column(by_name[name.lower()])) for name in key]

    def place(row: int) -> list[Any]:
        return [_sortable(name, _plain(column[row].as_py())) for name, column in columns]

    def wanted(values: list[Any]) -> list[Any]:
        if len(values) != len(key):
            raise TypeError
        return [_sortable(name, value) for name, value in zip(key, values, strict=True)]

    count = table.num_rows
    try:
        if before is not None:
            stop = bisect_left(range(count), wanted(before), key=place)
            return max(0, stop - size), stop
        start = 0 if after is None else bisect_right(range(count), wanted(after), key=place)
        stop = min(count, start + size)
        while 0 < stop < count and place(stop) == place(stop - 1):
            stop += 1
    except TypeError:
        names = ", ".join(key)
        raise UsageError(f"Expected a place in the rows by {names}, as the links to other pages have it.") from None
    return start, stop


def _sortable(name: str, value: Any) -> tuple[bool, Any]:
    if name == "split" and value in SPLITS:
        return False, SPLITS.index(value)
    return value is None, 0 if value is None else value


def _plain(value: Any) -> str | int | None:
    """Return a value as a text of DuckDB, or as it is where JSON has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, int | str) else str(value)
