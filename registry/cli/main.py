"""The ``df2`` command: its global options and its list of commands."""

from __future__ import annotations

import importlib
import logging
import sys
from collections import UserDict
from collections.abc import Iterator
from typing import Any, Final

import click

from registry.cli.boundary import DEBUG_VARIABLE, BoundedCommand
from registry.cli.context import Places, storage_option
from registry.cli.log import log_to_stderr
from registry.cli.paths import PLACE
from registry.redaction import install
from registry.storage.filesystems import set_network_timeout
from registry.version import __version__

#: Title -> command -> module and name in it. A command's module is imported when the command runs.
SECTIONS: Final = {
    "Ask": {
        "sql": "query:sql",
        "tables": "query:tables",
        "views": "views:views",
        "pairs": "query:pairs",
        "style": "query:style",
        "image": "query:image",
        "stats": "stats:stats",
    },
    "Check": {"check": "check:check"},
    "Evaluate": {"evaluate": "evaluate:evaluate"},
    "See": {
        "show": "show:show",
        "similar": "similar:similar",
        "browse": "browse:browse",
        "report": "report:report_command",
    },
    "Export": {
        "subset": "subset:subset_command",
        "export": "export:export_command",
        "verify": "verify:verify",
        "croissant": "croissant:croissant",
    },
    "Compare": {"versions": "versions:versions", "diff": "diff:diff"},
    "Correct": {"correct": "correct:correct_command", "import": "correct:import_command"},
    "Move": {"sync": "sync:sync"},
    "Make": {
        "ingest": "ingest:ingest",
        "sample": "maintain:sample",
        "catalog": "maintain:catalog",
        "manifest": "maintain:manifest",
        "fingerprint": "ingest:fingerprint",
        "photos": "photos:photos",
        "embeddings": "embeddings:embeddings",
        "stage": "stage:stage",
    },
    "Shell": {"completion": "completion:completion"},
}


class _Commands(UserDict[str, click.Command]):
    """The commands by name, each imported at its first use: all of them take longer than most commands run."""

    def __init__(self) -> None:
        super().__init__()
        self._places = {name: place for section in SECTIONS.values() for name, place in section.items()}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self.data:
            module, _, attribute = self._places[name].partition(":")
            self.data[name] = getattr(importlib.import_module(f"registry.cli.{module}"), attribute)
        return self.data[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Group(BoundedCommand, click.Group):
    """A group that prints its commands by section."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(90)) for name in names])

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


main.commands = _Commands()

if __name__ == "__main__":
    sys.exit(main())
