"""Errors of commands: a message on standard error, an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from registry.cli.main import main
from registry.dataset.tables import TABLES
from registry.dataset.views import load_views
from tests.cli.conftest import Run, exit_code_of_reader_that_stops
from tests.helpers import write_split

CATEGORIES = (
    "short sleeve top, long sleeve top, short sleeve outwear, long sleeve outwear, vest, sling, shorts, trousers, "
    "skirt, short sleeve dress, long sleeve dress, vest dress, sling dress"
)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("image train 99", 1, "Error: train has no image 99; its images are 1 to 7.\n"),
        ("style train 1 9", 1, "Error: train has no item of pair_id 1 and style 9; the styles there are 0, 1, 2.\n"),
        (
            "style test 1 1",
            1,
            "Error: test has no item of pair_id 1 and style 1; no item of the split has this pair_id.\n",
        ),
        (
            "pairs --split trian",
            2,
            "Error: Unknown split 'trian'. Did you mean 'train'? There is: train, validation, test.\n",
        ),
        (
            "pairs --split val",
            2,
            "Error: Unknown split 'val'. Did you mean 'validation'? There is: train, validation, test.\n",
        ),
        (
            "pairs --category skrt",
            2,
            f"Error: Unknown category 'skrt'. Did you mean 'skirt'? There is: {CATEGORIES}.\n",
        ),
        (
            "tables itmes",
            2,
            "Error: Unknown table or view 'itmes'. Did you mean 'items'? There is: "
            f"{', '.join([*TABLES, *load_views()])}.\n",
        ),
        (
            "stats -o rows.txt",
            2,
            "Error: Unknown suffix of rows.txt: expected .json, .jsonl, .csv, .md, .parquet or .arrow.\n",
        ),
        ("stats -o none/rows.csv", 4, "Error: Cannot write none/rows.csv: No such file or directory\n"),
        ("stats --metrics file/metrics.json", 4, "Error: Cannot write file: File exists\n"),
        ("stats --plots file/plots", 4, "Error: Cannot write file/plots: Not a directory\n"),
        ("manifest none", 1, "Error: There is no folder none.\n"),
        ("sql SELECT%201 -p a", 2, "Error: Expected --param NAME=VALUE, found 'a'.\n"),
        ("sql SELECT%201 -p 1=2", 2, "Error: Expected --param NAME=VALUE, found '1=2'.\n"),
        ("sql SELECT%20$a -p a=1 -p a=2", 2, "Error: --param a is given twice.\n"),
        (
            "sql SELECT%201 -f file",
            2,
            "Error: Expected the SQL as an argument, from --file FILE, or on standard input.\n",
        ),
        (
            "sql DROP%20VIEW%20items",
            1,
            "Error: Expected one statement that reads (SELECT, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN).\n",
        ),
    ],
)
def test_an_error_is_one_message_with_its_exit_code(
    run: Run, tmp_path: Path, arguments: str, code: int, message: str
) -> None:
    (tmp_path / "file").write_text("x")
    result = run(*[argument.replace("%20", " ") for argument in arguments.split()])
    assert (result.stderr, result.exit_code, result.stdout) == (message, code, "")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "arguments",
    [
        "image train x",
        "image train",
        "pairs --limit -1",
        "pairs --level both",
        "stats --format xml",
        "sql --file none.sql",
        "nothing",
        "catalog /",
        "ingest a b",
        "sample x --images 0",
    ],
)
def test_wrong_usage_ends_with_2_and_the_way_to_the_help(run: Run, arguments: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert "--help' for help.\n\nError: " in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("sql --registry there FROM", "--registry stands before the command: df2 --registry ... sql ..."),
        ("export coco -r there out", "-r stands before the command: df2 -r ... export coco ..."),
    ],
)
def test_a_global_option_after_the_command_is_told_its_place(run: Run, arguments: str, shown: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert shown in result.stderr


def test_bad_sql_shows_where(run: Run) -> None:
    result = run("sql", "SELECT * FRM items")
    assert result.exit_code == 1
    first, *_, line, marker = result.stderr.splitlines()
    assert first == 'Error: Parser Error: syntax error at or near "items"'
    assert line == "LINE 1: SELECT * FRM items"
    assert marker.strip() and set(marker.strip()) == {"^"}


def test_an_unknown_table_in_sql_is_answered_with_all_there_are(run: Run) -> None:
    result = run("sql", "SELECT * FROM itms")
    assert result.exit_code == 1
    assert 'Did you mean "items"?' in result.stderr
    assert result.stderr.endswith(f"There is: {', '.join([*TABLES, *load_views()])}.\n")


def test_an_error_while_rows_are_fetched_is_one_message_too(run: Run) -> None:
    for query in ("SELECT * FROM sniff_csv('/etc/hostname')", "SELECT error('stop') FROM range(3)"):
        result = run("sql", query)
        assert result.exit_code == 1
        assert result.stderr.startswith(("Error: Permission Error", "Error: Invalid Input Error: stop"))


def test_exit_codes_of_bad_input_and_of_bad_places(run: Run, tmp_path: Path) -> None:
    write_split(tmp_path / "bad" / "train", {1: b"{"})
    assert run("ingest", "none", "new", "--split", "train").exit_code == 3
    assert run("ingest", "bad", "new", "--split", "train", "-j", 1).exit_code == 3
    assert run("ingest", "bad", "new", "--split", "trian").exit_code == 2
    assert run("stats", registry="nowhere://x").exit_code == 4
    assert run("stats", registry="none").exit_code == 1
    assert run("stats", registry=tmp_path / "bad" / "train" / "annos" / "000001.json").exit_code == 1
    assert not (tmp_path / "new").exists()


def test_a_registry_that_lacks_a_file_is_one_message(run: Run, small_registry: Path) -> None:
    gone = next((small_registry / "items").rglob("*.parquet"))
    gone.unlink()
    result = run("stats", registry=small_registry)
    assert result.exit_code == 1
    assert gone.name in result.stderr
    assert result.stderr.splitlines()[-1].endswith(f"or do without: df2 manifest {small_registry}")
    assert run("manifest", small_registry).exit_code == 0
    assert run("stats", registry=small_registry).exit_code == 0


def test_a_device_is_written_to_and_not_replaced(run: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen([sys.executable, "-c", f"print(open({str(pipe)!r}).read())"], stdout=subprocess.PIPE)
    assert run("sql", "SELECT 1 AS a", "-o", pipe, "--format", "csv").exit_code == 0
    assert reader.communicate(timeout=20)[0] == b"a\n1\n\n"
    assert pipe.is_fifo()


def test_a_reader_that_stops_early_is_no_traceback(three_splits: Path) -> None:
    query = "SELECT i, 'some text to fill the pipe' AS t FROM range(100_000) AS r(i)"
    df2 = ("-r", str(three_splits), "sql", query)
    for text_format in ("json", "jsonl", "csv"):
        assert exit_code_of_reader_that_stops(*df2, "--format", text_format) in (0, 1, -signal.SIGPIPE)


def test_every_error_class_has_its_exit_code() -> None:
    from registry import errors

    codes = {name: kind.exit_code for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert codes == {
        "RegistryError": 1, "UsageError": 2, "UnknownNameError": 2, "NotFoundError": 1, "QueryError": 1,
        "SourceError": 3, "UnreadableSourceError": 4, "PasswordError": 3, "AnnotationError": 3, "StorageError": 4,
        "RegistryFormatError": 1, "MissingDependencyError": 1, "ConflictError": 4,
    }  # fmt: skip
    assert "Exit codes: 0 done, 1 error, 2 wrong usage, 3 bad input data, 4 a place" in (main.help or "")
