r"""The ``Examples:`` section of a command's help.

Put :func:`examples` above ``@click.command()``; it also takes a finished command (``examples(...)(command)``)::

    @examples(
        "df2 pairs --split train --category skirt --limit 5",
        "df2 pairs -o pairs.parquet",
    )
    @click.command()
    def pairs(...):

The section stands below the options. Every line must run on the registry that
``df2 sample data/sample`` and ``df2 ingest --split SPLIT data/sample data/registry`` make, from the folder above
``data``, unless the line names a remote registry or a git revision. ``tests/cli/test_help.py``
parses all of them. Every command has examples. Do not write examples into docstrings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

Command = TypeVar("Command", bound=click.Command)

_TITLE = "\b\nExamples:\n"


def examples(*lines: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a command these command lines as the ``Examples:`` section of its help."""

    def add(command: Command) -> Command:
        command.epilog = _TITLE + "\n".join(f"  {line}" for line in lines)
        return command

    return add


def examples_of(command: click.Command) -> list[str]:
    """Return the command lines in the ``Examples:`` section of a command."""
    epilog = command.epilog or ""
    return [line.strip() for line in epilog.removeprefix(_TITLE).splitlines()] if epilog.startswith(_TITLE) else []
