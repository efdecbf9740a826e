"""``df2 embeddings make``: the vectors of an embedder, made out of photos and kept beside a registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from registry.cli.context import Places, storage_option
from registry.cli.embeddings_output import check_writable, dtype_option, tell
from registry.cli.examples import examples
from registry.cli.password import with_password
from registry.cli.photo_options import PASSWORD_PROMPT, jobs_option, photo_sources, photos_option, splits_option
from registry.cli.progress import progress_bar
from registry.cli.scheduler_option import scheduler_option, workers
from registry.errors import UsageError
from registry.redaction import printable

if TYPE_CHECKING:
    from registry.embeddings.add import AddReport


@examples(
    "df2 embeddings make colour-texture --photos data/sample",
    "df2 embeddings make my-run-3 --embedder my-model --split validation -j 1 --replace",
)
@click.command("make")
@click.argument("model", metavar="MODEL")
@click.option(
    "--embedder", metavar="NAME", help="The embedder that makes the vectors. Default: the embedder called MODEL."
)
@photos_option
@splits_option("Split whose items get vectors")
@jobs_option
@scheduler_option
@dtype_option
@click.option("--replace", is_flag=True, help="Put the vectors in place of those of a model of this name.")
@storage_option
@click.pass_obj
def make(
    places: Places,
    model: str,
    embedder: str | None,
    photos: str | None,
    follow_links: bool,
    splits: tuple[str, ...],
    jobs: int | None,
    scheduler: str | None,
    dtype: str,
    replace: bool,
) -> None:
    """Make a vector of each item out of its photo, and add them as those of MODEL.

    The embedder colour-texture needs no trained model: it compares colours, edges and fine structure, and finds the
    same print rather than the same cut. Other packages add embedders by an entry point in the group
    deepfashion2_registry.embedders.

    Items whose photo is missing or damaged get no vector, and a note counts them. The registry is changed in one step
    at the end; a run that was ended leaves it as it was. The password of a zip comes from DF2_ZIP_PASSWORD or is asked
    for.
    """
    from registry.embeddings.make import make_embeddings

    check_writable(places)
    sources = photo_sources(photos)
    if sources is None:
        raise UsageError("No place of the photos is known: name it with --photos RELEASE.")

    def attempt(password: str | None) -> AddReport:
        with progress_bar(f"Embedding with {printable(embedder or model)}") as progress, workers(scheduler) as executor:
            return make_embeddings(
                places.registry,
                embedder or model,
                sources,
                splits=splits,
                model=model,
                jobs=jobs or os.cpu_count() or 1,
                dtype=dtype,
                replace=replace,
                password=password,
                storage_options=places.storage_options,
                follow_links=follow_links,
                executor=executor,
                progress=progress,
            )

    tell(with_password(attempt, PASSWORD_PROMPT))
