"""The page of SQL: a query of a user, and its answer as a table or as pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from registry.dataset.deepfashion2 import SPLITS
from registry.errors import NotFoundError, RegistryError, UsageError
from registry.redaction import redact
from registry.web.answers import HTML, Answer, accepted
from registry.web.commands import of_query
from registry.web.pictures import load_pictures
from registry.web.plain import plain_rows
from registry.web.sql_workers import BusyError

if TYPE_CHECKING:
    import pyarrow as pa
    from starlette.requests import Request

    from registry.web.site import Site

#: Rows of a page and of a file, and their bytes.
ROWS: Final = 500
_FILE_ROWS: Final = 100_000
_BYTES: Final = 16 << 20
_FILE_BYTES: Final = 64 << 20
#: Pictures of a page.
_PICTURES: Final = 120
#: Signs of a query, as addresses of browsers and proxies have them.
_LONGEST: Final = 20_000
#: Signs of a value in a table for people.
_SHOWN: Final = 120
#: The same of a list or struct, as JSON.
_SHOWN_OF_LIST: Final = 40
_SHOWS: Final = ("table", "pictures")
EXAMPLES: Final = (
    ("Items by split and category", "SELECT split, category_name, count(*) AS n\nFROM items GROUP BY ALL ORDER BY ALL"),
    ("The largest boxes", "SELECT split, image_id, item_no, category_name, (x2 - x1) * (y2 - y1) AS area\n"
     "FROM items ORDER BY area DESC LIMIT 60"),
    ("Identities with the most pairs", "SELECT split, pair_id, style, count(*) AS pairs\n"
     "FROM instance_pairs GROUP BY ALL ORDER BY pairs DESC LIMIT 60"),
    ("Images with the most items", "SELECT split, image_id, num_items FROM images ORDER BY num_items DESC LIMIT 60"),
    ("Categories by split, side by side", "PIVOT items ON split USING count(*) GROUP BY category_name"),
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A value for people.

    Attributes:
        text: shortened.
        kind: ``null``, ``number`` or ``text``.
        path: of the page that it leads to; None for none.
    """

    text: str
    kind: str
    path: str | None = None


def sql(site: Site, request: Request) -> Answer:
    """Return the answer to a query.

    Parameters of the address: ``query`` (one SELECT), ``show`` (table or pictures).

    Raises:
        UsageError: a parameter cannot be read.
        NotFoundError: this server answers no SQL.
    """
    _check_runs(site)
    query = request.query_params.get("query", "").strip().replace("\r\n", "\n")
    show = request.query_params.get("show", "table")
    if show not in _SHOWS:
        raise UsageError(f"show: expected {' or '.join(_SHOWS)}, found {show[:20]!r}.")
    data: dict[str, Any] = {"query": query}
    context: dict[str, Any] = {
        "show": show, "examples": EXAMPLES, "tables": _tables(site), "error": None, "seconds": None, "cells": None,
        "shown_rows": None, "most": ROWS, "address": f"?{urlencode({'query': query})}",
    }  # fmt: skip
    if not query:
        return Answer("sql.html", "SQL", {**data, "columns": [], "rows": [], "is_cut": False}, None, context)
    context["commands"] = of_query(site, query)
    for_people = accepted(request) == HTML
    try:
        if len(query) > _LONGEST:
            raise UsageError(f"The query is too long: expected at most {_LONGEST:,} signs.")
        most = (ROWS, _BYTES) if for_people else (_FILE_ROWS, _FILE_BYTES)
        result = site.workers.run(query, rows=most[0], bytes=most[1])
    except RegistryError as error:
        status = 503 if isinstance(error, BusyError) else 400
        data["error"] = redact(str(error))
        return Answer("sql.html", "SQL", data, None, {**context, **data}, status, is_fixed=False)
    table = result.table
    names = table.column_names
    rows = plain_rows(table)
    data |= {"columns": names, "rows": rows, "is_cut": result.is_cut}
    if for_people:
        keyed = _with_keys(table, rows)
        paths = [_path(row) for row in keyed] if keyed else [None] * len(rows)
        context["cells"] = [
            [_cell(value, path if name == "image_id" else None) for name, value in zip(names, row, strict=True)]
            for row, path in zip(rows, paths, strict=True)
        ]
        if keyed:
            context["shown_rows"] = [row for row, path in zip(keyed, paths, strict=True) if path][:_PICTURES]
            if show == "pictures":
                context["pictures"] = load_pictures(site, context["shown_rows"])
        context["seconds"] = result.seconds
    table = table.replace_schema_metadata({"is_cut": str(result.is_cut).lower()})
    return Answer("sql.html", "SQL", data, table, context, is_fixed=False)


def words(site: Site, request: Request) -> Response:
    """Return the words that the box of the page completes: tables with their columns, and functions.

    Raises:
        NotFoundError: this server answers no SQL.
    """
    _check_runs(site)
    rows = site.registry.sql(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_name ~ '^[a-z]\\w*$'"
    )
    functions = sorted(name for (name,) in rows.fetchall())
    document = {"tables": _tables(site), "functions": functions}
    return Response(
        json.dumps(document), media_type="application/json", headers={"Cache-Control": "private, max-age=60"}
    )


def _check_runs(site: Site) -> None:
    if not site.settings.runs_sql:
        raise NotFoundError("This server answers no SQL (--no-sql).")


def _tables(site: Site) -> dict[str, list[str]]:
    """Return the columns of each table and view, those of the user first."""
    tables = {name: table.columns for name, table in site.registry.own_tables.items()}
    for row in site.columns():
        tables.setdefault(row["table"], []).append(row["column"])
    return tables


def _with_keys(table: pa.Table, rows: list[list[Any]]) -> list[dict[str, Any]]:
    """Return the rows by the names of their columns if they have the key of an image or item; no row otherwise."""
    names = table.column_names
    if len(set(names)) != len(names) or not {"split", "image_id"} <= set(names):
        return []
    return [dict(zip(names, row, strict=True)) for row in rows]


def _path(row: dict[str, Any]) -> str | None:
    """Return the path of the page of an image or item; None where the values are no key."""
    split, image_id, item_no = row["split"], row["image_id"], row.get("item_no")
    if split not in SPLITS or type(image_id) is not int or image_id < 0:
        return None
    return f"/image/{split}/{image_id}" + (f"?item={item_no}" if type(item_no) is int and item_no >= 0 else "")


def _cell(value: Any, path: str | None) -> Cell:
    if value is None:
        return Cell("NULL", "null")
    if isinstance(value, bool | int | float):
        return Cell(str(value).lower() if isinstance(value, bool) else f"{value}", "number", path)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    most = _SHOWN if isinstance(value, str) else _SHOWN_OF_LIST
    return Cell(text if len(text) <= most else f"{text[:most]}…", "text", path)
