"""The drawn sample and its registry, which the pages speak of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registries import make_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data/sample and data/registry, as 'make' fills them; no test changes it."""
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder)
    return folder
