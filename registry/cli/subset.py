"""The command that shows what a subset holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from registry.cli.context import Places
from registry.cli.output import Output, Rows, output_options, write_rows
from registry.cli.subset_options import subset_options
from registry.redaction import printable

if TYPE_CHECKING:
    from registry.subset.options import Subset
    from registry.subset.resplit import Resplit


@click.command("subset")
@subset_options
@output_options
@click.pass_obj
def subset_command(places: Places, subset: Subset, resplit: Resplit | None, output: Output) -> None:
    """Show what a subset holds, before anything is written.

    Counts by split (or part of --resplit), category and source; a line for the whole of each has its identities and
    pairs. Values of one option are alternatives, different options all have to hold.

    \b
    df2 subset --category skirt --occlusion 1
    df2 subset --split train --paired --sample 10%
    df2 subset --resplit train=0.8,val=0.1,test=0.1 --stratify category
    """  # noqa: D301
    from registry.store.selection import Selection
    from registry.subset.resplit import BALANCE

    found = Selection(places.open().snapshot(), subset, resplit)
    rows = found.summary()
    if not output.is_table:
        names = (*_COUNTED, *_OF_PARTS[-3:], *(BALANCE[1:] if resplit else ()))
        of_part = {row["part"]: row for row in found.balance}
        whole = [row | of_part.get(row["part"], {}) if row["category_name"] is None else row for row in rows]
        write_rows(Rows.of_records([{name: row.get(name) for name in names} for row in whole]), output)
    else:
        shown = [{name: row[name] for name in _COUNTED} for row in rows if row["category_name"]]
        parts = [{name: row[name] for name in _OF_PARTS} for row in rows if not row["category_name"]]
        if shown:
            write_rows(Rows.of_records(shown), output)
        write_rows(Rows.of_records(parts), output)
        if found.balance:
            write_rows(Rows.of_records([{name: row[name] for name in BALANCE} for row in found.balance]), output)
    click.echo(f"Subset {subset.digest[:16]}: {printable(subset.text)}", err=True)


_COUNTED = ("part", "category_name", "user_items", "shop_items", "items", "images")


_OF_PARTS = ("part", "images", "items", "user_items", "shop_items", "identities", "instance_pairs", "image_pairs")
