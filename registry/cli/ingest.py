"""The commands that make something: a registry, a sample release, a catalog."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli import issues_file
from registry.cli.context import Places, note, storage_option
from registry.cli.paths import FILE, PLACE, FileType
from registry.cli.progress import progress_bar
from registry.dataset.deepfashion2 import SPLITS
from registry.errors import NotFoundError, PasswordError, StorageError, UsageError
from registry.redaction import printable, redact
from registry.storage.filesystems import local_path
from registry.storage.timeouts import network_timeout

if TYPE_CHECKING:
    from registry.ingest.build import IngestReport

PASSWORD_VARIABLE = "DF2_ZIP_PASSWORD"

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
    password = os.environ.get(PASSWORD_VARIABLE) or None
    options["storage_options"] = places.storage_options

    def attempt(password: str | None) -> IngestReport:
        with progress_bar(f"Ingesting {split}") as progress, _dask_executor(dask) as executor:
            return run(split, source, registry, password=password, executor=executor, progress=progress, **options)

    try:
        try:
            report = attempt(password)
        except PasswordError:
            if password or not sys.stdin.isatty():
                raise
            report = attempt(click.prompt(f"Password of {source}", hide_input=True))
    except IngestError as error:
        if _write_issues(error.report, issues_path):
            note(f"All of them are in {issues_path}.")
        raise
    _print_report(report, issues_path if _write_issues(report, issues_path) else None)


@contextmanager
def _dask_executor(address: str | None) -> Iterator[Any]:
    if address is None:
        yield None
        return
    from registry.errors import MissingDependencyError

    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError("--dask needs: pip install 'deepfashion2-registry[dask]'") from error
    try:
        # Client waits as long as its own configuration says, 30 s by default.
        client = Client(address, timeout=network_timeout())  # type: ignore[no-untyped-call,unused-ignore]
    except (ValueError, TypeError) as error:
        raise UsageError(f"--dask is {address!r}: expected tcp://HOST:PORT; {error}.") from error
    except OSError as error:
        raise StorageError(f"Cannot reach the Dask scheduler at {address}: {error}") from error
    with client, client.get_executor(retries=2) as executor:  # type: ignore[no-untyped-call,unused-ignore]
        yield executor


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

    password = os.environ.get(PASSWORD_VARIABLE)
    text = fingerprint_source(
        source,
        split,
        retrieval,
        photos=image_sizes,
        output=output,
        password=password,
        options=places.storage_options,
    )
    if output is None:
        click.echo(text, nl=False)


@click.command()
@click.argument("registry", type=PLACE)
@storage_option
@click.pass_obj
def manifest(places: Places, registry: str) -> None:
    """Make the manifest of REGISTRY again from its files.

    For a registry of which 'dvc checkout' or 'dvc pull' brought a part.
    """
    from registry.dataset.tables import TABLES
    from registry.snapshot.manifest import MANIFEST_NAME, parse_manifest, rebuild_manifest
    from registry.snapshot.publish import check_destination, data_files

    place = places.place(registry)
    if place.path is not None and not place.path.is_dir():
        raise NotFoundError(f"There is no folder {place}.")
    if not data_files(path for table in TABLES for path in place.list(table)):
        # Only an earlier manifest tells then that this is a registry.
        check_destination(place)
        data, _ = place.read_version(MANIFEST_NAME)
        if data is not None:
            parse_manifest(data, place)
    with place.lock():
        _, version = place.read_version(MANIFEST_NAME)
        made = rebuild_manifest(place)
        place.replace(MANIFEST_NAME, made.to_json(), version)
    click.echo(f"{len(made.files)} files, splits: {', '.join(made.splits) or 'none'}.")


@click.command()
@click.argument("dest", type=FileType(path_type=Path))
@click.option("--images", type=click.IntRange(1), default=240, show_default=True, metavar="N", help="Photos in all.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Same seed, same bytes.")
def sample(dest: Path, images: int, seed: int) -> None:
    """Draw a small made-up release in the shape of DeepFashion2.

    DEST gets photos of clothes with their annotations and the retrieval files.
    """
    from registry.sample import write_sample

    with progress_bar("Drawing") as progress:
        summary = write_sample(dest, images, seed, progress)
    splits = (f"{split} {number} images, {summary.items[split]} items" for split, number in summary.images.items())
    click.echo(f"{printable(str(dest))}: {'; '.join(splits)}.")


@click.command()
@click.argument("file", type=PLACE)
@click.option("--copy", is_flag=True, help="Copy the rows in, so that the file is all that is needed.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is no catalog or holds more, too.")
@click.pass_obj
def catalog(places: Places, file: str, copy: bool, overwrite: bool) -> None:
    """Write a DuckDB database file with all tables and views.

    Any DuckDB client from 1.0 on opens FILE. It reads the registry's files where they lie, from any working
    directory, and shows the registry as it is when asked; with --copy it holds the rows itself. That is the one way
    for a registry or a FILE that is not local. A catalog that is there is replaced, unless tables, views, macros or
    anything else were added to it; rows that were changed in its copies are not kept.
    """
    from registry.store.catalog import check_replaceable, write_catalog

    place = places.open().place
    is_local = local_path(file) is not None
    if os.path.isdir(file):
        raise click.BadParameter(f"{file} is a folder; expected a file to write to.")
    if not is_local and not copy:
        raise UsageError("Elsewhere the registry's files are not found: copy its rows into the catalog with --copy.")
    with places.local_file(file) as path:
        if not overwrite:
            if not is_local:
                places.fetch_if_there(file, path)
            check_replaceable(path, redact(file))
        write_catalog(place, path, copy=copy, overwrite=True)
    shown = printable(redact(file))
    click.echo(f"{shown}: open it with 'duckdb {shown}'." if is_local else f"{shown}: written.")
