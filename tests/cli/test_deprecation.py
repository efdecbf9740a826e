"""Deprecated names work as before and say what to use instead."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from registry import deprecation
from registry.cli.deprecated_option import deprecated_option
from registry.cli.main import main
from registry.deprecation import DASK, Deprecated

OLD = Deprecated("--old", "--new", "3.0")


@click.command()
@deprecated_option(OLD)
def command(old: str | None) -> None:
    click.echo(f"value {old}")


def test_a_deprecated_option_works_and_is_a_line_on_standard_error() -> None:
    result = CliRunner().invoke(command, ["--old", "x"])
    assert (result.exit_code, result.stdout) == (0, "value x\n")
    assert result.stderr == "warning: --old is deprecated and version 3.0 removes it: use --new.\n"


def test_a_deprecated_option_that_is_not_given_is_not_told_of() -> None:
    result = CliRunner().invoke(command, [])
    assert (result.stdout, result.stderr) == ("value None\n", "")
    assert "--old" not in CliRunner().invoke(command, ["--help"]).output


def test_a_deprecated_python_name_warns_the_line_that_calls_it() -> None:
    def old_function() -> None:
        OLD.warn()

    with pytest.warns(FutureWarning, match=r"^--old is deprecated and version 3\.0 removes it: use --new\.$") as shown:
        old_function()
    assert [warning.filename for warning in shown] == [__file__]


def test_the_old_name_of_scheduler_warns_also_when_quiet(small_source: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["-q", "ingest", "--split", "train", "--dask", "nonsense", str(small_source), str(tmp_path / "registry")]
    )
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0] == f"warning: {DASK.text}"
    assert "--scheduler is 'nonsense'" in lines[1]


def test_the_page_on_compatibility_lists_every_deprecated_name() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md").read_text(encoding="utf-8")
    names = [value for value in vars(deprecation).values() if isinstance(value, Deprecated)]
    assert names
    for name in names:
        assert f"{name.name}` | `{name.instead}` | {name.removal} |" in page


def test_the_old_and_the_new_name_together_are_refused(small_source: Path, tmp_path: Path) -> None:
    where = ["--dask", "tcp://127.0.0.1:1", "--scheduler", "tcp://127.0.0.1:2"]
    result = CliRunner().invoke(
        main, ["ingest", "--split", "train", *where, str(small_source), str(tmp_path / "registry")]
    )
    assert result.exit_code == 2
    assert "--dask is the old name of --scheduler: give --scheduler alone." in result.stderr
