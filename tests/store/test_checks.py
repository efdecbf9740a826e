"""The checks on hand-written rows: for each a table that passes and rows that do not."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from registry.dataset.checks import SEVERITIES, load_checks
from registry.dataset.tables import TABLES
from registry.dataset.views import load_views
from registry.store.geometry import register_functions
from registry.store.sql import quote_name
from tests.databases import rows_of

IDENTITY = "(split, image_id, item_no, source, pair_id, style, category_id, category_name) VALUES "
BOX = "(split, image_id, item_no, category_id, category_name, scale, x1, y1, x2, y2) VALUES "
SHAPE = "(split, image_id, item_no, x1, y1, x2, y2, segmentation) VALUES "
POLYGONS = "(split, image_id, item_no, segmentation) VALUES "
LANDMARKS = "(split, image_id, item_no, category_id, x1, y1, x2, y2, landmarks) VALUES "
IMAGE = "(split, image_id, source, pair_id, width, height, num_items) VALUES "
SKIRT = {"categories": "(id, num_landmarks, landmark_offset) VALUES (9, 1, 182)"}

#: Check -> rows of the tables that pass, rows that do not, and the rows that it returns for both together.
CASES: dict[str, tuple[dict[str, str], dict[str, str], list[tuple[Any, ...]]]] = {
    "orphan-identity": (
        {
            "items": IDENTITY
            + """('train', 1, 1, 'user', 7, 1, 9, 'skirt'), ('train', 2, 1, 'shop', 7, 1, 9, 'skirt'),
            ('train', 3, 1, 'user', 7, 0, 9, 'skirt'),
            ('train', 4, 1, 'user', 7, 5, 9, 'skirt'), ('train', 5, 1, NULL, 7, 5, 9, 'skirt'),
            ('train', 6, 1, NULL, 8, 1, 9, 'skirt'), ('train', 7, 1, 'user', NULL, 1, 9, 'skirt')"""
        },
        {
            "items": IDENTITY
            + """('validation', 1, 1, 'user', 7, 1, 9, 'skirt'),
            ('validation', 1, 2, 'user', 7, 1, 9, 'skirt'), ('train', 8, 1, 'shop', 7, 2, 9, 'skirt')"""
        },
        [("train", 7, 2, "shop", 1, 1), ("validation", 7, 1, "user", 2, 1)],
    ),
    "mixed-category-identity": (
        {
            "items": IDENTITY
            + """('train', 1, 1, 'user', 7, 1, 9, 'skirt'), ('train', 2, 1, 'shop', 7, 1, 9, 'skirt'),
            ('train', 1, 2, 'user', 7, 0, 9, 'skirt'), ('train', 2, 2, 'shop', 7, 0, 5, 'vest'),
            ('validation', 1, 1, 'user', 7, 1, 5, 'vest')"""
        },
        {"items": IDENTITY + """('train', 3, 1, 'user', 8, 1, 9, 'skirt'), ('train', 4, 1, 'user', 8, 1, 5, 'vest')"""},
        [("train", 8, 1, ["skirt", "vest"], 2)],
    ),
    "one-sided-pair-id": (
        {
            "images": IMAGE
            + """('train', 1, 'user', 7, 9, 9, 1), ('train', 2, 'shop', 7, 9, 9, 1),
            ('train', 3, 'user', 8, 9, 9, 1), ('train', 4, NULL, 8, 9, 9, 1), ('test', 1, 'user', NULL, 9, 9, NULL)"""
        },
        {"images": IMAGE + "('validation', 1, 'user', 7, 9, 9, 1), ('validation', 2, 'user', 7, 9, 9, 1)"},
        [("validation", 7, "user", 2)],
    ),
    "degenerate-box": (
        {"items": BOX + "('train', 1, 1, 9, 'skirt', 1, 0, 0, 0.5, 1), ('train', 1, 2, 9, 'skirt', 1, -3, -3, -1, -1)"},
        {
            "items": BOX
            + """('train', 2, 1, 9, 'skirt', 1, 0, 0, 0, 0), ('train', 2, 2, 9, 'skirt', 1, 5, 5, 9, 5),
            ('train', 2, 3, 9, 'skirt', 1, 5, 5, 9, 4), ('train', 2, 4, 9, 'skirt', 1, 9, 9, 5, 5)"""
        },
        [
            ("train", 2, 1, "no area", 0, 0, 0, 0),
            ("train", 2, 2, "no area", 5, 5, 9, 5),
            ("train", 2, 3, "reversed", 5, 5, 9, 4),
            ("train", 2, 4, "reversed", 9, 9, 5, 5),
        ],
    ),
    "box-outside-image": (
        {
            "images": IMAGE + "('train', 1, 'user', 1, 100, 200, 1), ('train', 2, 'user', 1, NULL, NULL, 1)",
            "items": BOX
            + """('train', 1, 1, 9, 'skirt', 1, -1, -1, 101, 201),
                ('train', 2, 1, 9, 'skirt', 1, -50, 0, 900, 900)""",
        },
        {
            "items": BOX
            + """('train', 1, 2, 9, 'skirt', 1, -1.5, 0, 9, 9), ('train', 1, 3, 9, 'skirt', 1, 0, 0, 9, 203),
            ('train', 1, 4, 9, 'skirt', 1, 104, 0, 9, 9)"""
        },
        [
            ("train", 1, 2, 1.5, -1.5, 0, 9, 9, 100, 200),
            ("train", 1, 3, 3, 0, 0, 9, 203, 100, 200),
            ("train", 1, 4, 4, 104, 0, 9, 9, 100, 200),
        ],
    ),
    "box-polygon-mismatch": (
        # The IoU is 0.8 exactly; two polygons fill the box together; no polygon; a box without area.
        {
            "items": SHAPE
            + """('train', 1, 1, 0, 0, 10, 10, [[0.0, 0, 10, 0, 10, 8, 0, 8]]),
            ('train', 1, 2, 0, 0, 10, 10, [[0.0, 0, 5, 0, 5, 10, 0, 10], [5.0, 0, 10, 0, 10, 10, 5, 10]]),
            ('train', 1, 3, 0, 0, 10, 10, []), ('train', 1, 4, 5, 5, 5, 5, [[0.0, 0, 5, 0, 5, 10]])"""
        },
        {
            "items": SHAPE
            + """('train', 2, 1, 0, 0, 10, 10, [[0.0, 0, 10, 0, 10, 5, 0, 5]]),
            ('train', 2, 2, 0, 0, 10, 10, [[20.0, 20, 30, 20, 30, 30, 20, 30, 20, 20]])"""
        },
        [
            ("train", 2, 1, 0.5, 0, 0, 10, 10, 0, 0, 10, 5),
            ("train", 2, 2, 0, 0, 0, 10, 10, 20, 20, 30, 30),
        ],
    ),
    "degenerate-polygon": (
        # An open and a closed ring, and a bow tie, whose signed area is zero.
        {
            "items": POLYGONS
            + """('train', 1, 1, [[0.0, 0, 4, 0, 4, 4], [0.0, 0, 4, 0, 4, 4, 0, 0]]),
            ('train', 1, 2, [[0.0, 0, 4, 4, 4, 0, 0, 4]]), ('train', 1, 3, [])"""
        },
        {
            "items": POLYGONS
            + """('train', 2, 1, [[0.0, 0, 4, 0, 4, 4], [1.0, 1, 3, 3]]),
            ('train', 2, 2, [[1.0, 1, 3, 3, 1, 1]]), ('train', 2, 3, [[0.0, 0, 2, 2, 8, 8, 4, 4]]),
            ('train', 2, 4, [[0.1, 0.1, 0.2, 0.2, 0.3, 0.3]]), ('train', 2, 5, [[]])"""
        },
        [
            ("train", 2, 1, 2, 2, [1, 1, 3, 3]),
            ("train", 2, 2, 1, 3, [1, 1, 3, 3, 1, 1]),
            ("train", 2, 3, 1, 4, [0, 0, 2, 2, 8, 8, 4, 4]),
            ("train", 2, 4, 1, 3, [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]),
            ("train", 2, 5, 1, 0, []),
        ],
    ),
    "polygon-self-intersection": (
        {
            "items": POLYGONS
            + """('train', 1, 1, [[0.0, 0, 4, 0, 4, 4, 0, 4], [0.0, 0, 4, 0, 4, 4, 0, 4, 0, 0]]),
            ('train', 1, 2, [[0.0, 0, 4, 4], [0.0, 0, 2, 2, 8, 8]])"""
        },
        # A bow tie, a spike and a ring that touches itself.
        {
            "items": POLYGONS
            + """('train', 2, 1, [[0.0, 0, 4, 4, 4, 0, 0, 4]]),
            ('train', 2, 2, [[0.0, 0, 4, 0, 8, 0, 4, 0, 4, 4]]),
            ('train', 2, 3, [[0.0, 0, 4, 0, 2, 2, 4, 4, 0, 4, 2, 2]])"""
        },
        [
            ("train", 2, 1, 1, "Self-intersection[2 2]"),
            ("train", 2, 2, 1, "Self-intersection[8 0]"),
            ("train", 2, 3, 1, "Ring Self-intersection[2 2]"),
        ],
    ),
    "polygon-outside-image": (
        {
            "images": IMAGE + "('train', 1, 'user', 1, 100, 200, 1), ('train', 2, 'user', 1, NULL, NULL, 1)",
            "items": POLYGONS
            + """('train', 1, 1, [[-2.0, -2, 102, 0, 50, 202]]), ('train', 1, 2, [[]]),
                ('train', 2, 1, [[-50.0, 0, 900, 0, 0, 900]])""",
        },
        {
            "items": POLYGONS
            + """('train', 1, 3, [[0.0, 0, 9, 0, 9, 9], [0.0, -2.5, 9, 0, 9, 9]]),
            ('train', 1, 4, [[0.0, 0, 105, 0, 9, 9]])"""
        },
        [("train", 1, 3, 2, 2.5, 100, 200), ("train", 1, 4, 1, 5, 100, 200)],
    ),
    "separate-polygons": (
        # One; two that overlap; three in a chain; two of which one has no area; two that share a corner.
        {
            "items": POLYGONS
            + """('train', 1, 1, [[0.0, 0, 4, 0, 4, 4]]),
            ('train', 1, 2, [[0.0, 0, 4, 0, 4, 4, 0, 4], [1.0, 1, 2, 1, 2, 2]]),
            ('train', 1, 3, [[0.0, 0, 4, 0, 4, 4, 0, 4], [7.0, 0, 9, 0, 9, 4, 7, 4], [3.0, 0, 8, 0, 8, 4, 3, 4]]),
            ('train', 1, 4, [[0.0, 0, 4, 0, 4, 4], [9.0, 9, 9, 9]]),
            ('train', 1, 5, [[0.0, 0, 4, 0, 4, 4, 0, 4], [4.0, 4, 8, 4, 8, 8, 4, 8]])"""
        },
        {
            "items": POLYGONS
            + """('train', 2, 1, [[0.0, 0, 4, 0, 4, 4], [10.0, 10, 14, 10, 14, 14]]),
            ('train', 2, 2, [[0.0, 0, 4, 0, 4, 4], [20.0, 0, 24, 0, 24, 4], [1.0, 1, 3, 1, 3, 3],
                [40.0, 0, 44, 0, 44, 4]])"""
        },
        [("train", 2, 1, 2, 2), ("train", 2, 2, 3, 4)],
    ),
    "landmark-outside-box": (
        # On the edges; not labelled; a box without area; landmarks that are not known.
        {
            "items": LANDMARKS
            + """('train', 1, 1, 9, 10, 10, 20, 20, [10, 20, 2, 20, 10, 1, 0, 0, 0]),
            ('train', 1, 2, 9, 20, 20, 10, 10, [50, 50, 2]), ('train', 1, 3, 9, 10, 10, 20, 20, NULL)"""
        },
        {"items": LANDMARKS + "('train', 2, 1, 9, 10, 10, 20, 20, [15, 15, 2, 9, 10, 1, 10, 23, 2])"},
        [("train", 2, 1, 2, 9, 10, 1, 1), ("train", 2, 1, 3, 10, 23, 2, 3)],
    ),
    "landmark-outside-image": (
        {
            **SKIRT,
            "images": IMAGE + "('train', 1, 'user', 1, 100, 200, 1), ('train', 2, 'user', 1, NULL, NULL, 1)",
            "items": LANDMARKS
            + """('train', 1, 1, 9, 0, 0, 9, 9, [101, 201, 1]), ('train', 1, 2, 9, 0, 0, 9, 9, [-1, 0, 2]),
                ('train', 2, 1, 9, 0, 0, 9, 9, [999, 999, 1])""",
        },
        {
            "items": LANDMARKS
            + "('train', 1, 3, 9, 0, 0, 9, 9, [102, 5, 1]), ('train', 1, 4, 9, 0, 0, 9, 9, [5, -7, 2])"
        },
        [("train", 1, 3, 1, 2, 102, 5, 1, 100, 200), ("train", 1, 4, 1, 7, 5, -7, 2, 100, 200)],
    ),
    "landmark-inconsistent": (
        {
            **SKIRT,
            "items": LANDMARKS
            + """('train', 1, 1, 9, 0, 0, 9, 9, [0, 0, 0]),
            ('train', 1, 2, 9, 0, 0, 9, 9, [0, 1, 2]), ('train', 1, 3, 9, 0, 0, 9, 9, NULL)""",
        },
        {"items": LANDMARKS + "('train', 2, 1, 9, 0, 0, 9, 9, [0, 0, 1]), ('train', 2, 2, 9, 0, 0, 9, 9, [0, 4, 0])"},
        [
            ("train", 2, 1, 1, "labelled at 0, 0", 0, 0, 1),
            ("train", 2, 2, 1, "not labelled, with a position", 0, 4, 0),
        ],
    ),
    "item-without-landmarks": (
        {
            "items": """(split, image_id, item_no, category_name, num_landmarks_labelled) VALUES
            ('train', 1, 1, 'skirt', 1), ('train', 1, 2, 'skirt', NULL)"""
        },
        {
            "items": """(split, image_id, item_no, category_name, num_landmarks_labelled) VALUES
            ('train', 2, 1, 'skirt', 0)"""
        },
        [("train", 2, 1, "skirt")],
    ),
    "scale-mismatch": (
        # Exactly 10 % and 40 % are moderate.
        {
            "images": IMAGE
            + """('train', 1, 'user', 1, 100, 100, 1), ('train', 2, 'user', 1, NULL, NULL, 1),
                ('train', 3, 'user', 1, 60000, 60000, 1)""",
            "items": BOX
            + """('train', 3, 1, 9, 'skirt', 1, 0, 0, 6000, 6000),
                ('train', 1, 1, 9, 'skirt', 1, 0, 0, 99, 10), ('train', 1, 2, 9, 'skirt', 2, 0, 0, 100, 10),
                ('train', 1, 3, 9, 'skirt', 2, 0, 0, 100, 40), ('train', 1, 4, 9, 'skirt', 3, 0, 0, 100, 40.5),
                ('train', 1, 5, 9, 'skirt', NULL, 0, 0, 9, 9), ('train', 1, 6, 9, 'skirt', 3, 9, 9, 0, 0),
                ('train', 2, 1, 9, 'skirt', 3, 0, 0, 1, 1)""",
        },
        {
            "items": BOX
            + """('train', 1, 7, 9, 'skirt', 3, 0, 0, 10, 10), ('train', 1, 8, 9, 'skirt', 1, 0, 0, 100, 10),
            ('train', 1, 9, 9, 'skirt', 2, 0, 0, 100, 50)"""
        },
        [("train", 1, 7, 3, 1, 0.01), ("train", 1, 8, 1, 2, 0.1), ("train", 1, 9, 2, 3, 0.5)],
    ),
    "style-repeated-in-image": (
        {
            "items": IDENTITY
            + """('train', 1, 1, 'user', 7, 1, 9, 'skirt'), ('train', 1, 2, 'user', 7, 2, 9, 'skirt'),
            ('train', 1, 3, 'user', 7, 0, 9, 'skirt'), ('train', 1, 4, 'user', 7, 0, 9, 'skirt'),
            ('train', 2, 1, 'user', 7, 1, 9, 'skirt'), ('validation', 1, 1, 'user', 7, 2, 9, 'skirt')"""
        },
        {"items": IDENTITY + "('train', 3, 1, 'user', 7, 4, 9, 'skirt'), ('train', 3, 3, 'user', 7, 4, 5, 'vest')"},
        [("train", 3, 4, 2, [1, 3], ["skirt", "vest"])],
    ),
    "duplicate-items": (
        # An IoU of 0.9 exactly; other categories, images and splits; boxes without area.
        {
            "items": BOX
            + """('train', 1, 1, 9, 'skirt', 1, 0, 0, 10, 10), ('train', 1, 2, 9, 'skirt', 1, 0, 0, 10, 9),
            ('train', 1, 3, 5, 'vest', 1, 0, 0, 10, 10), ('train', 2, 1, 9, 'skirt', 1, 0, 0, 10, 10),
            ('validation', 1, 1, 9, 'skirt', 1, 0, 0, 10, 10),
            ('train', 3, 1, 9, 'skirt', 1, 0, 0, 0, 0), ('train', 3, 2, 9, 'skirt', 1, 0, 0, 0, 0)"""
        },
        {"items": BOX + "('train', 4, 2, 9, 'skirt', 1, 0, 0, 10, 10), ('train', 4, 5, 9, 'skirt', 1, 0, 0, 10, 9.5)"},
        [("train", 4, 2, 5, "skirt", 0.95)],
    ),
    "missing-picture": (
        # A split without any photo has none to miss.
        {"images": IMAGE + "('train', 1, 'user', 1, 9, 9, 1), ('validation', 1, 'user', 1, NULL, NULL, 1)"},
        {"images": IMAGE + "('train', 2, 'user', 1, NULL, NULL, 3)"},
        [("train", 2, None, 3)],
    ),
    "missing-annotation": (
        # Test has no annotation at all; an annotation without items is one.
        {
            "images": IMAGE + "('train', 1, 'user', 1, 9, 9, 0), ('test', 1, NULL, NULL, 9, 9, NULL)",
            "quarantine": "(split, file) VALUES ('test', 'test/annos/000001.json')",
        },
        {
            "images": IMAGE + "('train', 2, 'user', 1, 9, 9, NULL)",
            "quarantine": "(split, file) VALUES ('train', 'train/annos/000009.json')",
        },
        [("train", 2, None), ("train", 9, "train/annos/000009.json")],
    ),
}


def found(database: duckdb.DuckDBPyConnection, name: str, **tables: str) -> list[tuple[Any, ...]]:
    """Fill tables with VALUES and return the rows of a check, sorted by all columns."""
    sql = load_checks()[name].sql
    register_functions(database, sql)
    return rows_of(database, f"(\n{sql})", **tables)


@pytest.mark.parametrize("name", CASES)
def test_a_check_returns_the_odd_rows_and_no_others(database: duckdb.DuckDBPyConnection, name: str) -> None:
    sound, odd, expected = CASES[name]
    assert found(database, name) == []
    assert found(database, name, **sound) == []
    rows = found(database, name, **odd)
    assert [pytest.approx(row) if all(isinstance(v, int | float) for v in row[3:]) else row for row in rows] == expected


@pytest.mark.parametrize("check", load_checks().values(), ids=lambda check: check.name)
def test_a_check_is_one_plain_select_with_the_columns_of_its_key_first(
    database: duckdb.DuckDBPyConnection, check: Any
) -> None:
    statements = database.extract_statements(check.sql)
    assert [statement.type for statement in statements] == [duckdb.StatementType.SELECT]
    assert not statements[0].named_parameters
    assert check.sql.endswith("\n") and ";" not in check.sql.split("FROM", 1)[1]
    register_functions(database, check.sql)
    columns = database.sql(check.sql).columns
    assert columns[: len(check.key)] == list(check.key)
    assert len(set(columns)) == len(columns)
    assert set(check.column_meanings) <= set(columns)
    assert check.severity in SEVERITIES and check.source and check.unit
    assert database.get_table_names(check.sql) <= {*TABLES, *load_views()}


@pytest.mark.parametrize("check", load_checks().values(), ids=lambda check: check.name)
def test_the_key_of_a_check_identifies_its_rows(database: duckdb.DuckDBPyConnection, check: Any) -> None:
    if check.name not in CASES:
        pytest.skip("its rows stand in another test")
    sound, odd, _ = CASES[check.name]
    rows = found(database, check.name, **sound) or found(database, check.name, **odd)
    key = ", ".join(map(quote_name, check.key))
    ((distinct,),) = database.execute(f"SELECT count(DISTINCT ({key})) FROM (\n{check.sql})").fetchall()
    assert distinct == len(rows)


def test_orphan_identities_are_those_of_the_view_where_every_source_is_known(
    database: duckdb.DuckDBPyConnection,
) -> None:
    rows = (
        "SELECT 'train', i, 1, ['user', 'shop'][1 + i % 3 % 2], i % 5, i % 4, 9, 'skirt' FROM range(60) AS numbers(i)"
    )
    database.execute(f"INSERT INTO items {IDENTITY.removesuffix('VALUES ')} {rows}")
    of_view = database.execute("SELECT split, pair_id, style FROM orphan_identities ORDER BY ALL").fetchall()
    assert [row[:3] for row in found(database, "orphan-identity")] == of_view
