"""The statistics of a subset as bars, each a link to its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import SPLITS, unknown_name
from registry.dataset.statistics import MASK_AREAS, STATISTICS
from registry.errors import UsageError
from registry.store.query import records
from registry.store.registry import Registry
from registry.store.sql import SPLIT_ORDER
from registry.web.answers import Answer
from registry.web.commands import of_statistics
from registry.web.pictures import load_pictures
from registry.web.state import place_of
from registry.web.statistic_plots import PLOTS, Plot

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.store.selection import Selection
    from registry.web.site import Site
    from registry.web.state import State

#: Pictures of a page.
SIZE: Final = 60
_BY_NAME: Final = {plot.name: plot for plot in PLOTS}
_ROW_LIMIT: Final = 1000


def statistics(site: Site, request: Request) -> Answer:
    """Return the statistics of a subset.

    Parameter of the address, beside the options of a subset: ``of``, the name of a statistic, which is then a table.

    Raises:
        UsageError: there is no such statistic.
    """
    state = site.state(request)
    of = state.others.get("of", (None,))[-1]
    if of is not None and of not in STATISTICS:
        raise unknown_name("statistic", of, list(STATISTICS))
    selection = site.tables(state.subset)
    plots = []
    # The union of polygons takes too long to be made unasked.
    for plot in PLOTS:
        if of in (None, plot.statistic):
            rows = _kept(site, selection, plot.name, lambda plot=plot: records(selection.sql(plot.bars)))
            if rows:
                plots.append(_shown(plot, rows, state))
    table = None
    if of is not None:
        table = _kept(site, selection, f"table:{of}", lambda: selection.stats(of=of).to_arrow_table())
    names = [{"name": name, "query": state.query(of=name)} for name in STATISTICS]
    data: dict[str, Any] = {
        "of": of,
        "subset": state.subset.to_dict(),
        "plots": plots,
        "rows": [] if table is None else table.slice(0, _ROW_LIMIT).to_pylist(),
    }
    title = "Statistics" if of is None else f"Statistics: {of.replace('_', ' ')}"
    context = {
        "state": state,
        "commands": of_statistics(site, state.subset, of),
        "names": names,
        "num_rows": 0 if table is None else table.num_rows,
        "slow": (MASK_AREAS,),
        "columns": [] if table is None else table.column_names,
    }
    return Answer("statistics.html", title, data, table, context)


def _kept(site: Site, selection: Registry | Selection, name: str, make: Any) -> Any:
    """Return a result of a version and a subset, which is made once."""
    subset = "" if isinstance(selection, Registry) else selection.subset.digest
    return site.statistics.result((selection.manifest.sha256, subset, name), make)


def _shown(plot: Plot, rows: list[dict[str, Any]], state: State) -> dict[str, Any]:
    """Return a plot as a page has it: parts, and for each key a bar of each part."""
    parts = list(dict.fromkeys(row["part"] for row in rows))
    if plot.part == "split":
        parts.sort(key=SPLITS.index)
    has_share = all(row["share"] is not None for row in rows)
    longest = max((row["share"] if has_share else row["number"]) for row in rows) or 1
    lines: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault(row["key"], {"key": row["key"], "label": row["label"], "bars": {}})
        length = (row["share"] if has_share else row["number"]) / longest
        line["bars"][row["part"]] = {
            "number": row["number"],
            "share": row["share"],
            "length": round(100 * length, 2),
            "link": _link(plot, row, state) if row["number"] else None,
        }
    return {
        "name": plot.name,
        "statistic": plot.statistic,
        "title": plot.title,
        "text": plot.text,
        "parts": parts,
        "lines": list(lines.values()),
        "table": state.query(of=plot.statistic),
    }


def _link(plot: Plot, row: Mapping[str, Any], state: State) -> str:
    """Return the address of the pictures of a bar: of the grid where options of a subset choose them."""
    if plot.option is not None and not state.of_the_whole:
        return "/" + state.query(**{"show": "items", plot.option: row["key"], plot.part: row["part"]})
    return "/statistics/pictures" + state.query(of=plot.name, key=row["key"] or None, part=row["part"])


def pictures(site: Site, request: Request) -> Answer:
    """Return the pictures behind a bar, a page of them.

    Parameters of the address, beside the options of a subset: ``of`` (name of a plot), ``key`` and ``part`` of the
    bar, ``after`` or ``before`` (a place, from a link).

    Raises:
        UsageError: there is no such plot, or a parameter cannot be read.
    """
    state = site.state(request)
    of, key, part = (state.others.get(name, ("",))[-1] for name in ("of", "key", "part"))
    if of not in _BY_NAME:
        raise unknown_name("plot", of, list(_BY_NAME))
    plot = _BY_NAME[of]
    selection = site.tables(state.subset)
    params: dict[str, Any] = {"key": key, "part": part}
    chosen = f"FROM ({plot.pictures}) AS chosen"
    bar = dict(params)
    ((count,),) = _kept(
        site, selection, repr((of, key, part)), lambda: selection.sql(f"SELECT count(*) {chosen}", bar).fetchall()
    )
    columns = ["place", "image_id", *(["item_no"] if plot.of == "items" else [])]
    after, before = (_place(state, name, len(columns)) for name in ("after", "before"))
    backwards = before is not None
    place = before if backwards else after
    condition, order = "true", ", ".join(f"{name} {'DESC' if backwards else 'ASC'}" for name in columns)
    if place is not None:
        params |= {f"key_{number}": value for number, value in enumerate(place)}
        keys = ", ".join(f"$key_{number}" for number in range(len(place)))
        condition = f"({', '.join(columns)}) {'<' if backwards else '>'} ({keys})"
    page_rows = selection.sql(
        f"SELECT *, {SPLIT_ORDER} AS place {chosen} WHERE {condition} ORDER BY {order} LIMIT {SIZE + 1}",
        params,
    ).to_arrow_table()
    has_more = page_rows.num_rows > SIZE
    page_rows = page_rows.slice(0, SIZE)
    if backwards:
        page_rows = page_rows.take(list(range(page_rows.num_rows))[::-1])
    # Where a link came from, there are rows.
    ends = {"previous": ("before", 0, has_more if backwards else after is not None),
            "next": ("after", -1, backwards or has_more)}  # fmt: skip
    links = {}
    for name, (parameter, row, has_rows) in ends.items():
        if has_rows and page_rows.num_rows:
            values = [page_rows.column(column)[row].as_py() for column in columns]
            links[name] = state.query(keep=("of", "key", "part"), **{parameter: json.dumps(values)})
    shown = page_rows.drop_columns(["place"])
    rows = shown.to_pylist()
    return Answer(
        "statistics_pictures.html",
        f"{plot.title}: {_label(site, selection, plot, key)}, {part}",
        {"of": of, "key": key, "part": part, "count": count, "rows": rows, "links": links},
        shown,
        {"state": state, "plot": plot, "of_items": plot.of == "items", "pictures": load_pictures(site, rows)},
    )


def _label(site: Site, selection: Registry | Selection, plot: Plot, key: str) -> str:
    """Return the name of a bar for people."""
    rows = _kept(site, selection, plot.name, lambda: records(selection.sql(plot.bars)))
    return next((str(row["label"]) for row in rows if row["key"] == key), key)


def _place(state: State, name: str, length: int) -> list[Any] | None:
    """Return the place after which the page begins, or before which it ends, as a link gives it.

    Raises:
        UsageError: it cannot be read.
    """
    values = place_of(state, name)
    if values is None:
        return None
    if len(values) != length or not all(type(value) is int and abs(value) < 1 << 31 for value in values):
        raise UsageError(f"{name}: expected a place in the order, as the links to other pages have it.")
    return values
