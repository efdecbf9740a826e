"""``df2 photos``: work with the photos of a release."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, note, storage_option
from registry.cli.examples import examples
from registry.cli.model_notices import note_out_of_date
from registry.cli.password import with_password
from registry.cli.paths import PLACE, FileType
from registry.cli.photo_options import jobs_option, photos_option, splits_option
from registry.cli.progress import progress_bar
from registry.cli.scheduler_option import scheduler_option, workers
from registry.dataset.deepfashion2 import SPLITS, find_split
from registry.errors import UsageError
from registry.redaction import printable, redact
from registry.subset.params import load_sources
from registry.wording import plural, size

if TYPE_CHECKING:
    from registry.ingest.describe import DescribeReport
    from registry.sources.unlock import UnlockReport


@examples("df2 photos unlock s3://bucket/train.zip train-open.zip", "df2 photos describe --photos data/sample")
@click.group("photos")
def photos() -> None:
    """Unlock protected photos, or describe photos in a table."""


@examples(
    "df2 photos describe",
    "df2 photos describe --split train --photos data/sample",
    "df2 -r s3://bucket/registry --cache ~/.cache/df2 photos describe --photos s3://bucket/release",
)
@photos.command("describe")
@photos_option
@splits_option("Split to describe")
@jobs_option
@scheduler_option
@storage_option
@click.pass_obj
def describe(
    places: Places,
    photos: str | None,
    splits: tuple[str, ...],
    follow_links: bool,
    jobs: int | None,
    scheduler: str | None,
) -> None:
    """Read every photo once into the table photos.

    Its columns are SHA-256, difference hash, size, EXIF orientation, brightness and sharpness; the checks of photos
    read them. Each split is replaced at once, when all of its photos are read. An interrupted run goes on where it
    stopped, and unchanged photos are not read again: the measures of each photo are kept in the registry's folder
    (.df2), for a remote registry in that of --cache. A photo that cannot be decoded is named and has NULLs; the check
    unreadable-picture lists it.

    RELEASE may also be the folder or archive of a single split, with --split.
    """
    from registry.ingest.describe import describe_photos
    from registry.snapshot.manifest import read_manifest
    from registry.sources.issues import summarise

    if places.rev is not None:
        raise UsageError("A git revision cannot be changed: describe the photos of a registry without --rev.")
    sources = {} if photos else load_sources()
    place = places.place(places.registry)
    chosen = list(dict.fromkeys(splits)) or [split for split in SPLITS if split in read_manifest(place).splits]
    unknown = [] if photos else [split for split in map(find_split, chosen) if split not in sources]
    if unknown:
        raise UsageError(f"No place of the photos of {', '.join(unknown)} is known: name it with --photos RELEASE.")
    if not place.is_local and places.cache is None:
        note("note: what is read is not kept if this run is ended; --cache DIR before 'photos' keeps it")
    for split in chosen:
        source = photos or sources[split]

        def attempt(password: str | None, split: str = split, source: str = source) -> DescribeReport:
            with progress_bar(f"Describing {split}") as progress, workers(scheduler) as executor:
                return describe_photos(
                    split,
                    source,
                    places.registry,
                    jobs=jobs or os.cpu_count() or 1,
                    password=password,
                    storage_options=places.storage_options,
                    follow_links=follow_links,
                    cache=places.cache,
                    executor=executor,
                    progress=progress,
                )

        report = with_password(attempt, f"Password of {redact(source)}")
        num_old = report.photos - report.read
        counts = f", {num_old:,} of them unchanged and not read again" if num_old else ""
        click.echo(f"{split}: {plural(report.photos, 'photo')} described{counts}.")
        if report.issues:
            click.echo(summarise([printable(str(issue)) for issue in report.issues]), err=True)
        if report.notices:
            click.echo(summarise(map(printable, report.notices), "notice"), err=True)
        note_out_of_date(places, places.registry, find_split(split))


@examples(
    "df2 photos unlock s3://bucket/train.zip train-open.zip",
    "df2 photos unlock s3://bucket/train.zip /data/train",
)
@photos.command("unlock")
@click.argument("source", metavar="SRC", type=PLACE)
@click.argument("dest", metavar="DST", type=FileType(path_type=Path))
@jobs_option
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
    click.echo(f"{dest}: {plural(report.members, 'file')}, {size(report.size)}.")
