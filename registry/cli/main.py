"""The ``df2`` command: global options, the list of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import Any

import click

from registry import __version__
from registry.cli.ask import image, pairs, sql, stats, style, tables
from registry.cli.export import export_command, subset_command, verify
from registry.cli.make import catalog, fingerprint, ingest, manifest, sample
from registry.errors import RegistryError

SECTIONS = {
    "Ask": (sql, tables, pairs, style, image, stats),
    "Export": (subset_command, export_command, verify),
    "Make": (ingest, sample, catalog, manifest, fingerprint),
}


class _Group(click.Group):
    """A group that prints its commands by section and ends with an error's own exit code."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(command.name or "", command.get_short_help_str(90)) for command in commands])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RegistryError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group("df2", cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-r",
    "--registry",
    metavar="URL",
    envvar="DF2_REGISTRY",
    default="data/registry",
    show_default=True,
    show_envvar=True,
    help="Folder or fsspec URL of the registry.",
)
@click.version_option(__version__, prog_name="df2")
@click.pass_context
def main(ctx: click.Context, registry: str) -> None:
    """A data-versioned registry of DeepFashion2: ingest it, ask it in SQL, look up pairs and styles.

    Exit codes: 0 done, 1 error, 2 wrong usage, 3 bad input data, 4 a place that cannot be written or read.
    """
    ctx.obj = registry


for _commands in SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)

if __name__ == "__main__":
    sys.exit(main())
