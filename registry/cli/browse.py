"""``df2 browse``: the registry in a browser."""

from __future__ import annotations

import os
import re
import shlex
import socket
import threading
import webbrowser
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from registry.cli.context import Places
from registry.cli.diff import open_version
from registry.cli.examples import examples
from registry.cli.password import password_from_environment
from registry.cli.paths import PLACE
from registry.cli.photo_options import photo_sources, photos_option
from registry.cli.pictures import has_viewer, open_photos
from registry.cli.subset_options import undivided_subset_options
from registry.errors import RegistryError, UsageError
from registry.redaction import printable, redact
from registry.subset.params import load_subsets, tables_of_subset

if TYPE_CHECKING:
    from registry.subset.options import Subset


#: The token to ask for; a new one without it.
TOKEN_VARIABLE: Final = "DF2_BROWSE_TOKEN"


@examples(
    "df2 browse",
    "df2 browse --category skirt --no-open",
    "df2 browse --against v1.0",
    "df2 browse --predictions old=old.json --predictions new=new.json",
)
@click.command("browse")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help=f"Address to listen on; any but this machine's own needs a token, which is printed. {TOKEN_VARIABLE} sets it.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on, 0 for any free one. [default: 8022, or the next free one]",
)
@click.option("--open/--no-open", "opens", default=True, help="Open the browser.  [default: open]")
@click.option(
    "--allow-host",
    "allowed",
    metavar="NAME",
    multiple=True,
    help="Name of a proxy in front of the server, or of this machine, that requests may name. Repeatable.",
)
@click.option("--root-path", metavar="/PREFIX", default="", help="Prefix that a proxy adds to all addresses.")
@click.option("--no-sql", is_flag=True, help="Answer no SQL of users.")
@click.option(
    "--sql-seconds",
    type=click.FloatRange(0, 3600, min_open=True),
    default=10.0,
    show_default=True,
    help="End a query of users after this time.",
)
@photos_option
@click.option(
    "--predictions",
    "models",
    multiple=True,
    metavar="[NAME=]FILE|URL",
    help="Predictions to show beside the annotation, as df2 evaluate reads them; twice to compare two models.",
)
@click.option(
    "--task",
    type=click.Choice(["boxes", "masks", "landmarks"]),
    default="boxes",
    show_default=True,
    help="What is predicted.",
)
@click.option(
    "--embeddings",
    type=PLACE,
    metavar="MODEL|FILE|URL",
    help="Vectors of items, to show the nearest items of each. Default: those of the models in the registry.",
)
@click.option(
    "--edit", "edits", is_flag=True, help="Let pages write checks/accepted.jsonl and corrections beside --params."
)
@click.option(
    "--against", metavar="REV|FOLDER|URL", type=PLACE, help="Another version of the registry, to compare with."
)
@undivided_subset_options
@click.pass_context
def browse(
    ctx: click.Context,
    host: str,
    port: int | None,
    opens: bool,
    allowed: tuple[str, ...],
    root_path: str,
    no_sql: bool,
    sql_seconds: float,
    photos: str | None,
    follow_links: bool,
    models: tuple[str, ...],
    task: str,
    embeddings: str | None,
    edits: bool,
    against: str | None,
    subset: Subset,
    tables: dict[str, str],
) -> None:
    """Show the registry in a browser.

    The pages show images, identities, checks, statistics, and the rows of SQL, of the registry or any subset of it;
    with --against another version beside it, with --predictions and --embeddings a model. docs/how-to/browse.md tells
    more.
    """
    from registry.web.server import check_installed, share_heaps

    check_installed()
    share_heaps()
    from registry.web.security import Access

    root_path = _read_root_path(root_path)
    access = Access.of(host, allowed, token=os.environ.get(TOKEN_VARIABLE) or None)
    places: Places = ctx.obj
    registry = places.open(tables=tables)
    from registry.web.tables import read_tables

    in_memory = read_tables(registry)  # the other modules are loaded meanwhile
    from registry.web.server import listen, serve
    from registry.web.site import Settings, Site
    from registry.web.state import START, start

    sources = photo_sources(photos, ctx.params["params"])
    of_params = _named_subsets(ctx.params["params"], tables)
    query, named = start(subset, of_params)
    if START in of_params and named[START] != of_params[START]:
        text = f"The subset {START} of {ctx.params['params']} is left out: pages name that of this command so."
        click.echo(f"warning: {printable(text)}", err=True)
    settings = Settings(
        photos=open_photos(places, sources, password_from_environment(), follow_links),
        named=named,
        params=Path(ctx.params["params"]),
        runs_sql=not no_sql,
        sql_seconds=sql_seconds,
        command=_command(places),
        python=_python(places),
        root_path=root_path,
        predictions=_by_name(models),
        embeddings=embeddings,
        edits=edits,
        against=(open_version(places, against, tables), redact(against)) if against else None,
        task=task,
        storage_options=places.storage_options,
        items=_lists(ctx.params["params"], of_params, ctx.params["items"], subset),
        tables={name: redact(place) for name, place in tables.items()},
    )
    site = Site(registry, settings, in_memory)
    address = listen(host, port, access, root_path)
    url = address.url_of(query)

    def ready() -> None:
        names = f"; from elsewhere, name this machine ({socket.gethostname()})" if access.any_number else ""
        # Not a note: without the address and its token nobody can use the server.
        click.echo(printable(f"Serving {registry.place} at {url} (Ctrl-C ends{names})"), err=True)
        if opens and has_viewer():  # a text browser would take the terminal
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    serve(site, access, address, ready)


def _read_root_path(text: str) -> str:
    prefix = text.rstrip("/")
    if prefix and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", prefix):
        raise click.BadParameter(f"Expected a prefix such as /fashion, found {text!r}.", param_hint="--root-path")
    return prefix


def _named_subsets(params: str, tables: Collection[str]) -> dict[str, Subset]:
    """Return the named subsets of a parameter file; those that cannot be read are told and left out."""
    from registry.subset.options import Subset

    subsets = {}
    for name, options in load_subsets(params).items():
        needed = tables_of_subset(options.pop("table", None), params)
        missing = sorted({*needed} - {*tables})
        try:
            if missing:
                raise UsageError(f"it needs --table {missing[0]}")
            subsets[name] = Subset.of(**{option.replace("-", "_"): value for option, value in options.items()})
        except RegistryError as error:
            click.echo(f"warning: {printable(f'The subset {name} of {params} is left out: {error}')}", err=True)
    return subsets


def _lists(params: str, named: Mapping[str, Subset], path: str | None, subset: Subset) -> dict[str, str]:
    """Return the file of each list of items: of the named subsets, and of the command."""
    files = {
        named[name].items: options["items"]
        for name, options in load_subsets(params).items()
        if name in named and "items" in options
    }
    files |= {subset.items: path} if path else {}
    return {items.text: redact(str(file)) for items, file in files.items() if items is not None}


def _command(places: Places) -> str:
    """Return the beginning of a command line for the same registry."""
    words = ["df2", "-r", redact(places.registry)]
    words += ["--rev", places.rev] if places.rev else []
    return shlex.join(words + (["--repo", redact(places.repo)] if places.repo else []))


def _python(places: Places) -> str:
    """Return the expression that opens the same registry in Python."""
    more = {"rev": places.rev, "repo": places.repo and redact(places.repo)}
    options = "".join(f", {name}={value!r}" for name, value in more.items() if value)
    return f"registry.open({redact(places.registry)!r}{options})"


def _by_name(models: tuple[str, ...]) -> dict[str, str]:
    """Return the files of predictions by the names of their models: that before ``=``, else that of the file.

    Raises:
        click.UsageError: there are more than two, or two of one name.
    """
    files: dict[str, str] = {}
    for text in models:
        name, equals, place = text.partition("=")
        if not equals or not re.fullmatch(r"[\w .-]+", name):
            name, place = Path(text.partition("?")[0]).name.partition(".")[0] or "predictions", text
        if not place:
            raise click.UsageError(f"--predictions {redact(text)}: expected NAME=FILE.")
        if name in files:
            raise click.UsageError(f"--predictions: two are named {name}; give names: --predictions NAME=FILE.")
        files[name] = place
    if len(files) > 2:
        raise click.UsageError(f"--predictions: expected at most 2 files, found {len(files)}.")
    return files
