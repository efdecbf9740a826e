"""The exact output of the commands that query a registry."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import registry
from registry.dataset.tables import ITEM_COLUMNS, TABLES
from registry.dataset.terms import TERMS, TERMS_URL
from registry.dataset.views import load_views
from tests.cli.conftest import Run
from tests.helpers import SMALL_SPLIT, write_split

PAIRS_JSON = """\
[{"split": "train", "pair_id": 1, "style": 1, "user_image_id": 1, "user_item_no": 1, "user_category_id": 1, \
"shop_image_id": 3, "shop_item_no": 1, "shop_category_id": 1},
 {"split": "train", "pair_id": 1, "style": 1, "user_image_id": 1, "user_item_no": 1, "user_category_id": 1, \
"shop_image_id": 4, "shop_item_no": 2, "shop_category_id": 10}]
"""
PAIRS_JSONL = "\n".join(line.strip("[],\n ") for line in PAIRS_JSON.splitlines()) + "\n"
PAIRS_CSV = """\
split,pair_id,style,user_image_id,user_item_no,user_category_id,shop_image_id,shop_item_no,shop_category_id
train,1,1,1,1,1,3,1,1
train,1,1,1,1,1,4,2,10
"""
PAIRS_TABLE = """
 split  pair_id  style  user_item  user_category   shop_item  shop_category
 ─────────────────────────────────────────────────────────────────────────────
 train        1      1  1/1        short sleeve    3/1        short sleeve top
                                   top
 train        1      1  1/1        short sleeve    4/2        short sleeve
                                   top                        dress

"""
PAIRS_MD = """\
| split | pair_id | style | user_item | user_category | shop_item | shop_category |
| --- | ---: | ---: | --- | --- | --- | --- |
| train | 1 | 1 | 1/1 | short sleeve top | 3/1 | short sleeve top |
| train | 1 | 1 | 1/1 | short sleeve top | 4/2 | short sleeve dress |
"""
IMAGE_TABLE = """
 split  image_id  file_name   source  pair_id  width  height  num_items  orientation
 ───────────────────────────────────────────────────────────────────────────────────
 train         2  000002.jpg  user          1   NULL    NULL          2         NULL


 item_no  style  category_name    x1  y1   x2   y2  scale  occlusion  zoom_in  viewpoint  num_landmarks_labelled\
  landmarks                   segmentation
 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────\
──────────────────────────────────────────
       5      0  long sleeve top  10  20  110  220      2          1        1          2                      33\
  [11, 21, 2, ... 99 in all]  [1 nested]
       2      1  skirt            10  20  110  220      2          1        1          2                       8\
  [11, 21, 2, ... 24 in all]  [1 nested]

"""
STATS_TABLE = """
                     test  train  validation
 ───────────────────────────────────────────
 num_images             2      5           2
 num_user_images        0      3           1
 num_shop_images        0      2           1
 num_items              0      8           2
 num_pair_ids           0      2           1
 num_identities         0      3           1
 num_instance_pairs     0      5           1
 num_image_pairs        0      4           1
 num_query_items        0      4           1
 num_gallery_items      0      3           1
 num_quarantined        0      0           0

"""


def trimmed(text: str) -> str:
    """Return a text without the blanks that end the lines of a table."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("text_format", "expected"),
    [("json", PAIRS_JSON), ("jsonl", PAIRS_JSONL), ("csv", PAIRS_CSV), ("table", PAIRS_TABLE), ("md", PAIRS_MD)],
)
def test_pairs_in_every_text_format(run: Run, text_format: str, expected: str) -> None:
    result = run("pairs", "--limit", 2, "--format", text_format)
    assert trimmed(result.stdout) == expected
    assert (result.stderr, result.exit_code) == ("", 0)


def test_json_is_written_where_there_is_no_terminal(run: Run) -> None:
    assert run("pairs", "--limit", 2).stdout == PAIRS_JSON


def test_no_rows_in_every_text_format(run: Run) -> None:
    outputs = [run("sql", "SELECT 1 AS a, 2 AS b WHERE false", "--format", f).stdout for f in ("json", "jsonl", "csv")]
    assert outputs == ["[]\n", "", "a,b\n"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--split", "validation"], [("validation", 1, 1)]),
        (["--pair-id", 1, "--style", 2], [("train", 1, 2)]),
        (["--category", "skirt", "--category", 8], [("train", 1, 1), ("train", 1, 1), ("train", 1, 2)]),
        (["--pair-id", 99], []),
        (["--limit", 0], []),
    ],
)
def test_pairs_by_every_option(run: Run, options: list[object], expected: list[tuple[object, ...]]) -> None:
    rows = json.loads(run("pairs", *options).stdout)
    assert [(row["split"], row["pair_id"], row["style"]) for row in rows] == expected


def test_pairs_of_images(run: Run) -> None:
    assert run("pairs", "--level", "image", "--split", "train", "--limit", 2, "--format", "csv").stdout == (
        "split,pair_id,user_image_id,shop_image_id,num_instance_pairs\ntrain,1,1,3,1\ntrain,1,1,4,2\n"
    )


def test_style_lists_whole_items_in_json_and_csv(run: Run) -> None:
    rows = json.loads(run("style", "train", 1, 2).stdout)
    assert [list(row) for row in rows] == [list(ITEM_COLUMNS)] * 2
    assert [(row["source"], row["image_id"], row["item_no"]) for row in rows] == [("user", 1, 2), ("shop", 4, 1)]
    records = list(csv.DictReader(io.StringIO(run("style", "train", 1, 2, "--format", "csv").stdout)))
    assert [json.loads(record["segmentation"]) for record in records] == [row["segmentation"] for row in rows]
    assert [json.loads(record["landmarks"]) for record in records] == [row["landmarks"] for row in rows]


def test_image_nests_its_items_in_json(run: Run) -> None:
    (image,) = json.loads(run("image", "train", 2).stdout)
    items = image.pop("items")
    assert image == {
        "split": "train", "image_id": 2, "file_name": "000002.jpg", "source": "user", "pair_id": 1,
        "width": None, "height": None, "num_items": 2, "orientation": None,
    }  # fmt: skip
    assert [(item["item_no"], item["style"], item["category_name"]) for item in items] == [
        (5, 0, "long sleeve top"),
        (2, 1, "skirt"),
    ]
    assert items[1]["landmarks"][:6] == [11, 21, 2, 12, 22, 2]
    assert items[1]["segmentation"] == [[10.5, 20.25, 110.0, 20.0, 110.0, 220.125]]


def test_image_shows_people_two_tables(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert trimmed(run("image", "train", 2, "--format", "table").stdout) == IMAGE_TABLE


def test_a_file_of_markdown_holds_both_tables_of_an_image(run: Run, tmp_path: Path) -> None:
    assert run("image", "train", 2, "-o", "image.md").exit_code == 0
    lines = (tmp_path / "image.md").read_text().splitlines()
    assert lines[2:6] == [
        "| train | 2 | 000002.jpg | user | 1 |  |  | 2 |  |",
        "",
        "| item_no | style | category_name | x1 | y1 | x2 | y2 | scale | occlusion | zoom_in | viewpoint "
        "| num_landmarks_labelled | landmarks | segmentation |",
        f"|{' ---: |' * 2} --- |{' ---: |' * 9} --- | --- |",
    ]
    assert lines[7].endswith(
        "| skirt | 10.0 | 20.0 | 110.0 | 220.0 | 2 | 1 | 1 | 2 | 8 | [11, 21, 2, ... 24 in all] | [1 nested] |"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "000002"),
        ("train", "000002.jpg"),
        ("train", "000002_5.jpg"),
        ("train", "data/sample/train/annos/000002.json"),
        ("train/image/000002.jpg",),
        ("train_000002",),
    ],
    ids=" ".join,
)
def test_an_image_is_named_by_its_number_or_by_the_name_of_a_file(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("image", *arguments).stdout == run("image", "train", 2).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("train",),
            "Expected SPLIT and IMAGE_ID, such as 'train 1', or 'train/image/000001.jpg'; found only 'train'.",
        ),
        (
            ("val/image/000001.jpg",),
            "Unknown split 'val'. Did you mean 'validation'? There is: train, validation, test.",
        ),
        (("train", "x.jpg"), "Invalid value: expected a number or a file name such as 000001.jpg, found 'x.jpg'."),
        (
            ("train", "validation/image/000002.jpg"),
            "Invalid value: validation/image/000002.jpg is a file of the split validation, and SPLIT is train.",
        ),
    ],
)
def test_a_name_of_no_image_is_wrong_usage(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run("image", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == f"Error: {message}"


def test_image_without_annotation_is_a_single_table(run: Run) -> None:
    shown = run("image", "test", 2, "--format", "table").stdout
    assert "000002.jpg" in shown and "item_no" not in shown
    assert json.loads(run("image", "test", 2).stdout)[0]["items"] == []


def test_stats_is_a_row_a_split_in_json_and_a_column_a_split_in_a_table(run: Run) -> None:
    rows = json.loads(run("stats").stdout)
    assert [(row["split"], row["num_items"], row["num_instance_pairs"]) for row in rows] == [
        ("test", 0, 0),
        ("train", 8, 5),
        ("validation", 2, 1),
    ]
    shown = run("stats", "--format", "table")
    assert trimmed(shown.stdout) == STATS_TABLE
    assert shown.stderr == f"{TERMS}: {TERMS_URL}\n"


def test_stats_writes_metrics_and_plots(run: Run, three_splits: Path, tmp_path: Path) -> None:
    result = run("stats", "--metrics", "new/metrics.json", "--plots", "new/plots")
    assert (result.exit_code, result.stderr) == (0, "")
    metrics = (tmp_path / "new/metrics.json").read_text()
    assert json.loads(metrics) == registry.open(str(three_splits)).stats()
    assert metrics.endswith("}\n")
    counts = (tmp_path / "new/plots/category_counts.csv").read_text().splitlines()
    assert counts[:2] == [
        "split,category_id,category_name,num_items,num_user_items,num_shop_items,num_images",
        "train,1,short sleeve top,2,1,1,2",
    ]
    assert (tmp_path / "new/plots/attribute_counts.csv").read_text().startswith("split,attribute,code,meaning,")


def test_stats_counts_by_attributes_that_stand_in_a_list_or_in_options(run: Run) -> None:
    rows = json.loads(run("stats", "--by", "split,category", "--split", "validation").stdout)
    shares = {"share_of_all": 1.0, "share_of_group": 1.0}
    assert rows == [{"split": "validation", "category": "shorts", "num_images": 2, "num_items": 2, **shares}]
    assert json.loads(run("stats", "--by", "split", "--by", "category", "--split", "validation").stdout) == rows


def test_stats_of_a_subset_say_which(run: Run, tmp_path: Path) -> None:
    result = run("stats", "--category", "trousers", "--metrics", "metrics.json")
    assert [(row["split"], row["num_items"]) for row in json.loads(result.stdout)] == [("train", 2)]
    assert json.loads((tmp_path / "metrics.json").read_text())["train"]["categories"] == {"trousers": 2}
    assert '{"category": ["trousers"]}' in result.stderr


def test_stats_by_name_and_wrong_names(run: Run) -> None:
    lines = run("stats", "--of", "paper_table_1", "--format", "csv").stdout.splitlines()
    assert lines[0].startswith("split,num_images,num_boxes,num_landmarks,num_masks,")
    assert lines[2].startswith("train,5,8,7,8,")
    assert run("stats", "--of", "nothing").exit_code == 2
    assert run("stats", "--by", "colour").exit_code == 2
    assert run("stats", "--by", "split", "--of", "box_areas").exit_code == 2


def test_tables_lists_every_column_for_programs(run: Run, three_splits: Path) -> None:
    assert json.loads(run("tables").stdout) == registry.open(str(three_splits)).tables()
    assert run("tables", "polygons", "--format", "csv").stdout.splitlines()[-2:] == [
        'polygons,view,polygon_no,INTEGER,,"Number of the polygon in its item, from 1."',
        'polygons,view,points,DOUBLE[],px,"The polygon as flat x, y, ..."',
    ]


def test_tables_shows_people_a_line_for_each_table(run: Run) -> None:
    result = run("tables", "--format", "table")
    lines = [line.split() for line in result.stdout.splitlines()[3:-1] if line[1] != " "]
    assert [(line[0], line[1]) for line in lines] == [
        (n, "table" if n in TABLES else "view") for n in [*TABLES, *load_views()]
    ]
    assert result.stderr == "'df2 tables NAME' lists the columns of one.\n"


def test_tables_of_a_name_lists_its_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert (
        trimmed(run("tables", "image_pairs", "--format", "table").stdout)
        == """
 column              type     unit   meaning
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 split               VARCHAR         Split: train, validation or test. Begins every key.
 pair_id             INTEGER         Group of consumer and shop photos; restarts in every split; not itself a pair.
 user_image_id       INTEGER         Image of the consumer item, as image_id.
 shop_image_id       INTEGER         Image of the shop item, as image_id.
 num_instance_pairs  BIGINT   pairs  Positive pairs of items.

"""
    )


def test_sql_binds_params_as_json_or_as_text(run: Run) -> None:
    query = "SELECT $a AS a, $b AS b, $c AS c, $d AS d, $e AS e"
    params = ["-p", "a=7", "-p", "b=skirt", "-p", 'c="7"', "--param", "d=[1, 2]", "-p", "e=x=y"]
    assert run("sql", query, *params).stdout == '[{"a": 7, "b": "skirt", "c": "7", "d": [1, 2], "e": "x=y"}]\n'


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("1e400", "too large for a double"),
        ('{"a": [-1e400]}', "too large for a double"),
        ("1e-400", "no double holds 1e-400"),
        ("123456789.12345678901234", "no double holds 123456789.12345678901234"),
        ('{"a": 1, "a": 2}', "the key 'a' stands in it twice"),
        ("[9007199254740993, 0.5]", "the integer 9007199254740993 would become a double"),
        ("[[9007199254740993], [0.5]]", "the integer 9007199254740993 would become a double"),
    ],
)
def test_a_param_that_would_change_when_it_is_bound_is_refused(run: Run, value: str, problem: str) -> None:
    result = run("sql", "SELECT $a AS a", "-p", f"a={value}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr


def test_params_are_bound_with_every_digit(run: Run) -> None:
    for value in ("9007199254740993", "[9007199254740993, 1]", "[9007199254740992, 0.5]", '"NaN"', "0.1"):
        assert json.loads(run("sql", "SELECT $a AS a", "-p", f"a={value}").stdout)[0]["a"] == json.loads(value)
    assert run("sql", "SELECT $a AS a", "-p", "a=NaN").stdout == '[{"a": "NaN"}]\n'


def test_sql_comes_as_an_argument_from_a_file_or_from_standard_input(run: Run, tmp_path: Path) -> None:
    query = "SELECT count(*) AS n FROM items"
    (tmp_path / "query.sql").write_text(f"-- how many\n{query};\n")
    for result in (
        run("sql", query),
        run("sql", "--file", "query.sql"),
        run("sql", "-", input=query),
        run("sql", input=query),
    ):
        assert (result.exit_code, result.stdout) == (0, '[{"n": 10}]\n')


def test_columns_with_the_same_name_are_numbered(run: Run) -> None:
    query = "SELECT 1 AS a, 2 AS a, 3 AS a_1"
    assert run("sql", query).stdout == '[{"a": 1, "a_2": 2, "a_1": 3}]\n'
    assert run("sql", query, "-o", "a.parquet").exit_code == 0
    assert pq.read_table("a.parquet").to_pylist() == [{"a": 1, "a_2": 2, "a_1": 3}]


def test_types_that_json_does_not_have_are_written_as_text_or_number(run: Run) -> None:
    query = """SELECT 'ab'::BLOB AS b, DATE '2020-01-31' AS d, 1.50 AS n, 'nan'::DOUBLE AS nan, ['inf'::DOUBLE, 1] AS i,
        {'k': [NULL, 'é']} AS s, NULL AS z, true AS t, 170141183460469231731687303715884105727::HUGEINT AS h"""
    assert run("sql", query).stdout == (
        '[{"b": "YWI=", "d": "2020-01-31", "n": 1.5, "nan": null, "i": [null, 1.0], "s": {"k": [null, "é"]}, '
        '"z": null, "t": true, "h": 170141183460469231731687303715884105727}]\n'
    )


def test_csv_quotes_and_nests(run: Run) -> None:
    query = "SELECT 'a,\"b\"' AS t, NULL AS n, ['x'] AS l, {'k': 1} AS s, 'ab'::BLOB AS b, 0.1::DOUBLE AS d"
    shown = run("sql", query, "--format", "csv").stdout
    assert shown == 't,n,l,s,b,d\n"a,""b""",,"[""x""]","{""k"": 1}","""YWI=""",0.1\n'


def test_a_table_shortens_lists_and_notes_that_rows_are_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    query = "SELECT i, range(i) AS r, [[i]] AS n, {'k': i} AS s, 'ab'::BLOB AS b, i / 3 AS f FROM range(200) t(i)"
    monkeypatch.setenv("COLUMNS", "120")
    result = run("sql", query, "--format", "table")
    lines = trimmed(result.stdout).splitlines()
    assert len(lines) == 3 + 100 + 1
    assert re.split(r"\s{2,}", lines[9].strip()) == [
        *("6", "[0, 1, 2, 3, 4, 5]", "[1 nested]", '{"k": 6}', "<2 bytes>", "2")
    ]
    assert "[0, 1, 2, ... 99 in all]" in lines[102]
    assert result.stderr == "These are the first 100 rows. See all with --format csv or -o FILE.\n"


def test_a_table_without_a_terminal_fits_80_columns_and_names_the_columns_left_out(run: Run) -> None:
    columns = ", ".join(f"'{letter * 20}' AS {letter}" for letter in "abcde")
    result = run("sql", f"SELECT {columns}, [1] AS nested", "--format", "table")
    assert result.stdout.splitlines()[1].split() == ["a", "b", "c"]
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stderr == (
        "3 columns do not fit in 80 characters: d, e, nested. See all with --format csv or -o FILE.\n"
    )
    assert run("-q", "sql", f"SELECT {columns}, [1] AS nested", "--format", "table").stderr == ""


def test_columns_of_long_texts_share_the_width(run: Run) -> None:
    query = "SELECT 1 AS n, repeat('word ', 40) AS long, repeat('word ', 10) AS short, repeat('x', 22) AS name"
    result = run("sql", query, "--format", "table")
    header = result.stdout.splitlines()[1]
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert header.index("short") - header.index("long") > header.index("name") - header.index("short") > 12
    assert "x" * 22 in result.stdout
    assert result.stderr == ""


def test_markdown_shows_texts_as_they_are(run: Run) -> None:
    query = "SELECT 'a|b<c> `x` *y* & \\ z\nnew' AS \"a|b\", NULL AS n, 1.50::DECIMAL(3, 2) AS d, range(9) AS l"
    assert run("sql", query, "--format", "md").stdout == (
        "| a\\|b | n | d | l |\n| --- | ---: | ---: | --- |\n"
        "| a\\|b&lt;c> \\`x\\` \\*y\\* &amp; \\\\ z<br>new |  | 1.50 | [0, 1, 2, ... 9 in all] |\n"
    )
    assert run("sql", "SELECT 1 AS a WHERE false", "--format", "md").stdout == "| a |\n| --- |\n"


@pytest.mark.parametrize(
    "command", [("stats",), ("pairs",), ("tables",), ("style", "train", 1, 1), ("sql", "FROM items")]
)
def test_a_hyphen_as_output_is_standard_output(run: Run, tmp_path: Path, command: tuple[object, ...]) -> None:
    for text_format in ((), ("--format", "csv")):
        assert run(*command, *text_format, "-o", "-").stdout == run(*command, *text_format).stdout != ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "parquet", "arrow"])
def test_a_file_of_every_suffix_has_the_same_rows(run: Run, tmp_path: Path, suffix: str) -> None:
    query = "SELECT split, image_id, x1, style, source IS NULL AS n FROM items ORDER BY ALL"
    result = run("sql", query, "-o", f"rows.{suffix}")
    assert (result.exit_code, result.output) == (0, "")
    file = tmp_path / f"rows.{suffix}"
    expected = json.loads(run("sql", query).stdout)
    assert len(expected) == 10
    rows: object
    if suffix == "json":
        rows = json.loads(file.read_text())
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    elif suffix == "csv":
        rows = list(csv.DictReader(file.read_text().splitlines()))
        expected = [{key: str(value) for key, value in row.items()} for row in expected]
    elif suffix == "parquet":
        rows = pq.read_table(file).to_pylist()
    else:
        with pa.OSFile(str(file)) as source:
            rows = pa.ipc.open_file(source).read_all().to_pylist()
    assert rows == expected
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_format_chooses_for_a_file_without_a_known_suffix(run: Run, tmp_path: Path) -> None:
    assert run("pairs", "--limit", 2, "-o", "pairs.txt", "--format", "csv").exit_code == 0
    assert (tmp_path / "pairs.txt").read_text() == PAIRS_CSV


def test_a_whole_table_survives_parquet_and_arrow(run: Run, three_splits: Path) -> None:
    expected = registry.open(str(three_splits)).sql("SELECT * FROM items ORDER BY ALL").to_arrow_table().to_pylist()
    run("sql", "SELECT * FROM items ORDER BY ALL", "-o", "items.parquet")
    assert pq.read_table("items.parquet").to_pylist() == expected
    assert not any(math.isnan(row["x1"]) for row in expected)


def test_a_hyphen_is_standard_output_of_a_fingerprint(run: Run, tmp_path: Path) -> None:
    write_split(tmp_path / "train", SMALL_SPLIT)
    command = ("fingerprint", "--split", "train", tmp_path / "train")
    assert run(*command, "-o", "-").stdout == run(*command).stdout != ""
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_failing_query_leaves_the_old_file_and_no_other(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("old")
    assert run("sql", "SELECT error('stop') FROM range(3)", "-o", "rows.json").exit_code == 1
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("rows.json", "old")]


def test_the_registry_may_come_from_the_environment(
    run: Run, three_splits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DF2_REGISTRY", str(three_splits))
    assert run("pairs", "--limit", 2, registry=None).stdout == PAIRS_JSON
    monkeypatch.setenv("DF2_REGISTRY", "/nowhere")
    assert run("pairs", "--limit", 2).stdout == PAIRS_JSON


def test_the_registry_is_data_registry_where_none_is_named(run: Run) -> None:
    result = run("stats", registry=None)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There is no registry at data/registry. Make one with 'dvc repro' or")


def test_sql_answers_within_a_subset(run: Run) -> None:
    query = "SELECT count(*) AS n, (SELECT count(*) FROM whole.items) AS num_all FROM items"
    everything = run("sql", "SELECT count(*) AS n FROM items", "--format", "csv").stdout.splitlines()[1]
    skirts = run("sql", "SELECT count(*) AS n FROM items WHERE category_id = 9", "--format", "csv").stdout.splitlines()[
        1
    ]
    assert run("sql", "--category", "skirt", query, "--format", "csv").stdout == f"n,num_all\n{skirts},{everything}\n"
    parts = "SELECT (SELECT count(*) FROM part_fit.items) + (SELECT count(*) FROM part_held.items) AS n"
    assert run("sql", "--resplit", "fit=0.5,held=0.5", parts, "--format", "csv").stdout == f"n\n{everything}\n"
