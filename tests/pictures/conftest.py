"""A release with photos and its registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.store.registry import Registry
from tests.exports.releases import make_registry, make_release


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release that no test changes."""
    return make_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def registry_folder(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its registry."""
    return make_registry(release, tmp_path_factory.mktemp("of-release") / "registry")


@pytest.fixture
def df2(registry_folder: Path) -> Registry:
    """Return its registry, open."""
    return Registry(str(registry_folder))
