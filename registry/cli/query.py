"""The commands that ask a registry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from registry.cli.context import Places
from registry.cli.limits import DEFAULT_SECONDS, SizeType, half_of_memory, query_limits
from registry.cli.output import Output, Rows, output_options, write_rows
from registry.cli.params import parse_params
from registry.cli.paths import FILE, FileType
from registry.cli.values import json_text
from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import TABLES
from registry.dataset.views import load_views
from registry.errors import StorageError, UsageError
from registry.files.durability import make_folders
from registry.files.temporary import write_text

#: What a terminal shows of an item; the rest is in the other formats.
_ITEM_COLUMNS = [
    *("item_no", "category_name", "x1", "y1", "x2", "y2", "scale", "occlusion", "zoom_in", "viewpoint"),
    *("num_landmarks_labelled", "landmarks", "segmentation"),
]


@click.command()
@click.argument("query", required=False)
@click.option("-f", "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read the SQL here.")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Bind $NAME in the query.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=DEFAULT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="End the query after so long; 0 for never.",
)
@click.option(
    "--memory",
    type=SizeType(),
    default=half_of_memory,
    show_default="half of the machine's",
    metavar="LIMIT",
    help="Memory that the query may take, such as 4GB; 0 for all.",
)
@output_options
@click.pass_obj
def sql(
    places: Places,
    query: str | None,
    file: Path | None,
    params: tuple[str, ...],
    timeout: float,
    memory: int,
    output: Output,
) -> None:
    """Print the rows of one SELECT over the tables and views.

    'df2 tables' lists these. QUERY comes as an argument, from --file, or from standard input ('-' or nothing). A
    VALUE that is JSON is bound as such (7, 0.5, [1, 2], "7"), any other as text. Nothing can be changed: only reading
    is possible.

    \b
    df2 sql 'SELECT split, count(*) AS n FROM items GROUP BY ALL'
    df2 sql 'FROM items WHERE category_name = $name LIMIT 3' -p name=skirt
    """  # noqa: D301
    if (query is None) == (file is None) and not (query is None and not sys.stdin.isatty()):
        raise UsageError("Expected the SQL as an argument, from --file FILE, or on standard input.")
    text = query if query not in (None, "-") else _read_text(file)
    assert text is not None
    values = parse_params(params)
    with query_limits(timeout, memory):
        opened = places.open(memory=f"{memory}B" if memory else None, timeout=timeout or None)
        write_rows(Rows.of_relation(opened.sql(text, values or None)), output)


def _read_text(file: Path | None) -> str:
    """Return the text of a file, or of standard input."""
    try:
        return file.read_bytes().decode("utf-8") if file else sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02X} at position {error.start}"
        raise UsageError(f"{file or 'Standard input'} is not UTF-8: {byte}.") from error
    except OSError as error:
        raise StorageError(f"Cannot read {file or 'standard input'}: {error.strerror}.") from error


@click.command()
@click.argument("name", required=False)
@output_options
@click.pass_obj
def tables(places: Places, name: str | None, output: Output) -> None:
    """List the tables and views, or the columns of one.

    Every column has a type, a unit and a meaning. Programs get the columns of all tables and views at once where
    no NAME is given; a terminal shows what there is.

    \b
    df2 tables
    df2 tables items
    df2 tables --format csv
    """  # noqa: D301
    columns = places.open().tables(name)
    if not output.is_table:
        write_rows(Rows.of_records(columns), output)
    elif name is not None:
        shown = [{key: column[key] for key in ("column", "type", "unit", "meaning")} for column in columns]
        write_rows(Rows.of_records(shown), output)
    else:
        kinds = {column["table"]: column["kind"] for column in columns}
        meanings = {table.name: table.meaning for table in TABLES.values()}
        meanings |= {view.name: view.meaning for view in load_views().values()}
        shown = [{"name": table, "kind": kind, "meaning": meanings[table]} for table, kind in kinds.items()]
        write_rows(Rows.of_records(shown), output)
        click.echo("'df2 tables NAME' lists the columns of one.", err=True)


@click.command()
@click.option("--split", metavar="|".join(SPLITS), help="Of this split only.")
@click.option("--pair-id", type=int, metavar="N", help="Of this group only.")
@click.option("--style", type=int, metavar="N", help="Of this style only.")
@click.option("--category", multiple=True, metavar="NAME|ID", help="Either item is of one of these. Repeatable.")
@click.option(
    "--level",
    type=click.Choice(["instance", "image"]),
    default="instance",
    show_default=True,
    help="Pairs of items, or of images with at least one pair of items between them.",
)
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many rows.")
@output_options
@click.pass_obj
def pairs(places: Places, /, output: Output, **options: Any) -> None:
    """List positive pairs: a consumer item and a shop item of one style.

    Both are of the same split, pair_id and style > 0; their category may differ.

    \b
    df2 pairs --split train --category skirt --limit 5
    df2 pairs --split validation --pair-id 7 --level image
    df2 pairs -o pairs.parquet
    """  # noqa: D301
    write_rows(Rows.of_relation(places.open().pairs(**options)), output)


@click.command()
@click.argument("split")
@click.argument("pair_id", type=int)
@click.argument("style", type=int)
@output_options
@click.pass_obj
def style(places: Places, split: str, pair_id: int, style: int, output: Output) -> None:
    """List every item of one identity, consumer items first.

    An identity is the items of one SPLIT with the same PAIR_ID and the same STYLE > 0. STYLE 0 lists the items
    of the group that are on one side only.

    \b
    df2 style train 1 1
    """  # noqa: D301
    found = places.open().style(split, pair_id, style)
    if output.is_table:
        found = found.project(", ".join(["source", "image_id", *_ITEM_COLUMNS]))
    write_rows(Rows.of_relation(found), output)


@click.command()
@click.argument("split")
@click.argument("image_id", type=int)
@output_options
@click.pass_obj
def image(places: Places, split: str, image_id: int, output: Output) -> None:
    """Show one image with its items.

    IMAGE_ID is the number in its file name, and SPLIT goes with it: the numbers restart in every split. The items
    come in the order of the annotation file, in JSON as a list of objects.

    \b
    df2 image train 1
    df2 image validation 42 --format json
    """  # noqa: D301
    found = places.open().image(split, image_id)
    if not output.is_table:
        write_rows(Rows.of_relation(found), output)
        return
    row = dict(zip(found.columns, found.fetchall()[0], strict=True))
    items = row.pop("items")
    write_rows(Rows.of_records([row]), output)
    if items:
        columns = ["item_no", "style", *_ITEM_COLUMNS[1:]]
        write_rows(Rows.of_records([{column: item[column] for column in columns} for item in items]), output)


@click.command()
@click.option("--metrics", type=FILE, help="Also write all counts as JSON.")
@click.option("--plots", type=FileType(file_okay=False, path_type=Path), help="Also write CSV files to plot.")
@output_options
@click.pass_obj
def stats(places: Places, metrics: Path | None, plots: Path | None, output: Output) -> None:
    """Count images, items, identities and pairs by split.

    The counts of the view split_counts. With --metrics, those of category_counts and attribute_counts too.

    \b
    df2 stats
    df2 stats --metrics metrics.json --plots plots
    """  # noqa: D301
    opened = places.open()
    try:
        if metrics:
            make_folders(metrics.parent)
        if plots:
            make_folders(plots)
    except OSError as error:
        raise StorageError(f"Cannot write {error.filename}: {error.strerror}") from error
    if metrics:
        write_text(metrics, json_text(opened.stats(), indent=1) + "\n")
    if plots:
        for view in ("category_counts", "attribute_counts"):
            counts = opened.sql(f"SELECT * FROM {view}")
            write_rows(Rows.of_relation(counts), Output("csv", plots / f"{view}.csv"))
    counts = opened.sql("SELECT * FROM split_counts")
    if output.is_table:
        by_split = counts.fetchall()
        measures = zip(counts.columns, *by_split, strict=True)
        _, *splits = next(measures)
        write_rows(Rows.of_records([dict(zip(["", *splits], row, strict=True)) for row in measures]), output)
        return
    write_rows(Rows.of_relation(counts), output)
