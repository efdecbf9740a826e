"""``df2 evaluate retrieval`` and ``df2 evaluate embeddings``: how well a model finds clothes in the gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from registry.cli.context import Places
from registry.cli.evaluation_options import EvaluationOptions, evaluation_options
from registry.cli.examples import examples
from registry.cli.paths import FILE, PLACE

#: Values of ``--rows``.
_ROWS: Final = ("auto", "lists", "items")
#: Values of ``--distance``.
_DISTANCES: Final = ("cosine", "l2", "dot")


def _options(command: Callable[..., Any]) -> Any:
    """Add the options of both commands."""
    rows = click.option(
        "--rows",
        type=click.Choice(_ROWS),
        default=_ROWS[0],
        show_default=True,
        help="Rows of queries and gallery: of the published lists, or all items; auto takes the lists if they were "
        "ingested.",
    )
    row = "query: the rank of its first right answer, and how it ended"
    return rows(evaluation_options(" of the queries", "cmc.csv and ranks.csv", row)(command))


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
    options: EvaluationOptions,
) -> None:
    """Score a submission of consumer-to-shop retrieval.

    SUBMISSION is a file or URL: the official JSON, or Parquet, Arrow or JSON lines with its keys as columns. top-k is
    the share of queries with a right answer among their first k, by the official script.
    docs/how-to/retrieval-evaluation.md tells the protocol, its quirks and the metrics.

    Options of a subset choose the queries that count; the gallery stays whole.

    Exit code 3: records cannot be evaluated; all are counted, and --skip-bad goes on without them. With --strict, also
    where the official script would stop.
    """
    from registry.evaluation.retrieval import evaluate_retrieval

    evaluation = evaluate_retrieval(
        places.open(tables=options.tables),
        submission,
        subset=options.subset,
        strict=strict,
        rows=rows,
        by=options.by,
        resamples=options.resamples,
        skip_bad=options.skip_bad,
        storage_options=places.storage_options,
    )
    options.write(evaluation)


@examples(
    "df2 evaluate embeddings embeddings.parquet",
    "df2 evaluate embeddings embeddings.parquet --distance l2 --by scale",
    "df2 evaluate embeddings colour-texture --split validation",
    "df2 evaluate embeddings embeddings.parquet --submission submission.json",
)
@click.command("embeddings")
@click.argument("embeddings", type=PLACE)
@click.option(
    "--distance",
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
    options: EvaluationOptions,
) -> None:
    """Score embeddings of items: each query gets its 20 nearest gallery items, and the official protocol scores them.

    EMBEDDINGS is a model whose vectors are in the registry (df2 embeddings list), or a Parquet or Arrow file, or its
    URL, with the columns split, image_id, item_no and vector (a list of numbers), a row for each consumer and shop
    item: their annotated boxes are taken. With x1, y1, x2, y2, score and category_id instead of item_no, a row is a
    detection; the detections in shop images are the gallery. A word without a slash and without the suffix of a file
    (.parquet, .arrow, ...) is a model.

    Options of a subset choose the queries that count; the gallery stays whole.

    Exit code 3: rows cannot be evaluated, or items have no row; all are counted, and --skip-bad goes on without them.
    """
    from registry.evaluation.embeddings import evaluate_embeddings

    evaluation = evaluate_embeddings(
        places.open(tables=options.tables),
        embeddings,
        subset=options.subset,
        distance=distance,
        submission=submission,
        rows=rows,
        by=options.by,
        resamples=options.resamples,
        skip_bad=options.skip_bad,
        storage_options=places.storage_options,
    )
    options.write(evaluation)
