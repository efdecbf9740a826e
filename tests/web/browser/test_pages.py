"""Every page in a real browser: quiet, alone, as wide as its window, and without serious faults of accessibility."""

from __future__ import annotations

from typing import Any

import pytest

from registry.web.site import Site
from tests.web.browser.pages import PAGES, Watched, faults, wide_elements

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]


def test_each_page_of_the_navigation_is_opened(sample_site: Site) -> None:
    assert {path for path, _ in sample_site.navigation()} <= {path.partition("?")[0] for path in PAGES}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_quiet_fits_the_window_and_can_be_read(browser: Any, site_url: str, axe: str, path: str) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    watched = Watched(page, site_url)
    page.goto(f"{site_url}{path}", wait_until="networkidle")
    for scheme in ("light", "dark"):  # which only a media query of the style sheet asks for
        page.emulate_media(color_scheme=scheme)
        for width, height in ((1400, 900), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            assert wide_elements(page) == [], (scheme, width)
            assert faults(page, axe) == [], (scheme, width)
    assert watched.messages == []
    assert watched.foreign == []
    context.close()
