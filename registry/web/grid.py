"""The grid: the images or items of any subset, with the options of a subset as facets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID
from registry.errors import UsageError
from registry.store.narrow import IMAGE_FACETS, IMAGE_SORTS, ITEM_SORTS
from registry.web.answers import Answer
from registry.web.pictures import load_pictures

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.web.site import Site
    from registry.web.state import State

#: Pictures of a page.
SIZE: Final = 60
_KINDS: Final = ("images", "items")


@dataclass(frozen=True)
class Value:
    """A value of a facet.

    Attributes:
        text: for people.
        option: as an address has it.
        number: of images or items.
        is_set: whether the subset asks for it.
        query: of the address with this value added, or removed where it is set.
    """

    text: str
    option: str
    number: int
    is_set: bool
    query: str


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
    subset = site.confined(state.subset)
    narrow = site.narrow()
    chosen = narrow.choose(subset)
    shown = chosen.page(
        show,
        sort.removeprefix("-"),
        descending=sort.startswith("-"),
        after=_place(state, "after"),
        before=_place(state, "before"),
        size=SIZE,
    )
    counts = chosen.counts()
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
            "state": state,
            "pictures": load_pictures(site, rows),
            "show": show,
            "sort": sort,
            "sorts": IMAGE_SORTS if show == "images" else ITEM_SORTS,
            "facets": facets(narrow.facets(subset), state),
        },
    )


def facets(counts: dict[str, dict[Any, int]], state: State) -> dict[str, list[Value]]:
    """Return the values of each option with their number of images (split, source) or items."""
    return {
        option: [
            Value(text, text, number, text in _set_values(state, option), state.toggled(option, text))
            for text, number in ((_text(option, value), number) for value, number in values.items())
            if text is not None
        ]
        for option, values in counts.items()
    }


def of_images(option: str) -> bool:
    """Return whether the values of an option are counted by images; by items otherwise."""
    return option in IMAGE_FACETS


def _text(option: str, value: Any) -> str | None:
    """Return the name of a value; None for an unknown value, which no option asks for."""
    if value is None:
        return None
    if option == "category":
        return CATEGORY_BY_ID[value].name
    return ATTRIBUTE_CODES[option].get(value, str(value)) if option in ATTRIBUTE_CODES else str(value)


def _set_values(state: State, option: str) -> set[str | None]:
    return {_text(option, value) for value in getattr(state.subset, option)}


def _one(state: State, name: str, default: str) -> str:
    return state.others.get(name, (default,))[-1]


def _place(state: State, name: str) -> list[Any] | None:
    """Return a place in the order, as a link gives it.

    Raises:
        UsageError: it cannot be read.
    """
    text = _one(state, name, "")
    if not text:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not all(v is None or isinstance(v, int | float | str) for v in values):
        raise UsageError(f"{name}: expected a place in the order, as the links to other pages have it.")
    return values
