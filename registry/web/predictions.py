"""Predictions of models beside the annotation: scores, errors with their pictures, and the worst images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from registry.dataset.deepfashion2 import CATEGORIES, SPLITS, unknown_name
from registry.errors import NotFoundError, UsageError
from registry.redaction import redact
from registry.web import model_results
from registry.web.answers import Answer, waiting_answer
from registry.web.commands import of_model
from registry.web.model_results import ERRORS, ModelResult, image_keys
from registry.web.pictures import load_pictures
from registry.web.prediction_shapes import KINDS, PredictionShape, prediction_shapes

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.store.selection import Selection
    from registry.web.jobs import Job
    from registry.web.site import Site
    from registry.web.state import State

#: Images of a page.
SIZE: Final = 24
#: Predictions that are drawn in a picture of a grid, and in a large one: those with the highest scores.
_DRAWN: Final = 30
_DRAWN_LARGE: Final = 200
#: Seconds for which a page waits for results before it says that they are being made.
_PATIENCE: Final = 0.5
#: How an address names a missing side: an item without prediction, a prediction without item.
NOTHING: Final = "nothing"
_NAMES: Final = tuple(category.name for category in CATEGORIES)
#: Parameters of these pages that their links keep.
_KEPT: Final = ("model", "min_score", "skip_bad")


class _Models:
    """The models of a page: those that are evaluated, and why others are not.

    Attributes:
        state: the address.
        selection: the subset.
        jobs: by name of the model.
        skip_bad: whether bad records are left out.
    """

    def __init__(self, site: Site, request: Request) -> None:
        if not site.settings.predictions:
            raise NotFoundError("This server has no predictions: df2 browse --predictions FILE shows them.")
        self.state: State = site.state(request)
        self.selection: Selection = site.selection(self.state.subset)
        self.skip_bad = _one(self.state, "skip_bad", "0") in ("1", "true", "on")
        names = list(site.settings.predictions)
        self.name = _one(self.state, "model", names[0])
        if self.name not in names:
            raise unknown_name("model", self.name, names)
        self._min_score = _number(self.state, "min_score")
        self.jobs: dict[str, Job] = {
            name: model_results.start(site, name, self.selection, skip_bad=self.skip_bad) for name in names
        }
        for job in self.jobs.values():
            job.done.wait(_PATIENCE)

    @property
    def are_done(self) -> bool:
        return all(job.done.is_set() for job in self.jobs.values())

    def results(self) -> dict[str, ModelResult]:
        """Return the results of the models that could be evaluated."""
        return {name: job.result() for name, job in self.jobs.items() if model_results.problem(job) is None}

    def problems(self) -> dict[str, str]:
        """Return why models could not be evaluated."""
        texts = {name: model_results.problem(job) for name, job in self.jobs.items()}
        return {name: redact(text) for name, text in texts.items() if text is not None}

    def result(self) -> ModelResult:
        """Return the results of the model of the address.

        Raises:
            RegistryError: it could not be evaluated.
        """
        result: ModelResult = self.jobs[self.name].result()
        return result

    def min_score(self, result: ModelResult) -> float:
        return result.best_score if self._min_score is None else self._min_score

    def waiting(self) -> Answer:
        running = [name for name, job in self.jobs.items() if not job.done.is_set()]
        query = self.state.query(keep=tuple(self.state.others))
        waiting = f"Evaluating {' and '.join(running)}, for a large file some minutes"
        return waiting_answer("Predictions", waiting, query, state="evaluating", models=running)


def predictions(site: Site, request: Request) -> Answer:
    """Return the scores of the models, their errors, and the images on which a model does worst.

    Parameters of the address, beside the options of a subset: ``model``, ``min_score`` (predictions with a lower score
    do not count in the errors), ``page`` of the images, ``skip_bad`` to go on without bad records.

    Raises:
        UsageError: a parameter cannot be read.
        NotFoundError: there are no predictions.
    """
    models = _Models(site, request)
    state = models.state
    page = int(_number(state, "page") or 1)
    if not 1 <= page < 1 << 31:
        raise UsageError(f"page: expected a number from 1 on, found {page}.")
    if not models.are_done:
        return models.waiting()
    results, problems = models.results(), models.problems()
    data: dict[str, Any] = {
        "task": site.settings.task,
        "models": list(models.jobs),
        "model": models.name,
        "problems": problems,
        "notices": _notices(results),
        "evaluated": list(results),
        "scores": _scores(results),
    }
    context: dict[str, Any] = {"state": state, "skip_bad": models.skip_bad, "has_model": models.name in results}
    context["commands"] = of_model(site, models.name, state.subset)
    context["model_links"] = {name: state.query(keep=("min_score", "skip_bad"), model=name) for name in models.jobs}
    context["skip_link"] = state.query(keep=("model", "min_score"), skip_bad="1")
    if models.name in results:
        result = results[models.name]
        least = models.min_score(result)
        num_worst, shown = result.worst(least, (page - 1) * SIZE, SIZE)
        links = {}
        if page > 1:
            links["previous"] = state.query(keep=_KEPT, page=page - 1)
        if page * SIZE < num_worst:
            links["next"] = state.query(keep=_KEPT, page=page + 1)
        errors = _errors(results, models, state)
        data |= {
            "min_score": least,
            "errors": errors,
            "confusion": _confusion(result, least, state),
            "num_worst": num_worst,
            "images": shown,
            "links": links,
        }
        context |= _drawing(site, shown, {models.name: result}, least) | {
            "range": _range(result),
            "first": (page - 1) * SIZE + 1,
            "hidden": state.parameters(),
        }
    return Answer("predictions.html", "Predictions", data, None, context, is_fixed=False)


def pictures(site: Site, request: Request) -> Answer:
    """Return the pictures of a cell of the confusion matrix, or of a kind of error.

    Parameters of the address, beside those of :func:`predictions`: ``truth`` and ``predicted`` (categories, or
    ``nothing``), or ``kind``.

    Raises:
        UsageError: a parameter cannot be read.
        NotFoundError: there are no predictions.
    """
    models = _Models(site, request)
    state = models.state
    kind, truth, predicted = (_one(state, name, "") for name in ("kind", "truth", "predicted"))
    page = int(_number(state, "page") or 1)
    if not 1 <= page < 1 << 31:
        raise UsageError(f"page: expected a number from 1 on, found {page}.")
    if kind:
        if kind not in ERRORS:
            raise unknown_name("kind of error", kind, list(ERRORS))
    else:
        for name, value in (("truth", truth), ("predicted", predicted)):
            if value not in (*_NAMES, NOTHING):
                raise unknown_name(f"category {name}", value, [*_NAMES, NOTHING])
    if not models.are_done:
        return models.waiting()
    result = models.result()
    least = models.min_score(result)
    if kind:
        table, title = result.error_rows(kind, least), f"Errors: {kind}"
    else:
        cell = (None if truth == NOTHING else truth, None if predicted == NOTHING else predicted)
        table, title = result.cell_rows(*cell, least), f"{truth}, predicted as {predicted}"
    table = table.take(pa.array(image_keys(table).argsort(kind="stable")))
    shown = table.slice((page - 1) * SIZE, SIZE).to_pylist()
    parameters = (*_KEPT, "kind", "truth", "predicted")
    links = {}
    if page > 1:
        links["previous"] = state.query(keep=parameters, page=page - 1)
    if page * SIZE < table.num_rows:
        links["next"] = state.query(keep=parameters, page=page + 1)
    data = {
        "model": models.name, "min_score": least, "count": table.num_rows, "rows": shown, "links": links,
    }  # fmt: skip
    context = _drawing(site, shown, {models.name: result}, least)
    context |= {"state": state, "back": state.query(keep=_KEPT)}
    plain = table.set_column(0, "split", table.column("split").cast(pa.string()))
    return Answer("predictions_pictures.html", title, data, plain, context, is_fixed=False)


def image(site: Site, request: Request) -> Answer:
    """Return an image with its items and the predictions of all models.

    Raises:
        NotFoundError: there is no such image, or there are no predictions.
    """
    models = _Models(site, request)
    split, image_id = request.path_params["split"], request.path_params["image_id"]
    row = {"split": split, "image_id": image_id}
    if split not in SPLITS or image_id >= 1 << 31 or not load_pictures(site, [row]).images:
        raise NotFoundError(f"The registry has no image {split[:20]}/{str(image_id)[:20]}.")
    if not models.are_done:
        return models.waiting()
    results = models.results()
    tables = {}
    for name, result in results.items():
        positions = result.rows_of(split, image_id)[:_DRAWN_LARGE]
        tables[name] = records_of(result.detections, positions)
    least = models.min_score(results[models.name]) if models.name in results else 0.0
    data = {
        "split": split, "image_id": image_id, "min_score": least, "predictions": tables, "problems": models.problems(),
    }  # fmt: skip
    context = _drawing(site, [row], results, least, most=_DRAWN_LARGE)
    context |= {
        "state": models.state,
        "row": row,
        "back": models.state.query(keep=_KEPT),
        "names": {category.id: category.name for category in CATEGORIES},
        "range": _range(next(iter(results.values()))) if results else (0.0, 1.0),
        "hidden": models.state.parameters(),
    }
    title = f"Predictions in {split}/{image_id:06d}"
    return Answer("predictions_image.html", title, data, None, context, is_fixed=False)


def records_of(table: pa.Table, positions: Any) -> list[dict[str, Any]]:
    """Return some rows of a table as dicts."""
    rows: list[dict[str, Any]] = table.take(pa.array(positions)).to_pylist()
    return rows


def _drawing(
    site: Site, rows: Sequence[Mapping[str, Any]], results: Mapping[str, ModelResult], least: float, most: int = _DRAWN
) -> dict[str, Any]:
    """Return the variables of a template that draws pictures with predictions."""
    loaded = load_pictures(site, rows)
    shapes: dict[tuple[str, int], list[PredictionShape]] = {}
    for row in rows:
        key = row["split"], row["image_id"]
        if key in loaded.images and key not in shapes:
            region = loaded.region(key)
            shapes[key] = [
                shape
                for number, (name, result) in enumerate(results.items())
                for shape in prediction_shapes(
                    result,
                    name,
                    number,
                    key,
                    least,
                    most,
                    region=region,
                    is_large=most > _DRAWN,
                    is_named=len(results) > 1,
                )
            ]
    return {"pictures": loaded, "shapes": shapes, "kinds": KINDS, "least": least}


def _notices(results: Mapping[str, ModelResult]) -> list[str]:
    """Return the notices of all models; those of a single model have its name before them."""
    texts = [set(result.evaluation.notices) for result in results.values()]
    common = set.intersection(*texts) if texts else set()
    notices = [text for result in results.values() for text in result.evaluation.notices if text in common]
    return list(dict.fromkeys(notices)) + [
        f"{name}: {text}"
        for name, result in results.items()
        for text in result.evaluation.notices
        if text not in common
    ]


def _scores(results: Mapping[str, ModelResult]) -> list[dict[str, Any]]:
    """Return a row for each slice: its items, and for each metric the value of each model and their difference."""
    rows: dict[str, dict[str, Any]] = {}
    for name, result in results.items():
        for score in result.evaluation.scores:
            row = rows.setdefault(score.slice, {"slice": score.slice, "items": score.num_items, "metrics": {}})
            row["metrics"].setdefault(score.metric, dict.fromkeys(results))[name] = score.value
    for row in rows.values():
        for values in row["metrics"].values():
            if len(values) == 2:
                first, second = values.values()
                values["difference"] = None if None in (first, second) else second - first
    # A metric that was measured nowhere has no column.
    measured = {
        metric
        for row in rows.values()
        for metric, values in row["metrics"].items()
        if any(value is not None for value in values.values())
    }
    for row in rows.values():
        row["metrics"] = {metric: values for metric, values in row["metrics"].items() if metric in measured}
    return list(rows.values())


def _errors(results: Mapping[str, ModelResult], models: _Models, state: State) -> list[dict[str, Any]]:
    """Return a row for each kind of error: of each model count at the score, cost, and address of the pictures."""
    rows = []
    costs = {name: {row["kind"]: row["dAP50"] for row in result.errors.to_pylist()} for name, result in results.items()}
    for kind in ERRORS:
        of_model = {
            name: {
                "count": result.error_rows(kind, models.min_score(result)).num_rows,
                "dAP50": costs[name].get(kind),
                "link": "/predictions/pictures" + state.query(keep=("min_score", "skip_bad"), model=name, kind=kind),
            }
            for name, result in results.items()
        }
        rows.append({"kind": kind, "models": of_model})
    return rows


def _confusion(result: ModelResult, least: float, state: State) -> dict[str, Any]:
    """Return the confusion matrix: names, and rows of cells with count and address of the pictures."""
    cells = result.cells(least)
    present = [name for name in _NAMES if any(name in cell for cell in cells)]
    names: list[str | None] = [*present, None]
    rows = []
    for truth in names:
        counts = [cells.get((truth, predicted), 0) for predicted in names]
        total = sum(counts) or 1
        rows.append(
            {
                "truth": truth or NOTHING,
                "cells": [
                    {
                        "predicted": predicted or NOTHING,
                        "count": count,
                        "share": count / total,
                        "link": "/predictions/pictures"
                        + state.query(keep=_KEPT, truth=truth or NOTHING, predicted=predicted or NOTHING),
                    }
                    for predicted, count in zip(names, counts, strict=True)
                ],
            }
        )
    return {"names": [name or NOTHING for name in names], "rows": rows}


def _range(result: ModelResult) -> tuple[float, float]:
    """Return the ends of the slider."""
    if not len(result.score):
        return 0.0, 1.0
    return float(min(0, math.floor(result.score.min()))), float(max(1, math.ceil(result.score.max())))


def _one(state: State, name: str, default: str) -> str:
    return state.others.get(name, (default,))[-1]


def _number(state: State, name: str) -> float | None:
    """Return a number of the address; None without it.

    Raises:
        UsageError: it is no finite number.
    """
    text = _one(state, name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name}: expected a number, found {text[:20]!r}.")
    return value
