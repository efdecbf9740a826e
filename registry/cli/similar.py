"""``df2 similar``: the items that look most like an item or a photo, by the vectors of a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from registry.cli.completion import complete_split
from registry.cli.context import Places, note, storage_option
from registry.cli.examples import examples
from registry.cli.image_names import parse_image
from registry.cli.output import Output, Rows, output_options, write_rows
from registry.cli.password import with_password
from registry.cli.paths import PLACE, FileType
from registry.cli.photo_options import PASSWORD_PROMPT, photo_sources, photos_option
from registry.cli.pictures import BAD_INPUT, Pages, open_photos, print_problems, write_pictures
from registry.cli.subset_options import undivided_subset_options
from registry.errors import UsageError
from registry.redaction import printable, redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.embeddings.photo_vector import PhotoVector
    from registry.embeddings.similar import SimilarItems
    from registry.pictures.album import Album, Problems, Subject
    from registry.subset.options import Subset

_PAGE: Final = (".html", ".htm")


class _BoxType(click.ParamType[tuple[float, ...]]):
    """Four numbers with commas between them."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return the numbers; fail if they are not four."""
        try:
            numbers = tuple(map(float, value.split(",")))
        except ValueError:
            numbers = ()
        if len(numbers) != 4:
            self.fail(f"expected four numbers such as 120,80,340,460, found {printable(value)!r}.", param, ctx)
        return numbers


@examples(
    "df2 similar train 1 1",
    "df2 similar train 1 1 -k 100 --source shop --category skirt --format csv",
    "df2 similar --photo jacket.jpg --box 120,80,340,460 --source shop",
    "df2 similar validation 7 2 --embeddings embeddings.parquet --show similar.html --photos data/sample",
)
@click.command("similar")
@click.argument("of_split", metavar="[SPLIT]", required=False, shell_complete=complete_split)
@click.argument("of_image", metavar="[IMAGE_ID]", required=False)
@click.argument("item_no", metavar="[ITEM_NO]", required=False, type=int)
@click.option(
    "--photo",
    type=PLACE,
    metavar="FILE|URL",
    help="A photo of your own (JPEG, PNG or WebP) instead of an item; the embedder of the model makes its vector.",
)
@click.option(
    "--box",
    type=_BoxType(),
    metavar="X1,Y1,X2,Y2",
    help="The garment in --photo: its left, top, right and bottom edge, px. Default: the whole photo.",
)
@click.option(
    "--embedder",
    metavar="NAME",
    help="The embedder that made the vectors, for --photo. Default: the embedder of the model's name.",
)
@click.option("-k", "number", type=click.IntRange(1), default=20, show_default=True, help="Number of items.")
@click.option(
    "--embeddings",
    type=PLACE,
    metavar="MODEL|FILE|URL",
    help="A model whose vectors are beside the registry, or a file with the columns split, image_id, item_no and "
    "vector. Default: the only model of the registry.",
)
@click.option(
    "--show",
    "picture",
    type=FileType(dir_okay=False, url_okay=True),
    metavar="FILE",
    help="Also draw the items into this file or URL: a page (.html) that loads nothing, or sheets (.png, .jpg, .pdf).",
)
@photos_option
@undivided_subset_options
@output_options
@storage_option
@click.pass_obj
def similar(
    places: Places,
    of_split: str | None,
    of_image: str | None,
    item_no: int | None,
    photo: str | None,
    box: tuple[float, ...] | None,
    embedder: str | None,
    number: int,
    embeddings: str | None,
    picture: str | None,
    photos: str | None,
    follow_links: bool,
    subset: Subset,
    tables: dict[str, str],
    output: Output,
) -> None:
    """List the items that are most similar to an item or a photo.

    Similarity is the cosine of two vectors. All items of the registry, or of a subset of it, are compared; the item
    itself is left out, and equally similar items stand in the order of their keys. IMAGE_ID may be the name of a file,
    as for df2 image.

    --photo needs a model whose embedder is installed, such as colour-texture; the photo is turned by its EXIF
    orientation, and cut out of it is --box with the embedder's margin.

    Exit code 3: the rows were written, and with --show a photo is damaged, or is not in the RELEASE of --photos.
    """
    from registry.embeddings.similar import similar_items, similar_to_vector

    item = (of_split, of_image, item_no)
    if any(value is not None for value in item) if photo is not None else None in item:
        raise click.UsageError("Expected SPLIT IMAGE_ID ITEM_NO, or --photo FILE.")
    if photo is None and (box is not None or embedder is not None):
        raise click.UsageError(f"{'--embedder' if box is None else '--box'} is for --photo.")
    if picture is not None:
        _check_suffix(picture)
    registry = places.open(tables=tables)
    options: dict[str, Any] = {"embeddings": embeddings, "storage_options": places.storage_options}
    query: tuple[str, int, int] | PhotoVector
    if photo is None:
        query = (*parse_image(str(of_split), of_image), int(item_no or 0))
        answer = similar_items(registry, *query, number, subset=subset, keeps=False, **options)
    else:
        from registry.embeddings.photo_vector import photo_vector

        query = photo_vector(registry, photo, box, embedder=embedder, **options)
        answer = similar_to_vector(registry, query.vector, number, subset=subset, keeps=False, **options)
        answer.notices[:0] = query.notices
    write_rows(Rows.of_records(answer.rows.to_pylist()), output)
    for text in answer.notices:
        note(f"note: {text}.")
    if picture is None:
        return

    def open_album(password: str | None) -> Album:
        from registry.pictures.album import Album

        opened = open_photos(places, sources, password, follow_links)
        return Album(registry, opened, must_have_photos=photos is not None, only_boxes=True)

    from registry.pictures.album import Subject

    sources = photo_sources(photos)
    shown = Subject(*query) if isinstance(query, tuple) else query
    if picture.lower().endswith(_PAGE):
        problems = _write_page(places, open_album, shown, answer, picture, embeddings, subset)
    else:
        problems = write_pictures(
            places, lambda password: _pages(open_album(password), shown, answer), picture, names_to_stderr=True
        )
    if problems.bad_input:
        click.get_current_context().exit(BAD_INPUT)


def _check_suffix(picture: str) -> None:
    from registry.pictures.files import FORMATS

    suffixes = (_PAGE[0], *FORMATS)
    if not picture.lower().endswith((*_PAGE, *FORMATS)):
        raise UsageError(f"--show {printable(redact(picture))}: expected a name that ends in {' '.join(suffixes)}.")


def _write_page(
    places: Places,
    open_album: Callable[[str | None], Album],
    query: Subject | PhotoVector,
    answer: SimilarItems,
    dest: str,
    embeddings: str | None,
    subset: Subset,
) -> Problems:
    """Write a page with pictures, print its path on standard error, and return the problems with photos."""
    from registry.embeddings.sources import find_model, is_model_name
    from registry.files.temporary import make_output_folder, write_text
    from registry.report.similar import similar_page

    def attempt(password: str | None) -> tuple[str, Problems]:
        album = open_album(password)
        if embeddings is None or is_model_name(embeddings):
            vectors = f"model {find_model(album.registry, embeddings)}"
        else:
            vectors = os.path.basename(redact(embeddings))
        return similar_page(album, query, answer, vectors=vectors, subset=subset), album.problems

    html, problems = with_password(attempt, PASSWORD_PROMPT)
    with places.local_file(dest) as path:
        make_output_folder(path.parent)
        write_text(path, html)
    click.echo(printable(redact(dest)), err=True)
    print_problems(problems)
    return problems


def _pages(album: Album, query: Subject | PhotoVector, answer: SimilarItems) -> Pages:
    """Return contact sheets: the item or the photo that was asked for, then the items that are similar to it."""
    import pyarrow as pa

    from registry.pictures.album import Subject
    from registry.pictures.gallery import RowKeys, num_row_pages, row_cells, row_pages
    from registry.pictures.own_photo import fitted
    from registry.pictures.sheet import Cell

    shown = answer.rows.select(["split", "image_id", "item_no", "source"])
    similarity = [f"{value:.4f}" for value in answer.rows.column("similarity").to_pylist()]
    words = ["the same" if value else None for value in answer.rows.column("is_same_identity").to_pylist()]
    shown = shown.append_column("similarity", pa.array(similarity, pa.string()))
    shown = shown.append_column("identity", pa.array(words, pa.string()))
    if isinstance(query, Subject):
        title = f"Similar to {query}"
        asked = {"split": query.split, "image_id": query.image_id, "item_no": query.item_no}
        before = row_cells(album, RowKeys.of(list(asked)), [asked], crop=True)
    else:
        title = f"Similar to {query.name}"
        before = [Cell([fitted(query.crop)], [query.name])]
    pages = row_pages(album, shown, title, crop=True, before=before)
    return Pages(pages, num_row_pages(shown, len(before)), title, album.problems)
