"""A read-only web server with range requests and folder listings.

Run as a program, this file is the server. Python's http.server supports no range requests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class HTTPServer:
    """A web server on this machine."""

    base_url: str
    root: Path  #: the served folder

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options of fsspec: none."""
        return {}

    def url(self, path: str = "") -> str:
        """Return the URL of a file below ``root``."""
        return f"{self.base_url}/{quote(path.lstrip('/'))}"


@contextmanager
def run_http(folder: Path) -> Iterator[HTTPServer]:
    """Run a web server for a new folder in ``folder``.

    Raises:
        ServerError: the server is not installed, or did not start.
    """
    from tests.servers.processes import listens, running

    root = folder / "root"
    root.mkdir(parents=True)
    # -P keeps the folder of this file out of sys.path, where it would shadow the module http.
    with running(
        lambda ports: [sys.executable, "-P", __file__, str(root), str(ports[0])],
        1,
        lambda ports: listens(ports[0]),
        folder,
    ) as (port,):
        yield HTTPServer(f"http://127.0.0.1:{port}", root)


def _serve(root: Path, port: int) -> None:
    from aiohttp import web

    async def answer(request: web.Request) -> web.StreamResponse:
        path = root / request.match_info["path"]
        if not path.resolve().is_relative_to(root.resolve()) or not path.exists():
            raise web.HTTPNotFound
        if not path.is_dir():
            return web.FileResponse(path)
        # Folder names end in a slash, as Apache and nginx write them; fsspec opens no other folders.
        names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
        links = "".join(f'<li><a href="{quote(name)}">{escape(name)}</a></li>' for name in names)
        return web.Response(text=f"<html><body><ul>{links}</ul></body></html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
