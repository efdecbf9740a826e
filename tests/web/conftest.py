"""A small release with photos, its registry, and a site of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import registry
from registry.ingest.build import ingest
from registry.sample import write_sample
from registry.sources.photos import Photos
from registry.web.site import Settings, Site


@pytest.fixture(scope="session")
def sample_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a drawn release of 72 images, more than a page of the grid, that no test changes."""
    folder = tmp_path_factory.mktemp("web") / "sample"
    write_sample(folder, 72)
    return folder


@pytest.fixture(scope="session")
def sample_registry(sample_release: Path) -> Path:
    """Return its registry."""
    target = sample_release.parent / "registry"
    for split in ("train", "validation", "test"):
        ingest(split, str(sample_release), str(target), jobs=1)
    return target


@pytest.fixture(scope="session")
def sample_site(sample_release: Path, sample_registry: Path) -> Site:
    """Return a site of it, with its photos."""
    return Site(registry.open(str(sample_registry)), Settings(photos=Photos(str(sample_release))))
