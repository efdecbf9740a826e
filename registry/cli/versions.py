"""The command that lists the versions of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from registry.cli.context import Places, note
from registry.cli.output import Output, Rows, output_options, write_rows
from registry.cli.paths import PLACE
from registry.errors import UsageError
from registry.redaction import printable

if TYPE_CHECKING:
    from registry.history.versions import Version


@click.command()
@click.option("--repo", type=PLACE, metavar="PATH|URL", help="Repository. Default: that of the working directory.")
@click.option("--fetch/--no-fetch", default=True, help="Fetch data whose counts are not committed, to count it.")
@output_options
@click.pass_obj
def versions(places: Places, repo: str | None, fetch: bool, output: Output) -> None:
    """List the versions of the data, newest first.

    A version is a commit that changed the data.

    Those of HEAD's history and of all tags, each with its counts and how they differ from the version before. The
    counts are those of metrics/counts.json where dvc.lock proves that they belong to the data. 'df2 --rev REV' asks
    one of them, 'df2 diff' compares two.

    \b
    df2 versions
    df2 versions --repo https://git.example.org/fashion.git --format csv
    """  # noqa: D301
    from registry.history.versions import versions

    if places.rev is not None:
        raise UsageError("'df2 versions' lists all revisions: leave --rev out.")
    found = versions(repo or places.repo, places.registry, fetch=fetch, progress=note)
    if not output.is_table:
        write_rows(Rows.of_records([version.record() for version in found]), output)
        return
    write_rows(Rows.of_records([_shown(version) for version in found]), output)
    for version in found:
        if version.reason:
            click.echo(f"{version.commit[:10]} is not counted: {printable(version.reason)}", err=True)


def _shown(version: Version) -> dict[str, Any]:
    """Return what a terminal shows of a version, what matters most first."""
    record = version.record()
    counts = {name: value for name, value in record.items() if name.startswith(("num_", "delta_"))}
    return {
        "tags": " ".join(version.tags),
        "commit": version.commit[:10],
        "date": version.date.date().isoformat(),
        **counts,
        "subject": version.subject,
    }
