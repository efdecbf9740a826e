"""The application: every page under its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Route

from registry.errors import NotFoundError
from registry.web.answers import answer, page
from registry.web.grid import grid
from registry.web.security import Access, Guard
from registry.web.sql import sql, words
from registry.web.static import static_file

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.web.answers import Answer
    from registry.web.site import Site

#: The pages, in the order of the navigation; those without a handler in it are shown below others.
ROUTES = (
    Route("/", page(grid)),
    Route("/sql", page(sql)),
    Route("/sql/words", page(words)),
    Route("/static/{name}", static_file),
)


def create_app(site: Site, access: Access) -> Starlette:
    """Return the ASGI application of a site."""
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Guard, access=access), Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)],
        exception_handlers={404: _not_found, 405: _not_found},
    )
    app.state.site = site
    return app


async def _not_found(request: Request, error: Exception) -> Response:
    def handler(site: Site, request: Request) -> Answer:
        raise NotFoundError(f"There is no page {request.url.path[:200]}.")

    return await run_in_threadpool(answer, handler, request)
