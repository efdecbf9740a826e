"""The drawn sample and its registry, which the pages speak of."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.ingest.build import ingest
from registry.sample import write_sample


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data/sample and data/registry, as 'make' fills them; no test changes it."""
    folder = tmp_path_factory.mktemp("demo")
    write_sample(folder / "data/sample")
    for split in ("train", "validation", "test"):
        ingest(split, str(folder / "data/sample"), str(folder / "data/registry"), jobs=1)
    return folder
