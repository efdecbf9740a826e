"""Fixtures of the tests of the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from registry.cli.main import main
from tests.registries import make_three_splits

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def three_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of three splits that no test changes."""
    return make_three_splits(tmp_path_factory.mktemp("three"))


@pytest.fixture(autouse=True)
def _width_of_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tables be 80 characters wide, whatever the width of the developer's terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def run(three_splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs ``df2`` on the registry of three splits, in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object, input: str | None = None, registry: object = three_splits) -> Result:
        chosen = ["--registry", str(registry)] if registry else []
        result = CliRunner().invoke(main, [*chosen, *map(str, args)], input=input)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def exit_code_of_reader_that_stops(*arguments: str) -> int:
    """Run ``df2``, read the first line of its output and close the pipe; df2 must print no error."""
    command = [sys.executable, "-m", "registry.cli.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        return process.wait(timeout=60)
