"""``df2 browse``: the registry in a browser."""

from __future__ import annotations

import shlex
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, note
from registry.cli.examples import examples
from registry.cli.password import password_from_environment
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
@click.option("--sql/--no-sql", "runs_sql", default=True, help="Answer SQL on pages.  [default: sql]")
@click.option(
    "--sql-seconds",
    type=click.FloatRange(0.1, 3600),
    default=10.0,
    show_default=True,
    help="End a query on a page after this time.",
)
@photos_option
@undivided_subset_options
@click.pass_context
def browse(
    ctx: click.Context,
    host: str,
    port: int | None,
    opens: bool,
    runs_sql: bool,
    sql_seconds: float,
    photos: str | None,
    follow_links: bool,
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
        runs_sql=runs_sql,
        sql_seconds=sql_seconds,
        params=Path(ctx.params["params"]),
        command=shlex.join(["df2", "-r", redact(places.registry)]),
        python=f"registry.open({redact(places.registry)!r})",
    )
    site = Site(registry, settings)
    access = Access.of(host)
    address = listen(host, port, access)

    def ready() -> None:
        note(f"Serving {registry.place} at {address.url} (Ctrl-C ends)")
        if opens:
            webbrowser.open(address.url)

    serve(site, access, address, ready)
