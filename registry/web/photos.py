"""The addresses of photos and thumbnails."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse, Response

from registry.dataset.deepfashion2 import find_split
from registry.errors import NotFoundError, RegistryError, UsageError
from registry.redaction import redact
from registry.web.library import WIDTHS, MissingPhotoError, Part, content_type

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.web.site import Site

#: The ends of parts of photos, px: pictures show the surroundings of a photo where annotations reach there.
_PART: Final = re.compile(r"(-?\d{1,6}),(-?\d{1,6}),(-?\d{1,6}),(-?\d{1,6})", re.ASCII)
#: Longest shape of a part.
_MAX_RATIO: Final = 8

#: Returns bytes and their type.
Make = Callable[["Site", "Request"], tuple[bytes, str]]


async def photo(request: Request) -> Response:
    """Answer with the bytes of a photo as they are stored."""
    return await _answer(request, _photo)


async def thumbnail(request: Request) -> Response:
    """Answer with a photo, or the part of it that ``part=LEFT,TOP,RIGHT,BOTTOM`` names, ``w`` px wide."""
    return await _answer(request, _thumbnail)


async def _answer(request: Request, make: Make) -> Response:
    site: Site = request.app.state.site
    return await asyncio.get_running_loop().run_in_executor(site.library.pool, _made, site, request, make)


def _made(site: Site, request: Request, make: Make) -> Response:
    """Return the response, in a thread of the photos: a new version of the registry may have to be opened."""
    try:
        name = hashlib.sha256(f"{site.run_id} {site.version()} {request.url}".encode()).hexdigest()[:32]
        headers = {"ETag": f'"{name}"', "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        data, kind = make(site, request)
    except (MissingPhotoError, NotFoundError) as error:
        text = error.text if isinstance(error, MissingPhotoError) else redact(str(error))
        return PlainTextResponse(f"{text}\n", 404, {"Cache-Control": "no-store"})
    except RegistryError as error:
        status = 400 if isinstance(error, UsageError) else 503
        return PlainTextResponse(f"{redact(str(error))}\n", status, {"Cache-Control": "no-store"})
    return Response(data, media_type=kind, headers=headers)


def _photo(site: Site, request: Request) -> tuple[bytes, str]:
    data = site.library.read(*_key(request))
    kind = content_type(data)
    if kind is None:
        raise MissingPhotoError("The file is no JPEG, PNG or WebP.")
    return data, kind


def _thumbnail(site: Site, request: Request) -> tuple[bytes, str]:
    text = request.query_params.get("w", str(WIDTHS[0]))
    if text not in map(str, WIDTHS):
        raise UsageError(f"w: expected {' or '.join(map(str, WIDTHS))}, found {text[:20]!r}.")
    part = _part(request.query_params.get("part"))
    return site.library.thumbnail(*_key(request), int(text), part), "image/jpeg"


def _key(request: Request) -> tuple[str, int]:
    """Return split and image_id of an address.

    Raises:
        UsageError: there is no such split.
    """
    number = int(request.path_params["image_id"])
    if number >= 2**31:
        raise MissingPhotoError("There is no image of this number.")
    return find_split(request.path_params["split"]), number


def _part(text: str | None) -> Part | None:
    """Return the ends of a part of a photo.

    Raises:
        UsageError: they are no part.
    """
    if text is None:
        return None
    match = _PART.fullmatch(text)
    if match:
        x1, y1, x2, y2 = (int(group) for group in match.groups())
        width, height = x2 - x1, y2 - y1
        if width > 0 and height > 0 and max(width, height) <= _MAX_RATIO * min(width, height):
            return x1, y1, x2, y2
    raise UsageError(f"part: expected LEFT,TOP,RIGHT,BOTTOM in px, found {text[:40]!r}.")
