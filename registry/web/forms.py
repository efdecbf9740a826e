"""Forms that write to the working tree: only where the server was started with ``--edit``."""

from __future__ import annotations

from asyncio import timeout
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from registry.errors import NotFoundError, UsageError
from registry.web.answers import Answer, answer

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.web.site import Site

#: Bytes of a form.
_MOST_BYTES: Final = 1 << 20
#: Seconds in which a form must arrive.
_SECONDS: Final = 10
_FORM: Final = "application/x-www-form-urlencoded"


def form_page(
    handler: Callable[[Site, Request, Mapping[str, str]], Answer],
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a handler of a form; its errors become pages."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            return PlainTextResponse(f"Expected a form ({_FORM}).\n", 415)
        body = b""
        try:
            async with timeout(_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        return PlainTextResponse(f"Expected a form of at most {_MOST_BYTES:,} bytes.\n", 413)
        except TimeoutError:
            return PlainTextResponse(f"Expected the whole form within {_SECONDS} s.\n", 408)

        def handle(site: Site, request: Request) -> Answer:
            try:
                form = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict"))
            except ValueError as error:
                raise UsageError("The form cannot be read.") from error
            return handler(site, request, form)

        return await run_in_threadpool(answer, handle, request)

    return endpoint


def check_edits(site: Site) -> None:
    """Raise NotFoundError unless the server may write to the working tree."""
    if not site.settings.edits:
        raise NotFoundError("This server writes nothing: start it with df2 browse --edit.")


def text_of(form: Mapping[str, str], name: str) -> str:
    """Return a text of a form.

    Raises:
        UsageError: it is missing or blank.
    """
    text = form.get(name, "").strip()
    if not text:
        raise UsageError(f"Nothing was written: {name}: expected a text, found none.")
    return text
