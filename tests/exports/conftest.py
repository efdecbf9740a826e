"""Fixtures of the tests of exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.sample import write_sample
from tests.exports.releases import make_registry, make_release
from tests.made_once import made_once


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release of three splits with photos that no test changes."""
    return make_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def exportable(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the registry of ``release`` that no test changes."""
    return make_registry(release, tmp_path_factory.mktemp("exportable") / "registry")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a drawn release of 60 photos (:mod:`registry.sample`) that no test changes."""
    return made_once(tmp_path_factory, "drawn", lambda folder: write_sample(folder / "release", 60, 0)) / "release"


@pytest.fixture(scope="session")
def drawn_registry(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the registry of ``drawn`` that no test changes."""
    return make_registry(drawn, tmp_path_factory.mktemp("drawn-registry") / "registry")
