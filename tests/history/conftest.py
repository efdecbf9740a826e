"""A project like the real one, for the tests of revisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_once import made_once
from tests.repositories import make_pipeline, set_apart


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_apart(monkeypatch, tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a project like the real one, and its remote storage."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            set_apart(monkeypatch, folder)
            make_pipeline(folder)

    return made_once(tmp_path_factory, "pipeline", make)
