"""The pages that explain have queries that run, and the numbers of the sample and of the package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import registry
from registry.dataset.official import EDITIONS, FACTS, facts_of

EXPLANATION = Path(__file__).parents[2] / "docs" / "explanation"
PAIRS = (EXPLANATION / "pairs.md").read_text(encoding="utf-8")

# All tests of this file run in the same worker, which makes the sample once.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("docs-sample")]


@pytest.fixture
def sample(demo: Path) -> registry.Registry:
    """Return the registry of the drawn sample."""
    return registry.open(str(demo / "data" / "registry"))


def queries(page: Path) -> Iterator[str]:
    """Yield the SQL of a page."""
    yield from re.findall(r"```sql\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def number(text: str) -> str:
    """Return a number as the pages write it."""
    return f"{int(text.replace(',', '')):,}"


@pytest.mark.parametrize("page", sorted(EXPLANATION.glob("*.md")), ids=lambda page: page.stem)
def test_every_query_of_a_page_has_rows(page: Path, sample: registry.Registry) -> None:
    assert [query for query in queries(page) if not sample.sql(query).fetchall()] == []


def test_the_printed_pair_id_is_that_of_the_sample(sample: registry.Registry) -> None:
    query = next(queries(EXPLANATION / "pairs.md"))
    rows = re.search(r"\| image_id \|.*?\n\|[-|]+\n(.*?)\n\n", PAIRS, re.DOTALL)
    assert rows
    printed = [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows[1].splitlines()]
    assert printed == [tuple(map(str, row)) for row in sample.sql(query).fetchall()]


#: Rule in the table of pairs.md -> the condition that it puts in place of the right one, and the sides of a pair.
RULES = {
    "as above": "a.split = b.split AND a.pair_id = b.pair_id AND a.style = b.style AND a.style > 0",
    "style 0 counts as a style": "a.split = b.split AND a.pair_id = b.pair_id AND a.style = b.style",
    "pair_id alone, any style": "a.split = b.split AND a.pair_id = b.pair_id",
    "the same category, too": (
        "a.split = b.split AND a.pair_id = b.pair_id AND a.style = b.style AND a.style > 0 "
        "AND a.category_id = b.category_id"
    ),
    "without the split": "a.pair_id = b.pair_id AND a.style = b.style AND a.style > 0",
}
_SIDES = "a.source = 'user' AND b.source = 'shop'"


def test_the_counts_of_the_rules_are_those_of_the_sample(sample: registry.Registry) -> None:
    counts = {
        rule: f"SELECT count(*) FROM items a JOIN items b ON {condition} WHERE {_SIDES}"
        for rule, condition in RULES.items()
    }
    counts["image pairs instead of item pairs"] = "SELECT count(*) FROM image_pairs"
    counts["any two items of an identity, also of the same side"] = (
        f"SELECT count(*) FROM items a JOIN items b ON {RULES['as above']} "
        "WHERE (a.image_id, a.item_no) < (b.image_id, b.item_no)"
    )
    table = PAIRS[PAIRS.index("| rule | pairs |") :]
    printed = dict(re.findall(r"(?m)^\| ([^|]+) \| (\d+) \|$", table))
    assert printed == {rule: str(sample.sql(query).fetchall()[0][0]) for rule, query in counts.items()}


def test_published_counts_of_pairs_are_those_of_the_package() -> None:
    train = facts_of("train")
    table = PAIRS[PAIRS.index("| number | counts |") : PAIRS.index("The other reason")]
    printed = set(re.findall(r"(?m)^\| ([\d,]+) \|", table))
    editions = {f"{edition.numbers[what]:,}" for edition in EDITIONS for what in edition.numbers if "pairs" in what}
    released = {f"{train[what].number:,}" for what in ("instance pairs", "image pairs")}
    assert printed - {"873,234"} == editions | released
    assert "873,234" in train["instance pairs"].contradiction


def test_the_page_of_odd_data_has_every_contradiction() -> None:
    text = (EXPLANATION / "odd-data.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| \w+ \| [^|]+ \| ([\d,]+) \| [^|]+ \| ([\d,]+) \| [^|]+ \|$", text)
    expected = [
        (f"{fact.number:,}", number(re.findall(r"[\d,]*\d", fact.contradiction)[0]))
        for fact in FACTS
        if fact.contradiction
    ]
    assert rows == expected
