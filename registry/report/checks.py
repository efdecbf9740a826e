"""The checks of the data: how many rows each found, and examples of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from registry.report.elements import Html, bullets, element, section, table
from registry.store.connection import duckdb_errors
from registry.store.query import records
from registry.wording import plural

if TYPE_CHECKING:
    from registry.checks.run import CheckRun, Result
    from registry.report.thumbnails import Thumbnails
    from registry.store.selection import Selection

#: Rows of a check that are shown.
_EXAMPLES: Final = 4
#: Two items of an identity or a pair_id, of different sources or categories if there are any.
_ITEMS: Final = """
    SELECT split, image_id, item_no, pair_id, style, source, category_name FROM items
    WHERE split = $split AND pair_id = $pair_id AND ($style IS NULL OR style = $style)
    ORDER BY row_number() OVER (PARTITION BY source, category_id ORDER BY image_id, item_no), source DESC, category_id
    LIMIT 2
"""


def checks(selection: Selection, run: CheckRun, thumbnails: Thumbnails) -> Html:
    """Return the section on the checks.

    Args:
        selection: the subset.
        run: the results on it.
        thumbnails: draws the examples.
    """
    odd = [result for result in run if result.count]
    num_run = sum(result.count is not None for result in run)
    is_accepted, has_limits = any(result.accepted for result in run), any(result.limit is not None for result in run)
    columns = ["check", "severity", "rows", *["accepted"] * is_accepted, *["limit"] * has_limits, "outcome"]
    return section(
        "checks",
        "Checks",
        element(
            "p",
            f"{plural(num_run, 'check')} looked for rows that are odd"
            f"{f', {len(run) - num_run:,} could not be run' if num_run < len(run) else ''}. "
            f"{plural(len(odd), 'check')} {'has' if len(odd) == 1 else 'have'} such rows. "
            "An odd row need not be wrong: the released data has many.",
        ),
        table("Rows of each check", [_row(result) for result in run], columns),
        bullets([*run.notices, *(result.problem for result in run.broken)]),
        *(_examples(selection, run, result, thumbnails) for result in odd),
    )


def _row(result: Result) -> dict[str, Any]:
    name = element("a", result.name, href=f"#check-{result.name}") if result.count else result.name
    return {
        "check": name,
        "severity": _badge(result.severity),
        "rows": result.count,
        "accepted": result.accepted,
        "limit": result.limit,
        "outcome": element("span", _outcome(result), class_="error" if result.passed is False else None),
    }


def _outcome(result: Result) -> str:
    if result.passed is None:
        return "not run"
    return "failed" if not result.passed else "passed" if result.limit is not None else "no limit"


def _badge(severity: str) -> Html:
    return element("span", severity, class_=f"badge {severity}")


def _examples(selection: Selection, run: CheckRun, result: Result, thumbnails: Thumbnails) -> Html:
    """Return the meaning of a check, with pictures of its first rows, or the rows where they name no image."""
    with duckdb_errors():
        rows = records(run.rows(result.name).limit(_EXAMPLES))
    check = run.checks.by_name[result.name]
    pictures = thumbnails.of_rows(rows) or thumbnails.of_rows(_items_of(selection, rows))
    shown = f"The first {_EXAMPLES} of {result.count:,}" if (result.count or 0) > _EXAMPLES else "All of them"
    is_named = pictures is not None and set(check.key) >= {"split", "image_id"}
    meaning = check.meaning.removeprefix("One row per ")
    listed = [{name: _short(value) for name, value in row.items()} for row in rows]
    return element(
        "article",
        element("h3", result.name, " ", _badge(result.severity), id=f"check-{result.name}"),
        element("p", f"{meaning[:1].upper()}{meaning[1:].rstrip('.')}. {shown}:", class_="muted"),
        pictures,
        None if is_named else table(f"Rows of {result.name}", listed),
    )


def _items_of(selection: Selection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of rows that name an identity or a pair_id: at most two each, of other sources or categories."""
    items: list[dict[str, Any]] = []
    for row in rows:
        if not {"split", "pair_id"} <= set(row):
            continue
        key = {name: row.get(name) for name in ("split", "pair_id", "style")}
        items += records(selection.sql(_ITEMS, key))
    return items[:_EXAMPLES]


def _short(value: Any) -> Any:
    """Return a value for a table: lists as a text, without separators in numbers that are names."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value) if isinstance(value, int) else value
