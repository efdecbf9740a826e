"""The pages that the tests in a browser open; a new page of the navigation is added here."""

from __future__ import annotations

from typing import Any, Final

#: Address of each kind of page, and of those that look different in another state.
PAGES: Final = (
    "/",
    "/?show=items&sort=-box_area",
    "/?category=skirt&occlusion=heavy",
    "/?category=nothing",
    "/image/train/1",
    "/image/train/1?hide=boxes&item=1",
    "/identities",
    "/identity/train/1/1",
    "/pair/train/1",
    "/statistics",
    "/sql",
    "/sql?query=FROM+items+LIMIT+5&show=pictures",
    "/?image_id=99999999",
    "/checks",
    "/checks/orphan-identity",
    "/api",
    "/sql?query=FROM+items+LIMIT+5",
)

# Elements that reach out of the window, unless they lie in a box that scrolls.
_WIDE: Final = """
() => [...document.querySelectorAll('body *')]
  .filter(node => !node.closest('.scroll') || node.matches('.scroll'))
  .filter(node => !node.matches('.skip, svg *') && node.getBoundingClientRect().right > window.innerWidth + 0.5)
  .map(node => node.outerHTML.slice(0, 80))
"""


class Watched:
    """What a page did that it should not.

    Attributes:
        messages: errors and warnings of its console, and errors of its scripts.
        foreign: requests that left the site.
    """

    def __init__(self, page: Any, site: str) -> None:
        self.messages: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self._request(request.url, site))

    def _console(self, message: Any) -> None:
        # Chromium reports the status 400 of an address that cannot be answered.
        if message.type in ("error", "warning") and "status of 400" not in message.text:
            self.messages.append(message.text)

    def _request(self, url: str, site: str) -> None:
        if not url.startswith((f"{site}/", "data:")):
            self.foreign.append(url)


def wide_elements(page: Any) -> list[str]:
    """Return the elements that make a page wider than its window."""
    wide: list[str] = page.evaluate(_WIDE)
    width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return [*wide, *([f"the page is {width} px too wide"] if width > 0 else [])]


def faults(page: Any, axe: str) -> list[str]:
    """Return the serious faults of accessibility that axe-core finds in a page.

    Args:
        page: of playwright.
        axe: the script of axe-core.
    """
    if not page.evaluate("'axe' in window"):  # half a megabyte, which stays until the next page
        page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{fault['id']}: {node['html'][:120]} ({node['failureSummary'][:200]})"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"][:3]
    ]
