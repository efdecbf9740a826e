"""The ``df2`` command: its global options and its list of commands."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from registry.cli.boundary import DEBUG_VARIABLE, BoundedCommand
from registry.cli.browse import browse
from registry.cli.check import check
from registry.cli.completion import completion
from registry.cli.context import Places, storage_option
from registry.cli.correct import correct_command, import_command
from registry.cli.croissant import croissant
from registry.cli.diff import diff
from registry.cli.evaluate import evaluate
from registry.cli.export import export_command
from registry.cli.ingest import fingerprint, ingest
from registry.cli.log import log_to_stderr
from registry.cli.maintain import catalog, manifest, sample
from registry.cli.paths import PLACE
from registry.cli.photos import photos
from registry.cli.query import image, pairs, sql, style, tables
from registry.cli.report import report_command
from registry.cli.show import show
from registry.cli.stage import stage
from registry.cli.stats import stats
from registry.cli.subset import subset_command
from registry.cli.sync import sync
from registry.cli.verify import verify
from registry.cli.versions import versions
from registry.redaction import install
from registry.storage.filesystems import set_network_timeout
from registry.version import __version__

SECTIONS = {
    "Ask": (sql, tables, pairs, style, image, stats),
    "Check": (check,),
    "Evaluate": (evaluate,),
    "See": (show, browse, report_command),
    "Export": (subset_command, export_command, verify, croissant),
    "Compare": (versions, diff),
    "Correct": (correct_command, import_command),
    "Move": (sync,),
    "Make": (ingest, sample, catalog, manifest, fingerprint, photos, stage),
    "Shell": (completion,),
}


class _Group(BoundedCommand, click.Group):
    """A group that prints its commands by section."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(command.name or "", command.get_short_help_str(90)) for command in commands])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            name = error.option_name
            if error.ctx and error.ctx is not ctx and any(name in option.opts for option in self.params):
                command = error.ctx.command_path.removeprefix(f"{ctx.command_path} ")
                text = f"{name} stands before the command: {ctx.command_path} {name} ... {command} ..."
                raise click.UsageError(text, error.ctx) from error
            raise


@click.group("df2", cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-r",
    "--registry",
    type=PLACE,
    metavar="URL",
    envvar="DF2_REGISTRY",
    default="data/registry",
    show_default=True,
    show_envvar=True,
    help="Folder or fsspec URL of the registry.",
)
@click.option("--rev", metavar="REV", help="The registry as of this git revision (a tag, a commit), through DVC.")
@click.option(
    "--repo", type=PLACE, metavar="PATH|URL", help="Repository of --rev. Default: that of the working directory."
)
@click.option(
    "--cache",
    type=PLACE,
    metavar="DIR",
    envvar="DF2_CACHE",
    show_envvar=True,
    help="Folder that keeps data read from remote registries, for the next command.",
)
@click.option(
    "--debug",
    is_flag=True,
    envvar=DEBUG_VARIABLE,
    show_envvar=True,
    help="Print the traceback of an error, for a bug report.",
)
@click.option(
    "--network-timeout",
    metavar="SECONDS",
    type=click.FloatRange(0, 86_400, min_open=True),
    envvar="DF2_NETWORK_TIMEOUT",
    show_envvar=True,
    help="Give up on a server that makes no progress for this long, retries included. Default: 90.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no notes; answers, warnings and errors are printed.")
@click.option("-v", "--verbose", count=True, help="Log the steps of the work to standard error; -vv logs more.")
@storage_option
@click.version_option(__version__, prog_name="df2")
@click.pass_context
def main(
    ctx: click.Context,
    registry: str,
    rev: str | None,
    repo: str | None,
    cache: str | None,
    debug: bool,
    network_timeout: float | None,
    quiet: bool,
    verbose: int,
) -> None:
    """A data-versioned registry of DeepFashion2: ingest it, query it in SQL, look up pairs and styles.

    Registries, sources and destinations are folders or fsspec URLs.

    Exit codes: 0 done, 1 error, 2 wrong usage, 3 bad input data, 4 a place that cannot be written or read, 130 and 143
    interrupted; df2 diff ends as diff does: 0 same, 1 different, 2 trouble.
    """
    install()
    if verbose:
        log_to_stderr(logging.DEBUG if verbose > 1 else logging.INFO)
    if network_timeout is not None:
        set_network_timeout(network_timeout)
    ctx.obj = Places(registry, rev, repo, cache, ctx.meta.get("df2.storage_options", {}), quiet)


for _commands in SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)

if __name__ == "__main__":
    sys.exit(main())
