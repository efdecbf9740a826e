"""Chromium, and a site that is served to it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from registry.web.site import Site
from tests.web.serving import served


@pytest.fixture(scope="session")
def site_url(sample_site: Site) -> Iterator[str]:
    """Yield the address of the served sample."""
    with served(sample_site) as url:
        yield url


@pytest.fixture(scope="session")
def axe() -> str:
    """Return the script that finds faults of accessibility."""
    pytest.importorskip("axe_core_python", reason="needs axe-core-python")
    return (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Yield an empty page of 1,400 pixels width."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()
