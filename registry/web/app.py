"""The application: every page under its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from registry.errors import NotFoundError
from registry.web import predictions
from registry.web.answers import answer, page
from registry.web.api import api, openapi
from registry.web.checks import accept_row, check, checks
from registry.web.compare import compare
from registry.web.corrections import correct_value
from registry.web.forms import form_page
from registry.web.grid import grid
from registry.web.identity import identities, identity, pair
from registry.web.image import annotation, image
from registry.web.photos import photo, thumbnail
from registry.web.security import Access, Guard
from registry.web.similar import similar
from registry.web.sql import sql, words
from registry.web.static import static_file
from registry.web.statistics import pictures, statistics

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.web.answers import Answer
    from registry.web.site import Site

#: The addresses and their handlers.
ROUTES = (
    Route("/", page(grid)),
    Route("/sql", page(sql)),
    Route("/sql/words", page(words)),
    Route("/api", page(api)),
    Route("/openapi.json", page(openapi)),
    Route("/static/{name}", static_file),
    Route("/identities", page(identities)),
    Route("/identity/{split}/{pair_id:int}/{style:int}", page(identity)),
    Route("/pair/{split}/{pair_id:int}", page(pair)),
    Route("/image/{split}/{image_id:int}", page(image)),
    Route("/annotation/{split}/{image_id:int}.json", page(annotation)),
    Route("/photo/{split}/{image_id:int}", photo),
    Route("/thumbnail/{split}/{image_id:int}.jpg", thumbnail),
    Route("/statistics", page(statistics)),
    Route("/statistics/pictures", page(pictures)),
    Route("/predictions", page(predictions.predictions)),
    Route("/predictions/pictures", page(predictions.pictures)),
    Route("/predictions/image/{split}/{image_id:int}", page(predictions.image)),
    Route("/similar/{split}/{image_id:int}/{item_no:int}", page(similar)),
    Route("/checks", page(checks)),
    Route("/checks/{name}", page(check), methods=["GET"]),
    Route("/checks/{name}", form_page(accept_row), methods=["POST"]),
    Route("/compare", page(compare)),
    Route("/corrections", form_page(correct_value), methods=["POST"]),
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
