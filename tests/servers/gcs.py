"""An emulator of Google Cloud Storage."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.processes import listens, running


@dataclass(frozen=True)
class GCSServer:
    """An emulator of Google Cloud Storage's JSON API without authentication."""

    endpoint_url: str

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options of fsspec (gcsfs) for ``gs://`` URLs."""
        return {"endpoint_url": self.endpoint_url, "token": "anon", "project": "df2"}

    @property
    def dvc_config(self) -> dict[str, str]:
        """Settings of ``dvc remote modify`` besides the URL."""
        return {"endpointurl": self.endpoint_url, "projectname": "df2", "allow_anonymous_login": "true"}

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point gcsfs and DVC to this server."""
        return {"STORAGE_EMULATOR_HOST": self.endpoint_url, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}

    def make_bucket(self, name: str) -> str:
        """Create an empty bucket, or empty an existing bucket; return its URL."""
        import gcsfs

        files = gcsfs.GCSFileSystem(**self.storage_options, use_listings_cache=False, skip_instance_cache=True)
        if files.exists(name):
            files.rm(files.find(name))
        else:
            files.mkdir(name)
        return f"gs://{name}"


@contextmanager
def run_gcs(folder: Path) -> Iterator[GCSServer]:
    """Run the emulator, which keeps its buckets in memory.

    Raises:
        ServerError: the server is not installed, or did not start.
    """
    program = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--in-memory", "--quiet"]
    with running(lambda ports: [*program, "--port", str(ports[0])], 1, lambda ports: listens(ports[0]), folder) as (
        port,
    ):
        yield GCSServer(f"http://127.0.0.1:{port}")
