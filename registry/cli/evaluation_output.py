"""The result of an evaluation as a table for people, records for programs, and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from registry.cli.context import note
from registry.cli.output import Output, Rows, write_rows
from registry.cli.paths import FileType
from registry.cli.row_formats import write_parquet
from registry.cli.values import json_text
from registry.dataset.published import REMARK
from registry.errors import UsageError
from registry.evaluation.results import ALL
from registry.files.temporary import make_output_folder, replacing, write_text

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.evaluation.results import Evaluation

#: Key of the metadata of Parquet files with results.
_IS_RESULTS: Final = "df2.evaluation"
_LIST: Final = " The items to evaluate are listed with --only-items."


class _ResultsFile(FileType):
    """A Parquet file for results, which replaces none but an earlier one: a list of items is not to be lost."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail if its name does not end in .parquet, or if it is another file."""
        path = super().convert(value, param, ctx)
        if path.suffix != ".parquet":
            self.fail(f"it receives results: expected a name that ends in .parquet, found {path}.{_LIST}", param, ctx)
        if path.is_file() and not _has_results(path):
            self.fail(f"{path} exists and has no results of df2 evaluate: choose another name.{_LIST}", param, ctx)
        return path


def _has_results(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _IS_RESULTS.encode() in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


RESULTS_FILE: Final = _ResultsFile(dir_okay=False, path_type=Path)


def write_evaluation(
    evaluation: Evaluation,
    output: Output,
    *,
    metrics: Path | None = None,
    items: Path | None = None,
    detections: Path | None = None,
    plots: Path | None = None,
) -> None:
    """Write the result of an evaluation.

    Args:
        evaluation: the result.
        output: format and place of the scores.
        metrics: JSON file with the scores, as ``dvc metrics`` reads it.
        items: file with a row for each item.
        detections: file with a row for each prediction.
        plots: folder for the files that ``dvc plots`` reads.

    Raises:
        UsageError: the suffix of a file names no format.
        StorageError: a file cannot be written.
    """
    if items is not None and items == detections:
        raise UsageError(f"{items} cannot be the file of both --items and --detections.")
    for name, path in (("items", items), ("detections", detections)):
        if path is not None:
            _write_results(evaluation.tables[name], path)
    if plots is not None:
        _write_plots(evaluation, plots)
    if metrics is not None:
        make_output_folder(metrics.parent)
        write_text(metrics, json_text(metrics_of(evaluation), indent=1) + "\n")
    if output.is_table:
        from registry.evaluation.score_table import has_published, score_rows

        rows = score_rows(evaluation)
        write_rows(Rows.of_records(rows), output)
        if has_published(rows):
            note(f"note: {REMARK}")
    else:
        write_rows(Rows.of_records(evaluation.records()), output)
    for notice in evaluation.notices:
        note(f"note: {notice}")


def metrics_of(evaluation: Evaluation) -> dict[str, Any]:
    """Return metric -> value of everything, and slice -> metric -> value; without values that were not measured."""
    values: dict[str, Any] = {}
    for score in evaluation.scores:
        if score.value is not None:
            of_slice = values if score.slice == ALL else values.setdefault(score.slice, {})
            of_slice[score.metric] = score.value
    return values


def _write_results(table: pa.Table, path: Path) -> None:
    make_output_folder(path.parent)
    with replacing(path) as partial:
        write_parquet(table.replace_schema_metadata({_IS_RESULTS: ""}), partial)


def _write_plots(evaluation: Evaluation, folder: Path) -> None:
    """Write the CSV files that DVC plots: each table that the evaluation has of those that can be drawn."""
    import pyarrow.csv

    from registry.evaluation.plot_tables import plot_tables

    make_output_folder(folder)
    for name, table in plot_tables(evaluation).items():
        with replacing(folder / f"{name}.csv") as partial:
            pyarrow.csv.write_csv(table, partial)
