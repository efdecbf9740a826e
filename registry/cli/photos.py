"""``df2 photos``: work with the photos of a release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, note, storage_option
from registry.cli.examples import examples
from registry.cli.password import with_password
from registry.cli.paths import PLACE, FileType
from registry.cli.progress import progress_bar
from registry.redaction import redact
from registry.wording import plural

if TYPE_CHECKING:
    from registry.sources.unlock import UnlockReport


@examples("df2 photos unlock s3://bucket/train.zip train-open.zip")
@click.group("photos")
def photos() -> None:
    """Work with the photos of a release: unlock a protected zip."""


@examples(
    "df2 photos unlock s3://bucket/train.zip train-open.zip",
    "df2 photos unlock s3://bucket/train.zip /data/train",
)
@photos.command("unlock")
@click.argument("source", metavar="SRC", type=PLACE)
@click.argument("dest", metavar="DST", type=FileType(path_type=Path))
@click.option(
    "-j", "--jobs", type=click.IntRange(1), metavar="N", help="Worker processes. Default: the number of cores."
)
@storage_option
@click.pass_obj
def unlock(places: Places, source: str, dest: Path, jobs: int | None) -> None:
    """Copy a protected zip once into an unprotected one.

    SRC is a zip or the fsspec URL of one. DST ends in .zip (its members are stored, so that each is read at once) or is
    a folder; it must not exist. The files keep their names, and each is checked by its CRC. DST appears when it is
    complete; a run that was ended goes on where it stopped. The password comes from DF2_ZIP_PASSWORD or is asked for.
    """
    from registry.sources.unlock import unlock as run

    def attempt(password: str | None) -> UnlockReport:
        with progress_bar(f"Unlocking {redact(source)}") as progress:
            return run(source, dest, options=places.storage_options, password=password, jobs=jobs, progress=progress)

    report = with_password(attempt, f"Password of {redact(source)}")
    for notice in report.notices:
        note(f"note: {notice}")
    if report.resumed:
        note(f"note: {plural(report.resumed, 'file')} of an earlier run were checked and kept")
    if not report.was_protected:
        note(f"note: {redact(source)} is not protected: its files were copied as they are")
    click.echo(f"{dest}: {plural(report.members, 'file')}, {report.size:,} bytes.")
