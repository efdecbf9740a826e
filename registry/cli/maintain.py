"""``df2 manifest``, ``df2 catalog`` and ``df2 sample``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from registry.cli.context import Places, storage_option
from registry.cli.examples import examples
from registry.cli.paths import PLACE, FileType
from registry.cli.progress import progress_bar
from registry.errors import NotFoundError, UsageError
from registry.redaction import printable, redact
from registry.storage.paths import local_path
from registry.wording import plural


@examples("df2 manifest data/registry")
@click.command()
@click.argument("registry", type=PLACE)
@storage_option
@click.pass_obj
def manifest(places: Places, registry: str) -> None:
    """Rebuild the manifest of REGISTRY from its files.

    For a registry of which 'dvc checkout' or 'dvc pull' brought only some files.
    """
    from registry.dataset.tables import TABLES
    from registry.snapshot.manifest import MANIFEST_NAME, parse_manifest, rebuild_manifest
    from registry.snapshot.publish import check_destination, data_files

    place = places.place(registry)
    if place.path is not None and not place.path.is_dir():
        raise NotFoundError(f"There is no folder {place}.")
    if not data_files(path for table in TABLES for path in place.list(table)):
        # Without data files, only an earlier manifest proves that the folder is a registry.
        check_destination(place)
        data, _ = place.read_version(MANIFEST_NAME)
        if data is not None:
            parse_manifest(data, place)
    with place.lock():
        _, version = place.read_version(MANIFEST_NAME)
        rebuilt = rebuild_manifest(place)
        place.replace(MANIFEST_NAME, rebuilt.to_json(), version)
    click.echo(f"{plural(len(rebuilt.files), 'file')}, splits: {', '.join(rebuilt.splits) or 'none'}.")


@examples("df2 sample data/sample", "df2 sample --images 600 --seed 1 data/large-sample")
@click.command()
@click.argument("dest", type=FileType(path_type=Path))
@click.option("--images", type=click.IntRange(1), default=240, show_default=True, metavar="N", help="Photos in all.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Same seed, same bytes.")
def sample(dest: Path, images: int, seed: int) -> None:
    """Draw a small made-up release in the layout of DeepFashion2.

    DEST gets drawn photos of clothes with their annotations and the retrieval files.
    """
    from registry.sample import write_sample

    with progress_bar("Drawing") as progress:
        summary = write_sample(dest, images, seed, progress)
    splits = (
        f"{split} {plural(num_images, 'image')}, {plural(summary.items[split], 'item')}"
        for split, num_images in summary.images.items()
    )
    click.echo(f"{printable(str(dest))}: {'; '.join(splits)}.")


@examples("df2 catalog df2.duckdb", "df2 catalog --copy df2-copy.duckdb")
@click.command()
@click.argument("file", type=PLACE)
@click.option("--copy", is_flag=True, help="Copy the rows into the file, so that it works without the registry.")
@click.option(
    "--overwrite", is_flag=True, help="Also replace a file that is no catalog, or to which something was added."
)
@click.pass_obj
def catalog(places: Places, file: str, copy: bool, overwrite: bool) -> None:
    """Write a DuckDB database file with all tables and views.

    Any DuckDB client from 1.0 on opens FILE. Its views read the registry's files in place, from any working directory,
    so that queries see the current registry. With --copy it holds the rows itself; a remote registry and a remote FILE
    need this. An existing catalog is replaced unless tables, views, macros or anything else were added to it; changes
    to its copied rows are lost.
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
