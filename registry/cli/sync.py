"""``df2 sync``: copy a registry to another place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, storage_option
from registry.cli.examples import examples
from registry.cli.file_list import write_file_list
from registry.cli.output import Output, output_options
from registry.cli.paths import PLACE
from registry.cli.progress import progress_bar
from registry.redaction import printable, redact
from registry.wording import plural, size

if TYPE_CHECKING:
    from registry.snapshot.sync import SyncReport


@examples(
    "df2 sync data/registry backup/registry",
    "df2 sync data/registry backup/registry --prune --dry-run --format json",
    "df2 sync s3://bucket/registry ssh://host/data/registry",
)
@click.command()
@click.argument("source", type=PLACE, metavar="SRC")
@click.argument("dest", type=PLACE, metavar="DST")
@click.option("--prune", is_flag=True, help="Remove the data files at DST that the new manifest does not name.")
@click.option("--check", is_flag=True, help="Read the files at DST and send the damaged ones again.")
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing; list the files to send and to remove.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=8, show_default=True, metavar="N", help="Files at a time."
)
@storage_option
@output_options
@click.pass_obj
def sync(
    places: Places, source: str, dest: str, prune: bool, check: bool, dry_run: bool, jobs: int, output: Output
) -> None:
    """Copy the registry at SRC to DST.

    SRC and DST are folders or fsspec URLs. Only files that are missing at DST are sent, several at a time, and each is
    read back there. The manifest is replaced last, so readers of DST see the old or the new registry. A sync that
    was killed resumes when it is run again. Files of the old version stay for its readers until --prune. With --format
    or -o, the files sent and removed are listed there, also without --dry-run.
    """
    from registry.snapshot import sync as syncing

    with progress_bar(f"Syncing to {redact(dest)}") as progress:
        report = syncing.sync(
            places.place(source),
            places.place(dest),
            prune=prune,
            check=check,
            dry_run=dry_run,
            jobs=jobs,
            progress=progress,
        )
    is_listed = output.format is not None or output.path is not None
    if is_listed:
        _write_list(report, output)
    elif dry_run:
        for file in report.sent:
            click.echo(f"send {printable(file.path)} ({plural(file.bytes, 'byte')})")
        for path in report.removed:
            click.echo(f"remove {printable(path)}")
    click.echo(f"{printable(redact(dest))}: {_summary(report, prune=prune, dry_run=dry_run)}.", err=is_listed)


def _write_list(report: SyncReport, output: Output) -> None:
    """Write a row a file, sent or removed; the size of a removed file is unknown."""
    rows = [{"action": "send", "path": file.path, "bytes": file.bytes} for file in report.sent]
    rows += [{"action": "remove", "path": path, "bytes": None} for path in report.removed]
    write_file_list({"action": "text", "path": "text", "bytes": "integer"}, rows, output)


def _summary(report: SyncReport, *, prune: bool, dry_run: bool) -> str:
    would_be = "would be " if dry_run else ""
    text = (
        f"{plural(len(report.sent), 'file')} {would_be}sent ({size(report.sent_bytes)}), "
        f"{len(report.kept):,} were there"
    )
    if prune:
        text += f", {plural(len(report.removed), 'old file')} {would_be}removed"
    if not report.is_new:
        text += "; it held this version already"
    return text
