"""The datasheet and the page of statistics have the published numbers of the declaration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from registry.dataset.deepfashion2 import CATEGORIES, SPLITS
from registry.dataset.official import EDITIONS, Edition, facts_of
from registry.dataset.statistics import STATISTICS
from registry.dataset.terms import AUTHORS, CITATION, TERMS, TERMS_URL

ROOT = Path(__file__).parents[2]
DATASHEET = (ROOT / "DATASHEET.md").read_text(encoding="utf-8")
STATISTICS_PAGE = (ROOT / "docs/how-to/statistics.md").read_text(encoding="utf-8")
NUMBERS = {split: {what: fact.number for what, fact in facts_of(split).items()} for split in SPLITS}


def table_rows(text: str, first: str) -> list[list[str]]:
    """Return the cells of the Markdown table whose header begins with this text, by row."""
    lines = text[text.index(first) :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_counts_of_the_datasheet_are_the_published_ones() -> None:
    rows = table_rows(DATASHEET, "| | train | validation | test |")
    for what, *cells in rows:
        expected = [f"{NUMBERS[split][what]:,}" if what in NUMBERS[split] else "" for split in SPLITS]
        assert cells == expected, what
    counted = {what for split in SPLITS for what in NUMBERS[split]}
    listed = re.compile(r"items of (category|style)|images of \d")
    assert {what for what in counted if not listed.match(what)} == {row[0] for row in rows}


def test_the_categories_of_the_datasheet_are_the_published_ones() -> None:
    expected = [
        [
            category.name,
            str(category.num_landmarks),
            *(f"{NUMBERS[split][f'items of category {category.name}']:,}" for split in ("train", "validation")),
        ]
        for category in CATEGORIES
    ]
    assert table_rows(DATASHEET, "| category | landmarks |") == expected


def test_the_datasheet_has_the_terms_and_the_authors() -> None:
    text = " ".join(DATASHEET.split())
    assert TERMS in text and TERMS_URL in text
    for author in AUTHORS:
        assert author in text and author in CITATION


def test_the_page_of_statistics_has_the_published_numbers() -> None:
    rows = {row[0]: row[1:] for row in table_rows(STATISTICS_PAGE, "| | train: paper |")}
    full = {(edition.split, what): number for edition in EDITIONS for what, number in edition.numbers.items()}
    names = {
        "`num_images`": "images",
        "`num_boxes`": "items",
        "`num_instance_pairs`": "instance pairs",
        "`num_image_pairs`": "image pairs",
        "`num_query_items`": "query items",
        "`num_gallery_items`": "gallery items",
    }
    for row, what in names.items():
        for split, paper, released in zip(SPLITS[:2], rows[row][0:4:2], rows[row][1:4:2], strict=True):
            if released:
                assert released == f"{NUMBERS[split][what]:,}"
            if paper:
                assert paper == f"{full[split, what]:,}"


def test_the_page_of_statistics_lists_every_statistic() -> None:
    assert tuple(row[0].strip("`") for row in table_rows(STATISTICS_PAGE, "| `df2 stats --of` |")) == STATISTICS


@pytest.mark.parametrize("edition", EDITIONS, ids=lambda edition: edition.name)
def test_an_edition_differs_from_the_release_in_what_tells_it(edition: Edition) -> None:
    for what in edition.told_by:
        assert NUMBERS[edition.split].get(what) != edition.numbers[what]
