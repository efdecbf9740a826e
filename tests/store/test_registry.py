"""An open registry: SQL, look-ups, errors, threads, and registries that move or change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.dataset.tables import FIELDS, ITEM_COLUMNS, SCHEMA_VERSION, TABLES
from registry.dataset.views import load_views
from registry.errors import (
    NotFoundError,
    QueryError,
    RegistryFormatError,
    StorageError,
    UnknownNameError,
)
from registry.ingest.build import ingest
from registry.store.registry import Registry
from registry.store.sql import glob_escape, quote
from tests.helpers import annotation, item, write_split
from tests.registries import make_three_splits

PAIRS = [
    ("train", 1, 1, 1, 1, 1, 3, 1, 1),
    ("train", 1, 1, 1, 1, 1, 4, 2, 10),
    ("train", 1, 1, 2, 2, 9, 3, 1, 1),
    ("train", 1, 1, 2, 2, 9, 4, 2, 10),
    ("train", 1, 2, 1, 2, 8, 4, 1, 8),
    ("validation", 1, 1, 1, 1, 7, 2, 1, 7),
]


def test_sql_binds_named_parameters(df2: Registry) -> None:
    query = "SELECT image_id, item_no FROM items WHERE split = $split AND style = $style ORDER BY ALL"
    assert df2.sql(query, {"split": "train", "style": 2}).fetchall() == [(1, 2), (4, 1)]


def test_sql_binds_parameters_by_position(df2: Registry) -> None:
    query = "SELECT count(*) FROM items WHERE split = ? AND list_contains(?, category_id)"
    assert df2.sql(query, ["train", [8, 9]]).fetchall() == [(3,)]


def test_a_parameter_is_a_value_and_never_sql(df2: Registry) -> None:
    query = "SELECT count(*) FROM items WHERE split = $split"
    assert df2.sql(query, {"split": "train' OR 'a' = 'a"}).fetchall() == [(0,)]


def test_a_relation_comes_as_arrow_pandas_polars_and_tuples(df2: Registry) -> None:
    query = "SELECT id, name FROM categories WHERE id < 3 ORDER BY id"
    expected = {"id": [1, 2], "name": ["short sleeve top", "long sleeve top"]}
    assert df2.sql(query).to_arrow_table().to_pydict() == expected
    assert df2.sql(query).df().to_dict("list") == expected
    assert df2.sql(query).pl().to_dict(as_series=False) == expected
    assert df2.sql(query).fetchall() == list(zip(*expected.values(), strict=True))


def test_arrow_has_the_rows_too(df2: Registry) -> None:
    actual = df2.sql("SELECT id FROM categories ORDER BY id").arrow()
    table = actual.read_all() if hasattr(actual, "read_all") else actual
    assert table.column("id").to_pylist() == list(range(1, 14))


@pytest.mark.parametrize("name", [*TABLES, *load_views()])
def test_every_table_and_view_can_be_read(df2: Registry, name: str) -> None:
    assert len(df2.sql(f"SELECT * FROM {name}").fetchall()) == df2.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_its_declared_columns_and_types_even_without_files(df2: Registry, name: str) -> None:
    from registry.dataset.tables import duckdb_type

    shown = [(column, kind) for column, kind, *_ in df2.sql(f"DESCRIBE {name}").fetchall()]
    assert shown == [(column.name, duckdb_type(column.field)) for column in TABLES[name].columns]


@pytest.mark.parametrize("name", [*TABLES, *load_views()])
def test_the_keys_that_are_declared_are_unique(df2: Registry, name: str) -> None:
    key = ", ".join(TABLES[name].key if name in TABLES else load_views()[name].key)
    total, distinct = df2.sql(f"SELECT count(*), count(DISTINCT ({key})) FROM {name}").fetchall()[0]
    assert total == distinct


@pytest.mark.parametrize("query", ["SHOW TABLES", "DESCRIBE items", "SUMMARIZE categories", "EXPLAIN FROM items",
                                   "explain analyze SELECT 1", "EXPLAIN (FORMAT json) SELECT 1", "VALUES (1)",
                                   "-- why\nSELECT 1; -- done", "WITH a AS (SELECT 1) FROM a"])  # fmt: skip
def test_statements_that_read_are_allowed(df2: Registry, query: str) -> None:
    assert df2.sql(query).fetchall()


@pytest.mark.parametrize(
    "query",
    [
        "PIVOT items ON split USING count(*) GROUP BY category_name",
        "pivot items on split using count(*) group by category_name;",
        "FROM (PIVOT items ON split USING count(*) GROUP BY category_name)",
        "WITH counts AS (PIVOT items ON split USING count(*) GROUP BY category_name) FROM counts",
        "FROM items PIVOT (count(*) FOR split IN ('train', 'validation') GROUP BY category_name)",
        "UNPIVOT (SELECT 1 AS train, 2 AS validation) ON train, validation",
        "EXPLAIN PIVOT items ON split USING count(*)",
        "EXPLAIN ANALYZE PIVOT items ON split USING count(*)",
        "DESCRIBE PIVOT items ON split USING count(*)",
    ],
)
def test_pivot_and_unpivot_are_queries(df2: Registry, query: str) -> None:
    assert df2.sql(query).fetchall()
    assert df2.sql(query).fetchall()  # DuckDB keeps the values of the first PIVOT


@pytest.mark.parametrize(
    "query",
    [
        "DROP VIEW items",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE OR REPLACE VIEW items AS SELECT 1",
        "DELETE FROM items",
        "COPY items TO '/tmp/items.csv'",
        "EXPORT DATABASE '/tmp/df2'",
        "ATTACH '/tmp/other.duckdb'",
        "SET threads = 1",
        "SET VARIABLE a = 1",
        "PRAGMA enable_progress_bar",
        "CALL pragma_version()",
        "INSTALL httpfs",
        "LOAD httpfs",
        "EXPLAIN ANALYZE CREATE TABLE mine AS SELECT 1",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/one.csv'",
        "/* why */ EXPLAIN (ANALYZE) COPY (SELECT 1) TO '/tmp/one.csv'",
        "EXPLAIN EXPLAIN ANALYZE DROP VIEW items",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW items",
        "CREATE TABLE t AS PIVOT items ON split USING count(*)",
        "CREATE TABLE t AS FROM (PIVOT items ON split USING count(*))",
        "EXPLAIN ANALYZE CREATE TABLE t AS PIVOT items ON split USING count(*)",
        "COPY (PIVOT items ON split USING count(*)) TO 'x.csv'",
        "CREATE VIEW v AS PIVOT items ON split USING count(*)",
        "PIVOT items ON split USING count(*); DROP VIEW items",
        "PIVOT items ON split USING count(*); PIVOT items ON split USING count(*)",
        "INSERT INTO items PIVOT items ON split USING count(*)",
        "BEGIN",
        "",
        "-- nothing",
    ],
)
def test_only_a_single_reading_statement_is_accepted(df2: Registry, query: str) -> None:
    with pytest.raises(QueryError):
        df2.sql(query)


def test_explaining_a_copy_writes_nothing_into_the_registry(small_registry: Path) -> None:
    actual = registry.open(str(small_registry))
    before = sorted(small_registry.rglob("*"))
    with pytest.raises(QueryError, match="Expected one statement that reads"):
        actual.sql(f"EXPLAIN ANALYZE COPY (SELECT 1) TO {quote(str(small_registry / 'new.csv'))}")
    assert sorted(small_registry.rglob("*")) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM read_blob('/etc/host*')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM read_parquet('https://example.com/a.parquet')",
        "SELECT * FROM sniff_csv('/etc/hostname')",
        "SELECT getenv('HOME')",
        "SELECT * FROM enable_logging()",
    ],
)
def test_other_files_and_places_cannot_be_read(df2: Registry, query: str) -> None:
    import duckdb

    with pytest.raises((QueryError, duckdb.PermissionException)):
        df2.sql(query).fetchall()


def test_sql_reads_no_file_but_through_the_tables_and_views(df2: Registry) -> None:
    folder = df2.place.absolute_url
    for path in ("manifest.json", "../train/annos/000001.json"):
        assert os.path.exists(f"{folder}/{path}")
        with pytest.raises(QueryError, match="Permission Error"):
            df2.sql(f"SELECT * FROM read_text({quote(f'{folder}/{path}')})").fetchall()
    assert df2.sql("SELECT current_setting('allowed_directories'), current_setting('temp_directory')").fetchall() == [
        (["df2://"], "")
    ]


def test_python_variables_are_out_of_reach(df2: Registry) -> None:
    import pandas

    frame = pandas.DataFrame({"a": [1]})
    with pytest.raises(QueryError, match="Table with name frame does not exist"):
        df2.sql("SELECT * FROM frame")
    assert len(frame) == 1


def test_an_unknown_table_lists_all_tables_and_views(df2: Registry) -> None:
    with pytest.raises(QueryError) as caught:
        df2.sql("SELECT * FROM itms")
    assert 'Did you mean "items"?' in str(caught.value)
    assert str(caught.value).endswith(f"There is: {', '.join([*TABLES, *load_views()])}.")


def test_an_unknown_function_is_not_answered_with_tables(df2: Registry) -> None:
    with pytest.raises(QueryError, match="Scalar Function with name summ does not exist") as caught:
        df2.sql("SELECT summ(style) FROM items")
    assert "There is" not in str(caught.value)


def test_bad_sql_is_answered_with_the_position(df2: Registry) -> None:
    with pytest.raises(QueryError) as caught:
        df2.sql("SELECT split\n FROM items WHERE")
    assert str(caught.value).startswith("Parser Error: ")
    lines = str(caught.value).splitlines()
    assert "LINE 2:  FROM items WHERE" in lines
    assert set(lines[-1].strip()) == {"^"}


@pytest.mark.parametrize("params", [None, {}, {"other": 1}, {"a": 1, "other": 2}])
def test_parameters_that_do_not_fit_the_query_are_refused(df2: Registry, params: Any) -> None:
    with pytest.raises(QueryError, match="parameter"):
        df2.sql("SELECT $a + 1", params)


def test_pairs_of_the_whole_registry_are_sorted(df2: Registry) -> None:
    assert df2.pairs().fetchall() == PAIRS
    assert df2.pairs().columns == df2.sql("FROM instance_pairs").columns


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"split": "train"}, PAIRS[:5]),
        ({"split": "validation"}, PAIRS[5:]),
        ({"split": "test"}, []),
        ({"pair_id": 1}, [row for row in PAIRS if row[1] == 1]),
        ({"pair_id": 1, "split": "train", "category": 10}, [PAIRS[1], PAIRS[3]]),
        ({"pair_id": 1, "style": 2}, PAIRS[4:5]),
        ({"pair_id": 1, "style": 0}, []),
        ({"pair_id": 2}, []),
        ({"style": 0}, []),
        ({"category": "skirt"}, PAIRS[2:4]),
        ({"category": 10}, [PAIRS[1], PAIRS[3]]),
        ({"category": ["skirt", "shorts"], "split": "train"}, PAIRS[2:4]),
        ({"category": "short_sleeved_dress"}, [PAIRS[1], PAIRS[3]]),
        ({"limit": 2}, PAIRS[:2]),
        ({"limit": 0}, []),
        ({"category": [8, "10"], "limit": 2}, [PAIRS[1], PAIRS[3]]),
    ],
)
def test_pairs_can_be_asked_for_by_every_option(df2: Registry, options: Any, expected: Any) -> None:
    assert df2.pairs(**options).fetchall() == expected


def test_pairs_of_images_count_the_pairs_of_items_that_were_asked_for(df2: Registry) -> None:
    actual = df2.pairs(level="image", split="train")
    assert actual.columns == df2.sql("FROM image_pairs").columns
    assert actual.fetchall() == [
        ("train", 1, 1, 3, 1),
        ("train", 1, 1, 4, 2),
        ("train", 1, 2, 3, 1),
        ("train", 1, 2, 4, 1),
    ]
    assert df2.pairs(level="image", pair_id=1, split="train").fetchall() == actual.fetchall()
    assert df2.pairs(level="image", style=2).fetchall() == [("train", 1, 1, 4, 1)]


def test_pairs_of_images_are_the_view_where_nothing_is_filtered(df2: Registry) -> None:
    assert df2.pairs(level="image").fetchall() == df2.sql("FROM image_pairs ORDER BY ALL").fetchall()


@pytest.mark.parametrize("options", [{"split": "trian"}, {"category": "skrt"}, {"category": [1, 14]}])
def test_pairs_of_an_unknown_split_or_category_are_refused(df2: Registry, options: Any) -> None:
    with pytest.raises(UnknownNameError, match="There is: "):
        df2.pairs(**options)


def test_an_unknown_name_is_answered_with_the_nearest(df2: Registry) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown split 'trian'\. Did you mean 'train'\? There is: train, val"):
        df2.pairs(split="trian")
    with pytest.raises(UnknownNameError, match=r"Unknown category 'skrt'\. Did you mean 'skirt'\? There is: short "):
        df2.pairs(category="skrt")


def test_a_split_that_was_not_ingested_is_named(small_registry: Path) -> None:
    actual = registry.open(str(small_registry))
    with pytest.raises(UnknownNameError) as caught:
        actual.image("validation", 1)
    assert str(caught.value) == f"The split validation is not in the registry {small_registry}; there is: train."


def test_style_gives_the_consumer_items_first(df2: Registry) -> None:
    actual = df2.style("train", 1, 1)
    assert actual.columns == list(ITEM_COLUMNS)
    key = [(row[4], row[1], row[2]) for row in actual.fetchall()]
    assert key == [("user", 1, 1), ("user", 2, 2), ("shop", 3, 1), ("shop", 4, 2)]


def test_style_zero_and_an_orphan_can_be_looked_at_too(df2: Registry) -> None:
    assert [row[1:3] for row in df2.style("train", 1, 0).fetchall()] == [(2, 5)]
    assert [row[1:3] for row in df2.style("train", 2, 3).fetchall()] == [(7, 1)]


def test_an_unknown_style_lists_the_styles_of_its_pair_id(df2: Registry) -> None:
    with pytest.raises(NotFoundError) as caught:
        df2.style("train", 1, 9)
    assert str(caught.value) == "train has no item of pair_id 1 and style 9; the styles there are 0, 1, 2."


def test_an_unknown_pair_id_is_an_error(df2: Registry) -> None:
    with pytest.raises(NotFoundError) as caught:
        df2.style("train", 77, 1)
    assert str(caught.value) == "train has no item of pair_id 77 and style 1; no item of the split has this pair_id."


def test_image_holds_its_items_in_the_order_of_their_file(df2: Registry) -> None:
    actual = df2.image("train", 1)
    row = dict(zip(actual.columns, actual.fetchall()[0], strict=True))
    items = row.pop("items")
    assert row == {"split": "train", "image_id": 1, "file_name": "000001.jpg", "source": "user", "pair_id": 1,
                   "width": None, "height": None, "num_items": 2, "orientation": None}  # fmt: skip
    assert [(one["item_no"], one["item_order"], one["category_name"]) for one in items] == [
        (2, 1, "trousers"),
        (1, 2, "short sleeve top"),
    ]
    assert list(items[0]) == [name for name in ITEM_COLUMNS if name not in row]


def test_image_without_annotation_has_no_items(df2: Registry) -> None:
    actual = df2.image("test", 2)
    assert dict(zip(actual.columns, actual.fetchall()[0], strict=True)) == {
        "split": "test", "image_id": 2, "file_name": "000002.jpg", "source": None, "pair_id": None,
        "width": 20, "height": 50, "num_items": None, "orientation": None, "items": [],
    }  # fmt: skip


def test_an_unknown_image_is_answered_with_the_range(df2: Registry) -> None:
    with pytest.raises(NotFoundError, match=r"^train has no image 99; its images are 1 to 7\.$"):
        df2.image("train", 99)


def test_a_split_of_nothing_but_bad_files_has_no_images(tmp_path: Path) -> None:
    write_split(tmp_path / "train", {1: b"{"})
    ingest("train", str(tmp_path / "train"), str(tmp_path / "registry"), on_error="quarantine", jobs=1)
    actual = registry.open(str(tmp_path / "registry"))
    assert actual.sql("SELECT file FROM quarantine").fetchall() == [("train/annos/000001.json",)]
    with pytest.raises(NotFoundError, match=r"^train has no image 1; it has no image at all\.$"):
        actual.image("train", 1)


def test_stats_nests_the_counts_by_split(df2: Registry) -> None:
    stats = df2.stats()
    assert list(stats) == ["test", "train", "validation"]
    train = stats["train"]
    assert (train["num_images"], train["num_items"], train["num_instance_pairs"]) == (5, 8, 5)
    assert train["categories"] == {
        "short sleeve top": 2, "long sleeve top": 1, "trousers": 2, "skirt": 1, "short sleeve dress": 1,
        "sling dress": 1,
    }  # fmt: skip
    assert train["attributes"]["viewpoint"] == {"frontal": 8}
    assert stats["test"]["num_images"] == 2
    assert stats["test"]["num_items"] == 0
    assert stats["test"]["categories"] == stats["test"]["attributes"] == {}


def test_tables_describes_every_column_of_every_table_and_view(df2: Registry) -> None:
    rows = df2.tables()
    assert list(dict.fromkeys(row["table"] for row in rows)) == [*TABLES, *load_views()]
    assert all(row["type"] and row["meaning"] for row in rows)
    assert {row["kind"] for row in rows if row["table"] in TABLES} == {"table"}
    assert {row["kind"] for row in rows if row["table"] in load_views()} == {"view"}
    for row in rows:
        assert row["unit"] == FIELDS[row["column"]].unit


def test_tables_of_one_name(df2: Registry) -> None:
    rows = df2.tables("image_pairs")
    assert [row["column"] for row in rows] == df2.sql("FROM image_pairs").columns
    with pytest.raises(UnknownNameError, match=r"Unknown table or view 'itmes'\. Did you mean 'items'\?"):
        df2.tables("itmes")


def test_many_threads_share_one_registry(df2: Registry) -> None:
    def ask(number: int) -> Any:
        if number % 3 == 0:
            return len(df2.pairs(limit=number % 7).fetchall()) == min(number % 7, len(PAIRS))
        if number % 3 == 1:
            return df2.sql("SELECT $n + count(*) FROM items", {"n": number}).fetchall() == [(number + 10,)]
        return len(df2.image("train", 1).fetchall()[0][-1]) == 2

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(240)))


def test_a_registry_that_is_ingested_again_while_open_shows_the_new_rows(tmp_path: Path) -> None:
    target = make_three_splits(tmp_path)
    actual = registry.open(str(target))
    assert actual.sql("SELECT count(*) FROM items WHERE split = 'train'").fetchall() == [(8,)]
    shutil.rmtree(tmp_path / "train")
    write_split(tmp_path / "train", {5: annotation([item(3, 1)])})
    ingest("train", str(tmp_path / "train"), str(target), jobs=1)
    assert actual.sql("SELECT image_id FROM items WHERE split = 'train'").fetchall() == [(5,)]
    assert actual.pairs().fetchall() == PAIRS[5:]
    with pytest.raises(NotFoundError, match="its images are 5 to 5"):
        actual.image("train", 1)


def test_threads_go_on_while_the_registry_is_replaced(tmp_path: Path) -> None:
    target = make_three_splits(tmp_path)
    actual = registry.open(str(target))
    shutil.rmtree(tmp_path / "train")
    write_split(tmp_path / "train", {5: annotation([item(3, 1)])})

    def count(_: int) -> Any:
        return actual.tables("items") and actual.manifest.splits

    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(count, number) for number in range(60)]
        ingest("train", str(tmp_path / "train"), str(target), jobs=1)
        assert all(answer.result() == ["test", "train", "validation"] for answer in answers)
    assert actual.sql("SELECT count(*) FROM items WHERE split = 'train'").fetchall() == [(1,)]


def test_a_registry_can_be_moved(tmp_path: Path) -> None:
    moved = make_three_splits(tmp_path).rename(tmp_path / "elsewhere")
    assert registry.open(str(moved)).pairs().fetchall() == PAIRS


def test_a_relative_path_outlives_a_change_of_the_working_directory(
    three_splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(three_splits.parent)
    actual = registry.open(three_splits.name)
    monkeypatch.chdir(tmp_path)
    assert actual.pairs().fetchall() == PAIRS


@pytest.mark.parametrize(
    "name",
    [
        "o'brien é",
        'a "b" c',
        "br[1]*?x",
        "v[12]",
        "back\\slash",
        "two\nlines",
        "a=b",
        "50% #1;--",
        "$HOME",
    ],
)
def test_a_registry_may_lie_in_a_folder_of_any_name(three_splits: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / name / "registry"
    shutil.copytree(three_splits, target)
    actual = registry.open(str(target))
    assert actual.pairs().fetchall() == PAIRS
    counts = actual.sql("SELECT split, num_items FROM split_counts").fetchall()
    assert counts == [("test", 0), ("train", 8), ("validation", 2)]


def test_a_file_url_is_a_local_path(three_splits: Path) -> None:
    assert registry.open(f"file://{three_splits}").pairs().fetchall() == PAIRS


def test_quote_doubles_single_quotes_and_nothing_else(df2: Registry) -> None:
    for text in ("", "o'brien", "''", 'a "b"', "é\n\\", "'; DROP VIEW items; --"):
        assert df2.sql(f"SELECT {quote(text)}").fetchall() == [(text,)]


def test_glob_escape_matches_the_path_itself() -> None:
    assert glob_escape("/a/b c/o'é") == "/a/b c/o'é"
    assert glob_escape("/x[1]*?") == "/x[[]1][*][?]"


def test_a_place_without_a_registry_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=f"^There is no registry at {tmp_path}/none\\. Make one with"):
        registry.open(str(tmp_path / "none"))


def test_a_file_is_no_registry(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotFoundError, match="There is no registry at"):
        registry.open(str(tmp_path / "file"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1, "files": [{}], "sources": {}}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RegistryFormatError, match="is not a manifest of a registry"):
        registry.open(str(tmp_path))


def test_a_registry_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema_version": 99, "files": [], "sources": {}}')
    text = f"has schema version 99, this program reads up to {SCHEMA_VERSION}: upgrade it"
    with pytest.raises(RegistryFormatError, match=text):
        registry.open(str(tmp_path))


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(StorageError, match="Cannot use nowhere://x"):
        registry.open("nowhere://x")


def test_opening_a_registry_that_lacks_a_file_names_the_file(tmp_path: Path) -> None:
    target = make_three_splits(tmp_path)
    gone = next((target / "items" / "split=train").rglob("*.parquet"))
    gone.unlink()
    with pytest.raises(RegistryFormatError, match=gone.name) as caught:
        registry.open(str(target))
    assert str(caught.value).endswith(f"or do without: df2 manifest {target}")


_COLUMNS = sorted({column.name for table in TABLES.values() for column in table.columns})


@pytest.mark.parametrize("change", [str, str.upper, str.capitalize])
def test_no_folder_above_a_registry_changes_a_column(three_splits: Path, tmp_path: Path, change: Any) -> None:
    expected = registry.open(str(three_splits))
    target = tmp_path.joinpath(*(f"{change(name)}=7" for name in _COLUMNS), "registry")
    shutil.copytree(three_splits, target)
    actual = registry.open(str(target))
    for name in [*TABLES, *load_views()]:
        query = f"SELECT * FROM {name} ORDER BY ALL"
        assert actual.sql(query).fetchall() == expected.sql(query).fetchall()
    assert actual.select(category="skirt").summary() == expected.select(category="skirt").summary()
    assert actual.diff(expected).summary.is_same


@pytest.mark.parametrize(
    "path",
    [
        "items/split=validation/category_id=1/{}",
        "items/split=train/category_id=14/{}",
        "items/split=train/category_id=01/{}",
        "items/split=train/{}",
        "items/source=shop/split=train/category_id=1/{}",
        "items/Split=train/category_id=1/{}",
        "items/split=train/category_id=1/style=9/{}",
        "images/split=train/{}",
        "{}",
    ],
)
def test_a_manifest_whose_path_is_not_that_of_its_table_and_split_is_refused(small_registry: Path, path: str) -> None:
    manifest = json.loads((small_registry / "manifest.json").read_text())
    entry = next(file for file in manifest["files"] if "/split=train/category_id=1/" in file["path"])
    moved = path.format(entry["path"].rpartition("/")[2])
    (small_registry / moved).parent.mkdir(parents=True, exist_ok=True)
    os.rename(small_registry / entry["path"], small_registry / moved)
    entry["path"] = moved
    (small_registry / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RegistryFormatError, match="expected the path items/split=train/category_id="):
        registry.open(str(small_registry))


def test_a_registry_in_memory_answers_like_a_local_one(tmp_path: Path) -> None:
    import fsspec

    source = write_split(tmp_path / "train", {1: annotation([item(9, 1)]), 2: annotation([item(8, 1)], "shop")})
    try:
        ingest("train", str(source), "memory://df2/registry", jobs=1)
        actual = registry.open("memory://df2/registry")
        assert actual.pairs().fetchall() == [("train", 1, 1, 1, 1, 9, 2, 1, 8)]
        assert [row[1] for row in actual.style("train", 1, 1).fetchall()] == [1, 2]
        assert actual.stats()["train"]["num_items"] == 2
        with pytest.raises(QueryError, match="Permission Error"):
            actual.sql("SELECT * FROM read_text('/etc/hostname')").fetchall()
    finally:
        fsspec.filesystem("memory").rm("/df2", recursive=True)


def test_importing_the_package_imports_no_engine() -> None:
    code = "import registry, sys; print([m for m in ('duckdb', 'pyarrow', 'fsspec', 'dvc') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
