"""Scores a submission of retrieval by the official protocol, and counts the effects of its quirks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from registry.dataset.arrays import Bools, Floats, Ints
from registry.errors import UsageError
from registry.evaluation.results import ALL, RESAMPLES, Evaluation
from registry.evaluation.retrieval_matching import (
    DISPLACED,
    NO_ANSWER,
    NOT_DETECTED,
    NOT_FOUND,
    RIGHT,
    WRONG_CATEGORY,
    Matching,
)
from registry.evaluation.retrieval_problems import SubmissionProblems, bad_records, extra_notices
from registry.evaluation.retrieval_rows import AUTO, RetrievalRows, read_rows, select_split
from registry.evaluation.retrieval_scores import Answered, cmc_table, rank_table, scores
from registry.evaluation.retrieval_strict import check_strictly
from registry.evaluation.slices import item_values, values_of
from registry.evaluation.submissions import Submission, read_submission
from registry.parsing.problems import Problems
from registry.redaction import redact
from registry.storage.options import StorageOptions
from registry.subset.options import Subset
from registry.wording import sentence

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.registry import Registry
    from registry.store.selection import Selection

RETRIEVAL: Final = "retrieval"
_WITHOUT_STRICT: Final = "Without --strict, --skip-bad leaves them out."
_OUTCOMES: Final = (RIGHT, NOT_FOUND, DISPLACED, WRONG_CATEGORY, NOT_DETECTED, NO_ANSWER)


def evaluate_retrieval(
    registry: Registry,
    submission: Any,
    *,
    subset: Subset | None = None,
    strict: bool = False,
    rows: str = AUTO,
    by: Sequence[str] = (),
    resamples: int = RESAMPLES,
    skip_bad: bool = False,
    storage_options: StorageOptions | None = None,
) -> Evaluation:
    """Return the scores of a submission: top-1 to top-20, mean average precision and MRR.

    The subset chooses the queries that count; all other rows of the split stay, so that detections of them go where the
    official script sends them. A query without a right answer in the gallery counts as wrong.

    Args:
        registry: the registry.
        submission: path or URL of the official JSON or of a table, Arrow table, or frame of pandas or polars.
        subset: the queries that count. Where it names no split and several have annotations, validation
            is evaluated.
        strict: whether everything is as in the official script: records are not checked, and where the script stops is
            an error.
        rows: ``lists`` for the published query and gallery lists, ``items`` for all items, ``auto`` for the lists where
            the registry has them.
        by: columns or SQL expressions of items: a slice of queries for every value.
        resamples: draws of pair_ids for the intervals; 0 for none.
        skip_bad: whether bad records are left out, with a notice, instead of an error.
        storage_options: passed to fsspec for a URL.

    Returns:
        The scores; the tables ``items`` (a row for every query), ``ranks`` and ``cmc``; and as facts the counts of how
        queries ended.

    Raises:
        UsageError: an option or expression is wrong.
        NotFoundError: there is no query, no list, or no such file.
        AnnotationError: there are bad records; or, with ``strict``, the official script stops.
    """
    if strict and skip_bad:
        raise UsageError("strict evaluates records as the official script does: expected no skip_bad (--skip-bad).")
    selection, split, notices = select_split(registry, subset)
    truth = read_rows(selection, split, rows)
    name = redact(os.fspath(submission)) if isinstance(submission, str | os.PathLike) else "the submission"
    unread, problems = Problems(name), SubmissionProblems(name)
    records = read_submission(submission, unread, storage_options)
    num_unread = problems.note_unread(unread)
    is_bad = bad_records(truth, records, problems)
    if strict:
        # The script reads on over records that it cannot use; those that cannot be read stop it.
        unread.check(None, _WITHOUT_STRICT)
        is_bad &= ~(np.isfinite(records.score) & np.isfinite(records.boxes).all(1))
        if is_bad.any():
            problems.all.check(None, _WITHOUT_STRICT)
        notices += problems.passed_over()
    else:
        notices += problems.check(num_unread + int(is_bad.sum()) if skip_bad else None)
    records = records.of(~is_bad)
    return score_submission(
        selection, truth, records, task=RETRIEVAL, strict=strict, by=by, resamples=resamples, notices=notices
    )


def score_submission(
    selection: Selection,
    rows: RetrievalRows,
    submission: Submission,
    *,
    task: str,
    strict: bool = False,
    by: Sequence[str] = (),
    resamples: int = RESAMPLES,
    notices: Sequence[str] = (),
) -> Evaluation:
    """Return the evaluation of good records; see :func:`evaluate_retrieval`."""
    matching = Matching(rows, submission)
    if strict:
        check_strictly(rows, submission, matching)
    chosen = rows.queries.chosen[matching.query]
    outcome = matching.outcome
    is_answerable = matching.num_right_answers > 0
    counted = np.flatnonzero(chosen)
    row = matching.query[counted]
    answered = Answered(matching.rank[counted], matching.average_precision[counted], rows.queries.pair_id[row])
    slices = list(dict(_slices(selection, rows, row, by)).items())  # each name once
    of_queries = Counter(outcome[k] for k in np.flatnonzero(chosen).tolist())
    facts: dict[str, Any] = {
        "subset": selection.subset.to_dict(),
        "split": rows.split,
        "rows": rows.kind,
        "lists": list(rows.files),
        "strict": strict,
        "queries": len(counted),
        "query_rows": len(rows.queries),
        "gallery_rows": len(rows.gallery),
        "records": len(submission),
        **{name.replace(" ", "_"): of_queries[name] for name in _OUTCOMES},
        "resamples": resamples,
        "registry": selection.manifest.sha256,
    }
    more = [*rows.notices, *notices, *extra_notices(rows, submission)]
    number = int((chosen & ~is_answerable).sum())
    if number:
        more.append(
            sentence(number, "queries", "have no right answer in the gallery")
            + ": counted as wrong; the official script stops where one has a detection"
        )
    return Evaluation(
        task=task,
        scores=list(scores(answered, slices, resamples)),
        tables={
            "items": _items(matching, np.flatnonzero(chosen), outcome, split=rows.split),
            "ranks": rank_table(answered.rank),
            "cmc": cmc_table(answered.rank, slices),
        },
        facts=facts,
        notices=more,
    )


def _slices(selection: Selection, rows: RetrievalRows, row: Ints, by: Sequence[str]) -> Iterator[tuple[str, Bools]]:
    """Yield the name of each slice and which of the counted queries are in it: all, each category, then those of by."""
    yield ALL, np.ones(len(row), bool)
    queries = rows.queries
    category_id = queries.category_id[row]
    names = dict(zip(queries.category_id.tolist(), queries.table.column("category_name").to_pylist(), strict=True))
    for number in np.unique(category_id).tolist():
        yield f"category={names[number]}", category_id == number
    if not by:
        return
    values = item_values(selection, by)
    values = values.filter(_equal(values.column("split"), rows.split))
    key = _item_keys(values)
    item_no = queries.table.column("item_no").fill_null(-1).to_numpy().astype(np.int64)
    wanted = (queries.image_id[row] << 16) + item_no[row]
    order = np.argsort(key)
    at = np.minimum(np.searchsorted(key[order], wanted), max(0, len(key) - 1))
    is_known = (key[order][at] == wanted) & (item_no[row] >= 0) if len(key) else np.zeros(len(row), bool)
    for k, name in enumerate(by):
        for label, is_in in values_of(name, values.column(f"value_{k}").combine_chunks()):
            of_row = is_known & is_in[order][at]
            if of_row.any():
                yield label, of_row


def _equal(column: pa.ChunkedArray, value: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(column, value)


def _item_keys(rows: pa.Table) -> Ints:
    image_id: Ints = rows.column("image_id").to_numpy().astype(np.int64)
    item_no: Ints = rows.column("item_no").to_numpy().astype(np.int64)
    return (image_id << 16) + item_no


def _items(matching: Matching, chosen: Ints, outcome: list[str], *, split: str) -> pa.Table:
    """Return a row for every query of the subset that is an item."""
    import pyarrow as pa

    queries, row = matching.rows.queries, matching.query[chosen]
    table = queries.table.select(["image_id", "item_no", "pair_id", "style", "category_id", "category_name"]).take(row)
    record = matching.record[chosen]
    position = np.append(matching.submission.position, -1)[record]
    overlap: Floats = matching.record_iou[chosen]
    hits = matching.hits
    starts = np.searchsorted(hits.case, chosen)
    ends = np.searchsorted(hits.case, chosen, "right")
    ranks = [sorted(set(hits.rank[low:high].tolist())) for low, high in zip(starts, ends, strict=True)]
    columns = {
        "rank": pa.array(matching.rank[chosen], pa.int16(), mask=matching.rank[chosen] == 0),
        "kind": pa.array([outcome[k] for k in chosen.tolist()], pa.string()),
        "average_precision": pa.array(matching.average_precision[chosen], pa.float64()),
        "num_right_answers": pa.array(matching.num_right_answers[chosen], pa.int32()),
        "hit_ranks": pa.array(ranks, pa.list_(pa.int16())),
        "record": pa.array(position, pa.int64(), mask=record < 0),
        "iou": pa.array(overlap, pa.float64(), mask=record < 0),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    table = table.add_column(0, "split", pa.array([split] * table.num_rows, pa.string()))
    return table.filter(table.column("item_no").is_valid())
