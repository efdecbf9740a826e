"""A registry beside the published numbers of the release: tables with exactly these numbers, and others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

import registry
from registry.checks.official import ReleaseComparison, compare_counts, compare_with_release
from registry.cli.main import main
from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from registry.dataset.official import EDITIONS, FACTS, facts_of
from registry.dataset.tables import TABLES, duckdb_type
from registry.store.views import create_views
from tests.registries import make_three_splits

#: Numbers of validation that the tables below are made from.
VALIDATION = {what: fact.number for what, fact in facts_of("validation").items()}


def of_kind(kind: str) -> list[tuple[str, int]]:
    """Return what follows the kind, and the number, of each published number of validation of a kind."""
    return [(what.removeprefix(kind), number) for what, number in VALIDATION.items() if what.startswith(kind)]


@pytest.fixture(scope="module")
def released() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield tables and views with exactly the published numbers of validation."""
    connection = duckdb.connect()
    for table in TABLES.values():
        columns = ", ".join(f"{column.name} {duckdb_type(column.field)}" for column in table.columns)
        connection.execute(f"CREATE TABLE {table.name} ({columns})")
    per_image = [
        int(text.split()[0]) for text, number in of_kind("images of ") if "item" in text for _ in range(number)
    ]
    users, pair_ids = VALIDATION["images of source user"], VALIDATION["pair_ids"]
    rows = {
        "image_id": range(1, len(per_image) + 1),
        "source": ["user" if number < users else "shop" for number in range(len(per_image))],
        "num_items": per_image,
        "pair_id": [number % pair_ids for number in range(len(per_image))],
    }
    insert(connection, "images", rows)
    styles = [int(style) for style, number in of_kind("items of style ") for _ in range(number)]
    categories = [name for name, number in of_kind("items of category ") for _ in range(number)]
    ids = {category.name: category.id for category in CATEGORY_BY_ID.values()}
    user_items, queries = VALIDATION["items of source user"], VALIDATION["query items"]
    # The first user items have style 0, which begins the list of styles, and the last have a style above 0.
    begin, end = user_items - queries, len(styles) - queries
    rows = {
        "image_id": [image for image, number in enumerate(per_image, 1) for _ in range(number)],
        "item_no": [1 + number for images in per_image for number in range(images)],
        "source": ["user" if number < begin or number >= end else "shop" for number in range(len(styles))],
        "style": styles,
        "category_id": [ids[name] for name in categories],
        "category_name": categories,
        "pair_id": [number % pair_ids for number in range(len(styles))],
    }
    insert(connection, "items", rows)
    create_views(connection)
    yield connection
    connection.close()


#: Numbers that are counted by source.
NEEDS = re.compile("source|pairs|query|gallery")


def insert(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, Any]) -> None:
    """Insert rows of validation, from lists of the same length."""
    import pyarrow as pa

    rows = pa.table({name: list(values) for name, values in columns.items()})
    connection.register("rows", rows)
    connection.execute(f"INSERT INTO {table} BY NAME SELECT 'validation' AS split, * FROM rows")
    connection.unregister("rows")


def released_counts() -> list[tuple[str, str, int | None]]:
    """Return every published number as a registry of the whole release counts it."""
    return [(fact.split, fact.what, fact.number) for fact in FACTS]


def changed(**numbers: int | None) -> ReleaseComparison:
    """Return the comparison of the release with other numbers of validation."""
    others = {what.replace("_", " "): number for what, number in numbers.items()}
    return compare_counts(
        (split, what, others.get(what, number) if split == "validation" else number)
        for split, what, number in released_counts()
    )


def test_tables_with_the_published_numbers_are_the_release(released: duckdb.DuckDBPyConnection) -> None:
    comparison = compare_with_release(released)  # type: ignore[arg-type]  # a connection reads as a registry does
    differing = [row for row in comparison.rows if row.agrees is False]
    assert differing == []
    assert comparison.agrees
    assert comparison.sentences == [
        "train: there is no image of this split.",
        f"validation: the official release; {len(VALIDATION)} numbers agree.",
        "test: there is no image of this split.",
    ]
    assert {row.agrees for row in comparison.rows if row.split != "validation"} == {None}


def test_numbers_that_need_sources_are_not_known_without_any(released: duckdb.DuckDBPyConnection) -> None:
    """As in a COCO file of the official converter, which holds no sources."""
    cursor = released.cursor()
    cursor.begin()
    for table in ("images", "items"):
        cursor.execute(f"UPDATE {table} SET source = NULL")
    comparison = compare_with_release(cursor)  # type: ignore[arg-type]
    cursor.rollback()
    assert [row.what for row in comparison.rows if row.agrees is False] == []
    unknown = [row.what for row in comparison.rows if row.split == "validation" and row.agrees is None]
    assert unknown == [row.what for row in comparison.rows if row.split == "validation" and NEEDS.search(row.what)]
    agreeing = len(VALIDATION) - len(unknown)
    assert comparison.sentences[1] == (
        f"validation: the official release; {agreeing} numbers agree, {len(unknown)} cannot be known without sources."
    )


def test_a_single_changed_item_is_found(released: duckdb.DuckDBPyConnection) -> None:
    cursor = released.cursor()
    cursor.begin()
    cursor.execute("UPDATE items SET style = 40, category_id = 9, category_name = 'skirt' WHERE rowid = 0")
    comparison = compare_with_release(cursor)  # type: ignore[arg-type]
    cursor.rollback()
    differences = {row.what: row.difference for row in comparison.rows if row.agrees is False}
    assert differences == {
        "items of category short sleeve top": -1,
        "items of category skirt": 1,
        "items of style 0": -1,
        "items of style 40": 1,
        "query items": 1,
    }
    assert not comparison.agrees
    assert comparison.sentences[1].startswith("validation: not the official release; 5 of ")


def test_the_whole_release_agrees() -> None:
    comparison = compare_counts(released_counts())
    assert comparison.agrees
    assert [sentence.partition(";")[0] for sentence in comparison.sentences] == [
        "train: the official release",
        "validation: the official release",
        "test: the official release",
    ]


def test_photos_without_a_known_source_are_no_difference() -> None:
    counts = [(split, what, None if "source" in what else number) for split, what, number in released_counts()]
    comparison = compare_counts(row for row in counts if row[0] == "test")
    assert comparison.agrees
    assert comparison.sentences[2] == (
        "test: the official release; 1 number agrees, 2 cannot be known without sources."
    )


@pytest.mark.parametrize("edition", EDITIONS, ids=lambda edition: edition.name)
def test_another_edition_is_named(edition: Any) -> None:
    counts = [(edition.split, what, number) for what, number in edition.numbers.items()]
    comparison = compare_counts(counts)
    (sentence,) = [text for text in comparison.sentences if text.startswith(edition.split)]
    assert edition.name in sentence
    assert not comparison.agrees


def test_the_early_ground_truth_is_told_by_its_pairs() -> None:
    comparison = compare_counts([("validation", "images", 32_380), ("validation", "instance pairs", 70_914)])
    assert comparison.sentences[1] == (
        "validation: the early validation ground truth of January 2019, which is not the released one "
        "(70,914 instance pairs)."
    )


def test_a_part_is_told_from_other_data() -> None:
    part = compare_counts((split, what, number // 2) for split, what, number in released_counts() if number)
    assert (
        part.sentences[2]
        == "test: 31,314 of 62,629 images, a part of the release or other data; 3 of 3 numbers differ."
    )
    larger = changed(images=40_000)
    assert larger.sentences[1].startswith("validation: not the official release; 1 of ")
    assert larger.sentences[1].endswith(" numbers differs.")


def test_published_numbers_that_contradict_each_other_are_told() -> None:
    text = "\n".join(compare_counts([]).contradictions)
    for number in ("20,681", "51,490", "873,234", "685,584", "390,884", "101,351"):
        assert number in text


def test_the_published_numbers_add_up() -> None:
    for split in ("train", "validation"):
        facts = {what: fact.number for what, fact in facts_of(split).items()}

        def total(kind: str, facts: dict[str, int] = facts) -> int:
            return sum(number for what, number in facts.items() if what.startswith(kind))

        assert total("items of category") == total("items of style") == total("items of source") == facts["items"]
        per_image = {
            int(what.split()[2]): n for what, n in facts.items() if what.startswith("images of ") and "item" in what
        }
        assert sum(per_image.values()) == facts["images"]
        assert sum(number * images for number, images in per_image.items()) == facts["items"]


def test_nothing_is_no_release() -> None:
    assert not compare_counts([]).agrees


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of three small splits."""
    return make_three_splits(tmp_path_factory.mktemp("small"))


def test_a_registry_and_a_subset_are_compared(small: Path) -> None:
    whole = registry.compare_with_release(registry.open(str(small)))
    assert whole.sentences[0].startswith("train: 5 of 191,961 images, a part of the release or other data; ")
    rows = {(row.split, row.what): row for row in whole.rows}
    assert (rows["train", "instance pairs"].registry, rows["train", "instance pairs"].difference) == (5, 5 - 394_661)
    subset = registry.compare_with_release(registry.open(str(small)).select(split="train", category="skirt"))
    assert subset.sentences[1] == "validation: there is no image of this split."


def test_the_command_prints_rows_for_programs_and_ends_with_3(small: Path) -> None:
    result = CliRunner().invoke(main, ["-r", str(small), "check", "--release", "--format", "json"])
    assert result.exit_code == 3
    rows = json.loads(result.stdout)
    assert rows[0] == {
        "split": "train",
        "what": "images",
        "registry": 5,
        "official": 191_961,
        "difference": -191_956,
        "agrees": False,
        "source": "files in the archives (DF2 issues 6 and 29)",
        "contradiction": "390,884 in the paper, twice as many as were released",
    }
    assert "train: 5 of 191,961 images" in result.stderr
    table = CliRunner().invoke(main, ["-r", str(small), "check", "--release", "--format", "md"])
    assert table.stdout.splitlines()[0].startswith("| split | what")
    subset = CliRunner().invoke(main, ["-r", str(small), "check", "--release", "--split", "train", "--format", "csv"])
    assert "validation: there is no image of this split." in subset.stderr
    assert CliRunner().invoke(main, ["-r", str(small), "check", "--release", "--severity", "error"]).exit_code == 2
