"""The section on the predictions of a model: scores, curves, confusion, kinds of error, and the worst images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID
from registry.dataset.published import REMARK
from registry.evaluation.score_table import has_published, score_rows, shown_value
from registry.pictures.predicted import Prediction
from registry.report import plots
from registry.report.elements import Html, bullets, element, join, section, table
from registry.wording import plural

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.evaluation.results import Evaluation
    from registry.report.thumbnails import Thumbnails

#: Images that are drawn, predictions drawn in each, landmarks in the table of errors.
_IMAGES: Final = 12
_PREDICTIONS: Final = 10
_LANDMARKS: Final = 15
#: Curves that are drawn, by the overlap from which on an item counts as matched.
_THRESHOLDS: Final = {0.5: "from .50", 0.75: "from .75", 0.9: "from .90"}
_CATEGORY: Final = "category="
_KINDS: Final = (
    "Kinds as TIDE has them (Bolya et al., 2020). dAP50 is how much AP50 would gain if the errors of a kind did not "
    "happen."
)
_CONFUSION: Final = (
    "Each item with the prediction that overlaps it most, by falling score. Nothing is an item without prediction, or "
    "a prediction without item."
)
_WORST: Final = (
    "Items have whole lines; predictions are dashed white boxes with category, score and kind of error. The images "
    "with the most missed items and wrong confident predictions come first."
)


def evaluation_section(evaluation: Evaluation, thumbnails: Thumbnails) -> Html:
    """Return the section on predictions.

    Args:
        evaluation: of boxes, masks or landmarks.
        thumbnails: draws the worst images.
    """
    rows = score_rows(evaluation)
    return section(
        "evaluation",
        f"How good the predicted {evaluation.task} are",
        element("p", _lead(evaluation), class_="lead"),
        bullets(evaluation.notices),
        table("Scores of everything, of each category and of each attribute", rows),
        element("p", f"{REMARK}.", class_="muted") if has_published(rows) else None,
        element("div", *_figures(evaluation), class_="grid"),
        _errors(evaluation),
        _confusion(evaluation),
        _landmarks(evaluation),
        _worst(evaluation, thumbnails),
    )


def _lead(evaluation: Evaluation) -> str:
    facts = evaluation.facts
    splits = " and ".join(facts["splits"])
    drawn = f" ± is half the width of a 95 % interval, by {facts['resamples']:,} draws of pair_ids."
    return (
        f"{plural(facts['detections'], 'prediction')} in {plural(facts['images'], 'image')} of {splits} with "
        f"{plural(facts['items'], 'item')}.{drawn if facts['resamples'] else ''}"
    )


def _figures(evaluation: Evaluation) -> Iterator[Html]:
    """Yield the plots: precision by recall, and AP by category."""
    measure = "OKS" if evaluation.task == "landmarks" else "IoU"
    points = [
        {
            "matched": f"{measure} {_THRESHOLDS[row['threshold']]}",
            "recall": row["recall"],
            "precision": row["precision"],
        }
        for row in evaluation.tables["curves"].to_pylist()
        if row["category"] is None and row["threshold"] in _THRESHOLDS
    ]
    text = f"The mean over the categories. A prediction counts as right from this {measure} on."
    draw = plots.curves(
        points, f"Precision by recall. {text}", x="recall", y="precision", colour="matched", x_title="recall",
        y_title="precision",
    )  # fmt: skip
    yield _figure("Precision by recall", text, draw, _across(points))
    bars = [
        {"category": score.slice.removeprefix(_CATEGORY), "AP": score.value, "of": "AP"}
        for score in evaluation.scores
        if score.metric == "AP" and score.slice.startswith(_CATEGORY) and score.value is not None
    ]
    if bars:
        text = "Average precision, by category."
        draw = plots.grouped_bars(bars, text, y="category", x="AP", colour="of", x_title="AP", x_format="~f")
        yield _figure("AP by category", text, draw, [{"category": row["category"], "AP": row["AP"]} for row in bars])


def _across(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the points of every tenth recall, with a column for each curve."""
    rows: dict[float, dict[str, Any]] = {}
    for point in points:
        recall = round(float(point["recall"]), 2)
        if round(recall * 100) % 10 == 0:
            rows.setdefault(recall, {"recall": f"{recall:.1f}"})[point["matched"]] = shown_value(point["precision"])
    return list(rows.values())


def _figure(title: str, text: str, svg: str, numbers: Sequence[Mapping[str, Any]]) -> Html:
    """Return a plot with its numbers as a table."""
    caption = element("figcaption", element("h3", title), element("p", text))
    more = element("details", element("summary", "The numbers"), table(title, numbers))
    return element("figure", caption, Html(svg), more)


def _errors(evaluation: Evaluation) -> Html:
    """Return the table of the kinds of error."""
    rows = [row | {"dAP50": f"{row['dAP50']:.3f}"} for row in evaluation.tables["errors"].to_pylist()]
    return join(
        element("h3", "Kinds of error"),
        element("p", _KINDS, class_="muted"),
        table("Kinds of error", rows),
    )


def _confusion(evaluation: Evaluation) -> Html:
    """Return the table of the categories of items and of their predictions."""
    rows = evaluation.tables["confusion"].to_pylist()
    names = [category.name for category in CATEGORIES]
    names = [name for name in names if any(name in (row["category"], row["predicted"]) for row in rows)]
    cells = {(row["category"], row["predicted"]): row["count"] for row in rows}
    shown = [
        {"annotated": item or "nothing"} | {name or "nothing": cells.get((item, name)) for name in (*names, None)}
        for item in (*names, None)
    ]
    return join(
        element("h3", "Which category was predicted"),
        element("p", _CONFUSION, class_="muted"),
        table("Items of each category by the category of their prediction", shown),
    )


def _landmarks(evaluation: Evaluation) -> Html | None:
    """Return the landmarks that are predicted worst."""
    if "landmarks" not in evaluation.tables:
        return None
    rows = evaluation.tables["landmarks"].to_pylist()
    return join(element("h3", "The landmarks predicted worst"), table("Landmarks", rows[:_LANDMARKS]))


def _worst(evaluation: Evaluation, thumbnails: Thumbnails) -> Html | None:
    """Return the worst images, with their items and predictions."""
    rows = evaluation.tables["worst_images"].slice(0, _IMAGES).to_pylist()
    chosen = {(row["split"], row["image_id"]) for row in rows}
    of_image: dict[tuple[str, int], list[dict[str, Any]]] = {key: [] for key in chosen}
    for row in _in_images(evaluation.tables["detections"], rows):
        of_image[row["split"], row["image_id"]].append(row)
    predictions = {key: [_prediction(row) for row in of_image[key][:_PREDICTIONS]] for key in of_image}
    pictures = thumbnails.of_predictions(rows, predictions)
    if pictures is None:
        return None
    return join(element("h3", "The worst images"), element("p", _WORST, class_="muted"), pictures)


def _in_images(detections: pa.Table, images: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the predictions in some images, by falling score."""
    import pyarrow as pa
    import pyarrow.compute as pc

    image_ids = pa.array([row["image_id"] for row in images], detections.schema.field("image_id").type)
    near = detections.filter(pc.is_in(detections.column("image_id"), image_ids))
    chosen = {(row["split"], row["image_id"]) for row in images}
    rows = [row for row in near.to_pylist() if (row["split"], row["image_id"]) in chosen]
    return sorted(rows, key=lambda row: -row["score"])


def _prediction(row: Mapping[str, Any]) -> Prediction:
    label = f"{CATEGORY_BY_ID[row['category_id']].name} {shown_value(row['score'])}"
    kind = "" if row["kind"] == "correct" else f" {row['kind']}"
    return Prediction((row["x1"], row["y1"], row["x2"], row["y2"]), label + kind)
