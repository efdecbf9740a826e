"""The predictions of a model, evaluated: looked up by image, kind of error or pair of categories."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from registry.dataset.arrays import Bools, Floats, Ints
from registry.dataset.deepfashion2 import SPLITS
from registry.errors import RegistryError

if TYPE_CHECKING:
    from registry.evaluation.results import Evaluation
    from registry.store.selection import Selection
    from registry.web.jobs import Job
    from registry.web.site import Site

#: Kinds of predictions that are wrong.
WRONG: Final = ("localisation", "classification", "both", "duplicate", "background")
#: Kinds of error, as pages list them.
ERRORS: Final = (*WRONG, "missed")
_SPLIT_BITS: Final = 32


@dataclass(frozen=True)
class ModelResult:
    """An evaluation as the pages need it.

    Attributes:
        evaluation: scores, notices and facts.
        items, detections, matches, shapes, errors: its tables.
    """

    evaluation: Evaluation
    items: pa.Table
    detections: pa.Table
    matches: pa.Table
    shapes: pa.Table
    errors: pa.Table

    @classmethod
    def of(cls, evaluation: Evaluation) -> ModelResult:
        """Return the result of an evaluation without the data that its tables were made of."""
        names = ("items", "detections", "matches", "shapes", "errors")
        tables = {name: _compact(evaluation.tables[name]) for name in names}
        scores = type(evaluation)(evaluation.task, evaluation.scores, {}, evaluation.facts, evaluation.notices)
        return cls(scores, **tables)

    @cached_property
    def best_score(self) -> float:
        """The score from which on predictions have the best F1, rounded down to two digits behind the point."""
        return float(np.floor(100 * self.evaluation.facts["best_score"]) / 100)

    @cached_property
    def score(self) -> Floats:
        """float64 [detections]."""
        return np.array(self.detections.column("score"))

    @cached_property
    def _detection_order(self) -> tuple[Ints, Ints]:
        """Keys of the images of the detections, ascending, and the detections in this order, by falling score."""
        keys = image_keys(self.detections)
        order = np.lexsort((-self.score, keys))
        return keys[order], order

    def rows_of(self, split: str, image_id: int) -> Ints:
        """Return the positions in ``detections`` of those in an image, by falling score."""
        keys, order = self._detection_order
        key = SPLITS.index(split) << _SPLIT_BITS | image_id
        first, last = np.searchsorted(keys, [key, key + 1])
        return order[first:last]

    def missed(self, min_score: float) -> pa.Table:
        """Return the rows of ``matches`` of items that no prediction with at least a score is matched to."""
        is_item = np.array(self.matches.column("category").is_valid())
        return self.matches.filter(pa.array(is_item & ~self._is_taken(min_score)))

    def is_wrong(self, min_score: float, kinds: Sequence[str] = WRONG) -> Bools:
        """Return which predictions with at least a score are of some kinds of error."""
        import pyarrow.compute as pc

        is_of_kinds = np.array(pc.is_in(self.detections.column("kind"), value_set=pa.array(kinds)))
        return is_of_kinds & (self.score >= min_score)

    def error_rows(self, kind: str, min_score: float) -> pa.Table:
        """Return split, image_id, item_no and position of the errors of a kind, in the order of the data set."""
        if kind == "missed":
            rows = self.missed(min_score).select(["split", "image_id", "item_no"])
            return rows.append_column("position", pa.nulls(rows.num_rows, pa.int64()))
        rows = self.detections.filter(pa.array(self.is_wrong(min_score, (kind,))))
        return rows.select(["split", "image_id", "item_no", "position"])

    @cached_property
    def _images(self) -> tuple[Ints, Ints]:
        """Keys of the images with items or predictions, ascending; and the place of each detection in them."""
        item_keys, detection_keys = image_keys(self.items), image_keys(self.detections)
        keys = np.unique(np.concatenate([item_keys, detection_keys]))
        return keys, np.searchsorted(keys, detection_keys)

    def worst(self, min_score: float, first: int, number: int) -> tuple[int, list[dict[str, Any]]]:
        """Return how many images have an error, and some of them, the worst first.

        Args:
            min_score: predictions with a lower score are left out.
            first: number of images to leave out.
            number: of images: split, image_id, num_missed, num_wrong and badness.
        """
        keys, detections = self._images
        wrong = self.is_wrong(min_score)
        missed = np.searchsorted(keys, image_keys(self.missed(min_score)))
        num_missed = np.bincount(missed, minlength=len(keys))
        num_wrong = np.bincount(detections[wrong], minlength=len(keys))
        badness = num_missed + np.bincount(detections[wrong], self.score[wrong], minlength=len(keys))
        order = np.argsort(-badness, kind="stable")
        order = order[(num_missed + num_wrong)[order] > 0]
        return len(order), [
            {
                "split": SPLITS[int(keys[at]) >> _SPLIT_BITS],
                "image_id": int(keys[at]) & ((1 << _SPLIT_BITS) - 1),
                "num_missed": int(num_missed[at]),
                "num_wrong": int(num_wrong[at]),
                "badness": float(badness[at]),
            }
            for at in order[first : first + number]
        ]

    def _is_taken(self, min_score: float) -> Bools:
        """Return which rows of ``matches`` have a prediction with at least a score."""
        return np.array(self.matches.column("score").fill_null(-np.inf)) >= min_score

    def cells(self, min_score: float) -> dict[tuple[str | None, str | None], int]:
        """Return how often each category was predicted for items of each category; None for nothing."""
        taken = self._is_taken(min_score)
        counts: dict[tuple[str | None, str | None], int] = {}
        for chosen, has_prediction in ((taken, True), (~taken, False)):
            rows = self.matches.filter(pa.array(chosen)).select(["category", "predicted"])
            for row in rows.group_by(["category", "predicted"]).aggregate([([], "count_all")]).to_pylist():
                cell = row["category"], row["predicted"] if has_prediction else None
                if cell != (None, None):
                    counts[cell] = counts.get(cell, 0) + row["count_all"]
        return counts

    def cell_rows(self, truth: str | None, predicted: str | None, min_score: float) -> pa.Table:
        """Return split, image_id, item_no and position of a cell of :meth:`cells`."""
        import pyarrow.compute as pc

        taken = self._is_taken(min_score)
        column = self.matches.column("category")
        chosen = np.array(pc.is_null(column) if truth is None else pc.equal(column, truth).fill_null(False))
        if predicted is None:
            chosen &= ~taken & (truth is not None)  # a prediction that has neither is not there
        else:
            chosen &= taken & np.array(pc.equal(self.matches.column("predicted"), predicted).fill_null(False))
        return self.matches.filter(pa.array(chosen)).select(["split", "image_id", "item_no", "position"])


def image_keys(table: pa.Table) -> Ints:
    """Return a number for the image of each row; they sort as the data set does."""
    import pyarrow.compute as pc

    split = np.array(pc.index_in(table.column("split").cast(pa.string()), value_set=pa.array(SPLITS)), np.int64)
    return split << _SPLIT_BITS | np.array(table.column("image_id"), np.int64)


def _compact(table: pa.Table) -> pa.Table:
    """Return a table whose texts are numbers of a dictionary."""
    for at, name in enumerate(table.column_names):
        if pa.types.is_string(table.schema.field(name).type):
            table = table.set_column(at, name, table.column(name).dictionary_encode())
    return table.unify_dictionaries().combine_chunks()


def start(site: Site, name: str, selection: Selection, *, skip_bad: bool) -> Job:
    """Return the job that evaluates the predictions of a model within a subset; it may be running."""
    from registry.evaluation.run import evaluate  # takes a tenth of a second, which other pages need not wait for

    source = site.settings.predictions[name]
    settings = site.settings
    key = (selection.manifest.sha256, selection.subset.digest, name, skip_bad, _signature(source))
    return site.models.start(
        key,
        lambda: ModelResult.of(
            evaluate(
                site.registry,
                settings.task,
                source,
                subset=selection.subset,
                resamples=0,
                skip_bad=skip_bad,
                storage_options=settings.storage_options,
            )
        ),
        again=False,
    )


def _signature(source: Any) -> tuple[int, int] | None:
    """Return what changes when a local file is written again."""
    try:
        status = os.stat(source)
    except (OSError, TypeError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def problem(job: Job) -> str | None:
    """Return why the predictions could not be evaluated; None where they could.

    Raises:
        BaseException: an error that is no fault of the predictions.
    """
    if job.error is None:
        return None
    if isinstance(job.error, RegistryError):
        return str(job.error)
    raise job.error
