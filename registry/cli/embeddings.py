"""``df2 embeddings``: the vectors that models made of items, kept beside a registry."""

from __future__ import annotations

import re
from dataclasses import asdict

import click

from registry.cli.context import Places, note, storage_option
from registry.cli.embeddings_make import make
from registry.cli.embeddings_output import check_writable, dtype_option, tell
from registry.cli.examples import examples
from registry.cli.output import Output, Rows, output_options, write_rows
from registry.cli.paths import PLACE
from registry.errors import StorageError
from registry.redaction import printable


@examples("df2 embeddings add resnet50 vectors.parquet --weights resnet50.pth", "df2 embeddings list")
@click.group("embeddings")
def embeddings() -> None:
    """Keep the vectors that models made of items beside the registry.

    They are the tables embeddings and embedding_models: in queries, checks of files, copies and revisions like all
    others. An ingestion leaves them as they are; vectors of items whose box or photo changed are stale.
    """


@examples(
    "df2 embeddings add resnet50 vectors.parquet",
    "df2 embeddings add clip vectors.parquet --weights clip.pt --crop 'box and a tenth around it' --replace",
)
@embeddings.command("add")
@click.argument("model", metavar="MODEL")
@click.argument("source", metavar="FILE", type=PLACE)
@click.option("--weights", metavar="FILE|SHA256", help="The model's weights, or the SHA-256 of their file.")
@click.option("--crop", metavar="TEXT", help="How items were cut out of photos, in words.")
@dtype_option
@click.option("--replace", is_flag=True, help="Put the vectors in place of those of a model of this name.")
@click.option("--skip-unknown", is_flag=True, help="Leave out rows of no item of the registry.")
@storage_option
@click.pass_obj
def add(
    places: Places,
    model: str,
    source: str,
    weights: str | None,
    crop: str | None,
    dtype: str,
    replace: bool,
    skip_unknown: bool,
) -> None:
    """Add the vectors of MODEL: FILE has the columns split, image_id, item_no and vector.

    FILE is a path or URL of Parquet, Arrow or JSON lines. The vectors are divided by their lengths and stored in the
    order of the items. Rows that cannot be used are an error that counts all of them, and nothing is changed.
    """
    from registry.embeddings.add import add_embeddings

    check_writable(places)
    report = add_embeddings(
        places.registry,
        model,
        source,
        dtype=dtype,
        weights=digest_of(weights),
        crop=crop,
        replace=replace,
        skip_unknown=skip_unknown,
        storage_options=places.storage_options,
    )
    tell(report)


@examples("df2 embeddings list", "df2 embeddings list --format csv")
@embeddings.command("list")
@output_options
@click.pass_obj
def list_models(places: Places, output: Output) -> None:
    """List the models, with the number of their vectors and of those that are out of date.

    Missing are items without a vector, stale are vectors of an item whose box or photo is another now, unknown are
    vectors of no item; the view embedding_states has their keys.
    """
    from registry.embeddings.table import models

    rows = [asdict(part) for part in models(places.open())]
    if not rows and output.is_table:
        note("The registry has no vectors: 'df2 embeddings add' puts some beside it.")
    else:
        write_rows(Rows.of_records(rows), output)


@examples("df2 embeddings remove resnet50")
@embeddings.command("remove")
@click.argument("model", metavar="MODEL")
@storage_option
@click.pass_obj
def remove(places: Places, model: str) -> None:
    """Remove the vectors of MODEL from the registry."""
    from registry.embeddings.add import remove_embeddings

    check_writable(places)
    remove_embeddings(places.registry, model, places.storage_options)
    click.echo(f"{printable(model)}: removed.")


def digest_of(weights: str | None) -> str | None:
    """Return the SHA-256 that a user names, or that of the file; None for None."""
    from registry.files.regular_files import regular_digest

    if weights is None or re.fullmatch(r"[0-9a-fA-F]{64}", weights):
        return weights and weights.lower()
    try:
        _, digest = regular_digest(weights)
    except OSError as error:
        raise StorageError(f"Cannot read the weights {printable(weights)}: {error.strerror or error}.") from error
    assert digest is not None  # the file is read whole
    return digest.hex()


embeddings.add_command(make)
