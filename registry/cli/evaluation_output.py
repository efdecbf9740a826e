"""The result of an evaluation as a table for people, records for programs, and files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from registry.cli.context import note
from registry.cli.output import Output, Rows, write_rows
from registry.cli.paths import FileType
from registry.cli.row_formats import write_parquet
from registry.cli.values import json_text
from registry.dataset.published import REMARK, PublishedResult, published
from registry.errors import UsageError
from registry.files.temporary import make_output_folder, replacing, write_text

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.evaluation.results import Evaluation, Score

#: Key of the metadata of Parquet files with results.
_IS_RESULTS: Final = "df2.evaluation"
_LIST: Final = " The items to evaluate are listed with --only-items."
#: Before the name of a slice of images.
_OF_IMAGES: Final = "images with "


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
    for name, path in (("items", items), ("detections", detections)):
        if path is not None:
            _write_results(evaluation.tables[name], path)
    if plots is not None:
        _write_plots(evaluation, plots)
    if metrics is not None:
        make_output_folder(metrics.parent)
        write_text(metrics, json_text(metrics_of(evaluation), indent=1) + "\n")
    if output.is_table:
        rows = score_rows(evaluation)
        write_rows(Rows.of_records(rows), output)
        if any(row["items"] == "" for row in rows):
            note(f"note: {REMARK}")
    else:
        write_rows(Rows.of_records(evaluation.records()), output)
    for notice in evaluation.notices:
        note(f"note: {notice}")


def metrics_of(evaluation: Evaluation) -> dict[str, Any]:
    """Return metric -> value of everything, and slice -> metric -> value; without what was not measured."""
    values: dict[str, Any] = {}
    for score in evaluation.scores:
        if score.value is not None:
            of_slice = values if score.slice == "all" else values.setdefault(score.slice, {})
            of_slice[score.metric] = score.value
    return values


def score_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return a row for each slice, with a text for each metric; below it what is published of the same slice."""
    names = list(dict.fromkeys(score.metric for score in evaluation.scores))
    of_slice: dict[str, dict[str, Score]] = {}
    for score in evaluation.scores:
        of_slice.setdefault(score.slice, {})[score.metric] = score
    of_others: dict[str, list[PublishedResult]] = {}
    for result in published(evaluation.task):
        of_others.setdefault(result.slice, []).append(result)
    rows = []
    for slice, scores in of_slice.items():
        number = Counter(score.num_items for score in scores.values()).most_common(1)[0][0]
        rows.append(
            {"slice": slice, "items": f"{number:,}"}
            | {name: shown_score(scores[name]) if name in scores else "" for name in names}
        )
        for other in of_others.get(slice.removeprefix(_OF_IMAGES), ()):
            values = {name: shown_value(other.values[name]) if name in other.values else "" for name in names}
            if any(values.values()):
                rows.append({"slice": f"  {other.model}", "items": "", **values})
    return rows


def shown_score(score: Score) -> str:
    """Return a score as papers print it, with half the width of its interval: ``.638 ±.004``."""
    if score.value is None:
        return ""
    text = shown_value(score.value, is_signed=score.metric.endswith("-difference"))
    if score.low is None or score.high is None:
        return text
    return f"{text} ±{shown_value((score.high - score.low) / 2)}"


def shown_value(value: float, *, is_signed: bool = False) -> str:
    """Return a share without the zero before its point: ``.638``, ``-.012``, ``1.000``."""
    text = f"{value:+.3f}" if is_signed else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text


def _write_results(table: pa.Table, path: Path) -> None:
    make_output_folder(path.parent)
    with replacing(path) as partial:
        write_parquet(table.replace_schema_metadata({_IS_RESULTS: ""}), partial)


def _write_plots(evaluation: Evaluation, folder: Path) -> None:
    raise UsageError("--plots")
