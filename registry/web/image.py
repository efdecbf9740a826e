"""The page of an image: its photo with every annotation, all fields, and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, SOURCES, find_split
from registry.dataset.tables import CORRECTIONS, IMAGES, ITEMS, PHOTOS, arrow_schema
from registry.errors import NotFoundError, RegistryError, UsageError
from registry.pictures.labels import Label, place
from registry.pictures.palette import item_colours
from registry.pictures.view import View, box_of
from registry.redaction import redact
from registry.store.connection import duckdb_errors
from registry.store.narrow import split_no
from registry.store.narrow_subset import IMAGE_SORTS, ITEM_SORTS
from registry.store.query import records
from registry.subset.rows import Part
from registry.web.answers import Answer
from registry.web.commands import of_image
from registry.web.corrections import correction_form
from registry.web.overlay import hex_colour, shapes
from registry.web.pictures import Key, load_pictures

if TYPE_CHECKING:
    import pyarrow as pa
    from starlette.requests import Request

    from registry.web.site import Site
    from registry.web.state import State

#: Layers that can be hidden, with their names for people.
LAYERS: Final = {
    "photo": "Photo", "boxes": "Boxes", "masks": "Masks", "landmarks": "Landmarks", "skeletons": "Skeletons",
    "labels": "Labels",
}  # fmt: skip
#: Parameters of the address that lead through a list of images, and how they are shown.
KEPT: Final = ("show", "sort", "hide")
#: Neighbours of each source that are shown; the page of the group has all.
_NEIGHBOURS: Final = 12
#: Size of labels as a share of the longer side of the picture, and the shares of a letter's width and of the line.
_TEXT: Final = 0.022
_LETTER: Final = 0.56
_LINE: Final = 1.35


def image(site: Site, request: Request) -> Answer:
    """Return the page of an image.

    Parameters of the address, beside the subset that its links lead through: ``item`` (an item_no to mark), ``hide``
    (layers), ``show`` and ``sort`` as in the grid.

    Raises:
        NotFoundError: there is no such image or item.
        UsageError: a parameter cannot be read.
    """
    key = key_of(site, request)
    state = site.state(request)
    hidden = state.others.get("hide", ())
    if not set(hidden) <= set(LAYERS):
        raise UsageError(f"hide: expected {', '.join(LAYERS)}, found {', '.join(hidden)[:40]!r}.")
    narrow = site.narrow()
    row = next(iter(narrow.find(IMAGES.name, [key])), None)
    if row is None:
        site.registry.image(*key)  # its error lists the images
        raise NotFoundError(f"{key[0]} has no image {key[1]}.")
    group = [] if row["pair_id"] is None else narrow.equal(IMAGES.name, split=key[0], pair_id=row["pair_id"])
    by_source = {source: [other for other in group if other["source"] == source] for source in SOURCES}
    shown = {source: _around(rows, key) for source, rows in by_source.items()}
    pictures = load_pictures(site, [row, *(other for rows in shown.values() for other in rows)])
    items = pictures.items[key]
    item_no = _item_no(state, items, key)
    about = {"split": key[0], "image_id": key[1]}
    links = _links(site, state, row, items, item_no)
    part = pictures.region(key)
    colours = item_colours(item["item_no"] for item in items)
    drawn = shapes(items, part, named=True, colours=colours)
    data = {
        "image": row,
        "items": items,
        "corrections": _rows(site, CORRECTIONS.name, "file, line_no", about),
        "photo": next(iter(_rows(site, PHOTOS.name, "image_id", about)), None),
        "neighbours": group,
        "links": links,
    }
    title = f"{key[0]}/{key[1]:06d}"
    return Answer(
        "image.html",
        title,
        data,
        item_table(items),
        {
            "state": state,
            "commands": of_image(site, *key),
            "item_no": item_no,
            "layers": LAYERS,
            "hidden": hidden,
            "part": part,
            "shapes": drawn,
            "labels": labels(items, part),
            "text_size": _TEXT * max(part[2] - part[0], part[3] - part[1]),
            "colours": {number: hex_colour(colour) for number, colour in colours.items()},
            "codes": ATTRIBUTE_CODES,
            "group": by_source,
            "shown": shown,
            "pictures": pictures,
            "problem": site.library.problem(key[0]),
            "query": state.query(keep=KEPT),
            "correction": _correction(site, key),
        },
        is_fixed=not site.settings.edits,
    )


def _correction(site: Site, key: Key) -> dict[str, Any] | None:
    """Return what the form of corrections needs, or why there can be none."""
    try:
        return correction_form(site, key)
    except RegistryError as error:
        return {"problem": redact(str(error))}


def annotation(site: Site, request: Request) -> Answer:
    """Return the annotation of an image in the format of the release.

    Raises:
        NotFoundError: there is no such image, or it has no annotation.
    """
    from starlette.responses import Response

    from registry.exports.formats.deepfashion2 import ANNOTATION_COLUMNS, annotation_files
    from registry.subset.rows import Chunk

    key = key_of(site, request)
    site.registry.image(*key)  # its error lists the images
    about = {"split": key[0], "image_id": key[1]}
    condition = "split = $split AND image_id = $image_id"
    with duckdb_errors():
        images = site.registry.sql(f"SELECT * FROM images WHERE {condition}", about).to_arrow_table()
        items = site.registry.sql(
            f"SELECT {', '.join(ANNOTATION_COLUMNS)} FROM items WHERE {condition} ORDER BY item_order", about
        ).to_arrow_table()
    if not items.num_rows:
        raise NotFoundError(f"No annotation of {key[0]}/{key[1]:06d} was released.")
    unknown = sorted(
        name
        for table, names in ((items, ANNOTATION_COLUMNS), (images, ("source", "pair_id")))
        for name in names
        if table.column(name).null_count
    )
    if unknown:
        raise NotFoundError(f"{key[0]}/{key[1]:06d} comes from a file that does not tell {', '.join(unknown)}.")
    (batch,) = items.combine_chunks().to_batches()
    (image_batch,) = images.combine_chunks().to_batches()
    chunk = Chunk(Part(key[0], (key[0],)), key[0], image_batch, batch, [items.num_rows])
    ((_, text),) = annotation_files(chunk).with_bytes()
    return Response(bytes(text), media_type="application/json")  # type: ignore[return-value]


def key_of(site: Site, request: Request) -> Key:
    """Return split and image_id of an address.

    Raises:
        NotFoundError: no image can have this number.
        UnknownNameError: there is no such split.
    """
    split = site.registry.check_split(find_split(request.path_params["split"]))
    return split, whole_number(request.path_params["image_id"], "image")


def whole_number(value: int, noun: str) -> int:
    """Return a number of an address.

    Raises:
        NotFoundError: it is larger than any in a registry.
    """
    if value >= 2**31:
        raise NotFoundError(f"There is no {noun} with a number of {len(str(value))} digits.")
    return value


def labels(items: Sequence[Mapping[str, Any]], part: tuple[int, int, int, int]) -> list[tuple[int, str, float, float]]:
    """Return item_no, text, x and y (px of the photo, the baseline) of each label that finds a place of its own."""
    view = View.of(part, part, 1000)
    size = _TEXT * 1000
    boxes = [view.rect(box_of(item)) for item in items]
    texts = [f"{item['item_no']} {item['category_name']}" for item in items]
    wanted = [
        Label(round(len(text) * size * _LETTER + size), round(size * _LINE), box)
        for text, box in zip(texts, boxes, strict=True)
    ]
    places = place(wanted, view.width, view.height, ())
    return [
        (
            item["item_no"],
            text,
            round(view.region[0] + (spot[0] + size * 0.4) / view.scale, 1),
            round(view.region[1] + (spot[1] + size) / view.scale, 1),
        )
        for item, text, spot in zip(items, texts, places, strict=True)
        if spot is not None
    ]


def _item_no(state: State, items: Sequence[Mapping[str, Any]], key: Key) -> int | None:
    """Return the item that an address marks.

    Raises:
        NotFoundError: the image has no such item.
    """
    (text,) = state.others.get("item", (None,))[-1:]
    if text is None:
        return None
    numbers = [item["item_no"] for item in items]
    if text not in map(str, numbers):
        hint = f"its items are {', '.join(map(str, numbers))}" if numbers else "no item is annotated in it"
        raise NotFoundError(f"{key[0]} image {key[1]} has no item {text[:20]}; {hint}.")
    return int(text)


def _links(
    site: Site, state: State, row: Mapping[str, Any], items: Sequence[Mapping[str, Any]], item_no: int | None
) -> dict[str, str]:
    """Return path and query of the image, or item, before and behind this one in the list that the address names."""
    show = "items" if state.others.get("show", ("",))[-1] == "items" and item_no is not None else "images"
    sort = state.others.get("sort", ("image_id",))[-1]
    column = sort.removeprefix("-")
    if column not in (ITEM_SORTS if show == "items" else IMAGE_SORTS):
        sort = column = "image_id"
    subject = next(item for item in items if item["item_no"] == item_no) if show == "items" else row
    here = [
        *([] if column == "image_id" else [subject[column]]),
        split_no(row["split"]),
        row["image_id"],
        *([item_no] if show == "items" else []),
    ]
    chosen = site.narrow().choose(site.confined(state.subset))
    links = {}
    for name, places in (("previous", {"before": here}), ("next", {"after": here})):
        rows = chosen.page(show, column, descending=sort.startswith("-"), size=1, **places).rows.to_pylist()
        if rows:
            query = state.query(keep=KEPT, item=rows[0].get("item_no"))
            links[name] = f"/image/{rows[0]['split']}/{rows[0]['image_id']}{query}"
    return links


def _around(rows: Sequence[dict[str, Any]], key: Key) -> list[dict[str, Any]]:
    """Return the first rows of a group without the image itself."""
    return [row for row in rows if (row["split"], row["image_id"]) != key][:_NEIGHBOURS]


def _rows(site: Site, table: str, order: str, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    query = f"SELECT * FROM {table} WHERE split = $split AND image_id = $image_id ORDER BY {order}"
    with duckdb_errors():
        return records(site.registry.sql(query, about))


def item_table(items: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows of items as an Arrow table with those columns of the table items that they have."""
    import pyarrow as pa

    schema = arrow_schema(ITEMS, stored=False)
    names = [name for name in schema.names if items and name in items[0]]
    return pa.Table.from_pylist([dict(item) for item in items], pa.schema([schema.field(name) for name in names]))
