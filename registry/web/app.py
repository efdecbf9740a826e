"""The application: every page under its address."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from registry.errors import NotFoundError
from registry.web.answers import answer, page
from registry.web.forms import form_page
from registry.web.grid import grid
from registry.web.photos import photo, thumbnail
from registry.web.security import Access, Guard
from registry.web.static import static_file

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.web.answers import Answer
    from registry.web.site import Site


def _later(module: str, name: str) -> Callable[..., Answer]:
    """Return a handler whose module is imported by its first request: the first page is sooner there."""

    def handler(*arguments: Any) -> Answer:
        answered: Answer = getattr(import_module(f"registry.web.{module}"), name)(*arguments)
        return answered

    return handler


#: The addresses and their handlers.
ROUTES = (
    Route("/", page(grid)),
    Route("/sql", page(_later("sql", "sql"))),
    Route("/sql/words", page(_later("sql", "words"))),
    Route("/api", page(_later("api", "api"))),
    Route("/openapi.json", page(_later("api", "openapi"))),
    Route("/static/{name}", static_file),
    Route("/identities", page(_later("identity", "identities"))),
    Route("/identity/{split}/{pair_id:int}/{style:int}", page(_later("identity", "identity"))),
    Route("/pair/{split}/{pair_id:int}", page(_later("identity", "pair"))),
    Route("/image/{split}/{image_id:int}", page(_later("image", "image"))),
    Route("/annotation/{split}/{image_id:int}.json", page(_later("image", "annotation"))),
    Route("/photo/{split}/{image_id:int}", photo),
    Route("/thumbnail/{split}/{image_id:int}.jpg", thumbnail),
    Route("/statistics", page(_later("statistics", "statistics"))),
    Route("/statistics/pictures", page(_later("statistics", "pictures"))),
    Route("/predictions", page(_later("predictions", "predictions"))),
    Route("/predictions/pictures", page(_later("predictions", "pictures"))),
    Route("/predictions/image/{split}/{image_id:int}", page(_later("predictions", "image"))),
    Route("/similar/{split}/{image_id:int}/{item_no:int}", page(_later("similar", "similar"))),
    Route("/checks", page(_later("checks", "checks"))),
    Route("/checks/{name}", page(_later("checks", "check")), methods=["GET"]),
    Route("/checks/{name}", form_page(_later("checks", "accept_row")), methods=["POST"]),
    Route("/compare", page(_later("compare", "compare"))),
    Route("/corrections", form_page(_later("corrections", "correct_value")), methods=["POST"]),
)


def create_app(site: Site, access: Access) -> Starlette:
    """Return the ASGI application of a site."""
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(Guard, access=access, root_path=site.root_path),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4),
        ],
        exception_handlers={404: _not_found, 405: _not_allowed},
    )
    # It would lead to the host and the scheme that the request names, which behind a proxy are others.
    app.router.redirect_slashes = False
    app.state.site = site
    return app


async def _not_found(request: Request, error: Exception) -> Response:
    def handler(site: Site, request: Request) -> Answer:
        raise NotFoundError(f"There is no page {request.url.path[:200]}.")

    return await run_in_threadpool(answer, handler, request)


async def _not_allowed(request: Request, error: Exception) -> Response:
    text = f"{request.method[:20]} is not for this page.\n"
    return PlainTextResponse(text, 405, getattr(error, "headers", None))
