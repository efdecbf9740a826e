"""The commands that read raw files: ``df2 ingest`` and ``df2 fingerprint``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli import issues_file
from registry.cli.context import Places, note, storage_option
from registry.cli.password import password_from_environment, with_password
from registry.cli.paths import FILE, PLACE
from registry.cli.progress import progress_bar
from registry.dataset.deepfashion2 import SPLITS
from registry.errors import StorageError
from registry.execution.dask import dask_executor
from registry.execution.memory import lean_memory
from registry.redaction import printable
from registry.storage.timeouts import network_timeout

if TYPE_CHECKING:
    from registry.ingest.build import IngestReport

_split = click.option("--split", required=True, metavar="|".join(SPLITS), help="The split that SOURCE holds.")
_retrieval = click.option(
    "--retrieval",
    type=PLACE,
    multiple=True,
    metavar="PATH",
    help="Query and gallery lists or *_information.json: a file, or a folder or zip of them. Repeatable.",
)


@click.command()
@click.argument("source", type=PLACE)
@click.argument("registry", type=PLACE)
@_split
@_retrieval
@click.option(
    "--on-error",
    type=click.Choice(["fail", "quarantine"]),
    default="fail",
    show_default=True,
    help="What bad files do: change nothing and exit with 3, or go to the table quarantine.",
)
@click.option(
    "--image-sizes/--no-image-sizes",
    default=True,
    show_default=True,
    help="Read width and height from the photos' headers where SOURCE has photos.",
)
@click.option(
    "--follow-links",
    is_flag=True,
    help="Read files that are links out of SOURCE. Without it they are bad files; folders may be links.",
)
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Processes. Default: one a core.")
@click.option("--dask", metavar="ADDRESS", help="Run on the workers of this Dask scheduler (tcp://HOST:PORT).")
@click.option(
    "--issues",
    type=FILE,
    help="Where all issues and notices are written; replaced or removed only if df2 wrote it.  [default: "
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
    dask: str | None,
    **options: Any,
) -> None:
    """Replace one split of REGISTRY by what SOURCE holds.

    The other splits stay as they are. SOURCE is a folder with annos/ (and perhaps image/), a .zip, .tar or .tar.gz of
    the same, a folder with SPLIT/ or SPLIT.zip in it, or an fsspec URL of any of these. Archives are read in place.
    The password of a protected zip comes from DF2_ZIP_PASSWORD or is asked for.
    """
    from registry.ingest.build import IngestError
    from registry.ingest.build import ingest as run

    issues_path = issues or Path(f"df2-issues-{split}.txt")
    issues_file.check(issues_path)
    options["storage_options"] = places.storage_options

    def attempt(password: str | None) -> IngestReport:
        with progress_bar(f"Ingesting {split}") as progress, dask_executor(dask, network_timeout()) as executor:
            return run(split, source, registry, password=password, executor=executor, progress=progress, **options)

    try:
        with lean_memory():
            report = with_password(attempt, f"Password of {source}")
    except IngestError as error:
        if _write_issues(error.report, issues_path):
            note(f"All of them are in {issues_path}.")
        raise
    _print_report(report, issues_path if _write_issues(report, issues_path) else None)


def _write_issues(report: IngestReport, path: Path) -> bool:
    """Write all issues and notices; return whether they are there. What was ingested stays ingested without them."""
    lines = [str(issue) for issue in report.issues] + [f"notice: {notice}" for notice in report.notices]
    try:
        issues_file.write(path, report.split, lines)
    except StorageError as error:
        note(f"warning: The issues are not in a file: {error}")
        return False
    return bool(lines)


def _print_report(report: IngestReport, issues_path: Path | None) -> None:
    from registry.sources.issues import summarise

    click.echo(f"{report.split}: {report.images:,} images, {report.items:,} items.")
    if report.bad_files:
        click.echo(f"{report.split}: {len(report.bad_files):,} bad files in the table quarantine.")
        click.echo(summarise([printable(str(issue)) for issue in report.issues]), err=True)
    if report.notices:
        click.echo(summarise(map(printable, report.notices), "notice"), err=True)
    if issues_path is not None:
        note(f"All of them are in {issues_path}.")


@click.command()
@click.argument("source", type=PLACE)
@_split
@_retrieval
@click.option("-o", "--output", type=FILE, help="Write it here.")
@click.option("--image-sizes/--no-image-sizes", default=True, help="Whether photos count too.")
@storage_option
@click.pass_obj
def fingerprint(
    places: Places, source: str, split: str, retrieval: tuple[str, ...], output: Path | None, image_sizes: bool
) -> None:
    """Print a small JSON that changes when SOURCE does.

    It changes when an annotation is edited, when a photo is edited at its beginning or end, and when either is added
    or removed. A DVC stage depends on it instead of on hundreds of thousands of files. With --output, unchanged
    files are not read again.
    """
    from registry.ingest.fingerprint import fingerprint_source

    output = None if output == Path("-") else output
    text = fingerprint_source(
        source,
        split,
        retrieval,
        photos=image_sizes,
        output=output,
        password=password_from_environment(),
        options=places.storage_options,
    )
    if output is None:
        click.echo(text, nl=False)
