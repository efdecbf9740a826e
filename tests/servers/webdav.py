"""A WebDAV server: wsgidav."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.processes import listens, running


@dataclass(frozen=True)
class WebDAVServer:
    """A WebDAV server on this machine and its credentials."""

    base_url: str
    user: str
    password: str
    root: Path  #: the served folder

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options of fsspec (webdav4), whose URLs are ``webdav://path`` without a host."""
        return {"base_url": self.base_url, "auth": (self.user, self.password)}

    @property
    def dvc_config(self) -> dict[str, str]:
        """Settings of ``dvc remote modify`` besides the URL."""
        return {"user": self.user, "password": self.password}

    def url(self, path: str = "") -> str:
        """Return the URL of a path with the host, as DVC expects it."""
        return f"{self.base_url.replace('http', 'webdav', 1)}/{path.lstrip('/')}"

    def make_folder(self, path: str) -> str:
        """Create a folder and return its URL; DVC requires an existing folder."""
        (self.root / path).mkdir(parents=True, exist_ok=True)
        return self.url(path)


@contextmanager
def run_webdav(folder: Path, user: str = "df2", password: str = "df2-password") -> Iterator[WebDAVServer]:
    """Run a WebDAV server for a new folder in ``folder``; requests must authenticate.

    Raises:
        ServerError: the server is not installed, or did not start.
    """
    root = folder / "root"
    root.mkdir(parents=True)
    settings = {
        "provider_mapping": {"/": str(root)},
        "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
        "http_authenticator": {"accept_digest": False, "default_to_digest": False},
        "verbose": 1,
    }
    config = folder / "wsgidav.json"
    config.touch(mode=0o600)
    config.write_text(json.dumps(settings))
    program = [sys.executable, "-m", "wsgidav.server.server_cli", "--config", str(config), "--host", "127.0.0.1"]
    with running(lambda ports: [*program, "--port", str(ports[0])], 1, lambda ports: listens(ports[0]), folder) as (
        port,
    ):
        yield WebDAVServer(f"http://127.0.0.1:{port}", user, password, root)
