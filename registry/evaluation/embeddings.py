"""Scores embeddings: each query gets its nearest gallery items, and the official protocol scores the answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.arrays import Bools, Floats, Ints
from registry.embeddings.distances import COSINE, DISTANCES, Vectors, nearest, normalize
from registry.embeddings.sources import open_vectors
from registry.embeddings.vector_file import EmbeddingsFile, not_finite
from registry.errors import NotFoundError, UsageError
from registry.evaluation.embeddings_rows import Candidates, detections, items
from registry.evaluation.results import RESAMPLES, Evaluation
from registry.evaluation.retrieval import score_submission
from registry.evaluation.retrieval_rows import AUTO, read_rows, select_split
from registry.evaluation.submission_file import write_submission
from registry.evaluation.submissions import NUM_ANSWERS, Submission, as_xywh
from registry.parsing.problems import Problems
from registry.redaction import redact
from registry.storage.options import StorageOptions
from registry.subset.options import Subset

if TYPE_CHECKING:
    from registry.store.registry import Registry

EMBEDDINGS: Final = "embeddings"
_REMEDY: Final = "--skip-bad goes on without them."


def evaluate_embeddings(
    registry: Registry,
    embeddings: Any,
    *,
    subset: Subset | None = None,
    distance: str = COSINE,
    submission: str | Path | None = None,
    rows: str = AUTO,
    by: Sequence[str] = (),
    resamples: int = RESAMPLES,
    skip_bad: bool = False,
    storage_options: StorageOptions | None = None,
) -> Evaluation:
    """Return the scores of embeddings, as :func:`registry.evaluation.retrieval.evaluate_retrieval` does.

    The columns are split, image_id, item_no and vector: a row for each query and each shop item, whose annotated boxes
    are taken. Or split, image_id, x1, y1, x2, y2, score, category_id and vector: a row for each
    detection; those in consumer images are the records, and those in shop images the gallery.

    Args:
        registry: the registry.
        embeddings: name of a model in the registry, path or URL of a file, Arrow table, or frame of pandas or polars.
        subset: the queries that count. Where it names no split and several have annotations, validation
            is evaluated.
        distance: ``cosine``, ``l2`` or ``dot``.
        submission: file to write the official submission to.
        rows: ``lists``, ``items`` or ``auto``, as for a submission.
        by: columns or SQL expressions of items: a slice of queries for every value.
        resamples: draws of pair_ids for the intervals; 0 for none.
        skip_bad: whether to go on without bad rows, and without the items that have no row.
        storage_options: passed to fsspec for a URL.

    Raises:
        UsageError: an option or expression is wrong, or the columns are others.
        NotFoundError: there is no query or no such file.
        AnnotationError: there are bad rows, or items without a row.
    """
    if distance not in DISTANCES:
        raise UsageError(f"Expected the distance {', '.join(DISTANCES)}, found {distance!r}.")
    selection, split, notices = select_split(registry, subset)
    truth = read_rows(selection, split, rows)
    name = redact(os.fspath(embeddings)) if isinstance(embeddings, str | os.PathLike) else "the embeddings"
    problems = Problems(name)
    with open_vectors(registry, embeddings, storage_options) as file:
        candidates = (items if file.is_of_items else detections)(selection, truth, file, problems)
        queries, gallery = _vectors(file, candidates, problems, is_cosine=distance == COSINE)
    problem_notices = problems.lines() if skip_bad else problems.check(None, _REMEDY)
    if not len(gallery.vectors):
        raise NotFoundError(f"{name} has no vector of the gallery of {split}.")
    neighbours = nearest(queries.vectors, gallery.vectors, NUM_ANSWERS, distance)
    records = _submission(candidates, queries.slot, gallery.slot[neighbours])
    if submission is not None:
        corners = candidates.query_corners[queries.slot], candidates.gallery_corners[gallery.slot[neighbours]]
        write_submission(Path(submission), records, *corners)
    if neighbours.shape[1] < NUM_ANSWERS:
        problem_notices.append(
            f"the gallery has {len(gallery.vectors)} vectors, fewer than {NUM_ANSWERS}: the official script stops at a "
            "submission of so few answers"
        )
    evaluation = score_submission(
        selection,
        truth,
        records,
        task=EMBEDDINGS,
        by=by,
        resamples=resamples,
        notices=[*notices, *candidates.notices, *problem_notices],
    )
    more = {"distance": distance, "gallery_vectors": len(gallery.vectors), "boxes": candidates.boxes}
    return replace(evaluation, facts=evaluation.facts | more)


@dataclass(frozen=True)
class _Filled:
    """Vectors, and the position of each among the candidates."""

    vectors: Vectors
    slot: Ints


def _vectors(
    file: EmbeddingsFile, candidates: Candidates, problems: Problems, *, is_cosine: bool
) -> tuple[_Filled, _Filled]:
    """Return the good vectors of queries and gallery; note the others."""
    numbers = len(candidates.query_row), len(candidates.gallery_row)
    slots = np.full(file.keys.num_rows, -1)
    slots[candidates.query_row] = np.arange(numbers[0])
    slots[candidates.gallery_row] = numbers[0] + np.arange(numbers[1])
    arrays: list[Vectors] | None = None
    has_vector = [np.zeros(number, bool) for number in numbers]
    for start, vectors, lengths in file.blocks():
        size = vectors.shape[1]
        slot = slots[start : start + len(vectors)]
        is_good = slot >= 0
        wrong = [
            (lengths <= 0, "rows without a vector", "a list of numbers"),
            (lengths != size, "vectors of another length", f"{size} numbers, as the first vector has"),
            (not_finite(vectors), "vectors without finite numbers", "numbers up to 1e15, not all below 1e-30"),
        ]
        for is_wrong, kind, expected in wrong:
            _note(is_wrong, is_good, problems, kind, expected, start)
        if arrays is None and size:
            arrays = [np.empty((number, size), np.float32) for number in numbers]
        if is_cosine:
            vectors[~is_good] = 0
            expected = "a direction, as angles are compared (--distance l2 compares distances)"
            _note(normalize(vectors), is_good, problems, "vectors of zeros", expected, start)
        for role, first in enumerate((0, numbers[0])):
            is_of_role = is_good & (slot >= first) & (slot < first + numbers[role])
            if arrays is not None and is_of_role.any():
                arrays[role][slot[is_of_role] - first] = vectors[is_of_role]
                has_vector[role][slot[is_of_role] - first] = True
    filled = []
    for role, has in enumerate(has_vector):
        array = np.empty((0, 0), np.float32) if arrays is None else arrays[role]
        filled.append(_Filled(array if has.all() else array[has], np.flatnonzero(has)))
    return filled[0], filled[1]


def _note(is_wrong: Bools, is_good: Bools, problems: Problems, kind: str, expected: str, start: int) -> None:
    """Note good rows of a block with a problem, and mark them as bad; ``start`` is the number of the first row."""
    at = np.flatnonzero(is_wrong & is_good)
    is_good[at] = False
    if len(at):
        problems.add(kind, expected, (f"row {start + k:,}" for k in at[:3].tolist()), len(at))


def _submission(candidates: Candidates, query: Ints, neighbours: Ints) -> Submission:
    """Return the submission of queries with their nearest gallery items.

    Args:
        candidates: of queries and gallery.
        query: positions of the queries.
        neighbours: [queries, answers]: positions in the gallery.
    """
    number = np.full(len(query), neighbours.shape[1])
    boxes: Floats = candidates.gallery_corners[neighbours.ravel()]
    return Submission(
        image_id=candidates.query_image_id[query],
        category_id=candidates.query_category_id[query],
        score=candidates.query_score[query],
        boxes=as_xywh(candidates.query_corners[query]),
        position=candidates.query_row[query],
        num_images=number,
        num_boxes=number,
        first_answer=np.cumsum(number) - number,
        num_answers=number,
        answer_image_id=candidates.gallery_image_id[neighbours.ravel()],
        answer_boxes=as_xywh(boxes),
    )
