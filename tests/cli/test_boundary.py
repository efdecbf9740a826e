"""Unexpected exceptions: a line on standard error, and a traceback only with --debug."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click
import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner

from registry.cli.boundary import BoundedCommand
from registry.cli.main import main
from tests.cli.conftest import Run
from tests.cli.processes import run_df2


def failing(error: BaseException, cls: type[BoundedCommand] = BoundedCommand) -> click.Command:
    """Return a command that raises an error."""

    @click.command("df2 work", cls=cls)
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (
            ValueError("two\nlines, token=1\x1b[31m"),
            "'df2 work' failed with ValueError: two lines, token=1\\x1b[31m. This is a fault of df2, please report it; "
            "--debug shows where.",
            1,
        ),
        (PermissionError(13, "Permission denied", "/a\n/b"), "Cannot use /a\\n/b: Permission denied.", 4),
        (FileNotFoundError(2, "No such file", b"/\xff"), "Cannot use /\\udcff: No such file.", 4),
        (OSError(5, "Input/output error"), "The system refused what 'df2 work' asked for: Input/output error.", 4),
        (OSError("no connection"), "The system refused what 'df2 work' asked for: no connection.", 4),
        (
            UnicodeEncodeError("utf-8", "secret\udcff", 6, 7, "surrogates not allowed"),
            "'df2 work' was given a text, a name or a password that is not UTF-8: character 7 is U+DCFF.",
            2,
        ),
        (
            UnicodeDecodeError("utf-8", b"ab\xff", 2, 3, "invalid start byte"),
            "A file that 'df2 work' reads is not UTF-8: byte 0xFF at position 2.",
            3,
        ),
        (RecursionError("maximum"), "What 'df2 work' was given is nested too deeply to be read.", 2),
        (MemoryError(), "There is not enough memory for 'df2 work': an allocation failed.", 4),
        (pa.ArrowMemoryError("malloc"), "There is not enough memory for 'df2 work': malloc.", 4),
        (OverflowError("int too big"), "A number that 'df2 work' was given is too large: int too big.", 2),
        (duckdb.OutOfMemoryException("Out of Memory Error: block"), "Out of Memory Error: block.", 1),
    ],
)
def test_an_exception_becomes_a_line_and_an_exit_code(error: Exception, message: str, code: int) -> None:
    result = CliRunner().invoke(failing(error), [])
    assert (result.stderr, result.exit_code, result.stdout) == (f"Error: {message}\n", code, "")


def test_a_path_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a\udcff").mkdir()
    path = str(tmp_path / "a\udcff")
    error = UnicodeEncodeError("utf-8", path, len(path) - 1, len(path), "surrogates not allowed")
    assert f"the path {tmp_path}/a\\udcff that is" in CliRunner().invoke(failing(error), []).stderr


def test_a_command_may_have_the_same_code_for_every_error() -> None:
    class Comparison(BoundedCommand):
        trouble_code = 2

    for error in (ValueError("x"), OSError(5, "x"), MemoryError(), KeyError("x")):
        assert CliRunner().invoke(failing(error, Comparison), []).exit_code == 2


def test_debug_prints_the_traceback_without_secrets(run: Run) -> None:
    error = ValueError("https://somebody:hunter2hunter2@example.org/x")
    for env, lines in (({"DF2_DEBUG": "1"}, True), ({"DF2_DEBUG": "0"}, False), ({}, False)):
        result = CliRunner().invoke(failing(error), [], env=env)
        assert ("Traceback" in result.stderr) is lines
        assert "hunter2" not in result.stderr
        assert result.stderr.splitlines()[-1].startswith(
            "Error: 'df2 work' failed with ValueError: https://somebody:***@"
        )
    assert "Traceback" in run("--debug", "image", "train", "99").stderr
    assert "Traceback" not in run("image", "train", "99").stderr


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["sql", "SELECT $a", "-p", "a=" + 100_000 * "["], "The value of --param a is nested too deeply.", 2),
        (
            ["verify", "x", "--storage-option", "a=" + 100_000 * "["],
            "The value of --storage-option a is nested too deeply.",
            2,
        ),
        (["sql", "SELECT '\udcff'"], "Expected a command line in UTF-8; character 9 of word 4 after 'df2' is not.", 2),
        (["sql", "-f", "latin1.sql"], "latin1.sql is not UTF-8: byte 0xE9 at position 8.", 2),
        (["sql", "SELECT INTERVAL 1 DAY", "-o", "none/x.parquet"], "Cannot write none/x.parquet: No such file", 4),
    ],
)
def test_odd_input_is_a_single_error(run: Run, tmp_path: Path, arguments: list[str], message: str, code: int) -> None:
    (tmp_path / "latin1.sql").write_bytes(b"SELECT '\xe9'")
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert f"Error: {message}" in result.stderr
    assert "Traceback" not in result.stderr


def test_bytes_of_the_command_line_and_of_standard_input_that_are_not_utf8_are_one_error(three_splits: Path) -> None:
    result = run_df2("-r", three_splits, "sql", b"SELECT '\xff'".decode(errors="surrogateescape"))
    assert result.returncode == 2
    assert "Error: Expected a command line in UTF-8; character 9 of word 4 after 'df2' is not.\n" in result.stderr
    result = run_df2("-r", three_splits, "sql", "-", input="SELECT '\udcff'", errors="surrogateescape")
    assert (result.returncode, result.stderr) == (2, "Error: Standard input is not UTF-8: byte 0xFF at position 8.\n")


def test_a_registry_in_the_environment_whose_path_is_not_utf8_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["stats"], env={"DF2_REGISTRY": f"{tmp_path}/\udcff"})
    assert result.exit_code == 2
    assert f"expected a path in UTF-8, found {tmp_path}/\\udcff." in result.stderr


def test_an_error_inside_duckdb_comes_without_the_addresses_of_its_functions(run: Run) -> None:
    doubled = f"list_reduce([{', '.join(35 * ['1'])}], lambda a, b: a)".replace("1", "'a'")
    result = run("sql", f"SELECT error('x' || {doubled} || e'\\n\\nStack Trace:\\n\\n/lib/x.so(+0x1)')")
    assert result.exit_code == 1
    assert result.stderr == "Error: Invalid Input Error: xa\n"


def test_every_command_is_inside_the_boundary() -> None:
    from registry.cli.release_check import release_check

    assert isinstance(main, BoundedCommand)
    assert isinstance(release_check, BoundedCommand)
    assert main.commands["diff"].trouble_code == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "a", "URL"),
        ("URL",),
        ("stats", "--format", "URL"),
        ("image", "train", "URL"),
        ("sql", "-f", "URL"),
        ("subset", "--params", "URL", "--subset", "a"),
        ("subset", "--image-id", "@URL"),
        ("-r", "http:/ada:hunter2word@h/r", "stats"),
        ("-r", "//ada:hunter2word@h/r", "stats"),
    ],
    ids=" ".join,
)
def test_no_error_of_usage_shows_a_password(run: Run, words: tuple[str, ...]) -> None:
    result = run(*(word.replace("URL", "http://ada:hunter2word@h/p") for word in words))
    assert result.exit_code != 0
    assert "hunter2word" not in result.stdout + result.stderr


def test_deeply_nested_brackets_are_refused_at_once(run: Run) -> None:
    begin = time.monotonic()
    result = run("sql", f"SELECT {'(' * 8000}1")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: The query nests brackets too deeply: expected at most 1,000 levels.\n",
    )
    assert time.monotonic() - begin < 20
    assert run("sql", f"SELECT '{'(' * 2000}' AS a", "--format", "csv").stdout == f"a\n{'(' * 2000}\n"


def test_a_list_of_images_is_a_regular_file_of_bounded_size(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("pipe", "expected a regular file, found a FIFO"), ("/dev/zero", "found a device")):
        result = run("subset", "--image-id", f"@{name}")
        assert result.exit_code == 2
        assert message in result.stderr
    with (tmp_path / "large").open("wb") as file:
        file.truncate(65 << 20)
    assert "large has more than 64 MiB" in run("subset", "--image-id", "@large").stderr


def test_a_folder_called_tilde_is_no_home(run: Run, tmp_path: Path) -> None:
    (tmp_path / "~").mkdir()
    assert run("sql", "SELECT 1 AS a", "-o", "./~/a.csv").exit_code == 0
    assert (tmp_path / "~" / "a.csv").read_text() == "a\n1\n"


def test_fingerprint_knows_three_splits(run: Run, tmp_path: Path) -> None:
    result = run("fingerprint", "--split", "../x", tmp_path)
    assert result.exit_code == 2
    assert "Unknown split '../x'. There is: train, validation, test." in result.stderr
