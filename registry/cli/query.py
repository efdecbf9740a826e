"""The commands that query a registry: sql, tables, pairs, style, image and stats."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from registry.cli.completion import complete_category, complete_split, complete_table
from registry.cli.context import Places, note
from registry.cli.examples import examples
from registry.cli.image_names import parse_image
from registry.cli.limits import DEFAULT_SECONDS, SizeType, half_of_memory, query_limits
from registry.cli.output import Output, Rows, output_options, write_rows, write_tables
from registry.cli.params import parse_params
from registry.cli.subset_options import subset_options, within
from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import BOX_COLUMNS, TABLES
from registry.dataset.views import load_views
from registry.errors import StorageError, UsageError
from registry.parsing.text import ForeignEncodingError, decode_text
from registry.subset.options import Subset
from registry.subset.resplit import Resplit

if TYPE_CHECKING:
    from registry.store.registry import Registry

#: Columns of an item in a table for people, the most telling first; a narrow terminal leaves out the last ones.
_ITEM_COLUMNS = [
    *("item_no", "category_name", *BOX_COLUMNS, "scale", "occlusion", "zoom_in", "viewpoint"),
    *("num_landmarks_labelled", "landmarks", "segmentation"),
]
#: Views whose rows come from source, pair_id and style.
_READS_PAIRS: Final = re.compile(
    r"\b(?:(?:instance|image)_pairs|(?:orphan_)?identities|query_items|gallery_items|retrieval_ground_truth"
    r"|split_counts|category_counts)\b",
    re.IGNORECASE,
)
#: Both items of a pair in 80 columns.
_PAIR_COLUMNS = "split, pair_id, style" + "".join(
    f", {source}_image_id || '/' || {source}_item_no AS {source}_item, "
    f"(SELECT name FROM categories WHERE id = {source}_category_id) AS {source}_category"
    for source in ("user", "shop")
)


@examples(
    "df2 sql 'SELECT split, count(*) AS n FROM items GROUP BY ALL'",
    "df2 sql 'FROM items WHERE category_name = $name LIMIT 3' -p name=skirt",
    "df2 sql 'PIVOT items ON split USING count(*) GROUP BY category_name' --format md",
    "df2 sql --category skirt --split train 'SELECT count(*) FROM instance_pairs'",
    "df2 sql --table scores=scores.csv 'SELECT * FROM items JOIN scores USING (split, image_id, item_no)'",
    "df2 sql 'FROM split_counts' -o counts.parquet",
)
@click.command()
@click.argument("query", required=False)
@click.option(
    "-f", "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read the SQL from a file."
)
@click.option("-p", "--param", "bound", multiple=True, metavar="NAME=VALUE", help="Bind $NAME in the query.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=DEFAULT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Stop the query after this time; 0 for no limit.",
)
@click.option(
    "--memory",
    type=SizeType(),
    default=half_of_memory,
    show_default="half of the machine's",
    metavar="LIMIT",
    help="Most memory that the query may use, such as 4GB; 0 for no limit.",
)
@subset_options
@output_options
@click.pass_obj
def sql(
    places: Places,
    query: str | None,
    file: Path | None,
    bound: tuple[str, ...],
    timeout: float,
    memory: int,
    subset: Subset,
    tables: dict[str, str],
    resplit: Resplit | None,
    output: Output,
) -> None:
    """Print the rows of one SELECT over the tables and views.

    'df2 tables' lists them. QUERY is an argument, a file (--file), or standard input ('-' or no argument). A VALUE
    that is JSON is bound as JSON (7, 0.5, [1, 2], "7"), any other as text. Statements that change anything are
    refused.

    With options of a subset, images, items and all views have the rows of the subset: instance_pairs are pairs with
    both items in it. whole.images and whole.items have all rows. Each part of --resplit has a schema: part_val.items.
    A table of --table has its name.
    """
    if (query is None) == (file is None) and not (query is None and not sys.stdin.isatty()):
        raise UsageError("Expected the SQL as an argument, from --file FILE, or on standard input.")
    text = _read_text(file) if query is None or query == "-" else query
    values = parse_params(bound)
    with query_limits(timeout, memory):
        registry = places.open(memory=f"{memory}B" if memory else None, timeout=timeout or None, tables=tables)
        source, notices = within(registry, subset, resplit)
        write_rows(Rows.of_relation(source.sql(text, values or None)), output)
        for notice in notices:
            note(f"note: {notice}")
        if _READS_PAIRS.search(text):
            _note_unknown(registry)


def _note_unknown(registry: Registry, split: str | None = None) -> None:
    """Tell on stderr which items of a split can be in no pair, as their source, pair_id or style is not known."""
    for text in registry.unknown_pairing(split):
        note(f"note: {text}")


def _read_text(file: Path | None) -> str:
    """Return the text of a file, or of standard input."""
    try:
        return decode_text(file.read_bytes() if file else sys.stdin.buffer.read())
    except ForeignEncodingError as error:
        raise UsageError(f"{file or 'Standard input'}: {error}.") from error
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02X} at position {error.start}"
        raise UsageError(f"{file or 'Standard input'} is not UTF-8: {byte}.") from error
    except OSError as error:
        raise StorageError(f"Cannot read {file or 'standard input'}: {error.strerror}.") from error


@examples("df2 tables", "df2 tables items", "df2 tables --format csv")
@click.command()
@click.argument("name", required=False, shell_complete=complete_table)
@output_options
@click.pass_obj
def tables(places: Places, name: str | None, output: Output) -> None:
    """List the tables and views, or the columns of a table.

    Every column has a type, a unit and a meaning. Without NAME, the formats for programs (json, csv, ...) hold the
    columns of all tables and views, and a terminal shows a line for each table and view.
    """
    columns = places.open().tables(name)
    if not output.is_table:
        write_rows(Rows.of_records(columns), output)
    elif name is not None:
        keys = ("column", "type", "unit", "meaning")
        write_rows(Rows.of_records([{key: column[key] for key in keys} for column in columns]), output)
    else:
        kinds = {column["table"]: column["kind"] for column in columns}
        meanings = {table.name: table.meaning for table in TABLES.values()}
        meanings |= {view.name: view.meaning for view in load_views().values()}
        rows = [{"name": table, "kind": kind, "meaning": meanings[table]} for table, kind in kinds.items()]
        write_rows(Rows.of_records(rows), output)
        note("'df2 tables NAME' lists the columns of one.")


@examples(
    "df2 pairs --split train --category skirt --limit 5",
    "df2 pairs --split validation --pair-id 7 --level image",
    "df2 pairs -o pairs.parquet",
)
@click.command()
@click.option("--split", metavar="|".join(SPLITS), shell_complete=complete_split, help="Only pairs of this split.")
@click.option("--pair-id", type=int, metavar="N", help="Only pairs of this pair_id.")
@click.option("--style", type=int, metavar="N", help="Only pairs of this style.")
@click.option(
    "--category",
    multiple=True,
    metavar="NAME|ID",
    shell_complete=complete_category,
    help="Only pairs with an item of this category. Repeatable.",
)
@click.option(
    "--level",
    type=click.Choice(["instance", "image"]),
    default="instance",
    show_default=True,
    help="Pairs of items, or of images with at least one pair of items between them.",
)
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Largest number of rows.")
@output_options
@click.pass_obj
def pairs(places: Places, /, output: Output, **options: Any) -> None:
    """List positive pairs: a consumer item and a shop item of one style.

    Both have the same split, pair_id and style > 0; their categories may differ. A terminal shows each item as
    IMAGE_ID/ITEM_NO; the other formats have a column for each number.
    """
    registry = places.open()
    pairs = registry.pairs(**options)
    if output.is_table and options["level"] == "instance":
        pairs = pairs.project(_PAIR_COLUMNS)
    write_rows(Rows.of_relation(pairs), output)
    _note_unknown(registry, options["split"])


@examples("df2 style train 1 1", "df2 style train 1 1 --format csv -o style.csv")
@click.command()
@click.argument("split", shell_complete=complete_split)
@click.argument("pair_id", type=int)
@click.argument("style", type=int)
@output_options
@click.pass_obj
def style(places: Places, split: str, pair_id: int, style: int, output: Output) -> None:
    """List every item of one identity, consumer items first.

    An identity is the items of a SPLIT that have the same PAIR_ID and the same STYLE > 0. STYLE 0 lists the items
    of the PAIR_ID that are in no pair.
    """
    items = places.open().style(split, pair_id, style)
    if output.is_table:
        items = items.project(", ".join(["source", "image_id", *_ITEM_COLUMNS]))
    write_rows(Rows.of_relation(items), output)


@examples("df2 image train 1", "df2 image train/image/000001.jpg", "df2 image validation 42 --format json")
@click.command()
@click.argument("split", shell_complete=complete_split)
@click.argument("image_id", required=False)
@output_options
@click.pass_obj
def image(places: Places, split: str, image_id: str | None, output: Output) -> None:
    """Show one image with its items.

    IMAGE_ID is the number in the file name; the file name itself does too (000001.jpg), and a name with the split in
    it (train/image/000001.jpg) needs no SPLIT. Numbers restart in every split. Items are in the order of the
    annotation file; the formats for programs hold them as a list of objects.
    """
    image = places.open().image(*parse_image(split, image_id))
    if not output.is_table:
        write_rows(Rows.of_relation(image), output)
        return
    row = dict(zip(image.columns, image.fetchall()[0], strict=True))
    items = row.pop("items")
    tables = [Rows.of_records([row])]
    if items:
        columns = ["item_no", "style", *_ITEM_COLUMNS[1:]]
        tables.append(Rows.of_records([{column: item[column] for column in columns} for item in items]))
    write_tables(tables, output)
