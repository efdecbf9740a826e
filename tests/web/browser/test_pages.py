"""Every page in a real browser: quiet, alone, as wide as its window, and without serious faults of accessibility."""

from __future__ import annotations

from typing import Any

import pytest

from registry.web.site import Site
from tests.web.browser.pages import PAGES, Watched, faults, wide_elements

pytestmark = pytest.mark.xdist_group("browser")


def test_each_page_of_the_navigation_is_opened(sample_site: Site) -> None:
    assert {path for path, _ in sample_site.navigation()} <= {path.partition("?")[0] for path in PAGES}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_quiet_fits_the_window_and_can_be_read(
    browser: Any, site_url: str, axe: str, path: str, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    watched = Watched(page, site_url)
    page.goto(f"{site_url}{path}", wait_until="networkidle")
    assert wide_elements(page) == []
    assert faults(page, axe) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert wide_elements(page) == []
    assert faults(page, axe) == []
    assert watched.messages == []
    assert watched.foreign == []
    context.close()
