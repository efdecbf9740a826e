"""The options that all commands of ``df2 evaluate`` share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from registry.cli.context import storage_option
from registry.cli.evaluation_output import RESULTS_FILE, write_evaluation
from registry.cli.output import Output, output_options
from registry.cli.paths import FILE, FOLDER
from registry.cli.subset_options import evaluated_subset_options
from registry.evaluation.results import RESAMPLES, Evaluation
from registry.subset.options import Subset


@dataclass(frozen=True)
class EvaluationOptions:
    """The values of the shared options.

    Attributes:
        by: expressions whose values are slices.
        resamples: draws behind each interval.
        skip_bad: whether records that cannot be evaluated are left out.
        metrics, plots, items_file: files and folder that are written beside the scores.
        subset: the items, or queries, that count.
        tables: of the user, name -> path or URL.
        output: format and place of the scores.
    """

    by: Sequence[str]
    resamples: int
    skip_bad: bool
    metrics: Path | None
    plots: Path | None
    items_file: Path | None
    subset: Subset
    tables: dict[str, str]
    output: Output

    def write(self, evaluation: Evaluation, detections: Path | None = None) -> None:
        """Write an evaluation to all these places, and a row for each prediction to ``detections``."""
        write_evaluation(
            evaluation,
            self.output,
            metrics=self.metrics,
            items=self.items_file,
            detections=detections,
            plots=self.plots,
        )


def evaluation_options(slices_of: str, files: str, row: str) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that adds the shared options to a command, which gets them as ``options``.

    Args:
        slices_of: that ``--by`` makes, in its help.
        files: that ``--plots`` writes, in its help.
        row: of the file of ``--items``, in its help.
    """
    decorators = (
        click.option(
            "--by",
            multiple=True,
            metavar="COLUMN|SQL",
            help=f"Also score a slice{slices_of} for each value of this column of items, or SQL expression: occlusion, "
            "'x2 - x1 > 200', TABLE.COLUMN of --table. Repeatable.",
        ),
        click.option(
            "--resamples",
            type=click.IntRange(0, 100_000),
            default=RESAMPLES,
            show_default=True,
            metavar="N",
            help="Draws of the bootstrap (over pair_ids) behind each 95 % interval; 0 for no intervals.",
        ),
        click.option("--skip-bad", is_flag=True, help="Leave out records that cannot be evaluated, and say how many."),
        click.option("--metrics", type=FILE, help="Also write the scores to a JSON file for dvc metrics."),
        click.option("--plots", type=FOLDER, help=f"Also write {files} for dvc plots to this folder."),
        click.option(
            "--items",
            "items_file",
            type=RESULTS_FILE,
            metavar="FILE.parquet",
            help=f"Also write a row for each {row}. --table NAME=FILE.parquet joins it.",
        ),
        storage_option,
        evaluated_subset_options,
        output_options,
        click.pass_obj,
    )

    def decorate(command: Callable[..., Any]) -> Any:
        @functools.wraps(command)
        def with_options(*args: Any, **kwargs: Any) -> Any:
            values = {name: kwargs.pop(name) for name in EvaluationOptions.__dataclass_fields__}
            return command(*args, options=EvaluationOptions(**values), **kwargs)

        for decorator in reversed(decorators):
            with_options = decorator(with_options)
        return with_options

    return decorate
