"""The command that checks an export or a registry against its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from registry.cli.context import storage_option
from registry.cli.paths import PLACE
from registry.errors import NotFoundError
from registry.redaction import printable

if TYPE_CHECKING:
    pass


@click.command()
@click.argument("place", type=PLACE)
@storage_option
@click.pass_context
def verify(ctx: click.Context, place: str) -> None:
    """Check that an export or a registry is as it was written.

    Every file that its manifest names is read and compared; of a registry, the rows are counted too. Exit code 1 if a
    file is missing, changed or miscounted; files that are not named are told, and are no fault.

    \b
    df2 verify skirts
    df2 verify s3://bucket/registry
    """  # noqa: D301
    from registry.exports import files
    from registry.exports.manifest import verify_export
    from registry.snapshot import manifest
    from registry.snapshot.verify import verify_registry

    where = ctx.obj.place(place)
    if where.exists(files.MANIFEST_NAME):
        found = verify_export(where)
    elif where.exists(manifest.MANIFEST_NAME):
        found = verify_registry(where)
    else:
        names = f"{files.MANIFEST_NAME} or {manifest.MANIFEST_NAME}"
        raise NotFoundError(f"There is no export and no registry at {place}: expected {names} in it.")
    told = {"missing": found.missing, "changed": found.changed, "miscounted": found.miscounted}
    for what, paths in {**told, "not named": found.extra}.items():
        for path in paths:
            click.echo(f"{what}: {printable(path)}", err=True)
    shown = printable(str(where))
    if not found.is_whole:
        miscounted = f", {len(found.miscounted):,} miscounted" if found.miscounted else ""
        click.echo(
            f"{shown}: {len(found.missing):,} files missing, {len(found.changed):,} changed{miscounted}, "
            f"of {found.num_files:,}.",
            err=True,
        )
        ctx.exit(1)
    click.echo(f"{shown}: {found.kind}, all {found.num_files:,} files are as they were written.")
