"""Limits of memory, time and temporary files of queries."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import QueryError, UsageError
from registry.files.private_folder import private_folder
from registry.store.connection import duckdb_errors
from registry.store.registry import Registry
from registry.store.settings import Limits, _cgroup_limits, machine_memory, open_database

LARGE = "SELECT count(*) FROM (SELECT range, md5(range::VARCHAR) AS m FROM range(3000000) ORDER BY m OFFSET 10)"
LONG = "SELECT max(md5(range::VARCHAR)) FROM range(10000000000)"


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4_000_000_000), ("512MiB", 512 << 20), (" 1.5 gb ", 1_500_000_000), ("64m", 64 << 20)]
)
def test_a_memory_limit_is_a_number_with_a_unit(text: str, size: int) -> None:
    assert Limits.of(text).memory == size


@pytest.mark.parametrize("text", ["", "GB", "-4GB", "4 XB", "1e9GB", "50%", "4GB;", "1KB", "\u0664GB", "nan"])
def test_a_memory_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"memory limit"):
        Limits.of(text)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_is_none_is_refused(seconds: float, three_splits: Path) -> None:
    with pytest.raises(UsageError, match="Expected a timeout above 0 seconds"):
        registry.open(str(three_splits), timeout=seconds)


def test_without_a_limit_queries_may_take_half_of_the_memory(df2: Registry) -> None:
    ((shown,),) = df2.sql("SELECT current_setting('memory_limit')").fetchall()
    expected = open_database(Limits(machine_memory() // 2)).sql("SELECT current_setting('memory_limit')").fetchall()
    assert [(shown,)] == expected
    assert Limits.of().memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        ("0::/a/b\n", {"memory.max": "900", "a/memory.max": "700", "a/b/memory.max": "max"}, [700, 900]),
        ("4:memory:/a\n3:cpu:/c\n", {"memory/a/memory.limit_in_bytes": "500"}, [500]),
        ("0::/a\n", {}, []),
        ("rubbish", {}, []),
    ],
)
def test_a_cgroup_may_allow_less(tmp_path: Path, groups: str, files: dict[str, str], limits: list[int]) -> None:
    (tmp_path / "self").write_text(groups)
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    assert _cgroup_limits(tmp_path / "self", tmp_path / "root") == limits


def test_a_query_that_needs_more_memory_is_told_so_and_the_registry_goes_on(three_splits: Path) -> None:
    actual = registry.open(str(three_splits), memory="64MB")
    with pytest.raises(QueryError, match=r"needs more memory than its limit: .*\n.*--memory 16GB"), duckdb_errors():
        actual.sql(LARGE).fetchall()
    assert actual.sql("SELECT count(*) FROM items").fetchall() == [(10,)]


def test_a_query_that_runs_too_long_is_ended_and_the_registry_goes_on(three_splits: Path) -> None:
    actual = registry.open(str(three_splits), timeout=0.2)
    begin = time.monotonic()
    with pytest.raises(QueryError, match=r"ran longer than its time limit.*--timeout SECONDS"), duckdb_errors():
        actual.sql(LONG).fetchall()
    assert time.monotonic() - begin < 10
    assert actual.sql("SELECT count(*) FROM items").fetchall() == [(10,)]


def test_selections_and_differences_have_the_limits_of_their_registry(three_splits: Path) -> None:
    actual = registry.open(str(three_splits), memory="100MB", timeout=60)
    settings = "SELECT current_setting('memory_limit'), current_setting('max_execution_time')"
    for connection in (actual.select()._connection, actual.diff(actual)._connection):
        assert [(str(a), str(b)) for a, b in connection.sql(settings).fetchall()] == [("95.3 MiB", "60000")]


def test_the_private_folder_is_private_and_takes_what_does_not_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = private_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    connection = open_database(Limits.of("64MB"), spill=True)
    assert connection.sql(LARGE).fetchall() == [(2_999_990,)]
    ((most,),) = connection.sql("SELECT current_setting('max_temp_directory_size')").fetchall()
    assert most.endswith("GiB") or most.endswith("MiB")
    assert os.listdir(tmp_path) == []


_CHILD = """
import sys, time
from registry.store.settings import Limits, open_database
connection = open_database(Limits.of(), spill=True)
print(connection.sql("SELECT current_setting('temp_directory')").fetchall()[0][0], flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
"""


def _start(how: str, folder: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, how],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"DF2_TMPDIR": str(folder)},
    )
    assert process.stdout is not None
    with process.stdout:
        return process, Path(process.stdout.readline().strip())


def test_the_private_folder_goes_with_its_process_or_with_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "df2-private-notmine0").mkdir()  # without a lock it is nobody's leftover
    (tmp_path / "other").mkdir()
    living, of_living = _start("wait", tmp_path)
    killed, of_killed = _start("wait", tmp_path)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert of_killed.parent == tmp_path
        assert of_killed.exists() and of_living.exists()
        ended, of_ended = _start("end", tmp_path)
        assert ended.wait() == 0
        assert not of_killed.exists() and not of_ended.exists() and of_living.exists()
    finally:
        living.kill()
        living.wait()
    assert (tmp_path / "df2-private-notmine0").exists() and (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM glob('{}/*')",
        "SELECT * FROM read_blob('{}/**')",
        "SELECT * FROM read_text('df2://manifest.json')",
        "SELECT * FROM read_blob('df2://../../etc/hostname')",
        "SELECT * FROM glob('**')",
    ],
)
def test_sql_reads_neither_the_private_folder_nor_anything_else(df2: Registry, query: str) -> None:
    folder = private_folder()
    (folder / "mine").write_text("secret")
    try:
        rows: Any = []
        with duckdb_errors():
            rows = df2.sql(query.format(folder)).fetchall()
    except QueryError:
        rows = []
    assert rows == []
