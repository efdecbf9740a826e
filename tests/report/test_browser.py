"""The report in a real browser: it loads nothing, fits a phone, and can be read in light, dark and print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import registry
from registry.pictures.album import Album, Subject
from registry.report.page import report
from registry.report.provenance import Against
from registry.report.similar import similar_page
from registry.subset.options import Subset
from tests.embeddings.test_similar import embeddings_of
from tests.registries import make_newer, make_three_splits

pytest.importorskip("altair", reason="needs the extra report")


pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]

# Texts whose contrast with what lies behind them is too low for WCAG AA: 4.5, or 3 for large letters.
_PALE_TEXTS = """
() => {
  const channel = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 };
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const back = node => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const details of document.querySelectorAll('details')) details.open = true;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), node = walker.currentNode.parentElement;
    if (!text || node.classList.contains('skip')) continue;
    const style = getComputedStyle(node), isSvg = node instanceof SVGElement;
    const [a, b] = [luminance(numbers(isSvg ? style.fill : style.color)), luminance(back(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) pale.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return pale;
}
"""

# Elements that reach out of the window, unless they lie in a box that scrolls.
_WIDE = """
() => [...document.querySelectorAll('body *')]
  .filter(node => !node.closest('.scroll') || node.matches('.scroll'))
  .filter(node => !node.matches('.skip') && node.getBoundingClientRect().right > window.innerWidth + 0.5)
  .map(node => node.outerHTML.slice(0, 80))
"""

_NAMELESS = """
() => [
  ...[...document.querySelectorAll('img')].filter(image => !image.alt.trim()),
  ...[...document.querySelectorAll('main svg')].filter(svg => svg.getAttribute('role') !== 'img' || !svg.ariaLabel),
  ...[...document.querySelectorAll('th')].filter(head => !head.scope),
].map(node => node.outerHTML.slice(0, 80))
"""


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a report with all its sections."""
    folder = tmp_path_factory.mktemp("report")
    old = make_three_splits(folder)
    new = registry.open(str(make_newer(old, folder / "new")))
    rows = new.sql("FROM items WHERE split = 'validation'").to_arrow_table().to_pylist()
    predictions = pa.Table.from_pylist(
        [
            {
                **{name: row[name] for name in ("image_id", "category_id", "x1", "y1", "x2", "y2")},
                "score": 0.5,
                "y2": 90,
            }
            for row in rows
        ]
    )
    evaluation = registry.evaluate(new, "boxes", predictions, subset={"split": "validation"})
    html = report(new, against=Against(registry.open(str(old)), "v1.0"), evaluation=evaluation).html
    (folder / "report.html").write_text(html, encoding="utf-8")
    return folder / "report.html"


@pytest.fixture(scope="module")
def similar_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a page of similar items."""
    folder = tmp_path_factory.mktemp("similar")
    opened = registry.open(str(make_three_splits(folder)))
    answer = registry.similar(opened, "train", 1, 1, 8, embeddings=embeddings_of(opened))
    html = similar_page(Album(opened), Subject("train", 1, 1), answer, vectors="model toy", subset=Subset.of(limit=9))
    (folder / "similar.html").write_text(html, encoding="utf-8")
    return folder / "similar.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", ["page_path", "similar_path"])
def test_the_page_is_quiet_fits_the_window_and_can_be_read(
    browser: Any, request: pytest.FixtureRequest, name: str, width: int, scheme: str
) -> None:
    page_path = request.getfixturevalue(name)
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_path.as_uri())
    assert page.evaluate(_PALE_TEXTS) == []
    assert page.evaluate(_WIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(_NAMELESS) == []
    assert [url for url in requests if not url.startswith("data:")] == [page_path.as_uri()]
    assert messages == []
    context.close()


def test_on_paper_the_page_is_dark_on_white_and_shows_the_numbers(browser: Any, page_path: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(page_path.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.querySelector('details table').checkVisibility({contentVisibilityAuto: true})")
    assert page.evaluate(_PALE_TEXTS) == []
    assert page.pdf().startswith(b"%PDF")
    context.close()
