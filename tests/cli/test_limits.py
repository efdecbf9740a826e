"""--timeout and --memory of df2 sql."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.cli.limits import SizeType, half_of_memory
from registry.cli.main import main
from tests.cli.conftest import Run
from tests.cli.processes import run_df2, run_shell

TOO_LONG = "Error: The query did not end within 1 s. --timeout SECONDS allows more, --timeout 0 any time.\n"
#: A gigabyte allocated in a single call, which DuckDB's limit does not count.
DOUBLED = f"SELECT length(list_reduce([{', '.join(32 * ['$$a$$'])}], lambda a, b: a || a)) FROM range(1)"


def test_a_query_ends_at_its_timeout_with_a_line(three_splits: Path) -> None:
    begin = time.monotonic()
    result = run_df2(
        "-r", three_splits, "sql", "SELECT max(md5(range::varchar)) FROM range(10000000000)", "--timeout", 1
    )
    assert (result.returncode, result.stdout, result.stderr) == (1, "", TOO_LONG)
    assert time.monotonic() - begin < 10


def test_a_reader_that_waits_does_not_make_a_query_late(three_splits: Path) -> None:
    result = run_shell("df2 sql 'FROM range(200000)' --format csv --timeout 1 | (sleep 4; wc -l)", "-r", three_splits)
    assert (result.stdout.strip(), result.stderr) == ("200001", "")


def test_a_query_that_needs_too_much_memory_ends_with_a_line(three_splits: Path) -> None:
    result = run_df2("-r", three_splits, "sql", DOUBLED, "--memory", "100MB")
    message = "Error: The query needs more memory than 100 MB. --memory LIMIT allows more, --memory 0 all there is.\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", message)


def test_a_file_is_not_there_after_a_limit(three_splits: Path, tmp_path: Path) -> None:
    query = "SELECT a.range FROM range(1000000) a, range(1000000) b"
    result = run_df2("-r", three_splits, "sql", query, "-o", tmp_path / "rows.csv", "--timeout", 1)
    assert (result.returncode, result.stderr) == (1, TOO_LONG)
    assert list(tmp_path.iterdir()) == []


def test_limits_can_be_taken_away(run: Run) -> None:
    for limits in (("--timeout", "0"), ("--memory", "0"), ("--timeout", "60.5", "--memory", "6.5GiB")):
        assert run("sql", "SELECT 1 AS a", *limits).stdout == '[{"a": 1}]\n'


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4GB", 4 * 10**9), ("4 gb", 4 * 10**9), ("512MiB", 512 << 20), ("1.5G", 15 * 10**8), ("1TB", 10**12)],
)
def test_a_size_has_a_unit(text: str, size: int) -> None:
    assert SizeType().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["4", "-1GB", "GB", "4XB", "", "nan", "1e3MB"])
def test_a_size_without_a_unit_is_wrong_usage(text: str) -> None:
    result = CliRunner().invoke(main, ["sql", "SELECT 1", "--memory", text])
    assert result.exit_code == 2
    assert f"expected a size such as 4GB or 512MB, or 0 for no limit; found {text!r}." in result.stderr


def test_the_default_is_half_of_the_memory() -> None:
    memory = Path("/proc/meminfo")
    if not memory.exists():
        pytest.skip("needs /proc")
    total = int(memory.read_text().split()[1]) * 1024
    assert 0 < half_of_memory() <= total // 2
