"""The documentation site: it builds strictly, its links lead somewhere, and it works from disk in a real browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from markdown_it import MarkdownIt

pytest.importorskip("mkdocs", reason="needs mkdocs to build the site")

ROOT = Path(__file__).parents[2]

# All tests of this file run in the same worker, which builds the site once.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("docs")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site; a dead link or a page outside of the navigation ends the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    build = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    return folder


def pages(site: Path) -> list[Path]:
    """Return the pages of the site; 404.html is for servers."""
    return sorted(path for path in site.rglob("*.html") if path.name != "404.html")


class Links(HTMLParser):
    """The ids and the links of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            elif name in ("href", "src") and tag in ("a", "img", "link", "script"):
                self.links.append(value or "")


def test_every_page_of_the_docs_is_in_the_site(site: Path) -> None:
    docs = ROOT / "docs"
    sources = {path.relative_to(docs).with_suffix(".html") for path in [*docs.rglob("*.md"), *docs.rglob("*.ipynb")]}
    assert {path.relative_to(site) for path in pages(site)} == sources


def test_no_program_of_the_docs_is_in_the_site(site: Path) -> None:
    assert not [path for path in site.rglob("*") if path.suffix in (".py", ".pyc") or path.name == "__pycache__"]


def test_a_notebook_is_a_page_with_its_outputs_and_a_link_to_download_it(site: Path) -> None:
    page = site / "notebooks" / "evaluate.html"
    text = page.read_text(encoding="utf-8")
    notebook = (ROOT / "docs" / "notebooks" / "evaluate.ipynb").read_bytes()
    outputs = [output for cell in json.loads(notebook)["cells"] for output in cell.get("outputs", [])]
    assert "100 and 75 predictions" in text  # printed
    assert "<td>vest dress</td>" in text  # in a table of pandas
    assert text.count('alt="Plot of the section Scores"') == sum("image/png" in str(output) for output in outputs) == 1
    assert text.count('src="data:image/jpeg;base64') == str(outputs).count("<img") > 0  # thumbnails
    assert "<style>" not in text.partition("<article")[2].partition("</article>")[0]
    assert "download/evaluate.ipynb" in Links(page).links
    assert (site / "notebooks" / "download" / "evaluate.ipynb").read_bytes() == notebook
    tutorial = Links(site / "tutorials" / "analyse.html")
    assert "../notebooks/analyse.html" in tutorial.links  # the source links the notebook


def test_every_link_leads_to_a_file_and_an_anchor_of_the_site(site: Path) -> None:
    parsed = {path: Links(path) for path in pages(site)}
    dead = []
    for path, page in parsed.items():
        for link in page.links:
            if urlsplit(link).scheme in ("http", "https", "data"):
                continue
            url, anchor = urldefrag(link)
            target = (path.parent / unquote(url)).resolve() if url else path
            if not target.is_file() or (target in parsed and anchor and unquote(anchor) not in parsed[target].ids):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_numbered_lists_go_on_after_a_block_of_code(site: Path) -> None:
    lists = {}  # of each page with any: as GitHub has them, and in the site
    for source in (ROOT / "docs").rglob("*.md"):
        expected = MarkdownIt("commonmark").render(source.read_text(encoding="utf-8")).count("<ol>")
        if expected:
            page = (site / source.relative_to(ROOT / "docs")).with_suffix(".html").read_text(encoding="utf-8")
            lists[source.stem] = (expected, page.count("<ol>"))
    assert lists
    assert [name for name, (expected, found) in lists.items() if found != expected] == []


def test_docstrings_are_markdown_in_the_site(site: Path) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in pages(site)}
    assert [str(path) for path, text in texts.items() if ":class:`" in text or ":func:`" in text] == []
    checks = texts[site / "reference" / "python" / "checks.html"]
    assert 'href="registry.html#registry.subset.options.Subset"' in checks  # of a role
    assert 'names of checks (<a href="../checks.html">checks</a>)' in checks  # of docs/reference/checks.md


def test_every_page_opens_from_disk_is_quiet_and_fits_a_phone(browser: Any, site: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(120_000)  # milliseconds: a busy machine took more than 30 seconds for a page with pictures
    events: list[str] = []
    page.on("console", lambda message: events.append(f"{page.url}: {message.text}"))
    page.on("pageerror", lambda error: events.append(f"{page.url}: {error}"))
    page.on(
        "request", lambda request: request.url.startswith(("file:", "data:", "blob:")) or events.append(request.url)
    )
    for path in pages(site):
        page.goto(path.as_uri())
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            events.append(f"{path.relative_to(site)} scrolls sideways")
    assert events == []
    context.close()


@pytest.mark.parametrize(
    ("words", "target"),
    [("degenerate-box", "reference/checks.html"), ("hard negatives", "notebooks/pairs-and-pictures.html")],
)
def test_the_search_answers_from_disk(browser: Any, site: Path, words: str, target: str) -> None:
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.get_by_placeholder("Search").click()
    page.get_by_placeholder("Search").press_sequentially(words)
    hit = page.locator(f".md-search-result__link[href*='{target}']").first
    hit.wait_for()
    hit.click()
    page.wait_for_url(f"**/{target}*")
    page.close()
