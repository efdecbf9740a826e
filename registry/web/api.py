"""The addresses of a server for scripts: every page with its parameters, as OpenAPI and as a page to read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.subset.options import OPTIONS
from registry.version import __version__
from registry.web.answers import ARROW, CSV, HTML, JSON, Answer
from registry.web.state import SUBSET

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from registry.web.site import Site


@dataclass(frozen=True)
class Described:
    """A page for scripts.

    Attributes:
        summary: a sentence.
        parameters: name -> meaning, beside those of the path.
        has_subset: whether the options of a subset are parameters too.
        kinds: media types of its answers.
        needs: option of the command without which there is no such page; empty for all others.
    """

    summary: str
    parameters: Mapping[str, str]
    has_subset: bool = False
    kinds: tuple[str, ...] = (HTML, JSON)
    needs: str = ""


_TABLE: Final = (HTML, JSON, ARROW, CSV)
_FORMAT: Final = "html, json, arrow or csv: the same as the header Accept."
_PLACES: Final = {"after": "Place in the order, from a link to the next page.", "before": "The same, backwards."}
_ORDER: Final = {"show": "images or items.", "sort": "A column; with a minus before it, the largest first."}
_FILTERS: Final = {
    "split": "Of this split.", "orphans": "1 for identities seen on one side only.",
    "mixed": "1 for identities of several categories.", "min_user": "At least so many consumer items.",
    "min_shop": "At least so many shop items.",
}  # fmt: skip
_CROP: Final = {"crop": "0 for whole photos; 1, the default, for the items alone."}
_SCORE: Final = {"model": "Name of the model.", "min_score": "Predictions of at least this score.",
                 "skip_bad": "1 to go on without bad records.", "page": "Number of the page, from 1."}  # fmt: skip

#: Path -> its description, for all pages that answer scripts.
PAGES: Final[Mapping[str, Described]] = {
    "/": Described("Images or items of a subset, 60 at a time.", {**_ORDER, **_PLACES}, True, _TABLE),
    "/image/{split}/{image_id}": Described(
        "An image: its row, items, corrections, photo and neighbours.",
        {**_ORDER, "item": "Item to point out.", "hide": "Layer to hide. Repeatable."},
        True, _TABLE,
    ),
    "/annotation/{split}/{image_id}.json": Described("The annotation file of an image.", {}, False, (JSON,)),
    "/photo/{split}/{image_id}": Described("The photo as it is stored.", {}, False, ("image/*",)),
    "/thumbnail/{split}/{image_id}.jpg": Described(
        "A small copy of the photo.", {"w": "224 or 448: width in px.", "part": "LEFT,TOP,RIGHT,BOTTOM in px."},
        False, ("image/jpeg",),
    ),
    "/identities": Described("Identities with their numbers of items.", {**_FILTERS, **_PLACES}, False, _TABLE),
    "/identity/{split}/{pair_id}/{style}": Described("All items of an identity.", {**_FILTERS, **_CROP}, False, _TABLE),
    "/pair/{split}/{pair_id}": Described("All items of a pair_id, by style.", _CROP, False, _TABLE),
    "/statistics": Described("Counts of a subset.", {"of": "Name of one statistic, as a table."}, True, _TABLE),
    "/statistics/pictures": Described(
        "The items or images that a bar of the statistics counts.",
        {"of": "Name of the plot.", "key": "Of the bar.", "part": "Split, source or visibility.",
         "after": _PLACES["after"]},
        True, _TABLE,
    ),
    "/predictions": Described("Scores, errors and confusion of models.", _SCORE, True, needs="--predictions"),
    "/predictions/pictures": Described(
        "The items and predictions of a kind of error, or of a cell of the confusion.",
        {**_SCORE, "kind": "Of the error.", "truth": "Category of the item.",
         "predicted": "Category of the prediction.", "page": "Number of the page, from 1."},
        True, _TABLE, "--predictions",
    ),
    "/predictions/image/{split}/{image_id}": Described(
        "An image with its predictions.", _SCORE, True, needs="--predictions"
    ),
    "/similar/{split}/{image_id}/{item_no}": Described(
        "The items nearest to an item.",
        {"distance": "cosine, l2 or dot.", "gallery": "any, shop or user.", "model": "Of the registry."}, True, _TABLE,
        "--embeddings, or vectors of a model in the registry",
    ),
    "/checks": Described("The checks with their counts within a subset.", {}, True, _TABLE),
    "/checks/{name}": Described("The rows of a check.", _PLACES, True, _TABLE),
    "/compare": Described(
        "The differences from another version.",
        {"of": "items, images or instance_pairs.", "change": "Kind of the difference.", "column": "That differs.",
         "show": "crops or photos.", **_PLACES},
        True, _TABLE, "--against",
    ),
    "/sql": Described(
        "The rows of one SELECT: at most 100,000, with is_cut where there are more.",
        {"query": "The SELECT.", "show": "table or pictures."}, False, _TABLE,
    ),
    "/sql/words": Described("The names of tables, columns and functions.", {}, False, (JSON,)),
}  # fmt: skip


def path_of(route: str) -> str:
    """Return the path of a route without the kinds of its parameters."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", route)


def document(root_path: str) -> dict[str, Any]:
    """Return the description of the server by OpenAPI 3.1.

    Args:
        root_path: prefix of all addresses.
    """
    options = {
        name: {
            "name": name, "in": "query", "description": option.help,
            "schema": {"type": "array", "items": {"type": "string"}} if option.default == () else {"type": "string"},
        }
        for name, option in OPTIONS.items()
        if name != "items"  # a file, which no address names
    }  # fmt: skip
    options[SUBSET] = _parameter(SUBSET, "Name of a subset of params.yaml; options are added to it.")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DeepFashion2 registry",
            "version": __version__,
            "summary": "Every page answers scripts with the rows it shows.",
        },
        "servers": [{"url": root_path or "/"}],
        "paths": {path: {"get": _operation(path, page)} for path, page in PAGES.items()},
        "components": {
            "parameters": options,
            "schemas": {
                "Error": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
            },
        },
    }


def _operation(path: str, page: Described) -> dict[str, Any]:
    of_path = [
        {
            "name": name, "in": "path", "required": True,
            "schema": {"type": "string" if name in ("split", "name") else "integer"},
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]  # fmt: skip
    parameters = of_path + [_parameter(name, text) for name, text in page.parameters.items()]
    if page.has_subset:
        parameters += [{"$ref": f"#/components/parameters/{name}"} for name in (SUBSET, *OPTIONS) if name != "items"]
    if len(page.kinds) > 1:
        parameters.append(_parameter("format", _FORMAT))
    error = {"description": "A sentence.", "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
    return {
        "summary": page.summary,
        "operationId": re.sub(r"\W+", "_", f"get{path}").strip("_"),
        "parameters": parameters,
        "responses": {
            "200": {"description": page.summary, "content": {kind: {} for kind in page.kinds}},
            "202": {"description": "The result is being made: ask again."},
            "400": error,
            "404": error,
            "503": error,
        },
    }


def _parameter(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}


def openapi(site: Site, request: Request) -> Answer | Response:
    """Return the description of the server as JSON."""
    from starlette.responses import JSONResponse

    return JSONResponse(document(site.root_path))


def api(site: Site, request: Request) -> Answer:
    """Return the list of addresses, for people."""
    options = {name: option.help for name, option in OPTIONS.items() if name != "items"}
    base = f"{request.url.scheme}://{request.url.netloc}{site.root_path}"
    return Answer(
        "api.html", "API", document(site.root_path), context={"pages": PAGES, "options": options, "base": base}
    )
