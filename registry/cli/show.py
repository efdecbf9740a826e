"""``df2 show``: photos with their annotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from registry.cli.completion import complete_check, complete_split
from registry.cli.context import Places, note, storage_option
from registry.cli.examples import examples
from registry.cli.image_names import parse_image
from registry.cli.limits import DEFAULT_SECONDS, half_of_memory, query_limits
from registry.cli.output import Rows
from registry.cli.params import parse_params
from registry.cli.paths import FileType
from registry.cli.photo_options import photo_sources, photos_option
from registry.cli.pictures import BAD_INPUT, Pages, open_photos, write_pictures
from registry.dataset.image_names import read_item_name
from registry.subset.params import read_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from registry.pictures.album import Album
    from registry.store.registry import Registry


#: Pages from which on a user may have meant fewer.
_MANY_PAGES = 50


@examples(
    "df2 show train 1 -o image.png",
    "df2 show train 1 2 --crop -o item.png --photos data/sample",
    "df2 show --identity train 1 1 -o identity.png",
    "df2 show --query 'FROM instance_pairs LIMIT 40' -o pairs.pdf",
    "df2 show --check box-polygon-mismatch --crop -o mismatch.png",
    "df2 show --query \"SELECT * FROM items WHERE occlusion = 3 AND category_name = 'skirt'\" -o hidden.png",
)
@click.command("show")
@click.argument("split", required=False, shell_complete=complete_split)
@click.argument("image_id", required=False)
@click.argument("item_no", required=False)
@click.option(
    "--identity",
    nargs=3,
    type=(str, int, int),
    metavar="SPLIT PAIR_ID STYLE",
    help="The items of an identity: consumer photos on the left, shop photos on the right.",
)
@click.option(
    "--query",
    metavar="SQL",
    help="Contact sheets of the rows of a SELECT: its columns split, image_id and item_no (or user_image_id, "
    "shop_image_id, ... of a pair; or pair_id and style of a group) name the picture, its other columns the caption.",
)
@click.option(
    "--check",
    metavar="NAME",
    shell_complete=complete_check,
    help="Contact sheets of the rows of a check (df2 check), without the accepted ones.",
)
@click.option("-p", "--param", "bound", multiple=True, metavar="NAME=VALUE", help="Bind $NAME in the query.")
@click.option(
    "--table",
    "table_values",
    multiple=True,
    metavar="NAME=FILE|URL",
    help="A table of your own (Parquet, Arrow, CSV, JSON lines) in the query; NAME alone is a table of params.yaml. "
    "Repeatable.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N rows of the query or check.")
@click.option("--crop", is_flag=True, help="Only the boxes of the items and a margin, instead of the whole photo.")
@click.option(
    "-o",
    "--output",
    type=FileType(dir_okay=False, url_okay=True),
    help="Write to this file or URL: .png, .jpg or .pdf. Several pages are out-1.png, out-2.png, ... or one PDF. "
    "Default: a temporary file, drawn in a terminal that can (kitty, iTerm2, WezTerm) or opened in the viewer.",
)
@photos_option
@storage_option
@click.pass_obj
def show(
    places: Places,
    split: str | None,
    image_id: str | None,
    item_no: str | None,
    identity: tuple[str, int, int] | None,
    query: str | None,
    check: str | None,
    bound: tuple[str, ...],
    table_values: tuple[str, ...],
    limit: int | None,
    crop: bool,
    output: str | None,
    photos: str | None,
    follow_links: bool,
) -> None:
    """Draw images, items, identities and the rows of queries and checks.

    An image has its boxes, its masks (the union of an item's polygons), its landmarks with the skeleton of their
    category, and a label for each item. A visible landmark is a disc, an occluded one a white diamond; a link with an
    occluded end is dashed. IMAGE_ID may be the name of a file, as for df2 image. Photos that are not found are drawn
    as plain canvases.

    Exit code 3: the pictures were written, and a photo is damaged, or is not in the RELEASE of --photos.
    """
    from registry.pictures.album import Album
    from registry.pictures.gallery import with_items

    chosen = {"SPLIT": split, "--identity": identity, "--query": query, "--check": check}
    given = [name for name, value in chosen.items() if value]
    if len(given) != 1:
        raise click.UsageError(
            "Expected one of SPLIT IMAGE_ID [ITEM_NO], --identity, --query and --check; "
            f"found {' and '.join(given) or 'none'}."
        )
    if bound and query is None:
        raise click.UsageError("--param is for --query.")
    if table_values and query is None:
        raise click.UsageError("--table is for --query.")
    if limit is not None and query is None and check is None:
        raise click.UsageError("--limit is for --query and --check.")
    registry = places.open(timeout=DEFAULT_SECONDS, tables=read_tables(table_values, "params.yaml"))
    for notice in registry.table_notices():
        note(f"note: {notice}")
    sources = photo_sources(photos)
    if split is not None:
        make = _image(split, image_id, item_no, crop)
    elif identity is not None:
        make = _identity(registry, identity, crop)
    else:
        rows = _read_rows(registry, query, parse_params(bound), check, limit)
        if not rows.num_rows:
            click.echo(f"{_subject(check)} has no rows: there is nothing to show.", err=True)
            return
        with query_limits(DEFAULT_SECONDS, half_of_memory()):
            rows = with_items(registry, rows)
        if not rows.num_rows:
            message = "names groups without items in this registry: there is nothing to show."
            click.echo(f"{_subject(check)} {message}", err=True)
            return
        make = _rows(rows, crop, check or "")

    def draw(password: str | None) -> Pages:
        opened = open_photos(places, sources, password, follow_links)
        return make(Album(registry, opened, must_have_photos=photos is not None))

    if write_pictures(places, draw, output).bad_input:
        click.get_current_context().exit(BAD_INPUT)


def _read_rows(
    registry: Registry, query: str | None, params: dict[str, Any], check: str | None, limit: int | None
) -> pa.Table:
    """Return the rows of a query of the user or of a check, within the limits of ``df2 sql``.

    Raises:
        QueryError: DuckDB refuses the query, or it reaches a limit.
        UnknownNameError: there is no such check.
    """
    from registry.checks.run import check_rows, load
    from registry.checks.settings import load_check_settings
    from registry.store.connection import duckdb_errors

    with query_limits(DEFAULT_SECONDS, half_of_memory()), duckdb_errors():
        if query is not None:
            relation = registry.sql(query, params or None)
        else:
            assert check is not None
            checks, accepted = load(load_check_settings("params.yaml"))
            relation = check_rows(registry, checks, check, accepted)
        return Rows.of_relation(relation if limit is None else relation.limit(limit)).arrow()


def _subject(check: str | None) -> str:
    return f"The check {check}" if check else "The query"


def _image(split: str, name: str | None, item: str | None, crop: bool) -> Callable[[Album], Pages]:
    """Return the function that draws an image or an item."""
    from registry.pictures.album import Subject
    from registry.pictures.gallery import single

    if item is None and name is not None and name.isdecimal() and not split.isalpha() and read_item_name(split):
        name, item = None, name  # train/image/000001.jpg 2
    of_split, image_id = parse_image(split, name)
    if item is None:
        named = read_item_name(name or split)
        item_no = named[2] if named else None
    elif item.isdecimal():
        item_no = int(item)
    else:
        raise click.BadParameter(f"expected the number of an item, found {item!r}.", param_hint="ITEM_NO")
    subject = Subject(of_split, image_id, item_no)

    def make(album: Album) -> Pages:
        return Pages([single(album, subject, crop=crop)], 1, str(subject), album.problems)

    return make


def _identity(registry: Registry, identity: tuple[str, int, int], crop: bool) -> Callable[[Album], Pages]:
    """Return the function that draws an identity."""
    from registry.pictures.gallery import identity_pages, num_identity_pages
    from registry.store.query import records

    items = records(registry.style(*identity))
    title = "{} · pair_id {} · style {}".format(*identity)

    def make(album: Album) -> Pages:
        pages = identity_pages(album, items, title, crop=crop)
        return Pages(pages, num_identity_pages(items), title, album.problems)

    return make


def _rows(rows: pa.Table, crop: bool, title: str = "") -> Callable[[Album], Pages]:
    """Return the function that draws contact sheets of rows."""
    from registry.pictures.gallery import num_row_pages, row_pages

    total = num_row_pages(rows)
    if total > _MANY_PAGES:
        note(f"note: {rows.num_rows:,} rows make {total:,} pages; --limit N shows fewer")

    def make(album: Album) -> Pages:
        return Pages(row_pages(album, rows, title, crop=crop), total, title or "Rows of a query", album.problems)

    return make
