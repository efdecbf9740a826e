"""Help: of every command, complete, quick, and with examples that are true."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import click
import pytest

from registry import __version__
from registry.cli.main import SECTIONS, main
from registry.store.registry import Registry
from tests.cli.conftest import Run

COMMANDS = list(main.commands.values())


def named(command: click.Command) -> str:
    return str(command.name)


def test_every_command_stands_in_one_section() -> None:
    listed = [command.name for commands in SECTIONS.values() for command in commands]
    assert sorted(listed) == sorted(main.commands)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_list_of_commands_is_not_cut_short(run: Run, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    result = run("--help")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "Usage: df2 [OPTIONS] COMMAND [ARGS]..."
    for command in COMMANDS:
        (line,) = [line for line in lines if line.startswith(f"  {command.name}  ")]
        assert line.endswith(".") and not line.endswith("...")


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_every_command_and_option_has_help(run: Run, command: click.Command) -> None:
    result = run(command.name, "--help")
    assert result.exit_code == 0
    assert result.stdout == run(command.name, "-h").stdout
    assert f"Usage: df2 {command.name} " in result.stdout
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help and parameter.help.endswith((".", "]", ")")), parameter.name
        else:
            assert str(parameter.metavar or parameter.name).upper() in result.stdout


def examples(command: click.Command) -> list[str]:
    """Return the command lines in a help text."""
    return [line.strip() for line in (command.help or "").splitlines() if line.strip().startswith("df2 ")]


EXAMPLES = [(command, line) for command in COMMANDS for line in examples(command)]


def test_every_asking_command_has_an_example() -> None:
    for command in SECTIONS["Ask"]:
        assert examples(command), command.name


@pytest.mark.parametrize(("command", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_keeps_its_line_in_the_help(run: Run, command: click.Command, line: str) -> None:
    assert f"  {line}" in run(command.name, "--help").stdout.splitlines()


@pytest.mark.parametrize(("command", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_the_examples_parse(command: click.Command, line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    assert name == command.name
    parent = main.make_context("df2", [name])
    assert command.make_context(name, arguments, parent=parent).params


@pytest.mark.parametrize("line", [line for _, line in EXAMPLES if line.startswith("df2 sql ")])
def test_the_queries_among_the_examples_run(run: Run, line: str) -> None:
    assert not re.search(r'"[^"]*\$', line)  # a shell would put its own variable there
    result = run(*shlex.split(line)[1:])
    assert (result.exit_code, result.stderr) == (0, "")


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").stdout == f"df2, version {__version__}\n"


def test_help_imports_no_engine() -> None:
    code = (
        "import sys\nfrom registry.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = ['duckdb', 'pyarrow', 'dvc', 'fsspec', 'rich', 'numpy', 'PIL', 'msgspec']\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    for arguments in (["--help"], ["sql", "--help"], ["ingest", "--help"], ["--version"]):
        shown = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert shown.stderr == "[]\n"
        assert shown.stdout


def test_the_help_of_pairs_offers_what_the_library_does() -> None:
    import inspect

    offered = {parameter.name for parameter in main.commands["pairs"].params} - {"text_format", "output"}
    assert offered == set(inspect.signature(Registry.pairs).parameters) - {"self"}
