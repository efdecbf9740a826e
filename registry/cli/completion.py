"""Completion in the shell: the command that prints the script, and the names that it offers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from registry.cli.examples import examples
from registry.dataset.checks import load_checks
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORIES, SOURCES, SPLITS
from registry.dataset.tables import TABLES
from registry.dataset.views import load_views
from registry.errors import RegistryError

_SHELLS: Final = ("bash", "zsh", "fish")


def complete_split(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the splits that begin with a text."""
    return _items(SPLITS, incomplete)


def complete_source(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the sources, user and shop, that begin with a text."""
    return _items(SOURCES, incomplete)


def complete_category(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the categories that begin with a text, with ``_`` for blanks, which shells would split at."""
    return _items((category.name.replace(" ", "_") for category in CATEGORIES), incomplete.replace(" ", "_"))


def complete_attribute(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the codes of the attribute that the option is named after, each with its meaning."""
    codes = ATTRIBUTE_CODES[param.name or ""]
    return [
        CompletionItem(str(code), help=meaning) for code, meaning in codes.items() if str(code).startswith(incomplete)
    ]


def complete_subset(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the subsets of the parameter file (``--params``) whose names begin with a text."""
    from registry.subset.params import load_params

    try:
        document = load_params(Path(ctx.params.get("params") or "params.yaml"))
    except (OSError, RegistryError):
        return []
    subsets = document.get("subsets") if isinstance(document, dict) else None
    return _items(map(str, subsets) if isinstance(subsets, dict) else (), incomplete)


def complete_table(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the tables and views that begin with a text."""
    return _items((*TABLES, *load_views()), incomplete)


def complete_check(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the checks of this package that begin with a text."""
    return [
        CompletionItem(check.name, help=check.severity)
        for check in load_checks().values()
        if check.name.startswith(incomplete)
    ]


def _items(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@examples("df2 completion bash", "df2 completion fish")
@click.command()
@click.argument("shell", type=click.Choice(_SHELLS), metavar="bash|zsh|fish")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes df2 commands in a shell.

    It completes commands, options, splits, categories, subsets, checks, formats, tables and views. Each shell loads
    it by one line in its startup file:

    \b
    ~/.bashrc                   eval "$(df2 completion bash)"
    ~/.zshrc, after compinit    eval "$(df2 completion zsh)"
    ~/.config/fish/config.fish  df2 completion fish | source
    """  # noqa: D301
    completer = get_completion_class(shell)
    assert completer is not None  # click has all three
    click.echo(completer(ctx.find_root().command, {}, "df2", "_DF2_COMPLETE").source())
