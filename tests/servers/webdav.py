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
    """A WebDAV server on this machine, and who may use it."""

    base_url: str
    user: str
    password: str
    root: Path  #: the folder that it serves

    @property
    def storage_options(self) -> dict[str, Any]:
        """What fsspec (webdav4) needs; its URLs are ``webdav://path``, without a host."""
        return {"base_url": self.base_url, "auth": (self.user, self.password)}

    @property
    def dvc_config(self) -> dict[str, str]:
        """What ``dvc remote modify`` has to set besides the URL."""
        return {"user": self.user, "password": self.password}

    def url(self, path: str = "") -> str:
        """Return the URL of a path with the server in it, as DVC wants it."""
        return f"{self.base_url.replace('http', 'webdav', 1)}/{path.lstrip('/')}"

    def make_folder(self, path: str) -> str:
        """Make a folder and return its URL; DVC's remote has to be one that is there."""
        (self.root / path).mkdir(parents=True, exist_ok=True)
        return self.url(path)


@contextmanager
def run_webdav(folder: Path, user: str = "df2", password: str = "df2-password") -> Iterator[WebDAVServer]:
    """Run a WebDAV server for a folder below this one; it answers nobody without the password.

    Raises:
        ServerError: it is not installed, or did not start.
    """
    root = folder / "root"
    root.mkdir(parents=True)
    settings = {
        "provider_mapping": {"/": str(root)},
        "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
        "http_authenticator": {"accept_digest": False, "default_to_digest": False},
        "verbose": 1,
    }
    written = folder / "wsgidav.json"
    written.touch(mode=0o600)
    written.write_text(json.dumps(settings))
    program = [sys.executable, "-m", "wsgidav.server.server_cli", "--config", str(written), "--host", "127.0.0.1"]
    with running(lambda ports: [*program, "--port", str(ports[0])], 1, lambda ports: listens(ports[0]), folder) as (
        port,
    ):
        yield WebDAVServer(f"http://127.0.0.1:{port}", user, password, root)
