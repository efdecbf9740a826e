"""Runs checks over a registry or a subset, and counts their rows against limits and accepted exceptions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from registry.checks.accepted import Accepted, read_accepted
from registry.checks.find import Checks, find_checks
from registry.checks.settings import CheckSettings
from registry.checks.slices import SLICE_ITEMS, slices_of
from registry.checks.tables import Tables
from registry.checks.unknown import unknown_notices
from registry.dataset.checks import Check, lacks
from registry.dataset.deepfashion2 import unknown_name
from registry.errors import QueryError, UsageError, first_names
from registry.execution.cluster import ClusterExecutor
from registry.execution.in_order import in_order
from registry.execution.packing import unpack_once
from registry.store.connection import duckdb_errors
from registry.store.html import html_table
from registry.store.on_workers import share_version
from registry.store.sql import SPLIT_ORDER, quote_name
from registry.wording import plural

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from registry.execution.progress import Progress

#: Arguments of :func:`count_check` behind the tables.
_Work = tuple[Check, Sequence[Accepted], int | None, bool]
#: A text or name in quotes, a comment, or another character of SQL.
_TOKEN: Final = re.compile(r"""'[^']*'|"[^"]*"|--[^\n]*|/\*.*?\*/|\S""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a check.

    Attributes:
        name, severity: of the check; a check whose file cannot be read counts as an error.
        count: rows that are not accepted; None for a check that was not run.
        accepted: rows that are.
        limit: the most rows that it may have; None without a limit.
        problem: why the check is broken; empty for all others.
    """

    name: str
    severity: str
    count: int | None
    accepted: int = 0
    limit: int | None = None
    problem: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the count is within the limit, as it always is without one; None for a check that was not run."""
        if self.count is None:
            return False if self.problem else None
        return self.limit is None or self.count <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "check": self.name,
            "severity": self.severity,
            "count": self.count,
            "limit": self.limit,
            "passed": self.passed,
        }


@dataclass(frozen=True, slots=True)
class CheckRun(Sequence[Result]):
    """The results of a run, a sequence; ``.rows(name)`` are the rows of a check.

    Attributes:
        results: in the order of the checks.
        notices: plain sentences on checks that were not run and exceptions that fit nothing.
        checks: those of the results.
    """

    results: list[Result]
    notices: list[str]
    checks: Checks
    _tables: Tables
    _accepted: Mapping[str, Sequence[Accepted]] = field(default_factory=dict)

    def __getitem__(self, position: Any) -> Any:
        return self.results[position]

    def __len__(self) -> int:
        return len(self.results)

    @property
    def failures(self) -> list[Result]:
        """The checks of severity error with more rows than their limit."""
        return [result for result in self.results if result.severity == "error" and _is_over(result)]

    @property
    def broken(self) -> list[Result]:
        """The checks that could not be run."""
        return [result for result in self.results if result.problem]

    def rows(self, name: str) -> DuckDBPyRelation:
        """Return the rows of a check that are not accepted, sorted by its key, as a lazy relation.

        Raises:
            UnknownNameError: there is no such check among those that were run.
            QueryError, UsageError: the check is broken.
        """
        return check_rows(self._tables, self.checks, name, self._accepted)

    def _repr_html_(self) -> str:
        return html_table("Checks", [result.to_dict() for result in self.results])


def _is_over(result: Result) -> bool:
    return result.count is not None and not result.passed


def run_checks(
    tables: Tables,
    settings: CheckSettings,
    only: Sequence[str] = (),
    severities: Sequence[str] = (),
    *,
    is_whole: bool = True,
    executor: ClusterExecutor | None = None,
    progress: Progress | None = None,
) -> CheckRun:
    """Run checks and return their results.

    Args:
        tables: a registry, or a selection: then the rows are those within it.
        settings: limits, folders and accepted exceptions.
        only: names of checks; all without any.
        severities: of the checks; all without any.
        is_whole: whether an accepted exception without its row fits nothing any more, as it may in a subset.
        executor: counts the rows of each check where the registry is readable, too; this process does without one.
        progress: called with the number of checks that are done and that there are.

    Raises:
        UnknownNameError: ``only`` or a limit names a check that does not exist.
        UsageError: a folder has no check, or a line of the accepted exceptions is wrong.
    """
    checks, accepted = load(settings)
    chosen = checks.chosen(only, severities)
    results: list[Result] = []
    notices = unknown_notices(tables, chosen.by_name.values())
    work = [
        (check, accepted.get(check.name, ()), settings.limits.get(check.name), is_whole)
        for check in chosen.by_name.values()
    ]
    for result, about in _counted(tables, work, executor):
        results.append(result)
        notices += about
        if progress:
            progress(len(results), len(work))
    results += [Result(name, "error", None, problem=problem) for name, problem in chosen.broken.items()]
    return CheckRun(results, notices, chosen, tables, accepted)


def _counted(
    tables: Tables, work: Sequence[_Work], executor: ClusterExecutor | None
) -> Iterator[tuple[Result, list[str]]]:
    """Yield the result of each check, and the notices on it."""
    if executor is None:
        yield from (count_check(tables, *arguments) for arguments in work)
        return
    packed = share_version(executor, tables)
    calls = ((None, executor.submit(_count_on_worker, packed, arguments)) for arguments in work)
    yield from (counted for _, counted in in_order(calls, len(work)))


def _count_on_worker(packed: bytes, arguments: _Work) -> tuple[Result, list[str]]:
    return count_check(unpack_once(packed), *arguments)


def count_check(
    tables: Tables,
    check: Check,
    lines: Sequence[Accepted],
    limit: int | None,
    is_whole: bool = True,
    slice_items: int = SLICE_ITEMS,
) -> tuple[Result, list[str]]:
    """Return the result of a check, and notices on it; a check that cannot be run has its problem in the result.

    Args:
        tables: see :func:`run_checks`.
        check: to count.
        lines: its accepted exceptions.
        limit: the most rows that it may have.
        is_whole: see :func:`run_checks`.
        slice_items: items of a slice, for a check that is counted in slices.
    """
    lacking = [table for table in check.needs if not _has_rows(tables, table)]
    if lacking:
        reasons = " and ".join(lacks(table, is_whole=is_whole) for table in lacking)
        return Result(check.name, check.severity, None, limit=limit), [f"{check.name} was not run, as {reasons}"]
    try:
        count, used = _count(tables, check, lines, slice_items)
    except (QueryError, UsageError) as error:
        problem = f"The check {check.name} cannot be run: {error}"
        return Result(check.name, check.severity, None, limit=limit, problem=problem), []
    stale = [line.place for position, line in enumerate(lines) if position not in used]
    notices = []
    if stale and is_whole:
        number_of = plural(len(stale), "accepted exception", "accepted exceptions")
        notices.append(
            f"{number_of} of {check.name} {'fits' if len(stale) == 1 else 'fit'} no row any more and can be "
            f"removed: {first_names(stale, 5)}"
        )
    return Result(check.name, check.severity, count, sum(used.values()), limit), notices


def load(settings: CheckSettings) -> tuple[Checks, dict[str, list[Accepted]]]:
    """Return all checks, and the accepted exceptions of each.

    Raises:
        UnknownNameError: a limit names a check that does not exist.
        UsageError: as for :func:`run_checks`.
    """
    checks = find_checks(settings.folders)
    for name in settings.limits:
        if name not in checks.names:
            raise UsageError(f"{settings.place}: {unknown_name('check', name, checks.names)}")
    return checks, read_accepted(settings.accepted, checks) if settings.accepted else {}


def check_rows(
    tables: Tables, checks: Checks, name: str, accepted: Mapping[str, Sequence[Accepted]]
) -> DuckDBPyRelation:
    """Return the rows of a check that are not accepted, sorted by its key, as a lazy relation.

    Raises:
        UnknownNameError: there is no such check.
        QueryError, UsageError: the check is broken, or lacks a table.
    """
    if name in checks.broken and name not in checks.by_name:
        raise UsageError(checks.broken[name])
    if name not in checks.by_name:
        raise unknown_name("check", name, checks.names)
    return page_of_check(tables, checks.by_name[name], accepted.get(name, ()))


def page_of_check(
    tables: Tables,
    check: Check,
    lines: Sequence[Accepted],
    *,
    place: Sequence[Any] | None = None,
    backwards: bool = False,
    size: int | None = None,
) -> DuckDBPyRelation:
    """Return the rows of a check that are not accepted, sorted by its key, as a lazy relation.

    Args:
        tables: see :func:`run_checks`.
        check: of the rows.
        lines: its accepted exceptions.
        place: values of the key, behind which the rows begin; None for the first row.
        backwards: whether the rows stand before the place instead, the nearest first.
        size: the most rows; None for all.

    Raises:
        QueryError, UsageError: the check is broken, lacks a table, or ``place`` is no key of it.
    """
    for table in check.needs:
        if not _has_rows(tables, table):
            raise UsageError(f"The check {check.name} cannot be run: {lacks(table)}.")
    _check_key(tables, check)
    columns = [_order(column, f"found.{quote_name(column)}") for column in check.key]
    query, params = _query(check, lines, "found.*")
    conditions = ["accepted.position IS NULL"]
    if place is not None:
        if len(place) != len(check.key):
            raise UsageError(f"Expected {len(check.key)} values of the key {', '.join(check.key)}, found {len(place)}.")
        params |= {f"place_{number}": value for number, value in enumerate(place)}
        values = [_order(column, f"$place_{number}") for number, column in enumerate(check.key)]
        conditions.append(_before(columns, values) if backwards else _before(values, columns))
    order = ", ".join(f"{column} DESC NULLS FIRST" if backwards else column for column in columns)
    limit = "" if size is None else f" LIMIT {size:d}"
    return tables.sql(f"{query} WHERE {' AND '.join(conditions)} ORDER BY {order}{limit}", params)


def _order(column: str, value: str) -> str:
    """Return SQL by which the values of a column of a key are sorted."""
    return SPLIT_ORDER.replace(", split)", f", {value})") if column.lower() == "split" else value


def _before(first: Sequence[str], second: Sequence[str]) -> str:
    """Return a condition that the first values stand before the second values; NULL is last."""
    ways = []
    for number, (value, behind) in enumerate(zip(first, second, strict=True)):
        same = [f"{a} IS NOT DISTINCT FROM {b}" for a, b in zip(first[:number], second[:number], strict=True)]
        ways.append(" AND ".join([*same, f"({value} < {behind} OR ({behind} IS NULL AND {value} IS NOT NULL))"]))
    return f"({' OR '.join(ways)})"


def _count(tables: Tables, check: Check, lines: Sequence[Accepted], slice_items: int) -> tuple[int, dict[int, int]]:
    """Return the number of rows that are not accepted, and the position of each accepted line -> its rows."""
    _check_key(tables, check)
    query, params = _query(check, lines, "accepted.position, count(*)")
    counts: Counter[int | None] = Counter()
    for condition in slices_of(tables, check, slice_items):
        with duckdb_errors():
            rows = tables.sql(f"{query} WHERE {condition} GROUP BY accepted.position", params).fetchall()
        counts.update(dict(rows))
    return counts.pop(None, 0), {position: count for position, count in counts.items() if position is not None}


def _check_key(tables: Tables, check: Check) -> None:
    """Raise UsageError unless the rows of a check have the columns of its key."""
    columns = tables.sql(check.sql).columns
    names = {name.lower() for name in columns}  # SQL does not tell cases apart
    missing = [name for name in check.key if name.lower() not in names]
    if missing:
        raise UsageError(f"expected the columns of its key {', '.join(check.key)}; its rows have {', '.join(columns)}.")


def _query(check: Check, lines: Sequence[Accepted], columns: str) -> tuple[str, dict[str, Any]]:
    """Return a SELECT of these columns and the values that it binds.

    It reads ``found``, the rows of a check, each with ``accepted.position``: that of the line that fits it, or NULL.
    """
    values = {f"value_{number}": [line.values[number] for line in lines] for number in range(len(check.key))}
    of_lines = "".join(f"unnest(${name}::VARCHAR[]) AS {name}, " for name in values)
    conditions = [
        f"found.{quote_name(column)}::VARCHAR IS NOT DISTINCT FROM accepted.{name}"
        for column, name in zip(check.key, values, strict=True)
    ]
    query = (
        f"WITH found AS (\n{_without_end(check.sql)}\n), "
        f"accepted AS (SELECT {of_lines}unnest($positions::INTEGER[]) AS position) "
        f"SELECT {columns} FROM found LEFT JOIN accepted ON {' AND '.join(conditions) if lines else 'false'}"
    )
    return query, values | {"positions": list(range(len(lines)))}


def _without_end(sql: str) -> str:
    """Return a statement without the semicolon at its end, and without comments behind it."""
    tokens = [token for token in _TOKEN.finditer(sql) if not token[0].startswith((";", "--", "/*"))]
    return sql[: tokens[-1].end()] if tokens else ""


def _has_rows(tables: Tables, name: str) -> bool:
    """Return whether there is a table of this name with a row in it."""
    try:
        with duckdb_errors():
            return bool(tables.sql(f"SELECT 1 FROM {quote_name(name)} LIMIT 1").fetchall())
    except QueryError:
        return False
