"""The pages of identities: a garment in consumer photos beside the same garment in shop photos."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from registry.dataset.deepfashion2 import SOURCES, find_split
from registry.dataset.tables import IMAGES, ITEMS
from registry.errors import NotFoundError, UsageError
from registry.store.narrow import split_no
from registry.web.answers import Answer
from registry.web.commands import of_identity, of_pairs, of_query
from registry.web.image import item_table, whole_number
from registry.web.pictures import load_pictures
from registry.web.state import read_place

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams
    from starlette.requests import Request

    from registry.web.site import Site

#: Identities of a page of the list.
SIZE: Final = 24
#: Items of a side that a page shows.
_MOST: Final = 200
#: Items of a side of each style on the page of a group.
_MOST_OF_STYLE: Final = 24
_FLAGS: Final = ("orphans", "mixed")
_LOWEST: Final = ("min_user", "min_shop")


def identity(site: Site, request: Request) -> Answer:
    """Return the page of an identity.

    Parameters of the address: ``crop`` (0 for whole photos) and the filters of :func:`identities`, which its links to
    the identities before and behind it keep.

    Raises:
        NotFoundError: no item has this pair_id and style.
        UsageError: a parameter cannot be read.
    """
    split, pair_id, style = _split(site, request), _number(request, "pair_id"), _number(request, "style")
    filters = _filters(site, request.query_params)
    crop = _crop(request.query_params)
    narrow = site.narrow()
    items = narrow.equal(ITEMS.name, split=split, pair_id=pair_id, style=style)
    if not items:
        site.registry.style(split, pair_id, style)  # its error lists the styles
        raise NotFoundError(f"{split} has no item of pair_id {pair_id} and style {style}.")
    sides = _sides(items)
    ((category, _),) = Counter(item["category_name"] for item in items).most_common(1)
    here = [split_no(split), pair_id, style]
    links = {}
    for name, place in (("previous", {"before": here}), ("next", {"after": here})):
        rows = site.identities().page(filters, size=1, **place).rows.to_pylist()
        if rows:
            links[name] = path_of(rows[0]) + _query(request.query_params)
    data = {
        "split": split,
        "pair_id": pair_id,
        "style": style,
        "category": category,
        "categories": sorted({item["category_name"] for item in items}),
        "num_user_items": len(sides["user"]),
        "num_shop_items": len(sides["shop"]),
        "items": items,
        "links": links,
    }
    shown = {source: rows[:_MOST] for source, rows in sides.items()}
    return Answer(
        "identity.html",
        f"Identity {split}/{pair_id}/{style}",
        data,
        item_table(items),
        {
            "sides": sides,
            "shown": shown,
            "commands": of_identity(site, split, pair_id, style),
            "crop": crop,
            "query": _query(request.query_params),
            "other_crop": _query(request.query_params, crop="0" if crop else None),
            "filters": filters,
            "counts": site.identities().counts(),
            "pictures": load_pictures(site, [item for rows in shown.values() for item in rows]),
        },
    )


def pair(site: Site, request: Request) -> Answer:
    """Return the page of a group: the items of each of its styles, and its images.

    Raises:
        NotFoundError: no image has this pair_id.
        UsageError: a parameter cannot be read.
    """
    split, pair_id = _split(site, request), _number(request, "pair_id")
    crop = _crop(request.query_params)
    narrow = site.narrow()
    images = narrow.equal(IMAGES.name, split=split, pair_id=pair_id)
    if not images:
        raise NotFoundError(f"No image of {split} has pair_id {pair_id}.")
    items = narrow.equal(ITEMS.name, split=split, pair_id=pair_id)
    numbers = {item["style"] for item in items if item["style"] is not None}
    numbers_in_order = [*sorted(numbers - {0}), *(numbers & {0})]
    styles = [
        {
            "style": number,
            "categories": sorted({item["category_name"] for item in items if item["style"] == number}),
            **{f"num_{source}_items": len(rows) for source, rows in _sides(items, number).items()},
        }
        for number in numbers_in_order
    ]
    shown = {
        number: {source: rows[:_MOST_OF_STYLE] for source, rows in _sides(items, number).items()}
        for number in numbers_in_order
    }
    return Answer(
        "pair.html",
        f"Group {split}/{pair_id}",
        {"split": split, "pair_id": pair_id, "styles": styles, "images": images, "items": items},
        item_table(items),
        {
            "shown": shown,
            "commands": of_pairs(site, split, pair_id),
            "crop": crop,
            "other_crop": _query(request.query_params, crop="0" if crop else None),
            "pictures": load_pictures(
                site, [item for sides in shown.values() for rows in sides.values() for item in rows]
            ),
        },
    )


def identities(site: Site, request: Request) -> Answer:
    """Return a page of the list of identities.

    Parameters of the address: ``split``; ``orphans=1`` (seen on one side only); ``mixed=1`` (of several categories);
    ``min_user`` and ``min_shop``, the fewest items; ``after`` or ``before``, a place from a link.

    Raises:
        UsageError: a parameter cannot be read.
    """
    params = request.query_params
    filters = _filters(site, params)
    listed = site.identities()
    shown = listed.page(
        filters,
        after=read_place(params.get("after"), "after"),
        before=read_place(params.get("before"), "before"),
        size=SIZE,
    )
    rows = shown.rows.to_pylist()
    links = {
        name: f"/identities{_query(params, **{parameter: json.dumps(values)})}"
        for name, parameter, values in (("previous", "before", shown.first), ("next", "after", shown.last))
        if values is not None
    }
    firsts = [
        {"split": row["split"], **row[f"{source}_item"]}
        for row in rows
        for source in SOURCES
        if row[f"{source}_item"] is not None
    ]
    return Answer(
        "identities.html",
        "Identities",
        {"counts": listed.counts(filters.get("split")), "rows": rows, "links": links},
        shown.rows,
        {
            "filters": filters,
            "commands": of_query(site, "FROM identities"),
            "splits": site.registry.manifest.splits,
            "query": _query(params),
            "path_of": path_of,
            "pictures": load_pictures(site, firsts),
        },
    )


def path_of(row: Mapping[str, Any]) -> str:
    """Return the path of the page of an identity."""
    return f"/identity/{row['split']}/{row['pair_id']}/{row['style']}"


def _split(site: Site, request: Request) -> str:
    """Return the split of an address.

    Raises:
        UnknownNameError: there is no such split.
    """
    return site.registry.check_split(find_split(request.path_params["split"]))


def _number(request: Request, name: str) -> int:
    return whole_number(request.path_params[name], name)


def _sides(items: Sequence[dict[str, Any]], style: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return the items of each source, of all styles or of a single style."""
    return {
        source: [item for item in items if item["source"] == source and style in (None, item["style"])]
        for source in SOURCES
    }


def _crop(params: QueryParams) -> bool:
    """Return whether items are shown without their surroundings.

    Raises:
        UsageError: the parameter is neither 0 nor 1.
    """
    text = params.get("crop", "1")
    if text not in ("0", "1"):
        raise UsageError(f"crop: expected 0 or 1, found {text[:20]!r}.")
    return text == "1"


def _filters(site: Site, params: QueryParams) -> dict[str, Any]:
    """Return the filters of an address.

    Raises:
        UsageError: a value cannot be read.
    """
    filters: dict[str, Any] = {}
    if params.get("split"):
        filters["split"] = site.registry.check_split(find_split(params["split"]))
    for name in _FLAGS:
        text = params.get(name) or "0"
        if text not in ("0", "1"):
            raise UsageError(f"{name}: expected 0 or 1, found {text[:20]!r}.")
        if text == "1":
            filters[name] = True
    for name in _LOWEST:
        text = params.get(name) or "0"
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise UsageError(f"{name}: expected a number of items, found {text[:20]!r}.")
        if int(text):
            filters[name] = int(text)
    return filters


def _query(params: QueryParams, **changes: str | None) -> str:
    """Return the query of an address with the same filters and the same crop."""
    names = ("split", *_FLAGS, *_LOWEST, "crop")
    values = {name: params[name] for name in names if params.get(name)}
    if "crop" in changes:
        values.pop("crop", None)
    values |= {name: value for name, value in changes.items() if value is not None}
    return f"?{urlencode(values)}" if values else ""
