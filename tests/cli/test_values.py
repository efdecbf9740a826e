"""Values of df2 sql: exact in every format, and harmless on a terminal."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run

#: SQL -> its text in JSON, and in CSV.
VALUES = {
    "0.123456789012345678::DECIMAL(38,18)": ("0.123456789012345678", "0.123456789012345678"),
    "12345678901234567890.123456789012345678::DECIMAL(38,18)": (
        "12345678901234567890.123456789012345678",
        "12345678901234567890.123456789012345678",
    ),
    "1e-18::DECIMAL(38,18)": ("1e-18", "0.000000000000000001"),
    "0::DECIMAL(38,18)": ("0.0", "0.000000000000000000"),
    "1.50::DECIMAL(4,2)": ("1.5", "1.50"),
    "-99999999999999999999999999999999999999::DECIMAL(38,0)": (
        "-99999999999999999999999999999999999999",
        "-99999999999999999999999999999999999999",
    ),
    "170141183460469231731687303715884105727::HUGEINT": (
        "170141183460469231731687303715884105727",
        "170141183460469231731687303715884105727",
    ),
    "9007199254740993": ("9007199254740993", "9007199254740993"),
    "0.1::DOUBLE + 0.2::DOUBLE": ("0.30000000000000004", "0.30000000000000004"),
    "0.1::FLOAT": ("0.1", "0.1"),
    "INTERVAL '1 month 2 days'": ('"1 month 2 days"', "1 month 2 days"),
    "TIMESTAMP_NS '2020-01-01 00:00:00.123456789'": (
        '"2020-01-01 00:00:00.123456789"',
        "2020-01-01 00:00:00.123456789",
    ),
    "TIMESTAMP '2020-01-01 12:00:00.5'": ('"2020-01-01 12:00:00.5"', "2020-01-01 12:00:00.5"),
    "TIMESTAMPTZ '2020-01-01 00:00:00+00' AT TIME ZONE 'UTC'": ('"2020-01-01 00:00:00"', "2020-01-01 00:00:00"),
    "'infinity'::DATE": ('"infinity"', "infinity"),
    "'-infinity'::TIMESTAMP": ('"-infinity"', "-infinity"),
    "DATE '2020-01-31'": ('"2020-01-31"', "2020-01-31"),
    "TIME '12:00:00.5'": ('"12:00:00.5"', "12:00:00.5"),
    "MAP{DATE '2020-01-01': 1.25}": ('{"2020-01-01": 1.25}', '{"2020-01-01": 1.25}'),
    "MAP{1.5: INTERVAL 1 MONTH}": ('{"1.5": "1 month"}', '{"1.5": "1 month"}'),
    "{'a b': [DATE '2020-01-01'], 'f': [0.1::FLOAT], 'n': 'nan'::DOUBLE, 'd': 0.1::DECIMAL(38,20)}": (
        '{"a b": ["2020-01-01"], "f": [0.1], "n": null, "d": 0.1}',
        '{"a b": ["2020-01-01"], "f": [0.1], "n": null, "d": 0.1}',
    ),
    "[12345678901234567890.5, NULL]": ("[12345678901234567890.5, null]", "[12345678901234567890.5, null]"),
    "array_value(0.1::FLOAT, 0.2::FLOAT)": ("[0.1, 0.2]", "[0.1, 0.2]"),
    "union_value(m := INTERVAL 1 MONTH)": ('"1 month"', "1 month"),
}


@pytest.mark.parametrize("sql", VALUES)
def test_a_value_is_exact_in_json_and_csv(run: Run, sql: str) -> None:
    in_json, in_csv = VALUES[sql]
    query = f"SELECT {sql} AS a"
    assert run("sql", query).stdout == f'[{{"a": {in_json}}}]\n'
    assert run("sql", query, "--format", "jsonl").stdout == f'{{"a": {in_json}}}\n'
    assert list(csv.reader(io.StringIO(run("sql", query, "--format", "csv").stdout)))[1:] == [[in_csv]]


def test_decimals_and_whole_numbers_are_exact_in_a_table_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    digits = "12345678901234567890.123456789012345678"
    query = f"SELECT {digits}::DECIMAL(38,18) AS a, [{digits}] AS b, 9007199254740993 AS c, INTERVAL 1 MONTH AS d"
    shown = run("sql", query, "--format", "table").stdout
    for text in (f" {digits} ", f"[{digits}]", "9007199254740993", "1 month"):
        assert text in shown


def test_json_reads_back_as_the_same_numbers(run: Run) -> None:
    query = "SELECT (i / 3.0)::DECIMAL(30,20) AS e FROM range(20) r(i)"
    rows = json.loads(run("sql", query).stdout, parse_float=Decimal, parse_int=Decimal)
    lines = list(csv.DictReader(io.StringIO(run("sql", query, "--format", "csv").stdout)))
    assert [row["e"] for row in rows] == [Decimal(line["e"]) for line in lines]


def test_a_parquet_file_has_text_for_types_that_arrow_does_not_have(run: Run, tmp_path: Path) -> None:
    values = ("INTERVAL 1 MONTH", "'101'::BIT", "TIMETZ '12:00:00+02'", "1.5::DECIMAL(4,2)", "DATE '2020-01-01'")
    query = f"SELECT {', '.join(f'{value} AS a{number}' for number, value in enumerate(values))}"
    for suffix in ("parquet", "arrow"):
        assert run("sql", query, "-o", tmp_path / f"a.{suffix}").exit_code == 0
    row: dict[str, Any] = pq.read_table(tmp_path / "a.parquet").to_pylist()[0]
    assert [str(value) for value in row.values()] == ["1 month", "101", "12:00:00+02", "1.50", "2020-01-01"]


def test_the_order_of_rows_stays(run: Run) -> None:
    query = "SELECT DATE '2020-01-01' + i::INTEGER AS d FROM range(5) r(i) ORDER BY (i * 3) % 5"
    rows = json.loads(run("sql", query).stdout)
    assert [row["d"][-1] for row in rows] == ["1", "3", "5", "2", "4"]


def test_control_characters_are_escaped_in_a_table_and_stay_in_data(run: Run) -> None:
    text = "a\x1b[31mb\x85c\u202ed\re\x9b2Jf"
    query = "SELECT $text AS t, [$text] AS u, {'k': $text} AS s"
    shown = run("sql", query, "-p", f"text={text}", "--format", "table").stdout
    assert "a\\x1b[31mb\\x85c\\u202ed\\re\\x9b2Jf" in shown
    assert not [character for character in shown if not character.isprintable() and character != "\n"]
    assert json.loads(run("sql", query, "-p", f"text={text}").stdout)[0] == {"t": text, "u": [text], "s": {"k": text}}
    rows = list(csv.reader(io.StringIO(run("sql", query, "-p", f"text={text}", "--format", "csv").stdout, newline="")))
    assert rows[1][0] == text


def test_names_of_columns_are_escaped_in_a_table(run: Run) -> None:
    shown = run("sql", 'SELECT 1 AS "a\x1b[31m\nb"', "--format", "table").stdout
    assert "a\\x1b[31m\\nb" in shown


def test_names_of_files_are_escaped_by_verify_and_notices(run: Run, tmp_path: Path) -> None:
    assert run("export", "csv", "out").exit_code == 0
    (tmp_path / "out" / "x\x1b[31m\nmissing: y").write_text("x")
    result = run("verify", "out")
    assert (result.exit_code, result.stderr) == (0, "not named: x\\x1b[31m\\nmissing: y\n")
