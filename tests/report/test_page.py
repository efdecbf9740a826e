"""The content of the report."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

import registry
from registry.errors import UnknownNameError
from registry.report.page import Against, report
from registry.subset.options import Subset
from tests.registries import make_newer, make_three_splits
from tests.report.pages import VOID, outline

pytest.importorskip("altair", reason="needs the extra report")


@pytest.fixture(scope="module")
def three_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of three splits."""
    return make_three_splits(tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="module")
def page(three_splits: Path) -> str:
    """Return the report on all of it."""
    return report(registry.open(str(three_splits)))


class _Checker(HTMLParser):
    """Notes elements that are closed in another order than they were opened, and ids that repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page: str) -> None:
    checker = _Checker()
    checker.feed(page)
    assert not checker.open and not checker.problems
    assert len(set(checker.ids)) == len(checker.ids)
    inside = [link[1:] for link in checker.links if link.startswith("#")]
    assert inside and set(inside) <= set(checker.ids)
    assert {link for link in checker.links if not link.startswith(("#", "data:"))} == {
        "https://github.com/switchablenorms/DeepFashion2"
    }


def test_the_headings_are_in_order(page: str) -> None:
    levels = [level for level, _ in outline(page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_counts_are_those_of_the_registry(page: str, three_splits: Path) -> None:
    row = registry.open(str(three_splits)).sql("SELECT sum(num_images), sum(num_items) FROM split_counts").fetchall()
    assert f"{row[0][0]} images with {row[0][1]} items of" in page
    assert '<tr><th scope="row">images</th><td class="number">' in page


def test_equal_data_gives_an_equal_page_without_the_place_it_lies_at(page: str, tmp_path: Path) -> None:
    again = report(registry.open(str(make_three_splits(tmp_path / "elsewhere"))))
    assert again == page
    assert str(tmp_path) not in page


def test_a_subset_is_named_and_counted_and_its_texts_are_escaped(three_splits: Path) -> None:
    subset = Subset.of(where="x1 < 1000 AND '<script>' <> ''")
    html = report(registry.open(str(three_splits)), subset)
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "--where" in html and subset.digest in html


def test_an_empty_subset_gives_a_page(three_splits: Path) -> None:
    html = report(registry.open(str(three_splits)), Subset.of(style=99))
    assert "No image belongs to this subset." in html and "There is nothing to count." in html


def test_a_split_without_annotation_gives_a_page(three_splits: Path) -> None:
    html = report(registry.open(str(three_splits)), Subset.of(split="test"))
    assert "2 images with 0 items of 0 categories, in 1 split" in html


def test_an_unknown_split_of_the_subset_is_an_error(small_registry: Path) -> None:
    with pytest.raises(UnknownNameError):
        report(registry.open(str(small_registry)), Subset.of(split="test"))


def test_what_changed_is_counted_with_examples(small_registry: Path, tmp_path: Path) -> None:
    old, new = (registry.open(str(path)) for path in (small_registry, make_newer(small_registry, tmp_path / "new")))
    html = report(new, against=Against(old, "v1.0", ["--against", "v1.0"]))
    assert "What changed since v1.0" in html and "df2 report report.html --against v1.0" in html
    assert re.search(r"train, image 9, item 1 \(long sleeve top\): added", html)
    assert old.manifest.sha256 in html and new.manifest.sha256 in html


def test_two_equal_versions_are_the_same(small_registry: Path) -> None:
    df2 = registry.open(str(small_registry))
    assert "Nothing: images, items and pairs are the same." in report(df2, against=Against(df2, "v1.0"))


def test_the_terms_of_the_data_are_shown(page: str) -> None:
    assert "DeepFashion2 is for non-commercial research and may not be redistributed" in page
