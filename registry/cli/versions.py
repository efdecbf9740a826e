"""``df2 versions``: list the versions of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from registry.cli.context import Places, note
from registry.cli.examples import examples
from registry.cli.output import Output, Rows, output_options, write_rows
from registry.cli.paths import PLACE
from registry.errors import UsageError
from registry.redaction import printable

if TYPE_CHECKING:
    from registry.history.versions import Version


@examples(
    "df2 versions",
    "df2 versions --format md",
    "df2 versions --repo https://git.example.org/fashion.git --format csv",
)
@click.command()
@click.option("--repo", type=PLACE, metavar="PATH|URL", help="Git repository. Default: that of the working directory.")
@click.option("--fetch/--no-fetch", default=True, help="Fetch and count data whose counts are not committed.")
@output_options
@click.pass_obj
def versions(places: Places, repo: str | None, fetch: bool, output: Output) -> None:
    """List the versions of the data, newest first.

    A version is a commit, in the history of HEAD or of a tag, that changed the data. It is shown with its counts and
    their change since the version before. The counts come from metrics/counts.json if dvc.lock proves that they belong
    to the data. 'df2 --rev REV' queries a version, 'df2 diff' compares two.
    """
    from registry.history.versions import versions

    if places.rev is not None:
        raise UsageError("'df2 versions' lists all revisions: leave --rev out.")
    listed = versions(repo or places.repo, places.registry, fetch=fetch, progress=note)
    if not output.is_table:
        write_rows(Rows.of_records([version.record() for version in listed]), output)
        return
    write_rows(Rows.of_records([_table_row(version) for version in listed]), output)
    for version in listed:
        if version.reason:
            click.echo(f"{version.commit[:10]} is not counted: {printable(version.reason)}", err=True)


def _table_row(version: Version) -> dict[str, Any]:
    """Return a version as a row of a table, the most telling columns first."""
    record = version.record()
    counts = {name: value for name, value in record.items() if name.startswith(("num_", "delta_"))}
    return {
        "tags": " ".join(version.tags),
        "commit": version.commit[:10],
        "date": version.date.date().isoformat(),
        **counts,
        "subject": version.subject,
    }
