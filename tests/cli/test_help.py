"""The help of every command is complete, quick, and has examples that run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from registry import __version__
from registry.cli.examples import examples_of
from registry.cli.main import SECTIONS, main
from registry.store.registry import Registry
from tests.cli.conftest import Run
from tests.own_rows import SCORES, table, write

COMMANDS = list(main.commands.values())


def named(command: click.Command) -> str:
    return str(command.name)


def test_every_command_stands_in_one_section() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert len(set(listed)) == len(listed)
    assert [main.commands[name].name for name in listed] == listed


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
            assert str(parameter.metavar or str(parameter.name).upper()) in result.stdout


EXAMPLES = [(command, line) for command in COMMANDS for line in examples_of(command)]


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_the_help_of_a_command_ends_with_examples(run: Run, command: click.Command) -> None:
    lines = examples_of(command)
    assert lines
    shown = run(command.name, "--help").stdout
    assert shown.endswith("\n\n  Examples:\n" + "".join(f"    {line}\n" for line in lines))


@pytest.mark.parametrize(("command", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_stands_on_one_line_of_the_help(run: Run, command: click.Command, line: str) -> None:
    assert f"    {line}" in run(command.name, "--help").stdout.splitlines()


@pytest.mark.parametrize(("command", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_the_examples_parse(command: click.Command, line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    assert name == command.name
    parent = main.make_context("df2", [name])
    context = command.make_context(name, arguments, parent=parent)
    if isinstance(command, click.Group) and not command.params:
        _, inner, words = command.resolve_command(context, arguments)
        assert inner is not None
        context = inner.make_context(inner.name, words, parent=context)
    assert context.params


@pytest.mark.xdist_group("examples")
@pytest.mark.parametrize("line", [line for command, line in EXAMPLES if command.name in SECTIONS["Ask"]])
def test_the_examples_that_query_run_on_the_sample(run: Run, demo: Path, tmp_path: Path, line: str) -> None:
    write(tmp_path / "scores.csv", table(rows=SCORES[:1]))
    assert not re.search(r'"[^"]*\$', line)  # a shell would put its own variable there
    result = run(*shlex.split(line)[1:], registry=demo / "data/registry")
    told = [text for text in result.stderr.splitlines() if not text.startswith("Subset ")]
    assert (result.exit_code, told) == (0, [])
    assert "-o" in line or result.stdout.strip() not in ("", "[]")


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


def test_the_options_of_pairs_are_those_of_the_library() -> None:
    import inspect

    offered = {parameter.name for parameter in main.commands["pairs"].params} - {"text_format", "output"}
    assert offered == set(inspect.signature(Registry.pairs).parameters) - {"self"}


def test_a_command_imports_no_other_command() -> None:
    code = (
        "import sys\nfrom registry.cli.main import main\n"
        "try:\n    main(['tables', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('browse', 'export', 'ingest', 'query') if f'registry.cli.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['query']"
