"""``df2 views``: the tables and views as SQL for other engines."""

from __future__ import annotations

import click

from registry.cli.context import Places, note
from registry.cli.examples import examples


@examples("df2 views image_pairs", "df2 views --dialect spark")
@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--dialect",
    type=click.Choice(["duckdb", "spark"]),
    default="duckdb",
    show_default=True,
    help="SQL of a DuckDB client from 1.0 on, or of Spark 4 and engines that speak its SQL.",
)
@click.pass_obj
def views(places: Places, names: tuple[str, ...], dialect: str) -> None:
    """Print the SQL that creates all tables and views in another engine.

    The tables and views read the Parquet files that the registry has now, so print the SQL again after each ingestion.
    NAME is a table or view; those that it reads are printed as well. Without a NAME, all are. The engine needs its own
    access to the files, and compares no digests; see docs/how-to/engines.md.
    """
    from registry.store.ddl import make_ddl

    ddl = make_ddl(places.open(), dialect, names)
    for notice in ddl.notices:
        note(f"note: {notice}")
    click.echo(str(ddl), nl=False)
