"""Answers of pages: HTML for people, JSON and Arrow for scripts under the same address."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from registry.errors import ConflictError, NotFoundError, QueryError, RegistryError, UsageError
from registry.redaction import redact
from registry.version import __version__
from registry.web.pictures import load_pictures
from registry.web.plain import plain, plain_rows
from registry.web.security import FAILURE, log_failure
from registry.web.sql_workers import TICKET, Ticket
from registry.web.static import SCRIPTS, STYLES, asset

if TYPE_CHECKING:
    from collections.abc import Awaitable

    import pyarrow as pa
    from starlette.requests import Request

    from registry.web.pictures import Picture
    from registry.web.site import Site

HTML: Final = "text/html"
JSON: Final = "application/json"
ARROW: Final = "application/vnd.apache.arrow.stream"
CSV: Final = "text/csv"
#: Pages that are made at once: more would take memory, and no page would be done sooner.
_AT_ONCE: Final = threading.BoundedSemaphore(2 + (os.cpu_count() or 1))
#: Parameters with SQL of users.
_SQL: Final = frozenset(["query", "where"])
_VARY: Final = "Accept, HX-Request"
#: Addresses to try these in; ``?format=json`` says the same as the header Accept.
_FORMATS: Final = {"html": HTML, "json": JSON, "arrow": ARROW, "csv": CSV}


@dataclass(frozen=True)
class Answer:
    """The answer of a page.

    Attributes:
        template: name of the HTML template.
        title: of the page.
        data: the answer as plain values: the JSON document, and variables of the template.
        table: the rows as an Arrow table; None where the answer is no table.
        context: variables of the template alone.
        status: of HTTP.
        is_fixed: whether it depends on nothing but the address and the version of the registry, so that browsers may
            keep it.
    """

    template: str
    title: str
    data: Mapping[str, Any]
    table: pa.Table | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    is_fixed: bool = True


Handler = Callable[["Site", "Request"], Answer | Response]


def page(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a handler, which runs in a thread; its errors become pages."""

    async def endpoint(request: Request) -> Response:
        if not _SQL.intersection(request.query_params):
            return await run_in_threadpool(_answer_in_turn, handler, request)
        ticket = Ticket()
        TICKET.set(ticket)  # the thread of the handler has the same context
        watch = asyncio.create_task(_cancel_when_gone(request, ticket))
        try:
            return await run_in_threadpool(answer, handler, request)
        finally:
            watch.cancel()

    return endpoint


def _answer_in_turn(handler: Handler, request: Request) -> Response:
    """Return the response of a handler that does not wait for SQL of users."""
    with _AT_ONCE:
        return answer(handler, request)


async def _cancel_when_gone(request: Request, ticket: Ticket) -> None:
    """End the query of a request whose browser went away."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.1)
    ticket.cancel()


def answer(handler: Handler, request: Request) -> Response:
    """Return the response of a handler in the format that the request asks for."""
    site: Site = request.app.state.site
    kind, version = HTML, ""
    try:
        kind = accepted(request)
        version = site.version()
        etag = _etag(site, version, request)
        # The browser asks again whether it changed: by the digest of the manifest and the server, which takes no time.
        caching = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": _VARY}
        if etag in _names(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=caching)
        result = handler(site, request)
        if isinstance(result, Response):
            return result
        response = _written(site, request, result, kind, version)
        is_fixed = result.is_fixed and result.status == 200
    except RegistryError as error:
        response, is_fixed = _written(site, request, error_answer(error), kind, version), False
    except Exception as error:  # noqa: BLE001  # one page fails, not the server
        log_failure(request.method, request.url.path, error)
        failure = Answer("error.html", "That did not work", {"error": FAILURE}, status=500)
        response, is_fixed = _written(site, request, failure, kind, version), False
    response.headers.update(caching if is_fixed else {"Cache-Control": "no-store", "Vary": _VARY})
    return response


def waiting_answer(title: str, waiting: str, query: str, **data: Any) -> Answer:
    """Return the page of a result that is being made, which asks again by itself.

    Args:
        title: of the page.
        waiting: the work that is done.
        query: of the address.
        data: for scripts, ``state`` among it.
    """
    context = {"waiting": waiting, "query": query}
    return Answer("waiting.html", title, data, context=context, status=202, is_fixed=False)


def error_answer(error: RegistryError) -> Answer:
    """Return the page of an error; its text names no secret."""
    kinds = ((NotFoundError, 404), (UsageError, 400), (QueryError, 400), (ConflictError, 409))
    code = next((code for kind, code in kinds if isinstance(error, kind)), 503)
    # JSON may hold half a surrogate pair, and an answer may not.
    message = redact(str(error)).encode("utf-8", "backslashreplace").decode()
    return Answer("error.html", "That did not work", {"error": message}, status=code, is_fixed=False)


def _written(site: Site, request: Request, result: Answer, kind: str, version: str) -> Response:
    if kind == ARROW and result.table is not None:
        return Response(_arrow(result.table), result.status, media_type=ARROW)
    if kind == CSV and result.table is not None:
        return Response(_csv(result.table), result.status, media_type=CSV)
    if kind in (ARROW, CSV) and result.status == 200:
        return Response("This answer is no table: ask for JSON.\n", 406, media_type="text/plain")
    if kind != HTML:
        data = (
            {**result.data, "links": _whole(site, request, result.data["links"])}
            if "links" in result.data
            else result.data
        )
        return Response(json.dumps(plain(data), ensure_ascii=False), result.status, media_type=JSON)
    around = {"title": result.title, "site": site, "request": request, "shown_version": version[:12]}
    values = {**result.data, **result.context, **around}
    return HTMLResponse(TEMPLATES.get_template(result.template).render(values), result.status)


def _whole(site: Site, request: Request, links: Mapping[str, str]) -> dict[str, str]:
    """Return links with the path that a script asks for: the query alone is one of the same page."""
    path = request.url.path.removeprefix(site.root_path)
    return {name: f"{site.root_path}{path if link.startswith('?') else ''}{link}" for name, link in links.items()}


def accepted(request: Request) -> str:
    """Return the format that a request asks for: by ``?format=``, or the first that Accept names; HTML by default."""
    chosen = request.query_params.get("format")
    if chosen is not None:
        if chosen not in _FORMATS:
            raise UsageError(f"format: expected {', '.join(_FORMATS)}, found {chosen[:20]!r}.")
        return _FORMATS[chosen]
    for part in request.headers.get("accept", "").split(","):
        kind = part.partition(";")[0].strip().lower()
        if kind in _FORMATS.values():
            return kind
    return HTML


def _arrow(table: pa.Table) -> bytes:
    import pyarrow as pa

    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def _csv(table: pa.Table) -> str:
    """Return rows as CSV; lists and structs as JSON."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in plain_rows(table):
        writer.writerow([json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict) else v for v in row])
    return buffer.getvalue()


def _names(header: str) -> list[str]:
    """Return the names in a header If-None-Match; a proxy that compresses marks them as weak."""
    return [name.strip().removeprefix("W/") for name in header.split(",")]


def _etag(site: Site, version: str, request: Request) -> str:
    """Return the name of an answer's content, which is known before it is made."""
    asked = (
        site.run_id,
        version,
        str(request.url),
        request.headers.get("accept", ""),
        request.headers.get("hx-request", ""),
    )
    return f'"{hashlib.sha256(repr((__version__, *asked)).encode()).hexdigest()[:32]}"'


TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # an upgrade replaces the templates under a running server
)


@jinja2.pass_context
def _url(context: jinja2.runtime.Context, path: str) -> str:
    """Return the address of a page, behind the prefix that a proxy adds."""
    return f"{context['site'].root_path}{path}"


@jinja2.pass_context
def _picture_of(context: jinja2.runtime.Context, row: Mapping[str, Any], crop: bool = False) -> Picture | None:
    """Return the picture of a row: of those that the page has read at once, or read for itself."""
    pictures = context.get("pictures") or load_pictures(context["site"], [row])
    return pictures.picture(row, crop=crop)


TEMPLATES.globals |= {
    "url": _url,
    "asset": asset,
    "style_files": STYLES,
    "script_files": SCRIPTS,
    "picture_of": _picture_of,
}


def _shown(value: Any) -> str:
    """Return a value for people: separators in whole numbers, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}" if isinstance(value, float) else str(value)


TEMPLATES.filters["shown"] = _shown
TEMPLATES.filters["words"] = lambda name: re.sub(r"_+", " ", str(name))
