"""``df2 evaluate``: how good a model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from registry.cli.context import Places, storage_option
from registry.cli.evaluate_retrieval import embeddings, retrieval
from registry.cli.evaluation_output import RESULTS_FILE, write_evaluation
from registry.cli.examples import examples
from registry.cli.output import Output, output_options
from registry.cli.paths import FILE, FOLDER, PLACE
from registry.cli.subset_options import evaluated_subset_options
from registry.subset.options import Subset

#: Draws of the bootstrap behind each interval.
_RESAMPLES: Final = 200


@examples(
    "df2 evaluate boxes predictions.json --split validation",
    "df2 evaluate landmarks predictions.json --by occlusion --by scale",
    "df2 evaluate masks predictions.parquet --slice images --by viewpoint --metrics metrics.json",
)
@click.group("evaluate")
def evaluate() -> None:
    """Score the predictions of a model by the official protocol.

    The items come from the registry: no export is needed. docs/evaluation.md tells the formats of PREDICTIONS, the
    metrics and the slices.
    """


def _options(command: Callable[..., Any]) -> Any:
    """Add the arguments and options of the commands that score boxes, masks or landmarks."""
    decorators = (
        click.argument("predictions", type=PLACE),
        click.option(
            "--by",
            multiple=True,
            metavar="COLUMN|SQL",
            help="Also score a slice for each value of this column of items, or SQL expression: occlusion, source, "
            "'x2 - x1 > 200', TABLE.COLUMN of --table. Repeatable.",
        ),
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
            "--resamples",
            type=click.IntRange(0, 100_000),
            default=_RESAMPLES,
            show_default=True,
            metavar="N",
            help="Draws of the bootstrap (over pair_ids) behind each 95 % interval; 0 for no intervals.",
        ),
        click.option("--skip-bad", is_flag=True, help="Leave out records that cannot be evaluated, and say how many."),
        click.option("--metrics", type=FILE, help="Also write the scores to a JSON file for dvc metrics."),
        click.option("--plots", type=FOLDER, help="Also write CSV files for dvc plots to this folder."),
        click.option(
            "--items",
            "items_file",
            type=RESULTS_FILE,
            metavar="FILE.parquet",
            help="Also write a row for each item: its prediction, and the kind of error. --table NAME=FILE.parquet "
            "joins it.",
        ),
        click.option(
            "--detections",
            type=RESULTS_FILE,
            metavar="FILE.parquet",
            help="Also write a row for each prediction: its item, and the kind of error.",
        ),
        storage_option,
        evaluated_subset_options,
        output_options,
        click.pass_obj,
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def _score(
    places: Places,
    task: str,
    predictions: str,
    by: tuple[str, ...],
    slices_of: str,
    against: str | None,
    resamples: int,
    skip_bad: bool,
    metrics: Path | None,
    plots: Path | None,
    items_file: Path | None,
    detections: Path | None,
    subset: Subset,
    tables: dict[str, str],
    output: Output,
) -> None:
    """Score predictions of a task and write the result."""
    from registry.evaluation.run import evaluate as score

    evaluation = score(
        places.open(tables=tables),
        task,
        predictions,
        subset=subset,
        by=by,
        slice_images=slices_of == "images",
        resamples=resamples,
        against=against,
        skip_bad=skip_bad,
        storage_options=places.storage_options,
    )
    write_evaluation(evaluation, output, metrics=metrics, items=items_file, detections=detections, plots=plots)


@examples(
    "df2 evaluate boxes predictions.json",
    "df2 evaluate boxes predictions.json --by occlusion --by scale --format json",
    "df2 evaluate boxes predictions.json --by 'x2 - x1 > 200' --against older.json",
    "df2 evaluate boxes predictions.json --items results.parquet",
)
@evaluate.command("boxes")
@_options
def boxes(places: Places, /, **options: Any) -> None:
    """Score predicted boxes.

    PREDICTIONS is a file or URL: COCO results (JSON), or Parquet, Arrow, CSV or JSON lines with the same names as
    columns. AP and AR are those of COCO: IoU .50 to .95, up to 100 boxes an image and category.

    Exit code 3: records cannot be evaluated; all are counted, and --skip-bad goes on without them.
    """
    _score(places, "boxes", **options)


@examples(
    "df2 evaluate masks predictions.json --by viewpoint",
    "df2 evaluate masks predictions.parquet --split train --metrics metrics.json",
)
@evaluate.command("masks")
@_options
def masks(places: Places, /, **options: Any) -> None:
    """Score predicted masks.

    PREDICTIONS as for df2 evaluate boxes, with masks as RLE or polygons. AP and AR are those of COCO: IoU of masks .50
    to .95, up to 100 masks an image and category.

    Exit code 3: records cannot be evaluated; all are counted, and --skip-bad goes on without them.
    """
    _score(places, "masks", **options)


@examples(
    "df2 evaluate landmarks predictions.json --by occlusion",
    "df2 evaluate landmarks predictions.json --slice images --by zoom_in",
)
@evaluate.command("landmarks")
@_options
def landmarks(places: Places, /, **options: Any) -> None:
    """Score predicted landmarks.

    PREDICTIONS as for df2 evaluate boxes, with keypoints in the 294 slots of all categories or in those of the category
    alone. AP and AR are those of COCO: OKS .50 to .95 with the 294 sigmas of the data set, up to 20 predictions an
    image and category. AP is that of visible and occluded landmarks; AP-visible takes occluded ones as not labelled.

    Exit code 3: records cannot be evaluated; all are counted, and --skip-bad goes on without them.
    """
    _score(places, "landmarks", **options)


evaluate.add_command(retrieval)
evaluate.add_command(embeddings)
