"""``df2 evaluate``: how good a model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from registry.cli.context import Places
from registry.cli.evaluate_retrieval import embeddings, retrieval
from registry.cli.evaluation_options import EvaluationOptions, evaluation_options
from registry.cli.evaluation_output import RESULTS_FILE
from registry.cli.examples import examples
from registry.cli.paths import PLACE


@examples(
    "df2 evaluate boxes predictions.json --split validation",
    "df2 evaluate landmarks predictions.json --by occlusion --by scale",
    "df2 evaluate masks predictions.parquet --slice images --by viewpoint --metrics metrics.json",
)
@click.group("evaluate")
def evaluate() -> None:
    """Score the predictions of a model by the official protocol.

    The items come from the registry: no export is needed. docs/how-to/evaluation.md tells the formats of PREDICTIONS,
    the metrics and the slices.
    """


def _options(command: Callable[..., Any]) -> Any:
    """Add the arguments and options of the commands that score boxes, masks or landmarks."""
    decorators = (
        click.argument("predictions", type=PLACE),
        click.option(
            "--slice",
            "slices_of",
            type=click.Choice(["items", "images"]),
            default="items",
            show_default=True,
            help="Slices of --by are of the items with the value, or of all items in images with such an item.",
        ),
        click.option(
            "--against", type=PLACE, metavar="FILE|URL", help="Other predictions: also print the differences from them."
        ),
        click.option(
            "--detections",
            type=RESULTS_FILE,
            metavar="FILE.parquet",
            help="Also write a row for each prediction: its item, and the kind of error.",
        ),
        evaluation_options("", "CSV files", "item: its prediction, and the kind of error"),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def _score(
    places: Places,
    task: str,
    predictions: str,
    slices_of: str,
    against: str | None,
    detections: Path | None,
    options: EvaluationOptions,
) -> None:
    """Score predictions of a task and write the result."""
    from registry.evaluation.run import evaluate as score

    evaluation = score(
        places.open(tables=options.tables),
        task,
        predictions,
        subset=options.subset,
        by=options.by,
        slice_images=slices_of == "images",
        resamples=options.resamples,
        against=against,
        skip_bad=options.skip_bad,
        storage_options=places.storage_options,
    )
    options.write(evaluation, detections)


@examples(
    "df2 evaluate boxes predictions.json",
    "df2 evaluate boxes predictions.json --by occlusion --by scale --format json",
    "df2 evaluate boxes predictions.json --by 'x2 - x1 > 200' --against older.json",
    "df2 evaluate boxes predictions.json --items results.parquet",
)
@evaluate.command("boxes")
@_options
def boxes(places: Places, /, **values: Any) -> None:
    """Score predicted boxes.

    PREDICTIONS is a file or URL: COCO results (JSON), or Parquet, Arrow, CSV or JSON lines with the same names as
    columns. AP and AR are those of COCO: IoU .50 to .95, up to 100 boxes an image and category.

    Exit code 3: records cannot be evaluated; all are counted, and --skip-bad goes on without them.
    """
    _score(places, "boxes", **values)


@examples(
    "df2 evaluate masks predictions.json --by viewpoint",
    "df2 evaluate masks predictions.parquet --split train --metrics metrics.json",
)
@evaluate.command("masks")
@_options
def masks(places: Places, /, **values: Any) -> None:
    """Score predicted masks.

    PREDICTIONS as for df2 evaluate boxes, with masks as RLE or polygons. AP and AR are those of COCO: IoU of masks .50
    to .95, up to 100 masks an image and category.

    Exit code 3: records cannot be evaluated; all are counted, and --skip-bad goes on without them.
    """
    _score(places, "masks", **values)


@examples(
    "df2 evaluate landmarks predictions.json --by occlusion",
    "df2 evaluate landmarks predictions.json --slice images --by zoom_in",
)
@evaluate.command("landmarks")
@_options
def landmarks(places: Places, /, **values: Any) -> None:
    """Score predicted landmarks.

    PREDICTIONS as for df2 evaluate boxes, with keypoints in the 294 slots of all categories or in those of the category
    alone. AP and AR are those of COCO: OKS .50 to .95 with the 294 sigmas of the data set, up to 20 predictions an
    image and category. AP is that of visible and occluded landmarks; AP-visible takes occluded ones as not labelled.

    Exit code 3: records cannot be evaluated; all are counted, and --skip-bad goes on without them.
    """
    _score(places, "landmarks", **values)


evaluate.add_command(retrieval)
evaluate.add_command(embeddings)
