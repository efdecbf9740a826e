"""``df2 diff``: compare two registries."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli.boundary import BoundedCommand
from registry.cli.context import Places, note
from registry.cli.examples import examples
from registry.cli.output import Output, Rows, output_options, write_rows, write_tables
from registry.cli.paths import PLACE, FileType
from registry.cli.photo_options import photo_sources, photos_option
from registry.cli.pictures import Pages, open_photos, write_pictures
from registry.cli.subset_options import undivided_subset_options
from registry.cli.values import json_text
from registry.errors import NotFoundError, UnknownNameError
from registry.files.temporary import write_text
from registry.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from registry.sources.photos import Photos
    from registry.store.changes import Diff
    from registry.store.difference import Summary
    from registry.store.registry import Registry
    from registry.subset.options import Subset

_KEYS = {
    "images": ("split", "image_id"),
    "items": ("split", "image_id", "item_no", "category_name"),
}


class _Comparison(BoundedCommand):
    """A command that returns whether something differs; exit codes as of diff: 0 same, 1 different, 2 error."""

    trouble_code = 2

    def invoke(self, ctx: click.Context) -> Any:
        ctx.exit(1 if super().invoke(ctx) else 0)


@examples(
    "df2 diff v1.0",
    "df2 diff v1.0 v1.1 --category skirt",
    "df2 diff v1.0 --rows --of instance_pairs -o pairs.csv",
    "df2 diff v1.0 --show changes.pdf --photos data/sample",
    "df2 diff s3://bucket/registry",
)
@click.command("diff", cls=_Comparison)
@click.argument("a", type=PLACE)
@click.argument("b", type=PLACE, required=False)
@click.option("--rows", is_flag=True, help="Print a row for each difference.")
@click.option(
    "--of",
    type=click.Choice(["images", "items", "instance_pairs"]),
    default="items",
    show_default=True,
    help="Table of --rows.",
)
@click.option(
    "--show",
    type=FileType(dir_okay=False, url_okay=True),
    metavar="FILE",
    help="Also write pictures of the images or items (--of) that differ, old and new beside each other: .png, .jpg, "
    ".pdf, as of df2 show.",
)
@photos_option
@undivided_subset_options
@output_options
@click.pass_obj
def diff(
    places: Places,
    a: str,
    b: str | None,
    rows: bool,
    of: str,
    show: str | None,
    photos: str | None,
    follow_links: bool,
    subset: Subset,
    tables: dict[str, str],
    output: Output,
) -> bool:
    """Show the differences between registry A and registry B.

    Each is a folder, a URL, or a git revision (a tag, a commit) of the registry; B is the registry of -r by default.
    Images and items are compared by key: (split, image_id) and (split, image_id, item_no). Pairs are gained or lost.
    With options of a subset, the subset of A is compared with the subset of B. Exit codes: 0 same, 1 different,
    2 error.
    """
    old = open_version(places, a, tables)
    new = places.open() if b is None else open_version(places, b)
    difference = old.diff(new, subset)
    for notice in difference.notices:
        note(f"note: {notice}")
    if rows:
        write_rows(_rows(difference, of), output)
    else:
        _write_summary(difference.summary, output)
    if show is not None:
        sources = photo_sources(photos, click.get_current_context().params["params"])

        def read_photos(password: str | None) -> Photos | None:
            return open_photos(places, sources, password, follow_links)

        _show(places, (old, new), difference, "images" if of == "images" else "items", read_photos, show)
    return not difference.summary.is_same


def open_version(places: Places, name: str, tables: dict[str, str] | None = None) -> Registry:
    """Return the registry at a URL or an existing folder, or else of a git revision, with tables of the user."""
    if "://" in name or os.path.isdir(name):
        return replace(places, registry=name, rev=None, repo=None).open(tables=tables)
    try:
        return replace(places, rev=name).open(tables=tables)
    except (NotFoundError, UnknownNameError) as error:
        raise NotFoundError(f"There is no folder {name}, and no registry of this git revision: {error}") from error


def _show(
    places: Places,
    sides: tuple[Registry, Registry],
    difference: Diff,
    of: str,
    read_photos: Callable[[str | None], Photos | None],
    path: str,
) -> None:
    """Write pictures of the differences; say so if there are none."""
    from registry.pictures.album import Album
    from registry.pictures.gallery import change_pages, num_change_pages

    number = sum(difference.summary.counts()[of].values())
    if not number:
        note(f"note: no {of} differ: there is nothing to show, and {printable(path)} was not written")
        return
    total = num_change_pages(number)

    def draw(password: str | None) -> Pages:
        old, new = Album(sides[0], read_photos(password)), Album(sides[1])
        new.problems = old.problems  # the photos are the same
        changes = difference.images() if of == "images" else difference.items()
        title = f"{of} that differ"
        return Pages(change_pages(old, new, changes, total, title), total, title, old.problems)

    write_pictures(places, draw, path, names_to_stderr=True)


def _write_summary(summary: Summary, output: Output) -> None:
    """Write the numbers of differences: tables for people, totals as a JSON object, or rows by split and category."""
    rows = summary.rows()
    if output.is_table and output.path is None:
        tables = []
        for is_total, name in ((False, "category_name"), (True, "of")):
            names = ("split", name, "added", "removed", "changed")
            tables.append(
                [{name: row[name] for name in names} for row in rows if (row["category_name"] is None) == is_total]
            )
        write_tables([Rows.of_records(table) for table in tables if table], output)
        for of, fields in summary.fields.items():
            if fields:
                counts = ", ".join(f"{name} {number:,}" for name, number in fields.items())
                click.echo(f"Columns in which {of} differ: {counts}.")
    elif output.chosen == "json":
        _write_text(json_text(summary.counts()) + "\n", output.path)
    else:
        write_rows(Rows.of_records(rows), output)


def _write_text(text: str, path: Path | None) -> None:
    if path is None:
        click.echo(text, nl=False)
        return
    write_text(path, text)


def _rows(difference: Diff, of: str) -> Rows:
    """Return a row for each difference; as Arrow, ``old`` and ``new`` are JSON texts, to have a single type."""
    from registry.dataset.tables import FIELDS, arrow_type
    from registry.store.difference import PAIR_COLUMNS

    columns: tuple[str, ...] = ("change", *PAIR_COLUMNS)
    if of == "instance_pairs":
        records = difference.instance_pairs()
    else:
        columns = ("change", *_KEYS[of], "fields", "old", "new")
        records = (change.to_dict() for change in (difference.items() if of == "items" else difference.images()))

    def arrow() -> pa.Table:
        import pyarrow as pa

        nested = ("old", "new")
        plain = [{k: json_text(v) if v and k in nested else v for k, v in record.items()} for record in records]
        types = {name: arrow_type(FIELDS[name].type) for name in columns if name in FIELDS}
        types["fields"] = pa.list_(pa.string())
        return pa.Table.from_pylist(plain, pa.schema([(name, types.get(name, pa.string())) for name in columns]))

    return Rows(columns, (list(record.values()) for record in records), arrow)
