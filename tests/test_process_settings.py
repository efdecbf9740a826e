"""Library functions do not change settings of the whole process; commands and worker processes may."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from registry.execution.memory import lean_memory
from registry.ingest.build import ingest
from tests.helpers import annotation, item, write_split


def memory_settings() -> tuple[bool, str]:
    """Return whether cycles are collected, and the name of Arrow's memory pool."""
    return gc.isenabled(), pa.default_memory_pool().backend_name


def test_an_ingestion_by_a_library_call_keeps_garbage_collection_and_arrows_pool(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation([item(1)])})
    before, during = memory_settings(), []
    ingest(
        "train", str(source), str(tmp_path / "registry"), jobs=1, progress=lambda *_: during.append(memory_settings())
    )
    assert during
    assert {before, *during} == {before}


def test_lean_memory_is_restored_after_an_error() -> None:
    before = memory_settings()
    with pytest.raises(ZeroDivisionError), lean_memory():
        assert memory_settings() == (False, "system")
        _ = 1 / 0
    assert memory_settings() == before


GCS = """
import os, sys
from registry.storage.filesystems import filesystem
before = dict(os.environ)
fs, path = filesystem(sys.argv[1], {"token": "anon"})
assert dict(os.environ) == before
print(type(fs).__name__, path)
"""


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "GCSFileSystem"), ("false", "GCSFileSystem"), ("true", "ExtendedGcsFileSystem")]
)
def test_google_cloud_storage_is_opened_with_the_plain_client_unless_the_environment_asks_for_the_other(
    value: str | None, expected: str
) -> None:
    pytest.importorskip("gcsfs", reason="needs the extra gs")
    name = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"
    environment = {key: text for key, text in os.environ.items() if key != name}
    if value is not None:
        environment[name] = value
    command = [sys.executable, "-c", GCS, "gs://bucket/some/where"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{expected} bucket/some/where\n", "")
