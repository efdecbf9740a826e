"""Fixtures of the tests of checks."""

from __future__ import annotations

from pathlib import Path

import pytest

import registry
from registry.store.registry import Registry
from tests.registries import make_odd


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return the open registry of ``ODD_SPLIT``, which no test changes."""
    return registry.open(str(make_odd(tmp_path_factory.mktemp("odd"))))


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """Return the path of a parameter file with a limit and a folder of checks, which holds a sound check."""
    folder = tmp_path / "checks"
    folder.mkdir()
    (folder / "wide-box.sql").write_text(WIDE_BOX)
    path = tmp_path / "params.yaml"
    path.write_text("checks:\n  limits: {degenerate-box: 0, wide-box: 10}\n  folders: [checks]\n")
    return path


WIDE_BOX = """-- One row per item whose box is wider than 50 px.
-- key: split, image_id, item_no
-- severity: error
-- source: items
SELECT split, image_id, item_no, x2 - x1 AS width FROM items WHERE x2 - x1 > 50;
"""
