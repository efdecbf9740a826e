"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from registry.ingest.build import ingest
from tests.helpers import SMALL_SPLIT, write_split

# Examples are the same in every run, and a slow machine is no failure.
settings.register_profile(
    "registry", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("registry")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the registry and password of whoever runs the tests out of them."""
    for name in ("DF2_REGISTRY", "DF2_ZIP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def small_source(tmp_path: Path) -> Path:
    """Return a folder that holds the split ``SMALL_SPLIT``."""
    return write_split(tmp_path / "train", SMALL_SPLIT)


@pytest.fixture
def small_registry(tmp_path: Path, small_source: Path) -> Path:
    """Return a registry with ``SMALL_SPLIT`` as its train split."""
    ingest("train", str(small_source), str(tmp_path / "registry"), jobs=1)
    return tmp_path / "registry"


@pytest.fixture(scope="session")
def real_samples() -> Path:
    """Return the folder of real annotations that DEEPFASHION2_SAMPLES names; skip where it is unset."""
    folder = os.environ.get("DEEPFASHION2_SAMPLES")
    if not folder:
        pytest.skip("DEEPFASHION2_SAMPLES is unset; it names a folder with real annotations")
    return Path(folder)
