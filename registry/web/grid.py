"""The grid: the images or items of any subset, with the options of a subset as facets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from registry.errors import UsageError
from registry.store.narrow_subset import IMAGE_SORTS, ITEM_SORTS
from registry.web.answers import Answer
from registry.web.commands import of_subset
from registry.web.facets import chips, facets, fields, hidden
from registry.web.pictures import load_pictures
from registry.web.state import place_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.web.site import Site
    from registry.web.state import State

#: Pictures of a page.
SIZE: Final = 60
_KINDS: Final = ("images", "items")


def grid(site: Site, request: Request) -> Answer:
    """Return a page of the grid.

    Parameters of the address, beside the options of a subset: ``show`` (images or items), ``sort`` (a column, with a
    minus before it for the largest first), ``after`` or ``before`` (a place in that order, from a link).

    Raises:
        UsageError: a parameter cannot be read.
    """
    state = site.state(request)
    show = _one(state, "show", "images")
    if show not in _KINDS:
        raise UsageError(f"show: expected images or items, found {show[:20]!r}.")
    sort = _one(state, "sort", "image_id")
    sorts = IMAGE_SORTS if show == "images" else ITEM_SORTS
    if "sort" in state.others and sort.removeprefix("-") in {*IMAGE_SORTS, *ITEM_SORTS} - {*sorts}:
        sort = "image_id"  # of the other kind of rows, which the page showed before
    subset = site.confined(state.subset)
    narrow = site.narrow()
    chosen = narrow.choose(subset)
    shown = chosen.page(
        show,
        sort.removeprefix("-"),
        descending=sort.startswith("-"),
        after=place_of(state, "after"),
        before=place_of(state, "before"),
        size=SIZE,
    )
    counts = narrow.counts(subset)
    rows = shown.rows.to_pylist()
    links = {
        name: state.query(keep=("show", "sort"), **{parameter: json.dumps(values)})
        for name, parameter, values in (("previous", "before", shown.first), ("next", "after", shown.last))
        if values is not None
    }
    return Answer(
        "grid.html",
        "Images" if show == "images" else "Items",
        {"counts": counts, "notices": chosen.notices, "rows": rows, "links": links},
        shown.rows,
        {
            "commands": of_subset(site, state.subset),
            "state": state,
            "pictures": load_pictures(site, rows),
            "show": show,
            "sort": sort,
            "sorts": sorts,
            "facets": facets(narrow.facets(subset), state),
            "fields": fields(state),
            "hidden": hidden(state),
            "chips": chips(state),
            "parameters": state.parameters(),
        },
    )


def _one(state: State, name: str, default: str) -> str:
    return state.others.get(name, (default,))[-1]
