"""A small release with photos, its registry, and a site of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from starlette.testclient import TestClient

import registry
from registry.ingest.build import ingest
from registry.sample import write_sample
from registry.sources.photos import Photos
from registry.web.site import Settings, Site
from tests.made_once import made_once


@pytest.fixture(scope="session", autouse=True)
def _one_event_loop() -> Iterator[None]:
    """Let all clients use one event loop: a thread with a loop for each request takes longer than many requests."""
    with start_blocking_portal() as portal, pytest.MonkeyPatch.context() as patch:
        patch.setattr(TestClient, "portal", portal)
        yield


def write_release_and_registry(folder: Path) -> None:
    """Write a drawn release of 72 images, more than a page of the grid, and its registry."""
    write_sample(folder / "sample", 72)
    for split in ("train", "validation", "test"):
        ingest(split, str(folder / "sample"), str(folder / "registry"), jobs=1)


@pytest.fixture(scope="session")
def sample_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a drawn release, which has its registry beside it; no test changes them."""
    return made_once(tmp_path_factory, "web", write_release_and_registry) / "sample"


@pytest.fixture(scope="session")
def sample_registry(sample_release: Path) -> Path:
    """Return its registry."""
    return sample_release.with_name("registry")


@pytest.fixture(scope="session")
def sample_site(sample_release: Path, sample_registry: Path) -> Site:
    """Return a site of it, with its photos."""
    return Site(registry.open(str(sample_registry)), Settings(photos=Photos(str(sample_release))))
