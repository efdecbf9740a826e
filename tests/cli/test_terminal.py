"""Tables and progress on a terminal of a certain width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.forks import Forks

pytestmark = pytest.mark.system


def on_terminal(
    registry: Path, *arguments: str, columns: int = 120, code: int = 0, forks: Forks | None = None
) -> list[str]:
    """Return the lines that ``df2`` shows on a terminal, without colours and the blanks at their ends.

    It runs in a process of its own, or in one of ``forks`` (:mod:`tests.cli.forked`).
    """
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    words = ["-r", str(registry), *arguments]
    with ThreadPoolExecutor(1) as pool:
        status = pool.submit(_run_on, terminal, words, forks)
        status.add_done_callback(lambda _: os.close(terminal))
        shown = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the terminal is closed
                break
            if not part:
                break
            shown += part
    os.close(master)
    assert status.result() == code, shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    lines = plain.replace("\r", "").splitlines()
    return [line.rstrip() for line in lines]


def _run_on(terminal: int, words: list[str], forks: Forks | None) -> int:
    """Run a command on a terminal and return its exit code."""
    if forks is not None:
        return os.waitstatus_to_exitcode(forks.call("df2", words, {"TERM": "xterm"}, terminal=os.ttyname(terminal)))
    return subprocess.run(
        [sys.executable, "-m", "registry.cli.main", *words],
        stdin=terminal, stdout=terminal, stderr=terminal, env={**_ENVIRONMENT, "TERM": "xterm"},
        timeout=60, check=False,
    ).returncode  # fmt: skip


_ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks("tests.cli.forked", _ENVIRONMENT) as forks:
        yield forks


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "arguments",
    [("tables",), ("tables", "items"), ("image", "train", "1"), ("style", "train", "1", "1"), ("stats",), ("pairs",),
     ("sql", "FROM items"), ("sql", "FROM split_counts"), ("sql", "FROM landmarks"), ("subset", "--category", "1"),
     ("subset", "--resplit", "a=0.5,b=0.5")],
    ids=" ".join,
)  # fmt: skip
def test_a_table_fits_the_terminal(three_splits: Path, forks: Forks, arguments: tuple[str, ...], columns: int) -> None:
    lines = on_terminal(three_splits, *arguments, columns=columns, forks=forks)
    tables = [line for line in lines if line.startswith(" ")]
    assert tables
    assert max(map(len, tables)) <= columns
    rules = [index for index, line in enumerate(lines) if set(line.strip()) == {"─"}]
    for index in rules:  # headers are a single line above the rule
        assert not lines[index - 2].strip() or "See all with" in lines[index - 2]


def test_columns_of_items_that_do_not_fit_are_named_below(three_splits: Path, forks: Forks) -> None:
    lines = on_terminal(three_splits, "style", "train", "1", "2", forks=forks)
    assert lines[1].split() == [
        *("source", "image_id", "item_no", "category_name", "x1", "y1", "x2", "y2", "scale", "occlusion", "zoom_in"),
        *("viewpoint",),
    ]
    assert lines[-1] == (
        "3 columns do not fit in 120 characters: num_landmarks_labelled, landmarks, segmentation. "
        "See all with --format csv or -o FILE."
    )


def test_the_meaning_of_columns_is_shown_in_80_columns(three_splits: Path, forks: Forks) -> None:
    lines = on_terminal(three_splits, "tables", "items", columns=80, forks=forks)
    assert lines[1].split() == ["column", "type", "unit", "meaning"]


def test_an_export_shows_a_progress_bar_and_ends_with_a_summary(three_splits: Path, tmp_path: Path) -> None:
    lines = on_terminal(three_splits, "export", "csv", str(tmp_path / "out"))
    assert any("Exporting to" in line and "100%" in line for line in lines)
    summary = "csv, train 5 images, 8 items; validation 2 images, 2 items; test 2 images, 0 items; 2 files, 2.95 kB."
    assert lines[-2].endswith(f"{tmp_path / 'out'}: {summary}")
    assert "next: python -c" in lines[-1]


def test_sql_without_a_query_on_a_terminal_is_wrong_usage(three_splits: Path) -> None:
    with pytest.raises(AssertionError, match="Expected the SQL as an argument"):
        on_terminal(three_splits, "sql")
