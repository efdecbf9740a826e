"""The images and items that differ from another version, old and new drawn over each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from registry.errors import NotFoundError, UsageError
from registry.store.difference import CHANGES, COMPARED
from registry.web.answers import Answer
from registry.web.overlay import Shapes, digits_of, shapes
from registry.web.pictures import Pictures, load_pictures
from registry.web.state import place_of

if TYPE_CHECKING:
    import pyarrow as pa
    from starlette.requests import Request

    from registry.store.difference import Change
    from registry.web.pictures import Picture
    from registry.web.site import Site

#: Differences of a page.
SIZE: Final = 24
#: The old side, on any photo; the new one has the colour of its item.
_OLD: Final = "#ff2fd0"
_WIDTH: Final = 448
_OF: Final = ("items", "images")
#: Letters of a value in a caption.
_LONGEST: Final = 60


@dataclass(frozen=True)
class Shown:
    """A difference with its picture; None where this version has no such image."""

    change: Change
    picture: Picture | None
    old: list[Shapes]


def compare(site: Site, request: Request) -> Answer:
    """Return the differences; ``of`` (items or images), ``change``, ``column`` and ``after`` choose among them.

    Raises:
        NotFoundError: the server was started without another version.
        UsageError: a parameter cannot be read.
    """
    if site.settings.against is None:
        raise NotFoundError("There is nothing to compare with: start the server with df2 browse --against REV.")
    other, name = site.settings.against
    state = site.state(request)
    of = _choice(state.others, "of", _OF) or _OF[0]
    change = _choice(state.others, "change", CHANGES[of])
    column = _choice(state.others, "column", COMPARED[of])
    after = place_of(state, "after")
    if after is not None and (len(after) != (3 if of == "items" else 2) or not all(type(n) is int for n in after)):
        raise UsageError("after: expected a place in the order, as the links to other pages have it.")
    if after is not None and any(abs(number) >= 2**31 for number in after):
        raise UsageError("after: expected a place in the order, as the links to other pages have it.")
    subset = site.confined(state.subset)
    versions = other.snapshot().manifest.sha256, site.version()
    difference = site.differences.start((versions, subset.digest), lambda: other.diff(site.registry, subset)).result()
    changes, last = difference.page(of, change=change, column=column, after=after, size=SIZE)
    rows = [entry.to_dict() for entry in changes]
    pictures = load_pictures(site, [entry.key for entry in changes])
    kept = ("of", "change", "column")
    links = {} if last is None else {"next": state.query(keep=kept, after=json.dumps(last))}
    data = {
        "against": name,
        "counts": difference.summary.counts(),
        "fields": difference.summary.fields,
        "notices": difference.notices,
        "rows": rows,
        "links": links,
    }
    context = {
        "state": state,
        "of": of,
        "change": change,
        "column": column,
        "shown": [_shown(pictures, entry) for entry in changes],
        "changes": CHANGES,
        "columns": [entry for entry in COMPARED[of] if entry in difference.summary.fields[of]],
        "pictures": pictures,
        "old_colour": _OLD,
        "short": _short,
    }
    return Answer("compare.html", f"Since {name}", data, _table(rows), context, is_fixed=False)


def _choice(others: Mapping[str, tuple[str, ...]], name: str, choices: tuple[str, ...]) -> str | None:
    (text,) = others.get(name, (None,))[-1:]
    if text is not None and text not in choices:
        raise UsageError(f"{name}: expected {', '.join(choices)}, found {text[:20]!r}.")
    return text


def _shown(pictures: Pictures, change: Change) -> Shown:
    """Return a difference with its picture: this version's item in its colour, the old one beside it."""
    picture = pictures.picture(change.key, shown=_WIDTH)
    item_no = change.key.get("item_no")
    if picture is None or item_no is None:
        return Shown(change, picture, [])
    key = change.key["split"], change.key["image_id"]
    picture = replace(picture, shapes=[shape for shape in picture.shapes if shape.item_no == item_no])
    present = next((item for item in pictures.items[key] if item["item_no"] == item_no), {})
    old = None if change.old is None else {**present, **change.key, **change.old}
    if old is None or not {"category_id", "landmarks", "segmentation", "x1"} <= {*old}:
        return Shown(change, picture, [])
    drawn = shapes([old], pictures.region(key), digits=digits_of(picture.width, _WIDTH))
    return Shown(change, picture, [replace(shape, colour=_OLD) for shape in drawn])


def _short(value: Any) -> str:
    """Return a value for a caption: lists of coordinates by their length."""
    if isinstance(value, list):
        return f"{len(value)} values" if len(str(value)) > _LONGEST else str(value)
    return "not known" if value is None else str(value)[:_LONGEST]


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    texts = [
        {**row, **{side: row[side] and json.dumps(row[side], default=str) for side in ("old", "new")}} for row in rows
    ]
    names = [*rows[0]] if rows else ["change"]
    numbers = {"image_id": pa.int32(), "item_no": pa.int16(), "fields": pa.list_(pa.string())}
    return pa.Table.from_pylist(texts, pa.schema([(name, numbers.get(name, pa.string())) for name in names]))
