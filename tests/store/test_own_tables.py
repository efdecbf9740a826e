"""Tables of the user in queries, conditions and diffs."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import registry
from registry.errors import NotFoundError, QueryError, UnknownNameError, UsageError
from registry.store.registry import Registry
from registry.store.selection import Selection
from tests.own_rows import table, write
from tests.registries import make_newer


def opened(folder: Path, **tables: Any) -> Registry:
    return registry.open(str(folder), tables=tables)


def keys(selection: Selection) -> list[tuple[Any, ...]]:
    return sorted(selection.items(["split", "image_id", "item_no"]).fetchall())


def chosen(folder: Path, where: str, **tables: Any) -> list[tuple[Any, ...]]:
    return keys(opened(folder, **tables).select(where=where))


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "jsonl"])
def test_a_file_is_a_table_of_queries_and_conditions(three_splits: Path, tmp_path: Path, suffix: str) -> None:
    df2 = opened(three_splits, scores=write(tmp_path / f"scores.{suffix}"))
    assert df2.sql("SELECT max(loss), count(*) FROM scores").fetchall() == [(4.0, 6)]
    assert keys(df2.select(where="scores.loss > 2")) == [("train", 1, 2), ("train", 2, 2), ("train", 4, 1)]
    assert df2.table_notices() == []


@pytest.mark.parametrize(
    "frame",
    [
        table(),
        table().to_pandas(),
        table().to_pandas().set_index(["split", "image_id", "item_no"]),
        table().to_pandas().astype({"split": "category"}),
        pl.from_arrow(table()),
        pl.from_arrow(table()).with_columns(pl.col("split").cast(pl.Categorical)),  # type: ignore[union-attr]
        table().set_column(0, "split", table().column("split").dictionary_encode()),
        table().set_column(1, "Image_ID", table().column("image_id").cast(pa.uint8())),
    ],
    ids=[
        "arrow",
        "pandas",
        "pandas index",
        "categories",
        "polars",
        "categories of polars",
        "dictionary",
        "small numbers",
    ],
)
def test_a_frame_is_a_table(three_splits: Path, frame: Any) -> None:
    df2 = opened(three_splits, scores=frame)
    assert keys(df2.select(where="scores.loss > 2")) == [("train", 1, 2), ("train", 2, 2), ("train", 4, 1)]
    assert df2.table_notices() == []


def test_the_index_that_pandas_writes_into_csv_hinders_nothing(three_splits: Path, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    pd.DataFrame([*table().to_pylist(), table().to_pylist()[0]]).to_csv(path)  # its first column has no name
    df2 = opened(three_splits, scores=path)
    selection = df2.select(where="scores.loss < 1")
    assert keys(selection) == [("train", 1, 1)]
    assert selection.notices == [
        "1 key of the table scores stands in several equal rows, which count once in conditions and exports"
    ]
    assert df2.sql("SELECT count(split) FROM scores").fetchall() == [(7,)]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame([["train", 1, 1, 1]], columns=["split", "image_id", "x", "x"]), "Duplicate column names found"),
        (pd.Series([1]), "the frame cannot be read as Arrow"),
        ([1], "expected a path, a URL, an Arrow table or a frame of pandas or polars, found list"),
        (pa.table({}), "expected columns, found none"),
    ],
)
def test_a_value_that_is_no_frame_is_refused(three_splits: Path, frame: Any, message: str) -> None:
    with pytest.raises(UsageError, match=f"table scores: .*{message}"):
        opened(three_splits, scores=frame)


def test_lists_of_fixed_size_are_lists(three_splits: Path) -> None:
    # DuckDB could not sort its arrays behind a join.
    scores = table()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(range(2 * len(scores)), pa.float32()), 2)
    pose = pa.StructArray.from_arrays([vectors], ["at"])
    df2 = opened(three_splits, scores=scores.append_column("vector", vectors).append_column("pose", pose))
    poses = df2.select(split="train").items(["scores.pose"]).fetchall()
    assert ({"at": [0, 1]},) in poses
    rows = df2.select(split="train").items(["image_id", "item_no", "scores.vector"]).fetchall()
    assert sorted(rows)[:4] == [(1, 1, [0, 1]), (1, 2, [2, 3]), (2, 2, [4, 5]), (2, 5, None)]


def test_half_floats_are_floats(three_splits: Path) -> None:
    half = pa.array([1.5, 2.5], pa.float32()).cast(pa.float16())
    rows = pa.table({
        "split": ["train"], "image_id": [1], "item_no": [1], "loss": half[:1],
        "vector": pa.FixedSizeListArray.from_arrays(half, 2),
    })  # fmt: skip
    selection = opened(three_splits, scores=rows).select(where="scores.loss = 1.5 AND scores.vector[2] = 2.5")
    assert keys(selection) == [("train", 1, 1)]


def test_types_that_no_query_reads_are_all_named(three_splits: Path) -> None:
    rows = table().append_column("big", pa.nulls(len(table()), pa.decimal256(50, 2)))
    rows = rows.append_column("bigger", pa.nulls(len(table()), pa.decimal256(60, 2)))
    message = r"table scores: no query can read .* big \(decimal256\(50, 2\)\), bigger \(decimal256\(60, 2\)\)\. Leave"
    with pytest.raises(UsageError, match=message):
        opened(three_splits, scores=rows)


def test_a_table_of_images_holds_for_all_items_of_an_image(three_splits: Path) -> None:
    folds = pd.DataFrame({"split": ["train", "train"], "image_id": [1, 4], "fold": [1, 2]})
    assert chosen(three_splits, "folds.fold = 1", folds=folds) == [("train", 1, 1), ("train", 1, 2)]


def test_an_item_without_a_row_has_null(three_splits: Path) -> None:
    assert chosen(three_splits, "scores.loss IS NULL AND items.split = 'train'", scores=table()) == [
        ("train", 2, 5), ("train", 4, 2), ("train", 7, 1)
    ]  # fmt: skip


def test_a_column_of_a_table_takes_no_place_of_a_column_of_items(three_splits: Path) -> None:
    assert chosen(three_splits, "style = 2 AND scores.style = 99", scores=table()) == [
        ("train", 1, 2), ("train", 4, 1)
    ]  # fmt: skip


def test_several_tables_and_other_options_hold_together(three_splits: Path) -> None:
    folds = pa.table({"split": ["train"], "image_id": [1], "fold": [1]})
    df2 = opened(three_splits, scores=table(), folds=folds)
    selection = df2.select(where="scores.loss > 0 AND folds.fold = 1", category="short sleeve top")
    assert keys(selection) == [("train", 1, 1)]
    assert selection.used_tables == {name: df2.own_tables[name].sha256 for name in ("folds", "scores")}
    assert selection.sql("SELECT count(*) FROM items JOIN scores USING (split, image_id, item_no)").fetchall() == [(1,)]


def test_a_selection_and_a_diff_take_tables_of_their_own(df2: Registry, three_splits: Path, tmp_path: Path) -> None:
    assert keys(df2.select(where="scores.loss > 3", tables={"scores": table()})) == [("train", 1, 2), ("train", 4, 1)]
    newer = registry.open(str(make_newer(three_splits, tmp_path)))
    added = pa.table({"split": ["train"], "image_id": [9], "new": [True]})
    summary = df2.diff(newer, where="added.new", tables={"added": added})
    assert summary.summary.counts()["items"] == {"added": 1, "removed": 0, "changed": 0}
    assert summary.notices == ["1 row of the table added has a key that fits no row of images (the first: split train, "
                               "image_id 9)"]  # fmt: skip


def test_columns_of_tables_stand_beside_those_of_items(three_splits: Path) -> None:
    selection = opened(three_splits, scores=table()).select(split="train")
    rows = sorted(selection.items(["image_id", "item_no", "style", "scores.loss", "scores.style"]).fetchall())
    assert rows[:3] == [(1, 1, 1, 0.5, 99), (1, 2, 2, 3.5, 99), (2, 2, 1, 2.5, 99)]
    assert rows[3] == (2, 5, 0, None, None)


def test_keys_that_fit_nothing_are_counted(three_splits: Path) -> None:
    scores = table({"split": "val"}, {"image_id": 77}, {"item_no": None})
    fit = "3 rows of the table scores have keys that fit no row of items"
    notice = f"{fit} (the first: split train, image_id 1, item_no NULL)"
    df2 = opened(three_splits, scores=scores)
    assert df2.table_notices() == [notice]
    selection = df2.select(where="scores.loss < 1")
    assert (keys(selection), selection.notices) == ([("train", 1, 1)], [notice])


def test_a_table_without_rows_is_told(three_splits: Path) -> None:
    df2 = opened(three_splits, scores=table().slice(0, 0))
    assert df2.table_notices() == [
        "the table scores has no rows, so its columns have no value (NULL) in conditions and exports"
    ]


def test_equal_rows_of_a_key_count_once(three_splits: Path) -> None:
    selection = opened(three_splits, scores=table({})).select(where="scores.loss < 1")
    assert keys(selection) == [("train", 1, 1)]
    assert selection.notices == [
        "1 key of the table scores stands in several equal rows, which count once in conditions and exports"
    ]


def test_a_key_with_different_values_has_none(three_splits: Path) -> None:
    df2 = opened(three_splits, scores=table({"loss": 0.6}, {"image_id": 4, "loss": 9.0}))
    selection = df2.select(where="scores.loss > 0")
    assert keys(selection) == [("train", 1, 2), ("train", 2, 2), ("train", 3, 1)]
    assert selection.notices == [
        "2 keys of the table scores stand in rows with different values, so in conditions and exports its columns have "
        "no value (NULL) there: keep one row a key"
    ]
    assert df2.sql("SELECT count(*) FROM scores").fetchall() == [(8,)]


ROWS = st.lists(
    st.fixed_dictionaries({
        "split": st.sampled_from(["train", "validation", "val", None]),
        "image_id": st.integers(1, 4) | st.none(),
        "item_no": st.integers(1, 2),
        "loss": st.integers(-1, 1) | st.none(),
    }),
    min_size=1,
    max_size=12,
)  # fmt: skip


@settings(max_examples=5)
@given(tables=st.lists(ROWS, min_size=5, max_size=5))
def test_a_condition_holds_for_the_items_whose_only_row_says_so(
    three_splits: Path, tables: list[list[dict[str, Any]]]
) -> None:
    schema = pa.schema({"split": pa.string(), "image_id": pa.int64(), "item_no": pa.int64(), "loss": pa.int64()})
    named = {f"scores{number}": pa.Table.from_pylist(rows, schema) for number, rows in enumerate(tables)}
    df2 = opened(three_splits, **named)
    items = keys(df2.select())
    for name, rows in zip(named, tables, strict=True):
        losses: dict[tuple[Any, ...], set[Any]] = {}
        for row in rows:
            losses.setdefault((row["split"], row["image_id"], row["item_no"]), set()).add(row["loss"])
        assert keys(df2.select(where=f"{name}.loss > 0")) == [key for key in items if losses.get(key) == {1}]


def test_whole_doubles_are_keys(three_splits: Path) -> None:
    scores = table().set_column(1, "image_id", table().column("image_id").cast(pa.float64()))
    selection = opened(three_splits, scores=scores).select(where="scores.loss > 3")
    assert keys(selection) == [("train", 1, 2), ("train", 4, 1)]
    assert selection.notices == [
        "image_id of the table scores holds doubles, all of them whole numbers, and was read as such"
    ]


KEY = "split (text), image_id and item_no (whole numbers) for rows of items, or split and image_id for rows of images"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (pa.table({"loss": [1.0]}), f"expected the columns {KEY}; found loss"),
        (
            pa.table({"split": ["train"], "image_id": ["000001.jpg"], "loss": [1.0]}),
            f"image_id: expected whole numbers, found values of the type string; a key is {KEY}",
        ),
        (
            pa.table({"split": ["train"], "image_id": [1.5], "loss": [1.0]}),
            f"image_id: expected whole numbers, found the number 1.5; a key is {KEY}",
        ),
        (
            pa.table({"split": [1], "image_id": [1], "loss": [1.0]}),
            f"split: expected text, found values of the type int64; a key is {KEY}",
        ),
        (
            pa.table({"split": ["train"], "image_id": [1], "item_no": [True], "loss": [1.0]}),
            f"item_no: expected whole numbers, found values of the type bool; a key is {KEY}",
        ),
    ],
)
def test_a_table_without_a_key_is_only_for_queries(three_splits: Path, rows: pa.Table, problem: str) -> None:
    df2 = opened(three_splits, scores=rows)
    assert df2.sql("SELECT loss FROM scores").fetchall() == [(1.0,)]
    message = f"The table scores cannot be joined to items: {problem}. 'df2 sql' can query it as it is."
    with pytest.raises(UsageError, match=re.escape(message)):
        df2.select(where="scores.loss > 0")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("score.loss > 1", "score.loss: there is no table 'score' of yours. There is: scores. --table score=FILE"),
        ("scores.los > 1", "Unknown column of the table scores 'los'. Did you mean 'loss'?"),
        ("loss > 1", "The table scores has a column loss: write scores.loss."),
        ("scores.meta.a > 1", "Unknown column 'scores.meta.a'."),
        ("images.width > 1", "Unknown column 'images.width'."),
    ],
)
def test_a_name_that_there_is_not_is_refused(three_splits: Path, where: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(message)):
        chosen(three_splits, where, scores=table())


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("scores.tag", "The condition gives VARCHAR, not BOOLEAN"),
        ("scores.loss = 'x'", "The condition does not fit the columns of items, scores. Conversion Error"),
        ("scores.meta = 1", "scores.meta has the type struct<a: int64>: a condition takes numbers, texts, booleans"),
        ("scores.seen > '2024-01-01'", "scores.seen has the type timestamp[us, tz=UTC]"),
        ("length(repeat(scores.tag, 9)) > 1", "The condition calls 'repeat', which it may not."),
        ("length(replace(scores.long, 'a', scores.long)) > 1", "may take too much memory or time"),
    ],
)
def test_a_condition_on_a_table_is_checked_as_others(three_splits: Path, where: str, message: str) -> None:
    rows = [{"split": "train", "image_id": 1, "loss": 1.0, "tag": "x", "meta": {"a": 1}, "long": "a" * 5_000}]
    scores = pa.Table.from_pylist(rows).append_column("seen", pa.array([0], pa.timestamp("us", "UTC")))
    with pytest.raises(UsageError, match=re.escape(message)):
        chosen(three_splits, where, scores=scores)


def test_lists_and_dates_of_a_table_are_values_of_conditions(three_splits: Path) -> None:
    rows = pa.table({"split": ["train"], "image_id": [3], "vector": [[1.0, 2.5]]}).append_column(
        "day", pa.array([19_800], pa.date32())
    )
    where = "list_sum(list_filter(own_rows.vector, lambda n: n > 2)) = 2.5 AND own_rows.day > '2024-01-01'"
    assert chosen(three_splits, where, own_rows=rows) == [("train", 3, 1)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "items",
            "'items' cannot name a table: it is the name of a table or view of the registry. Choose another name.",
        ),
        ("Split_Counts", "it is the name of a table or view of the registry"),
        ("style", "it is the name of a column of the registry"),
        ("whole", "it is the name of a schema of the registry"),
        ("part_val", "it is the name of a schema of the registry"),
        ("select", "it is the name of a word of SQL"),
        ("a.b", "'a.b' cannot name a table: expected letters, digits and _, not beginning with a digit."),
        ('x"; DROP', "cannot name a table"),
        ("1st", "cannot name a table"),
    ],
)
def test_a_name_that_is_taken_or_none_is_refused(three_splits: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        opened(three_splits, **{name: table()})


def test_a_table_may_have_the_name_of_a_table_that_only_the_package_uses(three_splits: Path) -> None:
    names = ("items_found", "chosen_items", "listed", "rows", "loaded")
    df2 = opened(three_splits, **dict.fromkeys(names, table()))
    for name in names:
        selection = df2.select(where=f"{name}.loss > 3", sample="100%", items=table().select([0, 1, 2]))
        assert keys(selection) == [("train", 1, 2), ("train", 4, 1)]
        assert selection.sql(f"SELECT count(*) FROM {name}").fetchall() == [(6,)]


def test_two_names_that_differ_in_case_are_refused(three_splits: Path) -> None:
    with pytest.raises(UsageError, match="There are two tables Scores"):
        opened(three_splits, scores=table(), Scores=table())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "split,image_id,Split\ntrain,1,x\n", "table scores: expected each column once, found split twice"),
        ("a.csv", "split,image_id\ntrain,1,2\n", "cannot be read as CSV: CSV parse error: Expected 2 columns, got 3"),
        ("a.csv", "\ufeffsplit,image_id\ntrain,1\n".encode("utf-16").decode("latin-1"), "cannot be read as CSV"),
        ("a.jsonl", '{"split": "train"', "cannot be read as JSON lines"),
        ("a.jsonl", "", "cannot be read as JSON lines"),
        ("a.parquet", "PAR1", "cannot be read as Parquet"),
        ("a.arrow", "FEA1", "cannot be read as Arrow: it is Feather 1: expected Feather 2"),
        ("a.arrow", "nothing", "cannot be read as Arrow"),
        ("a.xlsx", "", "expected a file that ends in .parquet, .pq, .arrow, .feather, .ipc, .csv, .jsonl, .ndjson"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    three_splits: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content, encoding="latin-1" if "\xff" in content else "utf-8")
    with pytest.raises(UsageError, match=re.escape(message)):
        opened(three_splits, scores=tmp_path / name)


def test_a_file_that_is_not_there_is_named(three_splits: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"scores\.csv does not exist"):
        opened(three_splits, scores=tmp_path / "scores.csv")
    with pytest.raises(UsageError, match="expected a path, a URL, an Arrow table or a frame"):
        opened(three_splits, scores=[1, 2])


def test_a_byte_order_mark_and_an_empty_table_are_read(three_splits: Path, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("\ufeffsplit,image_id,loss\n", encoding="utf-8")
    assert chosen(three_splits, "scores.loss IS NOT NULL", scores=tmp_path / "scores.csv") == []


def test_a_table_may_lie_at_a_url(three_splits: Path, tmp_path: Path) -> None:
    import fsspec

    data = write(tmp_path / "scores.parquet").read_bytes()
    fsspec.filesystem("memory").pipe("/own-tables/scores.parquet", data)
    df2 = opened(three_splits, scores="memory://own-tables/scores.parquet")
    assert df2.own_tables["scores"].sha256 == opened(three_splits, scores=tmp_path / "scores.parquet").own_tables[
        "scores"
    ].sha256  # fmt: skip


def test_the_digest_of_a_frame_is_that_of_its_rows(three_splits: Path) -> None:
    pieces = pa.concat_tables([table().slice(0, 2), table().slice(2)])
    digests = {opened(three_splits, scores=frame).own_tables["scores"].sha256 for frame in (table(), pieces)}
    assert len(digests) == 1
    assert opened(three_splits, scores=table({})).own_tables["scores"].sha256 not in digests


def test_an_arrow_file_with_wrong_offsets_is_refused(three_splits: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    rows = pa.table({"split": ["train"], "image_id": [1]})
    with pa.ipc.new_file(str(path), rows.schema) as writer:
        writer.write_table(rows)
    data, offsets = path.read_bytes(), struct.pack("<ii", 0, 5)
    assert offsets in data
    path.write_bytes(data.replace(offsets, struct.pack("<ii", 0, 1 << 30)))
    with pytest.raises(UsageError, match=r"table scores: .*a\.arrow cannot be read as Arrow"):
        opened(three_splits, scores=path)


def test_limits_hold_for_tables(three_splits: Path, tmp_path: Path) -> None:
    # 40 MB of zeros in a file of some kB.
    large = pa.table({"split": ["train"], "image_id": [1]}).take(pa.array([0] * 2_500_000))
    path = write(tmp_path / "large.parquet", large)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UsageError, match="table large: its rows take more than the 34,603,008 bytes of memory"):
        registry.open(str(three_splits), memory="33MiB", tables={"large": path})
    numbers = pa.table({"number": pa.array(range(3_000_000))})
    with pytest.raises(QueryError, match="needs more memory than its limit"):
        registry.open(str(three_splits), memory="33MiB", tables={"first": numbers, "second": numbers})


def test_a_query_of_a_table_that_there_is_not_lists_those_of_the_user(three_splits: Path) -> None:
    with pytest.raises(QueryError, match=r"There is: .*, items, .*, scores\."):
        opened(three_splits, scores=table()).sql("FROM score")


def test_queries_of_a_user_cannot_change_or_leave_a_table(three_splits: Path) -> None:
    df2 = opened(three_splits, scores=table())
    for query in ("DELETE FROM scores", "DROP TABLE own.scores", "INSERT INTO own.scores FROM scores"):
        with pytest.raises(QueryError):
            df2.sql(query)


def test_a_registry_that_is_replaced_keeps_its_tables(three_splits: Path, tmp_path: Path) -> None:
    from registry.ingest.build import ingest
    from registry.snapshot.sync import sync
    from registry.storage.place import Place
    from tests.helpers import annotation, write_split

    sync(Place(str(three_splits)), Place(str(tmp_path / "copy")))
    df2 = opened(tmp_path / "copy", scores=table())
    ingest("train", str(write_split(tmp_path / "train", {1: annotation()})), str(tmp_path / "copy"), jobs=1)
    assert keys(df2.select(where="scores.loss > 0")) == [("train", 1, 1)]
    assert "5 rows of the table scores" in df2.table_notices()[0]
