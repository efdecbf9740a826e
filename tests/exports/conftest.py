"""Fixtures of the tests of exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.sample import write_sample
from tests.exports.releases import Exported, make_registry, make_release, run_export
from tests.made_once import made_once


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release of three splits with photos that no test changes."""
    return made_once(tmp_path_factory, "exports-release", make_release)


@pytest.fixture(scope="session")
def exportable(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the registry of ``release`` that no test changes."""
    return (
        made_once(tmp_path_factory, "exports-registry", lambda folder: make_registry(release, folder / "registry"))
        / "registry"
    )


@pytest.fixture(scope="session")
def exported(exportable: Path, release: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return a function that gives the export of all of ``exportable`` in a format and a mode; no test changes it."""

    def exported(name: str, images: str) -> Path:
        def make(folder: Path) -> None:
            run_export(exportable, name, folder / "out", images=images, photos=release)

        return made_once(tmp_path_factory, f"exported-{name}-{images}", make) / "out"

    return exported


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a drawn release of 60 photos (:mod:`registry.sample`) that no test changes."""
    return made_once(tmp_path_factory, "drawn", lambda folder: write_sample(folder / "release", 60, 0)) / "release"


@pytest.fixture(scope="session")
def drawn_registry(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the registry of ``drawn`` that no test changes."""
    return (
        made_once(tmp_path_factory, "drawn-registry", lambda folder: make_registry(drawn, folder / "registry"))
        / "registry"
    )
