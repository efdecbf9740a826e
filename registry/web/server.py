"""Runs the server: its address, its threads, and its end."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from registry.errors import MissingDependencyError, StorageError

if TYPE_CHECKING:
    import uvicorn

    from registry.web.security import Access
    from registry.web.site import Site

#: Port to try first; the next free port is taken where nobody asked for this.
PORT: Final = 8022
#: Ports that are tried.
_ATTEMPTS: Final = 20
#: Name of the setting in malloc.h of glibc.
_M_ARENA_MAX: Final = -8
#: Seconds for running answers at the end.
_GRACE: Final = 1


@dataclass(frozen=True)
class Address:
    """The address of a server.

    Attributes:
        base: for the browser, without a slash at the end.
        token: that it needs, or None.
        sockets: that listen.
    """

    base: str
    token: str | None
    sockets: tuple[socket.socket, ...]

    @property
    def url(self) -> str:
        """The address of the first page, with the token where one is needed."""
        return self.url_of("")

    def url_of(self, query: str) -> str:
        """Return the address of the grid with a query, ``?...`` or an empty text, and with the token."""
        token = "" if self.token is None else f"{'&' if query else '?'}token={self.token}"
        return f"{self.base}/{query}{token}"


def share_heaps() -> None:
    """Let all threads of this process allocate from two heaps: each keeps the most that was used at a time.

    By default glibc makes eight a core; with two, a server of a full-size registry needs 60 MB less. Other systems have
    no such setting.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def check_installed() -> None:
    """Raise an error that says what to install where the extra ``browse`` is missing.

    Raises:
        MissingDependencyError: the packages of the extra are not installed.
    """
    for name in ("jinja2", "starlette", "uvicorn"):
        if find_spec(name) is None:  # to import them would keep the tables of the first page waiting
            raise MissingDependencyError(
                f"The pages need packages that are not installed ({name}): pip install 'deepfashion2-registry[browse]'."
            )


def listen(host: str, port: int | None, access: Access, root_path: str = "") -> Address:
    """Return the address of a new server, whose socket listens already.

    Args:
        host: name or number of an address of this machine.
        port: 0 for any free one; None for :data:`PORT` or the next free one.
        access: has the token of the URL.
        root_path: prefix of all addresses.

    Raises:
        StorageError: the address is taken or none of this machine.
    """
    from registry.web.security import WILDCARDS

    ports = [port] if port is not None else [*range(PORT, PORT + _ATTEMPTS), 0]
    for number in ports:
        try:
            family, *_, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            opened = socket.create_server(address[:2], family=family, backlog=128)
        except (OSError, UnicodeError) as error:
            is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            if is_taken and number != ports[-1]:
                continue
            number_of_error = error.errno if isinstance(error, OSError) else None
            # create_server() adds the address to the text of the system.
            reason = os.strerror(number_of_error) if number_of_error and number_of_error > 0 else str(error)
            hint = "; --port 0 takes a free one" if is_taken else ""
            raise StorageError(f"Cannot listen on {host} port {number}: {reason}{hint}.") from error
        shown = "127.0.0.1" if host in WILDCARDS else f"[{host}]" if ":" in host else host
        base = f"http://{shown}:{opened.getsockname()[1]}{root_path}"
        return Address(base, access.token, (opened,))
    raise AssertionError("the last port is tried without condition")


def make_server(site: Site, access: Access) -> uvicorn.Server:
    """Return a server that is not running yet; signals end the process as they end every command."""
    import uvicorn

    from registry.web.app import create_app
    from registry.web.protocol import TimedProtocol

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        create_app(site, access), log_config=None, access_log=False, lifespan="off", proxy_headers=False,
        server_header=False, timeout_graceful_shutdown=_GRACE, ws="none", http=TimedProtocol, loop="asyncio",
        limit_concurrency=400,
    )  # fmt: skip
    return Server(config)


def _warm_up(site: Site) -> None:
    """Prepare the first page: its templates take some 50 ms to compile."""
    from registry.web.answers import TEMPLATES

    for name in ("base.html", "commands.html", "facets.html", "grid.html", "picture.html"):
        TEMPLATES.get_template(name)
    site.warm_up()


def serve(site: Site, access: Access, address: Address, when_ready: Callable[[], None]) -> None:
    """Serve until the process is asked to end; ``when_ready`` is called once requests are accepted."""
    # The first page is prepared while the modules are loaded and the browser starts.
    threading.Thread(target=_warm_up, args=(site,), daemon=True).start()
    server = make_server(site, access)
    # Not in the main thread, where a signal would raise its exception in the midst of asyncio, which logs and drops it.
    serving = threading.Thread(target=server.run, args=(list(address.sockets),), daemon=True)
    serving.start()
    try:
        when_ready()
        serving.join()
    finally:
        server.should_exit = True
        serving.join(_GRACE)
