"""``df2 subset``: count a subset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, note
from registry.cli.examples import examples
from registry.cli.output import Output, Rows, output_options, write_rows, write_tables
from registry.cli.subset_options import subset_options

if TYPE_CHECKING:
    from registry.subset.options import Subset
    from registry.subset.resplit import Resplit


@examples(
    "df2 subset --category skirt --occlusion 1",
    "df2 subset --split train --paired --sample 10%",
    "df2 subset --table scores=scores.parquet --where 'scores.loss > 2'",
    "df2 subset --resplit train=0.8,val=0.1,test=0.1 --stratify category",
)
@click.command("subset")
@subset_options
@output_options
@click.pass_obj
def subset_command(
    places: Places, subset: Subset, tables: dict[str, str], resplit: Resplit | None, output: Output
) -> None:
    """Count the images, items and pairs of a subset.

    Counts by split (or part of --resplit), category and source; a row for each whole part has its identities and
    pairs. Values of the same option are alternatives; different options all have to hold.
    """
    from registry.store.selection import Selection
    from registry.subset.resplit import BALANCE

    selection = Selection(places.open(tables=tables).snapshot(), subset, resplit)
    rows = selection.summary()
    if output.is_table:
        by_category = [{name: row[name] for name in _CATEGORY_COLUMNS} for row in rows if row["category_name"]]
        parts = [{name: row[name] for name in _PART_COLUMNS} for row in rows if not row["category_name"]]
        balance = [{name: row[name] for name in BALANCE} for row in selection.balance]
        printed = [*filter(None, [by_category]), parts, *filter(None, [balance])]
        write_tables([Rows.of_records(table) for table in printed], output)
    else:
        names = (*_CATEGORY_COLUMNS, *_PAIR_COLUMNS, *(BALANCE[1:] if resplit else ()))
        balance_of = {row["part"]: row for row in selection.balance}
        rows = [row | balance_of.get(row["part"], {}) if row["category_name"] is None else row for row in rows]
        write_rows(Rows.of_records([{name: row.get(name) for name in names} for row in rows]), output)
    for notice in selection.notices:
        note(f"note: {notice}")
    note(f"Subset {subset.digest[:16]}: {subset.text}")


_CATEGORY_COLUMNS = ("part", "category_name", "user_items", "shop_items", "items", "images")
_PAIR_COLUMNS = ("identities", "instance_pairs", "image_pairs")
#: The most telling first; a narrow terminal leaves out the last ones.
_PART_COLUMNS = ("part", "images", "items", *_PAIR_COLUMNS, "user_items", "shop_items")
