"""A site that is served to real clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from registry.web.security import Access
from registry.web.server import listen, make_server
from registry.web.site import Site


@contextmanager
def served(site: Site, access: Access | None = None) -> Iterator[str]:
    """Serve a site on a free port of this machine; yield its address without a slash at the end."""
    access = access or Access.of("127.0.0.1")
    address = listen("127.0.0.1", 0, access, site.root_path)
    server = make_server(site, access)
    thread = threading.Thread(target=server.run, args=(list(address.sockets),), daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < until and thread.is_alive()
        time.sleep(0.01)
    yield address.base
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()
