"""Fixtures of the tests of loaders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exports.releases import make_registry
from tests.loaders.released import write_release


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release with everything that loaders stumble over; no test changes it."""
    return write_release(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def ingested(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the registry of ``published`` that no test changes."""
    return make_registry(published, tmp_path_factory.mktemp("ingested") / "registry")
