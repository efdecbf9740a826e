"""The command that moves a registry between places."""

from __future__ import annotations

import click

from registry.cli.context import Places, storage_option
from registry.cli.paths import PLACE
from registry.cli.progress import progress_bar
from registry.redaction import printable, redact


@click.command()
@click.argument("source", type=PLACE, metavar="SRC")
@click.argument("dest", type=PLACE, metavar="DST")
@click.option("--prune", is_flag=True, help="Remove the data files at DST that the new manifest does not name.")
@click.option("--check", is_flag=True, help="Read what is at DST already, and send what is damaged.")
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing; list what would be sent and removed.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=8, show_default=True, metavar="N", help="Files at a time."
)
@storage_option
@click.pass_obj
def sync(places: Places, source: str, dest: str, prune: bool, check: bool, dry_run: bool, jobs: int) -> None:
    """Make DST hold the registry that SRC holds.

    SRC and DST are folders or fsspec URLs. Only files that are not at DST are sent, several at a time, and each is
    read back there; then the manifest is exchanged: readers of DST see the old registry or the new one. A sync that
    was killed goes on where it ended. Files of the old version stay, for those who still read them, until --prune.

    \b
    df2 sync data/registry s3://bucket/registry
    df2 sync s3://bucket/registry ssh://host/data/registry --prune --dry-run
    """  # noqa: D301
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
    if dry_run:
        for file in report.sent:
            click.echo(f"send {printable(file.path)} ({file.bytes:,} bytes)")
        for path in report.removed:
            click.echo(f"remove {printable(path)}")
    would = "would be " if dry_run else ""
    text = (
        f"{len(report.sent):,} files {would}sent ({report.sent_bytes / 1e6:,.1f} MB), {len(report.kept):,} were there"
    )
    if prune:
        text += f", {len(report.removed):,} old ones {would}removed"
    if not report.is_new:
        text += "; it held this version already"
    click.echo(f"{printable(redact(dest))}: {text}.")
