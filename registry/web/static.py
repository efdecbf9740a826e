"""The scripts and styles of the pages: files of this package, each under an address with its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request

_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES: Final = {
    path.name: path.read_bytes() for path in (Path(__file__).parent / "static").iterdir() if path.suffix in _KINDS
}
_DIGESTS: Final = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in _FILES.items()}
#: The styles and the scripts of all pages, in the order in which they are loaded.
STYLES: Final = sorted((name for name in _FILES if name.endswith(".css")), key=lambda name: (name != "site.css", name))
SCRIPTS: Final = sorted(
    (name for name in _FILES if name.endswith(".js")), key=lambda name: (name != "htmx.min.js", name)
)


def asset(name: str) -> str:
    """Return the path of a file; it changes with its content."""
    return f"/static/{name}?v={_DIGESTS[name]}"


async def static_file(request: Request) -> Response:
    """Answer with a file; browsers keep it for good."""
    name = request.path_params["name"]
    if name not in _FILES:
        return PlainTextResponse("There is no such file.\n", 404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_FILES[name], headers=headers, media_type=_KINDS[Path(name).suffix])
