"""The nearest items of an item, by the vectors of a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.deepfashion2 import SPLITS
from registry.embeddings.distances import COSINE, DISTANCES
from registry.errors import NotFoundError, UsageError
from registry.redaction import redact
from registry.subset.options import Subset
from registry.web.answers import Answer, waiting_answer
from registry.web.neighbours import Neighbours, item_keys, read_neighbours
from registry.web.pictures import load_pictures

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.dataset.arrays import Bools
    from registry.web.jobs import Job
    from registry.web.site import Site
    from registry.web.state import State

#: Items of a page.
SIZE: Final = 60
#: Seconds for which a page waits for the vectors before it says that they are being read.
_PATIENCE: Final = 2.0
#: Which items to choose from: all, or those of shops or of consumers.
GALLERIES: Final = ("any", "shop", "user")


def similar(site: Site, request: Request) -> Answer:
    """Return the nearest items of an item.

    Parameters of the address, beside the options of a subset (the nearest of its items): ``distance`` (cosine, l2 or
    dot) and ``gallery`` (any, shop or user).

    Raises:
        UsageError: a parameter cannot be read, or the embeddings cannot be used.
        NotFoundError: there are no embeddings, no such item, or it has no vector.
    """
    if site.settings.embeddings is None:
        raise NotFoundError("This server has no embeddings: df2 browse --embeddings FILE shows the nearest items.")
    state = site.state(request)
    distance, gallery = (
        state.others.get(name, (usual,))[-1] for name, usual in (("distance", COSINE), ("gallery", "any"))
    )
    for name, value, values in (("distance", distance, DISTANCES), ("gallery", gallery, GALLERIES)):
        if value not in values:
            raise UsageError(f"{name}: expected {', '.join(values)}, found {value[:20]!r}.")
    split, image_id, item_no = (request.path_params[name] for name in ("split", "image_id", "item_no"))
    row = {"split": split, "image_id": image_id, "item_no": item_no}
    is_key = split in SPLITS and image_id < 1 << 31 and item_no < 1 << 15
    loaded = load_pictures(site, [row] if is_key else [])
    if not any(item["item_no"] == item_no for items in loaded.items.values() for item in items):
        raise NotFoundError(f"The registry has no item {split[:20]}/{str(image_id)[:20]} item {str(item_no)[:20]}.")
    job = start(site)
    if not job.done.wait(_PATIENCE):
        query = state.query(keep=("distance", "gallery"))
        return waiting_answer("Similar items", "Reading the vectors", query, state="reading")
    neighbours: Neighbours = job.result()
    at = neighbours.place(split, image_id, item_no)
    if at is None:
        raise NotFoundError(f"The embeddings have no vector of {split}/{image_id} item {item_no}.")
    allowed = _allowed(site, neighbours, state)
    if gallery != "any":
        allowed = allowed & (neighbours.is_user == (gallery == "user"))
    near, far = neighbours.nearest(at, SIZE, distance, allowed)
    is_same = neighbours.is_same_identity(at)
    rows = []
    for position, value in zip(near.tolist(), far.tolist(), strict=True):
        key = neighbours.key(position)
        rows.append(
            {
                **dict(zip(("split", "image_id", "item_no"), key, strict=True)),
                "source": "user" if neighbours.is_user[position] else "shop",
                "distance": value,
                "is_same_identity": bool(is_same[position]),
            }
        )
    data = {
        **row,
        "distance": distance,
        "gallery": gallery,
        "num_allowed": int(allowed.sum() - allowed[at]),
        "num_same_identity": int(is_same.sum() - is_same[at]),
        "num_same_allowed": int((is_same & allowed).sum() - (is_same & allowed)[at]),
        "notices": neighbours.notices,
        "rows": rows,
    }
    context = {
        "state": state,
        "row": row,
        "pictures": load_pictures(site, [row, *rows]),
        "hidden": state.parameters(),
        "distances": DISTANCES,
        "galleries": GALLERIES,
        "own_query": state.query(keep=("distance", "gallery")),
        "whole_query": Subset() != state.subset,
    }
    title = f"Similar to {split}/{image_id:06d} item {item_no}"
    return Answer("similar.html", title, data, _table(rows), context, is_fixed=False)


def start(site: Site) -> Job:
    """Return the job that reads the vectors; it may be running."""
    source = str(site.settings.embeddings)
    try:
        status = os.stat(source)
        signature: Any = (status.st_mtime_ns, status.st_size)
    except OSError:
        signature = None
    return site.embeddings.start((site.version(), redact(source), signature), lambda: read_neighbours(site))


def _allowed(site: Site, neighbours: Neighbours, state: State) -> Bools:
    """Return which items are of the subset of the address."""
    subset = site.confined(state.subset)
    if subset == Subset():
        return np.ones(len(neighbours.keys), bool)
    items = site.narrow().choose(subset).item_keys()
    keys = item_keys(*(np.array(items.column(name), np.int64) for name in ("split_no", "image_id", "item_no")))
    return np.isin(neighbours.keys, keys)


def _table(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    columns = {
        "split": pa.string(), "image_id": pa.int32(), "item_no": pa.int16(), "source": pa.string(),
        "distance": pa.float64(), "is_same_identity": pa.bool_(),
    }  # fmt: skip
    return pa.Table.from_pylist(rows, pa.schema(list(columns.items())))
