"""``df2 verify``: compare an export or a registry with its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, storage_option
from registry.cli.examples import examples
from registry.cli.file_list import write_file_list
from registry.cli.output import Output, output_options
from registry.cli.paths import PLACE
from registry.errors import NotFoundError
from registry.redaction import printable
from registry.wording import plural

if TYPE_CHECKING:
    from registry.snapshot.verify import Check
    from registry.storage.place import Place


@examples("df2 verify data/registry", "df2 verify data/registry --format csv", "df2 verify s3://bucket/registry")
@click.command()
@click.argument("place", type=PLACE)
@storage_option
@output_options
@click.pass_context
def verify(ctx: click.Context, place: str, output: Output) -> None:
    """Check that an export or a registry is as it was written.

    Every file in the manifest is read and compared; in a registry, its rows are counted too. Exit code 1 if a file is
    missing, changed or miscounted. Files that are not in the manifest are listed and are no error. With --format or
    -o, the list goes there.
    """
    places: Places = ctx.obj
    checked = places.place(place)
    check = _check(checked, place)
    problems = [
        {"problem": problem, "path": path}
        for problem, paths in (
            ("missing", check.missing),
            ("changed", check.changed),
            ("miscounted", check.miscounted),
            ("not named", check.extra),
        )
        for path in paths
    ]
    is_listed = output.format is not None or output.path is not None
    if is_listed:
        write_file_list({"problem": "text", "path": "text"}, problems, output)
    else:
        for row in problems:
            click.echo(f"{row['problem']}: {printable(row['path'])}", err=True)
    click.echo(f"{printable(str(checked))}: {_summary(check)}", err=is_listed or not check.is_whole)
    ctx.exit(0 if check.is_whole else 1)


def _check(place: Place, name: str) -> Check:
    """Return how the files of an export or a registry differ from its manifest.

    Raises:
        NotFoundError: there is neither.
    """
    from registry.exports import files
    from registry.exports.manifest import verify_export
    from registry.snapshot import manifest
    from registry.snapshot.verify import verify_registry

    if place.exists(files.MANIFEST_NAME):
        return verify_export(place)
    if place.exists(manifest.MANIFEST_NAME):
        return verify_registry(place)
    names = f"{files.MANIFEST_NAME} or {manifest.MANIFEST_NAME}"
    raise NotFoundError(f"There is no export and no registry at {name}: expected {names} in it.")


def _summary(check: Check) -> str:
    if check.is_whole:
        if check.num_files == 1:
            return f"{check.kind}, the file is as it was written."
        return f"{check.kind}, all {check.num_files:,} files are as they were written."
    miscounted = f", {len(check.miscounted):,} miscounted" if check.miscounted else ""
    missing = plural(len(check.missing), "file")
    return f"{missing} missing, {len(check.changed):,} changed{miscounted}, of {check.num_files:,}."
