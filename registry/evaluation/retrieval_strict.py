"""Where the official script stops: rows or records that end it before it prints a number."""

from __future__ import annotations

import numpy as np

from registry.errors import AnnotationError
from registry.evaluation.retrieval_matching import Matching
from registry.evaluation.retrieval_rows import RetrievalRows
from registry.evaluation.submissions import NUM_ANSWERS, Submission
from registry.wording import counted


def check_strictly(rows: RetrievalRows, submission: Submission, matching: Matching) -> None:
    """Refuse rows and records at which the official script stops.

    The order is that of the script: it reads all records, then goes through the queries of each image with a record.

    Raises:
        AnnotationError: the script would stop; the message says why, and at which row or record first.
    """
    empty = np.flatnonzero(submission.num_boxes == 0)
    if len(empty):
        raise _stops(
            "an IndexError", len(empty), "records without gallery_bbox", f"record {submission.position[empty[0]]:,}"
        )
    queries = rows.queries
    with_records = np.isin(queries.image_id, submission.image_id)
    pairs = np.unique(np.column_stack([queries.image_id, queries.pair_id])[with_records], axis=0)
    mixed = pairs[1:, 0][pairs[1:, 0] == pairs[:-1, 0]]
    if len(mixed):
        raise _stops(
            "an AssertionError", len(np.unique(mixed)), "images with rows of several pair_ids", f"image {mixed[0]}"
        )
    alone = np.flatnonzero((matching.record >= 0) & (matching.num_right_answers == 0))
    if len(alone):
        raise _stops(
            "an AssertionError",
            len(alone),
            "queries with a detection and without a right answer in the gallery",
            _query(matching, alone[0]),
        )
    missed = np.flatnonzero((matching.record >= 0) & (matching.rank == 0))
    short = missed[submission.num_answers[matching.record[missed]] < NUM_ANSWERS]
    if len(short):
        record = submission.position[matching.record[short[0]]]
        raise _stops(
            "an IndexError",
            len(short),
            f"queries with fewer than {NUM_ANSWERS} answers and no right one among them",
            f"record {record:,} of {_query(matching, short[0])}",
        )


def _query(matching: Matching, k: int) -> str:
    row = int(matching.query[k])
    queries = matching.rows.queries
    return f"row {row:,}, image {queries.image_id[row]}, pair_id {queries.pair_id[row]}, style {queries.style[row]}"


def _stops(error: str, number: int, what: str, first: str) -> AnnotationError:
    return AnnotationError(
        f"The official script would stop with {error} and print no number: {counted(number, what)} (the first: "
        f"{first}). Without --strict they are counted and the others are evaluated."
    )
