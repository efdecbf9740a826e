"""``df2 similar``: the items that look most like an item or a photo, by the vectors of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from registry.cli.completion import complete_split
from registry.cli.context import Places, note, storage_option
from registry.cli.examples import examples
from registry.cli.image_names import parse_image
from registry.cli.output import Output, Rows, output_options, write_rows
from registry.cli.paths import PLACE, FileType
from registry.cli.photo_options import photo_sources, photos_option
from registry.cli.pictures import BAD_INPUT, Pages, open_photos, write_pictures
from registry.cli.subset_options import undivided_subset_options

if TYPE_CHECKING:
    from registry.embeddings.similar import SimilarItems
    from registry.store.registry import Registry
    from registry.subset.options import Subset


@examples(
    "df2 similar train 1 1",
    "df2 similar train 1 1 -k 100 --source shop --category skirt --format csv",
    "df2 similar validation 7 2 --embeddings embeddings.parquet --show similar.png --photos data/sample",
)
@click.command("similar")
@click.argument("of_split", metavar="SPLIT", shell_complete=complete_split)
@click.argument("of_image", metavar="IMAGE_ID")
@click.argument("item_no", metavar="ITEM_NO", type=int)
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
    help="Also draw the items into this file or URL: .png, .jpg or .pdf.",
)
@photos_option
@undivided_subset_options
@output_options
@storage_option
@click.pass_obj
def similar(
    places: Places,
    of_split: str,
    of_image: str,
    item_no: int,
    number: int,
    embeddings: str | None,
    picture: str | None,
    photos: str | None,
    follow_links: bool,
    subset: Subset,
    tables: dict[str, str],
    output: Output,
) -> None:
    """List the items that are most similar to an item.

    Similarity is the cosine of the vectors of two items. All items of the registry, or of a subset of it, are compared;
    the item itself is left out, and equally similar items stand in the order of their keys. IMAGE_ID may be the name of
    a file, as for df2 image.

    Exit code 3: the rows were written, and with --show a photo is damaged, or is not in the RELEASE of --photos.
    """
    from registry.embeddings.similar import similar_items

    split, image_id = parse_image(of_split, of_image)
    registry = places.open(tables=tables)
    answer = similar_items(
        registry,
        split,
        image_id,
        item_no,
        number,
        subset=subset,
        embeddings=embeddings,
        storage_options=places.storage_options,
        keeps=False,
    )
    write_rows(Rows.of_records(answer.rows.to_pylist()), output)
    for text in answer.notices:
        note(f"note: {text}.")
    if picture is not None:
        title = f"Similar to {split}/{image_id:06d} item {item_no}"
        sources = photo_sources(photos)

        def draw(password: str | None) -> Pages:
            opened = open_photos(places, sources, password, follow_links)
            return _pages(registry, answer, (split, image_id, item_no), title, opened, must_have=photos is not None)

        if write_pictures(places, draw, picture, names_to_stderr=True).bad_input:
            click.get_current_context().exit(BAD_INPUT)


def _pages(
    registry: Registry, answer: SimilarItems, key: tuple[str, int, int], title: str, photos: Any, *, must_have: bool
) -> Pages:
    """Return contact sheets: the item that was asked for, then those that are similar to it."""
    import pyarrow as pa

    from registry.pictures.album import Album
    from registry.pictures.gallery import num_row_pages, row_pages

    album = Album(registry, photos, must_have_photos=must_have)
    shown = answer.rows.select(["split", "image_id", "item_no", "source"])
    similarity = [f"{value:.4f}" for value in answer.rows.column("similarity").to_pylist()]
    words = ["the same" if value else None for value in answer.rows.column("is_same_identity").to_pylist()]
    shown = shown.append_column("similarity", pa.array(similarity, pa.string()))
    shown = shown.append_column("identity", pa.array(words, pa.string()))
    asked = dict(zip(("split", "image_id", "item_no"), key, strict=True))
    first = pa.Table.from_pylist([asked], shown.schema)
    rows = pa.concat_tables([first, shown])
    return Pages(row_pages(album, rows, title, crop=True), num_row_pages(rows), title, album.problems)
