"""The grid in a real browser: facets by click and by keyboard, pages, and the way back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.browser.pages import Watched

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]


def lead(page: Any) -> str:
    """Return the line with the counts."""
    text: str = page.locator("p.lead").inner_text()
    return text


def wait_for_lead(page: Any, text: str) -> None:
    """Wait until the page has this line: on the way back, the address changes before the content."""
    page.locator("p.lead", has_text=text).wait_for()


def facet(page: Any, text: str) -> Any:
    """Return the link of a value of a facet."""
    return page.locator(".facets a", has=page.get_by_text(text, exact=True))


def choose(page: Any, text: str) -> None:
    """Click a value of a facet, and wait until the page is that of the narrower subset."""
    facet(page, text).click()
    page.locator(".facets a[aria-current]", has=page.get_by_text(text, exact=True)).wait_for()


def test_a_facet_narrows_the_grid_and_the_back_button_widens_it(page: Any, site_url: str) -> None:
    watched = Watched(page, site_url)
    page.goto(f"{site_url}/")
    before = lead(page)
    choose(page, "skirt")
    page.wait_for_url("**/?category=skirt")
    narrowed = lead(page)
    assert narrowed != before
    choose(page, "user")
    page.wait_for_url("**source=user**")
    page.go_back()
    page.wait_for_url("**/?category=skirt")
    wait_for_lead(page, narrowed)
    page.go_back()
    page.wait_for_url(f"{site_url}/")
    wait_for_lead(page, before)
    page.go_forward()
    page.wait_for_url("**/?category=skirt")
    wait_for_lead(page, narrowed)
    assert watched.messages == []
    assert watched.foreign == []


def test_a_link_shows_a_colleague_the_same(page: Any, browser: Any, site_url: str) -> None:
    page.goto(f"{site_url}/")
    choose(page, "skirt")
    page.wait_for_url("**/?category=skirt")
    other = browser.new_page()
    other.goto(page.url)
    assert lead(other) == lead(page)
    other.close()


def test_the_keyboard_reaches_the_content_and_chooses_a_facet(page: Any, site_url: str) -> None:
    page.goto(f"{site_url}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.facets') !== null"):
            break
    chosen = page.evaluate("document.activeElement.firstElementChild.textContent")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.locator(".facets a[aria-current]", has=page.get_by_text(chosen, exact=True)).wait_for()


def test_next_and_previous_lead_through_the_grid(page: Any, site_url: str) -> None:
    page.goto(f"{site_url}/")
    first = page.locator(".pictures").inner_html()
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**after=**")
    page.get_by_role("link", name="Previous").wait_for()
    assert page.locator(".pictures").inner_html() != first
    page.get_by_role("link", name="Previous").click()
    page.wait_for_url("**before=**")
    page.get_by_role("link", name="Previous").wait_for(state="detached")
    assert page.locator(".pictures").inner_html() == first


def test_buttons_for_browsers_without_scripts_are_hidden_after_a_swap(page: Any, site_url: str) -> None:
    page.goto(f"{site_url}/")
    choose(page, "skirt")
    button = page.locator("button.without-script")
    assert button.count() == 1
    assert not button.is_visible()


def test_a_browser_without_scripts_has_a_button_for_the_order(browser: Any, site_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site_url}/")
    page.get_by_label("Sort").select_option("-height")
    page.locator("button.without-script").click()
    page.wait_for_url("**sort=-height**")
    context.close()
