"""The nearest items of an item, by the vectors of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.deepfashion2 import SPLITS, unknown_name
from registry.embeddings.distances import COSINE, DISTANCES
from registry.embeddings.neighbours import Neighbours, keys_of, read_neighbours
from registry.embeddings.sources import open_vectors, signature
from registry.errors import NotFoundError, UsageError
from registry.subset.options import Subset
from registry.web.answers import Answer, waiting_answer
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
#: Parameters that links to other items keep.
_KEPT: Final = ("distance", "gallery", "model")


def similar(site: Site, request: Request) -> Answer:
    """Return the nearest items of an item.

    Parameters of the address, beside the options of a subset (the nearest of its items): ``distance`` (cosine, l2 or
    dot), ``gallery`` (any, shop or user), and ``model`` of the registry (the first without it).

    Raises:
        UsageError: a parameter cannot be read, or the embeddings cannot be used.
        NotFoundError: there are no embeddings, no such item, or it has no vector.
    """
    if not site.has_embeddings():
        raise NotFoundError(
            "This server has no embeddings: df2 browse --embeddings FILE shows the nearest items, and df2 embeddings "
            "add keeps vectors in the registry."
        )
    state = site.state(request)
    models = site.embedding_models()
    model = state.others.get("model", tuple(models[:1]) or (None,))[-1]
    if models and model not in models:
        raise unknown_name("model", str(model)[:20], models)
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
    job = start(site, model)
    if not job.done.wait(_PATIENCE):
        query = state.query(keep=_KEPT)
        return waiting_answer("Similar items", "Reading the vectors", query, state="reading")
    neighbours: Neighbours = job.result()
    at = neighbours.place(split, image_id, item_no)
    if at is None:
        raise NotFoundError(f"The embeddings have no vector of {split}/{image_id} item {item_no}.")
    allowed = _allowed(site, neighbours, state)
    if gallery != "any":
        allowed = allowed & (neighbours.is_user if gallery == "user" else neighbours.is_shop)
    near, far = neighbours.nearest(at, SIZE, distance, allowed)
    is_same = neighbours.is_same_identity(at)
    rows = []
    for position, value in zip(near.tolist(), far.tolist(), strict=True):
        key = neighbours.key(position)
        rows.append(
            {
                **dict(zip(("split", "image_id", "item_no"), key, strict=True)),
                "source": neighbours.source(position),
                "distance": value,
                "is_same_identity": bool(is_same[position]),
            }
        )
    data = {
        **row,
        "distance": distance,
        "gallery": gallery,
        **({"model": model} if models else {}),
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
        "own_query": state.query(keep=_KEPT),
        "models": models,
        "whole_query": Subset() != state.subset,
    }
    title = f"Similar to {split}/{image_id:06d} item {item_no}"
    return Answer("similar.html", title, data, _table(rows), context, is_fixed=False)


def start(site: Site, model: str | None = None) -> Job:
    """Return the job that reads the vectors of the settings, or else of a model; it may be running."""
    source = model if site.settings.embeddings is None else site.settings.embeddings
    key = (site.version(), signature(site.registry, source))
    return site.embeddings.start(key, lambda: _read(site, source))


def _read(site: Site, source: str | None) -> Neighbours:
    items = site.narrow().choose(Subset()).item_keys()
    with open_vectors(site.registry, source, site.settings.storage_options) as file:
        return read_neighbours(items, file)


def _allowed(site: Site, neighbours: Neighbours, state: State) -> Bools:
    """Return which items are of the subset of the address."""
    subset = site.confined(state.subset)
    if subset == Subset():
        return np.ones(len(neighbours.keys), bool)
    items = site.narrow().choose(subset).item_keys()
    return np.isin(neighbours.keys, keys_of(items))


def _table(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    columns = {
        "split": pa.string(), "image_id": pa.int32(), "item_no": pa.int16(), "source": pa.string(),
        "distance": pa.float64(), "is_same_identity": pa.bool_(),
    }  # fmt: skip
    return pa.Table.from_pylist(rows, pa.schema(list(columns.items())))
