"""Functions of SQL on polygons."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

import registry
from registry.store.geometry import FUNCTIONS, register_functions
from registry.store.registry import Registry

ALL = """
    SELECT count(polygon_is_flat(segmentation[1])), count(polygon_crossing(segmentation[1])),
        count(num_separate_parts(segmentation))
    FROM items
"""


@pytest.fixture
def connection() -> Any:
    """Return a connection with all functions."""
    connection = duckdb.connect()
    register_functions(connection, " ".join(FUNCTIONS))
    return connection


def test_queries_call_the_functions_in_a_registry_and_in_a_subset(df2: Registry) -> None:
    ((number, *others),) = df2.sql(ALL).fetchall()
    assert number > 0 and others == [number, number]
    assert df2.select(category="vest").sql(ALL).fetchall()[0][0] < number
    assert df2.sql(ALL.replace("polygon_is_flat", "POLYGON_IS_FLAT")).fetchall() == [(number, *others)]


def test_a_function_outlives_the_cursor_and_the_registry_that_created_it(three_splits: Path) -> None:
    relation = registry.open(str(three_splits)).sql(ALL)
    gc.collect()
    assert relation.fetchall()[0][0] > 0


def test_threads_create_a_function_once(three_splits: Path) -> None:
    df2 = registry.open(str(three_splits))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: df2.sql(ALL).fetchall(), range(16)))
    assert len(set(map(str, answers))) == 1


def test_null_is_null_and_empty_lists_have_no_part(connection: Any) -> None:
    query = "SELECT polygon_is_flat(NULL), polygon_crossing(NULL), num_separate_parts(NULL), num_separate_parts([])"
    assert connection.execute(query).fetchall() == [(None, None, None, 0)]
    mixed = "SELECT num_separate_parts(s) FROM (VALUES ([[0.0, 0, 1, 0, 1, 1]]), (NULL), ([NULL, []])) AS t(s)"
    assert connection.execute(mixed).fetchall() == [(1,), (None,), (0,)]


def test_many_chunks_keep_their_rows(connection: Any) -> None:
    square = "[n, 0, n + 1, 0, n + 1, 1, n, 1]::DOUBLE[]"
    rows = f"SELECT n, CASE WHEN n % 3 = 0 THEN [n, n]::DOUBLE[] ELSE {square} END AS points FROM range(10000) AS t(n)"
    query = f"SELECT count(*) FROM ({rows}) WHERE polygon_is_flat(points) <> (n % 3 = 0)"
    assert connection.execute(query).fetchall() == [(0,)]
    other = "[n + 5, 0, n + 6, 0, n + 6, 1]"
    apart = f"SELECT count(*) FROM range(5000) AS t(n) WHERE num_separate_parts([{square}, {other}]) <> 2"
    assert connection.execute(apart).fetchall() == [(0,)]


def test_a_polygon_with_an_infinite_coordinate_has_no_area(connection: Any) -> None:
    points = "['inf'::DOUBLE, 0, 1, 1, 2, 5]::DOUBLE[]"
    query = f"SELECT polygon_is_flat({points}), polygon_crossing({points}), num_separate_parts([{points}, {points}])"
    assert connection.execute(query).fetchall() == [(True, "", 0)]
