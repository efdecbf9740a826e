"""Fixtures of the tests of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

import registry
from registry.store.registry import Registry
from tests.registries import make_three_splits


@pytest.fixture(scope="session")
def three_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of three splits that no test changes."""
    return make_three_splits(tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="session")
def df2(three_splits: Path) -> Registry:
    """Return the open registry of three splits."""
    return registry.open(str(three_splits))
