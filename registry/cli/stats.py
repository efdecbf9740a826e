"""``df2 stats``: counts and statistics of a registry or a subset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, note
from registry.cli.examples import examples
from registry.cli.output import Output, Rows, output_options, write_rows
from registry.cli.paths import FILE, FileType
from registry.cli.subset_options import undivided_subset_options, within
from registry.cli.values import json_text
from registry.dataset.statistics import CROSSED_ATTRIBUTES, STATISTICS
from registry.dataset.terms import TERMS_NOTICE
from registry.files.temporary import make_output_folder, write_text
from registry.subset.options import Subset

if TYPE_CHECKING:
    from registry.store.registry import Registry
    from registry.store.selection import Selection


@examples(
    "df2 stats",
    "df2 stats --of paper_figure_3",
    "df2 stats --by split,category,scale --format csv -o scale.csv",
    "df2 stats --by occlusion --category skirt --source user",
    "df2 stats --of mask_areas --split validation",
    "df2 stats --metrics metrics.json --plots plots",
)
@click.command()
@click.option(
    "--by",
    "by",
    multiple=True,
    metavar="ATTRIBUTE,...",
    help=f"Count by these attributes: {', '.join(CROSSED_ATTRIBUTES)}. Repeatable.",
)
@click.option("--of", "of", metavar="NAME", help=f"A statistic by its name: {', '.join(STATISTICS)}.")
@click.option("--metrics", type=FILE, help="Also write all counts to a JSON file.")
@click.option(
    "--plots", type=FileType(file_okay=False, path_type=Path), help="Also write CSV files of counts to a folder."
)
@undivided_subset_options
@output_options
@click.pass_obj
def stats(
    places: Places,
    by: tuple[str, ...],
    of: str | None,
    metrics: Path | None,
    plots: Path | None,
    subset: Subset,
    tables: dict[str, str],
    output: Output,
) -> None:
    """Count images, items and pairs, by split or by any attributes.

    Without --by and --of, the counts are those of the view split_counts. --by counts images and items for each
    combination of values: share_of_all is the share of all counted items, share_of_group the share of the items that
    have the same values of all attributes but the last. --of prints a statistic; 'df2 tables NAME' explains its
    columns.

    With options of a subset, all numbers are of the subset. --metrics writes split_counts, category_counts and
    attribute_counts, of which --plots writes the last two as CSV files.
    """
    registry = places.open(tables=tables)
    source, notices = within(registry, subset)
    names = [name.strip() for value in by for name in value.split(",")]
    rows = Rows.of_relation(source.stats(names, of) if names or of is not None else source.sql("FROM split_counts"))
    _write_files(source, metrics, plots)
    write_rows(_column_per_split(rows) if output.is_table and not names and of is None else rows, output)
    for text in dict.fromkeys([*notices, *source.unknown_pairing()]):
        note(f"note: {text}")
    if subset != Subset():
        note(f"Subset {subset.digest[:16]}: {subset.text}")
    if output.is_table:
        note(TERMS_NOTICE)


def _write_files(source: Registry | Selection, metrics: Path | None, plots: Path | None) -> None:
    """Write the files of ``--metrics`` and ``--plots``."""
    if metrics:
        make_output_folder(metrics.parent)
    if plots:
        make_output_folder(plots)
    if metrics:
        write_text(metrics, json_text(source.stats(), indent=1) + "\n")
    if plots:
        for view in ("category_counts", "attribute_counts"):
            write_rows(Rows.of_relation(source.sql(f"FROM {view}")), Output("csv", plots / f"{view}.csv"))


def _column_per_split(counts: Rows) -> Rows:
    """Return a row for each count and a column for each split, from a row for each split."""
    header, *measures = zip(counts.columns, *counts.values, strict=True)
    columns = ["", *header[1:]]
    return Rows.of_records([dict(zip(columns, measure, strict=True)) for measure in measures])
