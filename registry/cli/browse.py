"""``df2 browse``: the registry in a browser."""

from __future__ import annotations

import re
import shlex
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, note
from registry.cli.examples import examples
from registry.cli.password import password_from_environment
from registry.cli.paths import PLACE
from registry.cli.photo_options import photo_sources, photos_option
from registry.cli.pictures import open_photos
from registry.cli.subset_options import undivided_subset_options
from registry.redaction import redact

if TYPE_CHECKING:
    from registry.subset.options import Subset


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
    help="Address to listen on; any but this machine's own needs a token, which is printed.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on, 0 for any free one. [default: 8022, or the next free one]",
)
@click.option("--open/--no-open", "opens", default=True, help="Open the browser.  [default: open]")
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
    "--embeddings", type=PLACE, metavar="FILE|URL", help="Vectors of items, to show the nearest items of each."
)
@undivided_subset_options
@click.pass_context
def browse(
    ctx: click.Context,
    host: str,
    port: int | None,
    opens: bool,
    photos: str | None,
    follow_links: bool,
    models: tuple[str, ...],
    task: str,
    embeddings: str | None,
    subset: Subset,
    tables: dict[str, str],
) -> None:
    """Show the registry in a browser: its images, identities, checks, statistics, and SQL."""
    from registry.web.server import check_installed

    check_installed()
    from registry.web.security import Access
    from registry.web.server import listen, serve
    from registry.web.site import Settings, Site

    places: Places = ctx.obj
    registry = places.open(tables=tables)
    sources = photo_sources(photos, ctx.params["params"])
    settings = Settings(
        photos=open_photos(places, sources, password_from_environment(), follow_links),
        params=Path(ctx.params["params"]),
        command=shlex.join(["df2", "-r", redact(places.registry)]),
        python=f"registry.open({redact(places.registry)!r})",
        predictions=_by_name(models),
        embeddings=embeddings,
        task=task,
        storage_options=places.storage_options,
    )
    site = Site(registry, settings)
    access = Access.of(host)
    address = listen(host, port, access)

    def ready() -> None:
        note(f"Serving {registry.place} at {address.url} (Ctrl-C ends)")
        if opens:
            webbrowser.open(address.url)

    serve(site, access, address, ready)


def _by_name(models: tuple[str, ...]) -> dict[str, str]:
    """Return the files of predictions by the names of their models: that before ``=``, else that of the file.

    Raises:
        click.UsageError: there are more than two, or two of one name.
    """
    named: dict[str, str] = {}
    for text in models:
        name, equals, place = text.partition("=")
        if not equals or not re.fullmatch(r"[\w .-]+", name):
            name, place = Path(text.partition("?")[0]).name.partition(".")[0] or "predictions", text
        if not place:
            raise click.UsageError(f"--predictions {redact(text)}: expected NAME=FILE.")
        if name in named:
            raise click.UsageError(f"--predictions: two are named {name}; give names: --predictions NAME=FILE.")
        named[name] = place
    if len(named) > 2:
        raise click.UsageError(f"--predictions: expected at most 2 files, found {len(named)}.")
    return named
