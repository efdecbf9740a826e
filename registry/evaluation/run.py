"""Evaluates predicted boxes, masks or landmarks of a registry, or of a subset of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import SPLITS, unknown_name
from registry.evaluation.confusion import confusion_table, match_table
from registry.evaluation.curves import best_score, curve_table
from registry.evaluation.detection import BOXES, LANDMARKS, MASKS, Comparison
from registry.evaluation.error_costs import error_table
from registry.evaluation.image_index import read_image_index
from registry.evaluation.intervals import Sampled
from registry.evaluation.item_results import Outcome, detection_table, item_table, shape_table
from registry.evaluation.landmark_errors import landmark_table
from registry.evaluation.lazy_tables import LazyTables
from registry.evaluation.predictions import read_predictions
from registry.evaluation.results import ALL, RESAMPLES, Evaluation, Score
from registry.evaluation.slices import Slice, category_slices, read_slices
from registry.evaluation.splits import select_annotated
from registry.evaluation.truth import Truth, read_truth, unknown_notices
from registry.evaluation.worst_images import worst_image_table
from registry.subset.options import Subset

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.evaluation.detections import Detections
    from registry.storage.options import StorageOptions
    from registry.store.registry import Registry

#: The tasks of :func:`evaluate`.
TASKS: Final = (BOXES, MASKS, LANDMARKS)
#: End of the metrics for which occluded landmarks count as not labelled.
VISIBLE: Final = "-visible"


def evaluate(
    registry: Registry,
    task: str,
    predictions: Any,
    *,
    subset: Subset | None = None,
    by: Sequence[str] = (),
    slice_images: bool = False,
    resamples: int = RESAMPLES,
    against: Any = None,
    skip_bad: bool = False,
    storage_options: StorageOptions | None = None,
) -> Evaluation:
    """Return how well predictions agree with the items of a registry, by the protocol of COCO.

    The scores are those of everything, of every category and of every slice. Scores of landmarks are those of visible
    and occluded ones; the metrics whose names end in ``-visible`` take occluded landmarks as not labelled.

    Args:
        registry: an open registry.
        task: ``boxes``, ``masks`` or ``landmarks``.
        predictions: path, URL, Arrow table or frame; :mod:`registry.evaluation.predictions` says what is in it.
        subset: the items that count; predictions in other images are left out. Where it names no split and several
            have annotations, validation alone is evaluated.
        by: columns or SQL expressions of items; each of their values is a slice.
        slice_images: slices are of the images with such an item, and all items in them; else of the items alone.
        resamples: draws of the bootstrap behind each interval; 0 for no intervals.
        against: other predictions; the scores then also have the differences, these predictions minus the others.
        skip_bad: go on without records that cannot be evaluated.
        storage_options: passed to fsspec for URLs of predictions.

    Raises:
        UnknownNameError: there is no such task.
        UsageError: an expression is not allowed, or the predictions are of no known kind.
        NotFoundError: no image of the subset has an annotation, or there is no such file.
        AnnotationError: records cannot be evaluated; the message counts all problems.
        StorageError: a file cannot be read.
    """
    if task not in TASKS:
        raise unknown_name("task", task, list(TASKS))
    selection, _, notices = select_annotated(registry, subset)
    truth = read_truth(selection, landmarks=task == LANDMARKS, masks=task == MASKS)
    slices = [*category_slices(truth), *read_slices(selection, truth, by, of_images=slice_images)]
    slices = list({slice.name: slice for slice in slices}.values())  # categories, where they are asked for too
    index = read_image_index(selection, truth, landmarks=task == LANDMARKS)

    def read(source: Any) -> Detections:
        return read_predictions(source, index, task, skip_bad=skip_bad, storage_options=storage_options)

    detections = read(predictions)
    result = _Result(task, truth, detections, slices, resamples)
    notices += [*unknown_notices(truth, task), *detections.notices]
    found = result.scores()
    if against is not None:
        other = _Result(task, truth, read(against), slices, resamples)
        notices += [f"of the predictions to compare with: {notice}" for notice in other.detections.notices]
        found += result.differences(other)
    facts = {
        "subset": selection.subset.to_dict(),
        "splits": dict(sorted(Counter(truth.images.column("split").to_pylist()).items(), key=_split_order)),
        "images": truth.images.num_rows,
        "items": int(truth.chosen.sum()),
        "detections": len(detections.image),
        "slices_of": "images" if slice_images else "items",
        "resamples": resamples,
        "best_score": result.best_score,
        "registry": selection.manifest.sha256,
    }
    return Evaluation(task, _by_slice(found), result.tables(), facts, notices)


@dataclass(frozen=True)
class _Result:
    """Predictions beside the items, with their scores and tables."""

    task: str
    truth: Truth
    detections: Detections
    slices: Sequence[Slice]
    resamples: int

    @cached_property
    def comparison(self) -> Comparison:
        return Comparison(self.task, self.truth, self.detections)

    @cached_property
    def variants(self) -> dict[str, Comparison]:
        """The comparisons that have scores, by the end of the names of their metrics."""
        if self.task != LANDMARKS:
            return {"": self.comparison}
        return {"": self.comparison, VISIBLE: Comparison(self.task, self.truth, self.detections, visible_only=True)}

    @cached_property
    def sampled(self) -> list[Sampled]:
        """The scores of each variant, with those of the resamples."""
        return [
            Sampled.of(comparison, self.slices, self.resamples, suffix=suffix)
            for suffix, comparison in self.variants.items()
        ]

    def scores(self) -> list[Score]:
        return [score for sampled in self.sampled for score in sampled.with_intervals()]

    def differences(self, other: _Result) -> list[Score]:
        pairs = zip(self.sampled, other.sampled, strict=True)
        return [score for ours, theirs in pairs for score in ours.minus(theirs)]

    @cached_property
    def outcome(self) -> Outcome:
        return Outcome.of(self.comparison)

    @cached_property
    def best_score(self) -> float:
        return best_score(self.comparison)

    def tables(self) -> LazyTables:
        """Return the tables beside the scores; those of landmarks are of visible and occluded ones."""
        comparison = self.comparison
        makers: dict[str, Callable[[], pa.Table]] = {
            "items": lambda: item_table(comparison, self.outcome),
            "detections": lambda: detection_table(comparison, self.outcome),
            "curves": lambda: curve_table(comparison),
            "confusion": lambda: confusion_table(comparison, self.best_score),
            "matches": lambda: match_table(comparison),
            "shapes": lambda: shape_table(comparison),
            "errors": lambda: error_table(comparison, self.outcome),
            "worst_images": lambda: worst_image_table(comparison, self.outcome, self.best_score),
        }
        if self.task == LANDMARKS:
            makers["landmarks"] = lambda: landmark_table(comparison, self.outcome)
        return LazyTables(makers)


def _by_slice(found: Sequence[Score]) -> list[Score]:
    """Return scores with those of a slice together, in order."""
    order = {name: number for number, name in enumerate(dict.fromkeys([ALL, *(score.slice for score in found)]))}
    return sorted(found, key=lambda score: order[score.slice])


def _split_order(entry: tuple[str, int]) -> int:
    return SPLITS.index(entry[0])
