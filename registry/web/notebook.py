"""Pages in a notebook: a server in a thread, shown in a frame."""

from __future__ import annotations

import atexit
import threading
import time
from html import escape
from typing import TYPE_CHECKING, Final, Self

from registry.errors import StorageError
from registry.web.security import Access
from registry.web.server import listen, make_server

if TYPE_CHECKING:
    from registry.web.site import Site

#: Seconds in which the server begins, and ends.
_SECONDS: Final = 10


class Browsing:
    """A server in a thread of this process, which notebooks show in a frame; also a context that stops it.

    Args:
        site: to serve.
        query: of the first page: ``?...`` or an empty text.
        port: 0 for any free one.
        height: of the frame, in pixels.

    Attributes:
        url: the first page.

    Raises:
        StorageError: the port is taken.
    """

    def __init__(self, site: Site, query: str = "", port: int = 0, height: int = 800) -> None:
        access = Access.of("127.0.0.1", in_frames=True)
        address = listen("127.0.0.1", port, access)
        self.url = address.url_of(query)
        self._height = int(height)
        self._site = site
        self._server = make_server(site, access)
        self._thread = threading.Thread(target=self._server.run, args=(list(address.sockets),), daemon=True)
        self._thread.start()
        until = time.monotonic() + _SECONDS
        while not self._server.started:
            if time.monotonic() > until or not self._thread.is_alive():
                self._server.should_exit = True
                for opened in address.sockets:
                    opened.close()
                raise StorageError(f"The server at {self.url} did not begin.")
            time.sleep(0.01)
        self._warming = threading.Thread(target=site.warm_up, daemon=True)
        self._warming.start()
        # A thread that is within DuckDB while the interpreter ends would abort the process.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop the server; a page that is open shows no more than it has."""
        atexit.unregister(self.stop)
        self._server.should_exit = True
        self._thread.join(_SECONDS)
        self._warming.join(_SECONDS)
        self._site.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "" if self._thread.is_alive() else ", stopped"
        return f"Browsing({self.url!r}{state})"

    def _repr_html_(self) -> str:
        url = escape(self.url)
        return (
            f'<iframe src="{url}" title="DeepFashion2 registry" width="100%" height="{self._height}"></iframe>'
            f'<p><a href="{url}" target="_blank" rel="noopener">{url}</a></p>'
        )
