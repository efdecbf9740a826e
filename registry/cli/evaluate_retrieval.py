"""``df2 evaluate retrieval`` and ``df2 evaluate embeddings``: how well a model finds clothes in the gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from registry.cli.context import Places, storage_option
from registry.cli.evaluation_output import RESULTS_FILE, write_evaluation
from registry.cli.examples import examples
from registry.cli.output import Output, output_options
from registry.cli.paths import FILE, FOLDER, PLACE
from registry.cli.subset_options import evaluated_subset_options
from registry.subset.options import Subset

#: Draws of the bootstrap behind each interval.
_RESAMPLES: Final = 200
#: Values of ``--rows``.
_ROWS: Final = ("auto", "lists", "items")
#: Values of ``--metric``.
_DISTANCES: Final = ("cosine", "l2", "dot")


def _options(command: Callable[..., Any]) -> Any:
    """Add the options of both commands."""
    decorators = (
        click.option(
            "--rows",
            type=click.Choice(_ROWS),
            default=_ROWS[0],
            show_default=True,
            help="Rows of queries and gallery: of the published lists, or all items; auto takes the lists if they were "
            "ingested.",
        ),
        click.option(
            "--by",
            multiple=True,
            metavar="COLUMN|SQL",
            help="Also score a slice of the queries for each value of this column of items, or SQL expression: "
            "occlusion, 'x2 - x1 > 200', TABLE.COLUMN of --table. Repeatable.",
        ),
        click.option(
            "--resamples",
            type=click.IntRange(0, 100_000),
            default=_RESAMPLES,
            show_default=True,
            metavar="N",
            help="Draws of the bootstrap (over pair_ids) behind each 95 % interval; 0 for no intervals.",
        ),
        click.option(
            "--skip-bad", is_flag=True, help="Go on without records that cannot be evaluated, and say how many."
        ),
        click.option("--metrics", type=FILE, help="Also write the scores to a JSON file for dvc metrics."),
        click.option("--plots", type=FOLDER, help="Also write cmc.csv and ranks.csv for dvc plots to this folder."),
        click.option(
            "--items",
            "items_file",
            type=RESULTS_FILE,
            metavar="FILE.parquet",
            help="Also write a row for each query: the rank of its first right answer, and how it ended. --table "
            "NAME=FILE.parquet joins it.",
        ),
        storage_option,
        evaluated_subset_options,
        output_options,
        click.pass_obj,
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


@examples(
    "df2 evaluate retrieval submission.json",
    "df2 evaluate retrieval submission.json --strict --rows lists",
    "df2 evaluate retrieval submission.json --by occlusion --items ranks.parquet",
)
@click.command("retrieval")
@click.argument("submission", type=PLACE)
@click.option(
    "--strict",
    is_flag=True,
    help="Everything as in the official script, which does not check records; an error where it would stop.",
)
@_options
def retrieval(
    places: Places,
    /,
    submission: str,
    strict: bool,
    rows: str,
    by: tuple[str, ...],
    resamples: int,
    skip_bad: bool,
    metrics: Path | None,
    plots: Path | None,
    items_file: Path | None,
    subset: Subset,
    tables: dict[str, str],
    output: Output,
) -> None:
    """Score a submission of consumer-to-shop retrieval.

    SUBMISSION is a file or URL: the official JSON, or Parquet, Arrow or JSON lines with its keys as columns. top-k is
    the share of queries with a right answer among their first k, by the official script. docs/retrieval_evaluation.md
    tells the protocol, its quirks and the metrics.

    Options of a subset choose the queries that count; the gallery stays whole.

    Exit code 3: records cannot be evaluated; all are counted, and --skip-bad goes on without them. With --strict, also
    where the official script would stop.
    """
    from registry.evaluation.retrieval import evaluate_retrieval

    evaluation = evaluate_retrieval(
        places.open(tables=tables),
        submission,
        subset=subset,
        strict=strict,
        rows=rows,
        by=by,
        resamples=resamples,
        skip_bad=skip_bad,
        storage_options=places.storage_options,
    )
    write_evaluation(evaluation, output, metrics=metrics, items=items_file, plots=plots)


@examples(
    "df2 evaluate embeddings embeddings.parquet",
    "df2 evaluate embeddings embeddings.parquet --metric l2 --by scale",
    "df2 evaluate embeddings embeddings.parquet --submission submission.json",
)
@click.command("embeddings")
@click.argument("embeddings", type=PLACE)
@click.option(
    "--metric",
    "distance",
    type=click.Choice(_DISTANCES),
    default=_DISTANCES[0],
    show_default=True,
    help="Nearest by angle, by Euclidean distance, or by dot product.",
)
@click.option("--submission", type=FILE, metavar="FILE.json", help="Also write the official submission to a file.")
@_options
def embeddings(
    places: Places,
    /,
    embeddings: str,
    distance: str,
    submission: Path | None,
    rows: str,
    by: tuple[str, ...],
    resamples: int,
    skip_bad: bool,
    metrics: Path | None,
    plots: Path | None,
    items_file: Path | None,
    subset: Subset,
    tables: dict[str, str],
    output: Output,
) -> None:
    """Score embeddings of items: each query gets its 20 nearest gallery items, and the official protocol scores them.

    EMBEDDINGS is a Parquet or Arrow file, or its URL, with the columns split, image_id, item_no and vector (a list of
    numbers), a row for each consumer and shop item: their annotated boxes are taken. With x1, y1, x2, y2, score and
    category_id instead of item_no, a row is a detection; the detections in shop images are the gallery.

    Options of a subset choose the queries that count; the gallery stays whole.

    Exit code 3: rows cannot be evaluated, or items have no row; all are counted, and --skip-bad goes on without them.
    """
    from registry.evaluation.embeddings import evaluate_embeddings

    evaluation = evaluate_embeddings(
        places.open(tables=tables),
        embeddings,
        subset=subset,
        distance=distance,
        submission=submission,
        rows=rows,
        by=by,
        resamples=resamples,
        skip_bad=skip_bad,
        storage_options=places.storage_options,
    )
    write_evaluation(evaluation, output, metrics=metrics, items=items_file, plots=plots)
