"""Output that cannot be written: a line and exit code 4, with and without PYTHONUNBUFFERED."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import run_df2, run_shell

pytestmark = pytest.mark.system

FULL = "Error: Cannot write standard output: No space left on device.\n"
CLOSED = "Error: Cannot write standard output: it is closed.\n"


@pytest.mark.parametrize("unbuffered", [None, "1"])
@pytest.mark.parametrize(
    "arguments",
    [
        *(f"stats --format {text_format}" for text_format in ("table", "json", "jsonl", "csv")),
        *("--help", "--version", "export coco --help", "tables", "pairs", "image train 1", "subset", "verify REGISTRY"),
    ],
)
def test_a_full_disk_is_one_line_and_exit_4(three_splits: Path, arguments: str, unbuffered: str | None) -> None:
    words = arguments.replace("REGISTRY", str(three_splits)).split()
    with open("/dev/full", "wb") as full:
        result = run_df2("-r", three_splits, *words, stdout=full, unbuffered=unbuffered)
    lines = [line for line in result.stderr.splitlines(keepends=True) if not line.startswith("Subset ")]
    assert (lines, result.returncode) == ([FULL], 4)


@pytest.mark.parametrize("unbuffered", [None, "1"])
def test_a_full_disk_is_trouble_for_diff(three_splits: Path, small_registry: Path, unbuffered: str | None) -> None:
    with open("/dev/full", "wb") as full:
        result = run_df2("diff", three_splits, small_registry, stdout=full, unbuffered=unbuffered)
    assert (result.stderr, result.returncode) == (FULL, 2)


@pytest.mark.parametrize("unbuffered", [None, "1"])
def test_a_closed_output_is_one_line_and_exit_4(three_splits: Path, unbuffered: str | None) -> None:
    for line in ("df2 stats >&-", "df2 --help >&-", "df2 sql 'SELECT 1' --format csv >&-"):
        result = run_shell(line, "-r", three_splits, unbuffered=unbuffered)
        assert (result.stderr, result.returncode) == (CLOSED, 4)


def test_a_file_is_written_without_standard_output(three_splits: Path, tmp_path: Path) -> None:
    result = run_shell(f"df2 sql 'SELECT 1 AS a' -o {tmp_path}/a.csv >&-", "-r", three_splits)
    assert (result.stderr, result.returncode) == ("", 0)
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"


def test_without_standard_error_the_exit_code_stays_that_of_the_error(three_splits: Path) -> None:
    expected = {"stats": 0, "image train 99": 1, "image train x": 2, "nothing": 2, "subset": 4, "stats >/dev/full": 4}
    for standard_error in ("2>&-", "2>/dev/full"):
        for arguments, code in expected.items():
            result = run_shell(f"df2 {arguments} {standard_error}", "-r", three_splits)
            assert (arguments, result.stderr, result.returncode) == (arguments, "", code)


def test_a_process_ends_while_threads_of_libraries_still_run(three_splits: Path, tmp_path: Path) -> None:
    code = (
        "import atexit, threading, time, registry.cli.main as df2\n"
        "threading.Thread(target=time.sleep, args=(100,)).start()\n"
        f"atexit.register(open, {str(tmp_path / 'called')!r}, 'w')\n"
        "df2.main()"
    )
    words = [sys.executable, "-c", code, "-r", str(three_splits), "image", "train", "99"]
    result = subprocess.run(words, capture_output=True, check=False, text=True, timeout=60)
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr.startswith("Error: train has no image 99")
    assert (tmp_path / "called").is_file()


def test_sql_without_standard_input_is_an_error(three_splits: Path) -> None:
    result = run_shell("df2 sql - <&-", "-r", three_splits)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: Expected one statement")


@pytest.mark.parametrize("unbuffered", [None, "1"])
def test_a_reader_that_goes_away_is_no_error(three_splits: Path, unbuffered: str | None) -> None:
    for arguments in ("--help", "sql 'FROM range(100000)' --format csv", "sql 'FROM range(100000)' --format json"):
        result = run_shell(f"df2 {arguments} | head -1", "-r", three_splits, unbuffered=unbuffered)
        assert (result.stderr, result.stdout.count("\n"), result.returncode) == ("", 1, 0)


def test_the_check_of_a_release_ends_the_same_way(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "registry.cli.release_check", "--help"]
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, text=True)
    assert (result.stderr, result.returncode) == (FULL, 4)
