"""The checks: how many odd rows each finds, the rows with their pictures, and their accepted exceptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from registry.checks.accepted import Line, accept
from registry.dataset.deepfashion2 import unknown_name
from registry.dataset.tables import IMAGES, ITEMS
from registry.errors import NotFoundError, RegistryError, UsageError
from registry.redaction import redact
from registry.web.answers import Answer
from registry.web.check_runs import key_values
from registry.web.commands import of_checks
from registry.web.forms import check_edits, text_of
from registry.web.pictures import load_pictures
from registry.web.state import place_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.web.site import Site

#: Rows of a page.
SIZE: Final = 24
#: Pictures of a row about an identity or a group.
_MOST: Final = 4
_OWN: Final = ("split", "image_id")


def checks(site: Site, request: Request) -> Answer:
    """Return the page of all checks, with the counts that are known so far; it asks again until all are."""
    state = site.state(request)
    rows: list[dict[str, Any]] = []
    notices: list[str] = []
    problem, is_done = "", True
    try:
        loaded = site.checks.load()
        run = site.checks.run(state.subset, loaded)
        is_done, problem, notices = run.is_done, redact(run.problem), list(run.notices)
        for name in run.names:
            check, result = loaded.checks.by_name.get(name), run.results.get(name)
            rows.append(
                {
                    "check": name,
                    "severity": check.severity if check else "error",
                    "count": result.count if result else None,
                    "accepted": result.accepted if result else None,
                    "limit": loaded.settings.limits.get(name),
                    "passed": result.passed if result else None,
                    "meaning": check.meaning if check else redact(loaded.checks.broken[name]),
                    "is_counted": result is not None,
                    "problem": redact(result.problem) if result else "",
                }
            )
    except RegistryError as error:  # of the files of the user: the rest of the site does not need them
        problem = redact(str(error))
    data = {"checks": rows, "notices": notices, "problem": problem, "is_done": is_done}
    context = {"state": state, "commands": of_checks(site, state.subset)}
    return Answer("checks.html", "Checks", data, _check_table(rows), context, is_fixed=False)


def check(site: Site, request: Request) -> Answer:
    """Return the rows of a check with their pictures; ``after`` and ``before`` are keys of rows.

    Raises:
        UnknownNameError: there is no such check.
        UsageError: the check or a file of the user is broken, or a parameter cannot be read.
    """
    state = site.state(request)
    name = request.path_params["name"]
    loaded = site.checks.load()
    if name not in loaded.checks.names:
        raise NotFoundError(str(unknown_name("check", name, loaded.checks.names)))
    about = loaded.checks.by_name.get(name)
    problem, table = "", None
    rows: list[dict[str, Any]] = []
    count, links = 0, {}
    try:
        after, before = place_of(state, "after"), place_of(state, "before")
        table, has_more = site.checks.page(state.subset, loaded, name, after=after, before=before, size=SIZE)
        assert about is not None  # a check without rows has raised its error
        count = site.checks.count(state.subset, loaded, name).count or 0
        rows = table.to_pylist()
        if rows and (has_more if before else after):
            links["previous"] = state.query(before=json.dumps([*key_values(rows[0], about.key).values()]))
        if rows and (before or has_more):
            links["next"] = state.query(after=json.dumps([*key_values(rows[-1], about.key).values()]))
    except RegistryError as error:
        if {"after", "before"} & {*state.others}:
            raise
        problem, table = redact(str(error)), None
    shown: list[dict[str, Any]] = [
        {
            "pictures": _pictures(site, row),
            "link": _link(row),
            "columns": {column: value for column, value in row.items() if column not in _OWN},
            "key": json.dumps(key_values(row, about.key)) if about else "",
        }
        for row in rows
    ]
    data = {
        "check": name,
        "severity": about.severity if about else "error",
        "meaning": about.meaning if about else "",
        "source": about.source if about else "",
        "sql": about.sql if about else "",
        "key": about.key if about else (),
        "count": count,
        "accepted": len(loaded.accepted.get(name, ())),
        "rows": rows,
        "problem": problem,
        "links": links,
    }
    pictured = [row for entry in shown for row in entry["pictures"]]
    context = {"state": state, "shown": shown, "pictures": load_pictures(site, pictured)}
    context["commands"] = of_checks(site, state.subset, name)
    return Answer("check.html", name, data, table, context, is_fixed=False)


def accept_row(site: Site, request: Request, form: Mapping[str, str]) -> Answer:
    """Write an accepted exception: a row of a check as its ``key``, ``why`` and ``who``.

    Raises:
        NotFoundError: this server writes nothing.
        UsageError: a value is missing, the check has no such row, or the file is not sound.
    """
    check_edits(site)
    name = request.path_params["name"]
    loaded = site.checks.load()
    about = loaded.checks.by_name.get(name)
    if about is None:
        raise unknown_name("check", name, list(loaded.checks.by_name))
    try:
        key = msgspec.json.decode(form.get("key", ""))  # unlike json.loads, without halves of surrogate pairs
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, dict):
        raise UsageError("key: expected the key of a row, as the page of the check sends it.")
    if set(key) != set(about.key):
        raise UsageError(f"key: expected {', '.join(about.key)}; found {', '.join(map(str, key))[:200] or 'none'}.")
    if not site.checks.has_row(loaded, name, [key[column] for column in about.key]):
        raise UsageError(f"{name} has no row {json.dumps(key)[:200]}.")
    path = loaded.settings.accepted
    assert path is not None  # beside a parameter file, which need not exist
    line = accept(path, loaded.checks, Line(name, key, text_of(form, "why"), text_of(form, "who")))
    data = {"file": str(path), "lines": [line], "replaced": [], "back": f"/checks/{name}"}
    return Answer("written.html", "Accepted", data, context={"is_exception": True}, is_fixed=False)


def _pictures(site: Site, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the images and items that a row is about: two of a pair, some of an identity or of a group."""
    split = row.get("split")
    if split is None:
        return []
    if _is_number(row.get("image_id")):
        pictured = [{"split": split, "image_id": row["image_id"], "item_no": row.get("item_no")}]
        if _is_number(row.get("other_image_id")):
            pictured.append({"split": row.get("other_split", split), "image_id": row["other_image_id"]})
        elif _is_number(row.get("other_item_no")):
            pictured.append({"split": split, "image_id": row["image_id"], "item_no": row["other_item_no"]})
        return pictured
    if not _is_number(row.get("pair_id")):
        return []
    if _is_number(row.get("style")):
        items = site.narrow().equal(ITEMS.name, split=split, pair_id=row["pair_id"], style=row["style"])
        return [{name: item[name] for name in ITEMS.key} for item in items[:_MOST]]
    images = site.narrow().equal(IMAGES.name, split=split, pair_id=row["pair_id"])
    return [{name: image[name] for name in IMAGES.key} for image in images[:_MOST]]


def _link(row: Mapping[str, Any]) -> str:
    """Return the path of the identity or group of a row; empty for a row of another kind."""
    if row.get("split") is None or not _is_number(row.get("pair_id")) or "image_id" in row:
        return ""
    path = f"{row['split']}/{row['pair_id']}"
    return f"/identity/{path}/{row['style']}" if _is_number(row.get("style")) else f"/pair/{path}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_table(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    types = {
        "check": pa.string(), "severity": pa.string(), "count": pa.int64(), "accepted": pa.int64(),
        "limit": pa.int64(), "passed": pa.bool_(), "meaning": pa.string(), "is_counted": pa.bool_(),
        "problem": pa.string(),
    }  # fmt: skip
    return pa.Table.from_pylist(rows, pa.schema(list(types.items())))
