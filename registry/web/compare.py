"""The page that compares the version that is shown with another version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from registry.dataset.deepfashion2 import unknown_name
from registry.dataset.tables import FIELDS, arrow_type
from registry.errors import NotFoundError, UsageError
from registry.store.difference import CHANGES, COMPARED, PAIR_COLUMNS
from registry.web.answers import Answer, waiting_answer
from registry.web.commands import of_difference
from registry.web.comparison import NEW, OLD, compared_pictures, item_rows
from registry.web.overlay import hex_colour
from registry.web.state import place_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.store.changes import Diff
    from registry.store.difference import Change
    from registry.web.site import Site
    from registry.web.state import State

#: Differences of a page.
SIZE: Final = 36
#: Seconds for which a page waits for the differences before it says that they are being looked for.
_PATIENCE: Final = 0.5
_TITLE: Final = "Compare"
#: Parameters of the page that its links keep.
_KEPT: Final = ("of", "change", "column", "show")
_KEYS: Final = {
    "images": ("split", "image_id"),
    "items": ("split", "image_id", "item_no", "category_name"),
    "instance_pairs": PAIR_COLUMNS,
}


def compare(site: Site, request: Request) -> Answer:
    """Return what differs between another version and that of the pages, within a subset of both.

    Parameters of the address, beside the options of a subset: ``of`` (items, images or instance_pairs), ``change``
    (added, removed or changed), ``column`` (only rows that differ in it), ``show`` (crops or photos), ``after`` or
    ``before`` (a key, from a link).

    Raises:
        NotFoundError: there is no version to compare with.
        UsageError: a parameter cannot be read.
    """
    old_version = site.old_version
    if old_version is None:
        raise NotFoundError("This server compares with no other version: df2 browse --against REV shows one.")
    state = site.state(request)
    if "where" in state.options:
        raise UsageError("where: a condition of an address is not answered here, as it would run on two versions.")
    of = _one(state, "of", "items", tuple(CHANGES))
    change = _one(state, "change", "", CHANGES[of])
    column = _one(state, "column", "", COMPARED.get(of, ()))
    show = _one(state, "show", "crops", ("crops", "photos"))
    after, before = place_of(state, "after"), place_of(state, "before")
    job = old_version.start(site.differences, site.registry, state.subset)
    if not job.done.wait(_PATIENCE):
        query, name = state.query(keep=tuple(state.others)), old_version.name
        return waiting_answer(_TITLE, f"Comparing with {name}", query, state="comparing", against=name)
    diff: Diff = job.result()
    shown = diff.page(of, change=change or None, column=column or None, after=after, before=before, size=SIZE)
    rows = [row for entry in shown.changes for row in item_rows(entry)]
    pictures = iter(
        compared_pictures(old_version.pictures, site.pictures, rows, crop=show == "crops" and of != "images")
    )
    entries = [
        {"change": entry, "lines": entry.lines(), "pictures": [next(pictures) for _ in item_rows(entry)]}
        for entry in shown.changes
    ]
    links = {
        name: state.query(keep=_KEPT, **{parameter: json.dumps(list(key))})
        for name, parameter, key in (("previous", "before", shown.first), ("next", "after", shown.last))
        if key is not None
    }
    data = {
        "against": old_version.name,
        "subset": state.subset.to_dict(),
        "notices": diff.notices,
        "counts": diff.summary.counts(),
        "columns": diff.summary.fields.get(of, {}),
        "of": of,
        "number": shown.number,
        "rows": [entry.to_dict() for entry in shown.changes],
        "links": links,
    }
    context = {
        "state": state,
        "commands": of_difference(site, old_version.name, state.subset),
        "is_same": diff.summary.is_same,
        "by_category": [row for row in diff.summary.rows() if row["category_name"] is not None],
        "entries": entries,
        "change": change,
        "column": column,
        "show": show,
        "colours": {"old": hex_colour(OLD), "new": hex_colour(NEW)},
        "filters": _filters(diff, of, change, column, state),
        "others": state.query(keep=("of", "change", "column"), show="photos" if show == "crops" else None),
    }
    return Answer("compare.html", _TITLE, data, _table(of, shown.changes), context, is_fixed=False)


def _one(state: State, name: str, default: str, values: Sequence[str]) -> str:
    """Return a parameter of the address, which must be among some values.

    Raises:
        UsageError: it is not among them.
    """
    value = state.others.get(name, (default,))[-1]
    if value != default and value not in values:
        raise unknown_name(name, value, list(values))
    return value


def _filters(diff: Diff, of: str, change: str, column: str, state: State) -> list[dict[str, Any]]:
    """Return what the differences can be narrowed to, each with its number and address."""
    counts = diff.summary.counts()[of]
    total = {"text": "all", "number": sum(counts.values()), "is_set": not change and not column}
    links = [{**total, "query": state.query(keep=("of", "show"))}]
    for name, number in counts.items():
        is_set = name == change and not column
        query = state.query(keep=("of", "show"), change=name)
        links.append({"text": name, "number": number, "is_set": is_set, "query": query})
    for name, number in diff.summary.fields.get(of, {}).items():
        query = state.query(keep=("of", "show"), column=name)
        links.append({"text": f"differs in {name}", "number": number, "is_set": name == column, "query": query})
    return links


def _table(of: str, changes: Sequence[Change]) -> pa.Table:
    """Return differences as an Arrow table; old and new values are JSON texts, to have a single type."""
    types = {name: arrow_type(FIELDS[name].type) for name in _KEYS[of] if name in FIELDS}
    schema = [("change", pa.string()), *((name, types.get(name, pa.int32())) for name in _KEYS[of])]
    rows = [change.to_dict() for change in changes]
    if of in COMPARED:
        schema += [("fields", pa.list_(pa.string())), ("old", pa.string()), ("new", pa.string())]
        for row in rows:
            row |= {
                side: row[side] and json.dumps(row[side], ensure_ascii=False, default=str) for side in ("old", "new")
            }
    return pa.Table.from_pylist(rows, pa.schema(schema))
