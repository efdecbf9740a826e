"""Runs of the checks in the background: all of them take seconds on a registry of full size."""

from __future__ import annotations

import atexit
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

from registry.checks.accepted import Accepted
from registry.checks.find import Checks
from registry.checks.run import Result, count_check, load, page_of_check, run_checks
from registry.checks.settings import CheckSettings, load_check_settings
from registry.errors import RegistryError, UsageError
from registry.store.connection import duckdb_errors
from registry.subset.options import Subset
from registry.web.security import FAILURE, log_failure

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from registry.checks.tables import Tables
    from registry.store.registry import Registry

#: Runs that are kept.
_RUNS: Final = 4
#: Seconds after which a run is let go that no page asks for; a page asks every second.
_POLLED: Final = 10.0
#: Counts of single checks that are kept.
_KEPT_COUNTS: Final = 256
#: Rows with the same key that a page shows; the key of a check should tell its rows apart.
_SAME_KEY: Final = 2_000
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
        asked: when its page was asked for last, on the clock of :func:`time.monotonic`.
    """

    names: list[str]
    results: dict[str, Result] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    problem: str = ""
    is_done: bool = False
    is_wanted: bool = True
    asked: float = field(default_factory=time.monotonic)


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

    def tables(self, subset: Subset) -> Tables:
        """Return the registry itself, or a subset of it with all views."""
        ...


class CheckRuns:
    """Runs of the checks of a site; its methods may be called from several threads."""

    def __init__(self, site: Checked) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._one = threading.Lock()  # runs come after each other
        self._runs: OrderedDict[tuple[str, ...], Run] = OrderedDict()
        self._counts: OrderedDict[tuple[str, ...], Result] = OrderedDict()

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
        with self._lock:
            if key in self._runs:
                self._runs.move_to_end(key)
                self._runs[key].asked = time.monotonic()
                return self._runs[key]
        tables = self._tables(subset)  # its errors are those of the address
        with self._lock:
            if key in self._runs:
                return self._runs[key]
            run = self._runs[key] = Run(loaded.checks.names)
            self._forget_runs(run)
        arguments = (run, tables, loaded.settings, subset == Subset())
        thread = threading.Thread(target=self._count, args=arguments, daemon=True)
        _COUNTING[thread] = run
        thread.start()
        return run

    def _forget_runs(self, newest: Run) -> None:
        """Let go of runs that are done, or that nobody has asked for some seconds; the pages of others poll theirs."""
        for key, run in list(self._runs.items()):
            if len(self._runs) <= _RUNS:
                return
            if run is not newest and (run.is_done or time.monotonic() - run.asked > _POLLED):
                self._runs.pop(key).is_wanted = False

    def count(self, subset: Subset, loaded: Loaded, name: str) -> Result:
        """Return the result of a check alone, which is kept."""
        key = self._site.version(), subset.digest, loaded.digest(), name
        with self._lock:
            if key in self._counts:
                self._counts.move_to_end(key)
                return self._counts[key]
        limit = loaded.settings.limits.get(name)
        lines = loaded.accepted.get(name, ())
        result, _ = count_check(self._tables(subset), loaded.checks.by_name[name], lines, limit)
        with self._lock:
            self._counts[key] = result
            while len(self._counts) > _KEPT_COUNTS:
                self._counts.popitem(last=False)
        return result

    def has_row(self, loaded: Loaded, name: str, values: Sequence[Any]) -> bool:
        """Return whether the whole registry has a row of a check with these values of its key."""
        texts = tuple(None if value is None else str(value) for value in values)
        lines = [Accepted("", texts)]
        result, _ = count_check(self._site.registry, loaded.checks.by_name[name], lines, None)
        return result.accepted > 0

    def page(
        self,
        subset: Subset,
        loaded: Loaded,
        name: str,
        *,
        after: list[Any] | None,
        before: list[Any] | None,
        size: int,
    ) -> tuple[pa.Table, bool]:
        """Return a page of the rows of a check that are not accepted, and whether more rows are in its direction.

        A check may have millions of rows: no more of them are read than the page shows.

        Args:
            subset: of the rows.
            loaded: the checks.
            name: of the check.
            after: values of the key that the page begins behind; None for the beginning.
            before: values that it ends before.
            size: rows of the page; more where rows at its end have the same key.

        Raises:
            UnknownNameError: there is no such check.
            QueryError, UsageError: the check is broken, lacks a table, or the values are not those of its key.
        """
        import pyarrow as pa

        checks = loaded.checks
        if name not in checks.by_name:
            raise UsageError(checks.broken[name])
        check, lines, tables = checks.by_name[name], loaded.accepted.get(name, ()), self._tables(subset)
        backwards = before is not None
        limit = size + 1
        while True:
            place = before if backwards else after
            with duckdb_errors():
                relation = page_of_check(tables, check, lines, place=place, backwards=backwards, size=limit)
                table = relation.to_arrow_table()
            stop = end_of_page(table, check.key, size)
            if stop < table.num_rows or table.num_rows < limit:
                break
            if limit > _SAME_KEY:
                raise UsageError(f"More than {_SAME_KEY:,} rows have the same {', '.join(check.key)}, its key.")
            limit *= 4
        page = table.slice(0, stop)
        if backwards:
            page = page.take(pa.array(range(stop - 1, -1, -1), pa.int64()))
        return page, stop < table.num_rows

    def _tables(self, subset: Subset) -> Tables:
        return self._site.tables(subset)

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


def end_of_page(table: pa.Table, key: Sequence[str], size: int) -> int:
    """Return the end of a page of sorted rows: behind ``size`` rows, and those after them with the key of the last."""
    rows = table.select([name for name in table.column_names if name.lower() in {k.lower() for k in key}]).to_pylist()
    stop = min(size, len(rows))
    while 0 < stop < len(rows) and rows[stop] == rows[stop - 1]:
        stop += 1
    return stop


def _plain(value: Any) -> str | int | None:
    """Return a value as a text of DuckDB, or as it is where JSON has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, int | str) else str(value)
