"""``df2 ingest`` and ``df2 fingerprint``: the commands that read raw files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli import issues_file
from registry.cli.completion import complete_split
from registry.cli.context import Places, note, storage_option
from registry.cli.deprecated_option import deprecated_option
from registry.cli.examples import examples
from registry.cli.model_notices import note_out_of_date
from registry.cli.password import password_from_environment, with_password
from registry.cli.paths import FILE, FOLDER, PLACE
from registry.cli.photo_options import jobs_option
from registry.cli.progress import progress_bar
from registry.cli.scheduler_option import scheduler_option, workers
from registry.dataset.deepfashion2 import SPLITS
from registry.deprecation import DASK
from registry.errors import StorageError
from registry.execution.memory import lean_memory
from registry.redaction import printable
from registry.wording import plural

if TYPE_CHECKING:
    from registry.ingest.build import IngestReport

_split = click.option(
    "--split",
    required=True,
    metavar="|".join(SPLITS),
    shell_complete=complete_split,
    help="Split of the files in SOURCE.",
)
_retrieval = click.option(
    "--retrieval",
    type=PLACE,
    multiple=True,
    metavar="PATH",
    help="Query and gallery lists or *_information.json: a file, or a folder or zip of them. Repeatable.",
)
_corrections = click.option(
    "--corrections",
    type=FOLDER,
    metavar="DIR",
    help="Folder of corrections (*.jsonl) of the annotations: see docs/how-to/corrections.md.",
)


@examples(
    "df2 ingest --split train data/sample data/registry",
    "df2 ingest --split test --on-error quarantine data/sample data/registry",
    "df2 ingest --split train s3://bucket/release s3://bucket/registry",
    "df2 ingest --split train --source-of @sources.csv instances.json data/registry",
)
@click.command()
@click.argument("source", type=PLACE)
@click.argument("registry", type=PLACE)
@_split
@_retrieval
@_corrections
@click.option(
    "--on-error",
    type=click.Choice(["fail", "quarantine"]),
    default="fail",
    show_default=True,
    help="For bad files: change nothing and exit with 3, or put them into the table quarantine.",
)
@click.option(
    "--image-sizes/--no-image-sizes",
    default=True,
    show_default=True,
    help="Read names, sizes and EXIF orientation of the photos where SOURCE has any. Without it, file_name is the "
    "annotation's with .jpg.",
)
@click.option(
    "--follow-links",
    is_flag=True,
    help="Read files that are links out of SOURCE. Without it they count as bad files; folders may be links.",
)
@click.option(
    "--source-of",
    type=PLACE,
    metavar="@FILE",
    help="File that names the source of images, in lines such as 000001.jpg,user: for COCO files and photos without "
    "annotation, which do not tell it.",
)
@jobs_option
@scheduler_option
@deprecated_option(DASK)
@click.option(
    "--issues",
    type=FILE,
    help="File for all issues and notices; an existing file is replaced or removed only if df2 wrote it.  [default: "
    "df2-issues-SPLIT.txt]",
)
@storage_option
@click.pass_obj
def ingest(
    places: Places,
    /,
    source: str,
    registry: str,
    split: str,
    issues: Path | None,
    scheduler: str | None,
    dask: str | None,
    **options: Any,
) -> None:
    """Replace one split of REGISTRY by the annotations of SOURCE.

    The other splits stay as they are. SOURCE is a folder with annos/ (and perhaps image/), a .zip or .tar (also
    .tar.gz, .tar.bz2, .tar.xz) of such a folder, the parts of a download (train-001.zip for all of them), a folder with
    SPLIT/ or SPLIT.zip in it, or an fsspec URL of any of these. Archives are read in place. The password of a protected
    zip comes from DF2_ZIP_PASSWORD or is asked for.

    SOURCE may be a COCO file too (.json, .json.gz, ZIP/FILE.json, or a folder of such files): of the official
    converter, or of 'df2 export coco', with --attributes without loss. Values that it does not hold become NULL.
    """
    from registry.ingest.build import IngestError
    from registry.ingest.build import ingest as run

    if scheduler is not None and dask is not None:
        raise click.UsageError("--dask is the old name of --scheduler: give --scheduler alone.")
    issues_path = issues or Path(f"df2-issues-{split}.txt")
    issues_file.check_replaceable(issues_path)
    if issues is not None:  # a user who names a file needs it; without it the issues are printed
        issues_file.check_writable(issues_path)
    options["storage_options"] = places.storage_options

    def attempt(password: str | None) -> IngestReport:
        with (
            progress_bar(f"Ingesting {split}") as progress,
            workers(dask if scheduler is None else scheduler) as executor,
        ):
            return run(split, source, registry, password=password, executor=executor, progress=progress, **options)

    try:
        with lean_memory():
            report = with_password(attempt, f"Password of {source}")
    except IngestError as error:
        if _write_issues(error.report, issues_path):
            note(f"All of them are in {issues_path}.")
        raise
    has_file = _write_issues(report, issues_path)
    _print_report(report)
    if has_file:
        note(f"All of them are in {issues_path}.")
    note_out_of_date(places, registry, report.split)


def _write_issues(report: IngestReport, path: Path) -> bool:
    """Write all issues and notices to a file; return whether it holds any.

    A file that cannot be written is only a warning: the ingestion is done.
    """
    lines = [str(issue) for issue in report.issues] + [f"notice: {notice}" for notice in report.notices]
    try:
        issues_file.write_issues(path, report.split, lines)
    except StorageError as error:
        if lines:
            click.echo(printable(f"warning: The issues are not in a file: {error}"), err=True)
            note("--issues FILE names another place for all of them.")
        else:
            click.echo(printable(f"warning: The issues of an earlier run are out of date: {error}"), err=True)
        return False
    return bool(lines)


def _print_report(report: IngestReport) -> None:
    from registry.sources.issues import summarise

    counts = [plural(report.images, "image"), plural(report.items, "item")]
    if report.corrections:
        counts.append(plural(report.corrections, "correction"))
    click.echo(f"{report.split}: {', '.join(counts)}.")
    if report.bad_files:
        click.echo(f"{report.split}: {plural(len(report.bad_files), 'bad file')} in the table quarantine.")
        click.echo(summarise([printable(str(issue)) for issue in report.issues]), err=True)
    if report.notices:
        click.echo(summarise(map(printable, report.notices), "notice"), err=True)


@examples(
    "df2 fingerprint --split train data/sample",
    "df2 fingerprint --split train -o fingerprint.json data/sample",
)
@click.command()
@click.argument("source", type=PLACE)
@_split
@_retrieval
@_corrections
@click.option(
    "-o", "--output", type=FILE, help="File to write; with an earlier one, unchanged files are not read again."
)
@click.option("--image-sizes/--no-image-sizes", default=True, help="Include the photos.")
@storage_option
@click.pass_obj
def fingerprint(
    places: Places,
    source: str,
    split: str,
    retrieval: tuple[str, ...],
    corrections: Path | None,
    output: Path | None,
    image_sizes: bool,
) -> None:
    """Print a small JSON that changes when SOURCE changes.

    It changes when an annotation is edited, when a photo is edited at its beginning or end, and when either is added
    or removed. A DVC stage depends on it instead of on hundreds of thousands of files.
    """
    from registry.ingest.fingerprint import fingerprint_source

    output = None if output == Path("-") else output
    text = fingerprint_source(
        source,
        split,
        retrieval,
        photos=image_sizes,
        corrections=corrections,
        output=output,
        password=password_from_environment(),
        options=places.storage_options,
    )
    if output is None:
        click.echo(text, nl=False)
