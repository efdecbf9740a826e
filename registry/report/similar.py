"""A page with pictures of an item or a photo, and of the items that are most similar to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from registry.pictures.album import Subject
from registry.pictures.own_photo import fitted, with_box
from registry.report.document import document
from registry.report.elements import Html, bullets, definitions, element, join, section
from registry.report.provenance import terms
from registry.report.thumbnails import Thumbnails
from registry.subset.options import Subset
from registry.wording import counted, plural

if TYPE_CHECKING:
    from registry.embeddings.photo_vector import PhotoVector
    from registry.embeddings.similar import SimilarItems
    from registry.pictures.album import Album

#: Longer side of the pictures of the query, px.
_LARGE: Final = 640
#: Items whose photos are in memory at a time.
_AT_A_TIME: Final = 40
_LEGEND: Final = (
    "Each picture is the box of an item and what lies around it. The number is the cosine of the two vectors: 1 for "
    "the same direction."
)


def similar_page(
    album: Album,
    query: Subject | PhotoVector,
    answer: SimilarItems,
    *,
    vectors: str,
    subset: Subset | None = None,
) -> str:
    """Return a page about the items that are most similar to an item or a photo.

    Args:
        album: reads the photos; its problems are complete afterwards.
        query: the item or the photo.
        answer: the items.
        vectors: name of the model, or of the file of vectors.
        subset: the items that were compared.
    """
    thumbnails = Thumbnails(album)
    rows = answer.rows.to_pylist()
    name = str(query) if isinstance(query, Subject) else query.name
    is_subset = subset is not None and subset != Subset()
    facts = {"Vectors": vectors, "Compared with": "a subset of the items" if is_subset else "all items of the registry"}
    if subset is not None and is_subset:
        facts["Subset"] = subset.text
    asked = _item(album, query, thumbnails, facts) if isinstance(query, Subject) else _photo(query, thumbnails, facts)
    figures = [figure for figure in _figures(rows, thumbnails) if figure]
    beyond = len(rows) - len(figures)
    title = f"Similar to {name}"
    main = join(
        section("query", f"The {'item' if isinstance(query, Subject) else 'photo'} asked for", asked),
        section(
            "items",
            f"The {plural(len(rows), 'most similar item')}" if rows else "No similar items",
            element("p", _lead(rows), class_="lead") if rows else element("p", "No other item has a vector."),
            element("p", _LEGEND, class_="muted") if rows else None,
            element("ol", *figures, class_="pictures near"),
            element("p", f"{counted(beyond, 'more items')} without a picture here: df2 similar lists them.")
            if beyond
            else None,
        ),
        section("notes", "To be told", bullets(answer.notices)) if answer.notices else None,
    )
    return document(title, join(element("h1", title), terms()), main, command="df2 similar --show")


def _lead(rows: list[dict[str, Any]]) -> str:
    """Return a sentence on the range of the cosines and the identities of items."""
    first, last = rows[0]["similarity"], rows[-1]["similarity"]
    sides = {name: sum(row["source"] == name for row in rows) for name in ("user", "shop")}
    text = f"Cosines from {first:.4f} down to {last:.4f}; {sides['user']:,} of consumers, {sides['shop']:,} of shops."
    if rows[0]["is_same_identity"] is None:
        return text
    num_same = sum(row["is_same_identity"] for row in rows)
    return (
        f"{text} {counted(num_same, 'items')} of the same identity, framed in green."
        if num_same
        else (f"{text} None is of the same identity.")
    )


def _item(album: Album, query: Subject, thumbnails: Thumbnails, facts: Mapping[str, str]) -> Html:
    """Return pictures of the item that was asked for, and its facts."""
    shown = album.find(query)
    item, image = shown.items[0], shown.image or {}
    values = {
        "Category": item["category_name"],
        "Source": image.get("source"),
        "pair_id": image.get("pair_id"),
        "style": item["style"],
    }
    pictures = [
        *thumbnails.of_subjects([query], size=_LARGE),
        *thumbnails.of_subjects([Subject(query.split, query.image_id)], crop=False, size=_LARGE),
    ]
    captions = ("The item", "Its photo")
    return _asked(pictures, captions, {**{name: str(v) for name, v in values.items() if v is not None}, **facts})


def _photo(query: PhotoVector, thumbnails: Thumbnails, facts: Mapping[str, str]) -> Html:
    """Return pictures of the photo that was asked for, and its facts."""
    height, width = query.pixels.shape[:2]
    photo = thumbnails.of_picture(with_box(query.pixels, query.box, _LARGE), f"the photo {query.name}")
    facts = {"Photo": f"{query.name}, {width:,} x {height:,} px", **facts}
    if query.box is None:
        return _asked([photo], ["The whole photo"], facts)
    crop = thumbnails.of_picture(fitted(query.crop, _LARGE), f"the box in {query.name}")
    box = ", ".join(f"{value:g}" for value in query.box)
    return _asked([crop, photo], ["As the embedder saw it", "The photo and the box"], {**facts, "Box": f"{box} px"})


def _asked(pictures: list[Html | None], captions: Any, facts: Mapping[str, str]) -> Html:
    figures = [
        element("figure", picture, element("figcaption", caption))
        for picture, caption in zip(pictures, captions, strict=True)
    ]
    return element("div", element("div", *figures, class_="pair"), definitions(facts), class_="asked")


def _figures(rows: list[dict[str, Any]], thumbnails: Thumbnails) -> Iterator[Html | None]:
    """Yield a picture of each item with its caption; None for those beyond the bytes of a page."""
    for start in range(0, len(rows), _AT_A_TIME):
        part = rows[start : start + _AT_A_TIME]
        subjects = [Subject(row["split"], row["image_id"], row["item_no"]) for row in part]
        pictures = thumbnails.of_subjects(subjects)
        for number, (row, subject, picture) in enumerate(zip(part, subjects, pictures, strict=True), start + 1):
            yield _figure(number, row, subject, picture) if picture else None
        if not pictures[-1]:
            return


def _figure(number: int, row: Mapping[str, Any], subject: Subject, picture: Html) -> Html:
    identity = [f"pair_id {row['pair_id']}"] if row["pair_id"] is not None else []
    identity += [f"style {row['style']}"] if row["style"] is not None else []
    caption = element(
        "figcaption",
        element("strong", f"{row['similarity']:.4f}", class_="cosine"),
        element("span", "same identity", class_="badge good") if row["is_same_identity"] else None,
        element("div", " · ".join(value for value in (row["category_name"], row["source"]) if value)),
        element("div", str(subject)),
        element("div", " · ".join(identity)) if identity else None,
    )
    return element(
        "li", element("figure", picture, caption), value=number, class_="same" if row["is_same_identity"] else None
    )
