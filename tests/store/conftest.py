"""Fixtures of the tests of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import registry
from registry.snapshot.blocks import Blocks
from registry.snapshot.manifest import DataFile
from registry.store.registry import Registry
from tests.databases import declared_database
from tests.registries import make_three_splits


@pytest.fixture(scope="session")
def three_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of three splits that no test changes."""
    return make_three_splits(tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="session")
def df2(three_splits: Path) -> Registry:
    """Return the open registry of three splits."""
    return registry.open(str(three_splits))


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[DataFile]:
    """Return a list that gets each file of a registry when a part of it is read."""
    files: list[DataFile] = []
    original = Blocks.read

    def recorded(blocks: Blocks, file: DataFile, start: int, end: int) -> bytes:
        files.append(file)
        return original(blocks, file, start, end)

    monkeypatch.setattr(Blocks, "read", recorded)
    return files


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database with every table as declared and empty, and every view."""
    with declared_database() as connection:
        yield connection
