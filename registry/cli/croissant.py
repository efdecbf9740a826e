"""``df2 croissant``: describe a registry for other tools."""

from __future__ import annotations

import click

from registry.cli.context import Places
from registry.cli.examples import examples
from registry.errors import UsageError
from registry.redaction import printable


@examples("df2 croissant", "df2 croissant -")
@click.command()
@click.argument("dest", required=False, metavar="[-]")
@click.pass_obj
def croissant(places: Places, dest: str | None) -> None:
    """Describe the registry as Croissant 1.1, for tools that read it.

    Writes croissant.json into the registry, beside manifest.json, and the pairs, which no table holds, as Parquet
    files into its folder croissant. Paths in it are relative to the registry, and it names every file with its
    sha256. '-' prints the description and writes nothing.
    """
    from registry.report.croissant import describe, write_description

    if dest not in (None, "-"):
        raise UsageError(
            f"Expected '-' or nothing, found {printable(dest or '')}: the description names the files of the registry "
            "by relative paths, so it stands in the registry."
        )
    if dest is None and places.rev is not None:
        raise UsageError("A revision of --rev is not written to: print its description with 'df2 croissant -'.")
    registry = places.open()
    if dest == "-":
        click.echo(describe(registry).text, nl=False)
        return
    for path in write_description(registry):
        click.echo(f"{registry.place}/{path}")
