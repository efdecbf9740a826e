"""What the commands of ``df2 embeddings`` that add vectors check and print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, note
from registry.errors import UsageError
from registry.redaction import printable
from registry.wording import plural, sentence

if TYPE_CHECKING:
    from registry.embeddings.add import AddReport


dtype_option = click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="Type of the stored numbers.",
)


def check_writable(places: Places) -> None:
    """Raise UsageError for a registry of a git revision, which cannot be changed."""
    if places.rev is not None:
        raise UsageError("A git revision cannot be changed: name the registry itself, without --rev.")


def tell(report: AddReport) -> None:
    """Print the number of vectors that were added, and notes on items without one."""
    for notice in report.notices:
        note(f"note: {printable(notice)}")
    if report.num_missing:
        note(f"note: {sentence(report.num_missing, 'items of the same splits', 'have no vector')}")
    click.echo(f"{report.model}: {plural(report.num_vectors, 'vector')} of {report.dimensions:,} numbers.")
