"""The retrieval protocol beside the oracle, on thousands of small random submissions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from registry.errors import AnnotationError
from registry.evaluation.retrieval_matching import Matching
from registry.evaluation.retrieval_rows import RetrievalRows, Rows
from registry.evaluation.retrieval_scores import TOP
from registry.evaluation.retrieval_strict import check_strictly
from registry.evaluation.submissions import Submission, SubmissionBuilder, _Record
from tests.evaluation.official_retrieval import _iou, _xywh, official_accuracy

Records = Sequence[Mapping[str, Any]]
#: Boxes with many equal overlaps, and some without any.
BOXES = [[0, 0, 10, 10], [0, 0, 10, 20], [5, 0, 15, 10], [0, 5, 10, 15], [0.5, 0, 10, 10], [40, 40, 50, 60]]


def rows_of(entries: Records, role: str) -> Rows:
    """Return the rows of the records of a list."""
    names = ("x1", "y1", "x2", "y2")
    columns: dict[str, Any] = {name: [float(entry["bbox"][k]) for entry in entries] for k, name in enumerate(names)}
    columns |= {name: pa.array([entry[name] for entry in entries], pa.int64()) for name in ("pair_id", "style")}
    columns["image_id"] = pa.array([entry[f"{role}_image_id"] for entry in entries], pa.int64())
    columns["category_id"] = pa.array([entry.get("cls", 1) for entry in entries], pa.int64())
    return Rows.of(pa.table(columns), is_whole=True)


def protocol_rows(queries: Records, gallery: Records) -> RetrievalRows:
    """Return the rows of the protocol of two lists."""
    asked, shown = rows_of(queries, "query"), rows_of(gallery, "gallery")
    return RetrievalRows("validation", "lists", (), asked, shown, np.unique(asked.image_id), np.unique(shown.image_id))


def submission_of(results: Records) -> Submission:
    """Return the submission of records."""
    builder = SubmissionBuilder()
    for position, result in enumerate(results):
        builder.add(msgspec.convert(result, _Record), position)
    return builder.submission()


def strict_accuracy(queries: Records, gallery: Records, results: Records) -> dict[str, float]:
    """Return top-k for each k, as ``--strict`` does."""
    rows, submission = protocol_rows(queries, gallery), submission_of(results)
    matching = Matching(rows, submission)
    check_strictly(rows, submission, matching)
    rank = matching.rank
    return {f"top-{k}": float(((rank > 0) & (rank <= k)).sum() / len(rank)) for k in TOP}


def random_case(seed: int, *, is_odd: bool = False) -> tuple[Records, Records, Records]:
    """Return random query rows, gallery rows and results; odd ones may stop the script."""
    draw = random.Random(seed)
    pair_of = {image_id: draw.randint(1, 2) for image_id in range(1, 4)}
    queries = [
        {
            "query_image_id": image_id,
            "bbox": draw.choice(BOXES),
            "cls": draw.randint(1, 2),
            "style": draw.choice([0, 1, 1, 2]),
            "pair_id": draw.randint(1, 2) if is_odd and draw.random() < 0.05 else pair_of[image_id],
        }
        for image_id in pair_of
        for _ in range(draw.randint(0, 3))
    ]
    queries.append({"query_image_id": 4, "bbox": BOXES[0], "cls": 1, "style": 1, "pair_id": 1})
    gallery = [
        {
            "gallery_image_id": draw.randint(11, 14),
            "bbox": draw.choice(BOXES),
            "style": draw.randint(0, 2),
            "pair_id": draw.randint(1, 2),
        }
        for _ in range(draw.randint(1, 8))
    ]
    if not is_odd:  # every query has a right answer
        gallery += [
            {"gallery_image_id": draw.randint(11, 14), "bbox": BOXES[0], "style": style, "pair_id": pair_id}
            for style in (1, 2)
            for pair_id in (1, 2)
        ]
    draw.shuffle(queries)
    draw.shuffle(gallery)
    results = []
    for _ in range(draw.randint(0, 8)):
        number = draw.choice([20, 20, 20, 20, 19, 3, 25]) if is_odd else 20
        results.append(
            {
                "query_image_id": draw.randint(1, 5),
                "query_bbox": draw.choice(BOXES),
                "query_cls": draw.randint(1, 2),
                "query_score": draw.choice([0.1, 0.5, 0.5, 0.9]),
                "gallery_image_id": [draw.randint(11, 40) for _ in range(number)],
                "gallery_bbox": [draw.choice(BOXES) for _ in range(number)],
            }
        )
    return queries, gallery, results


@pytest.mark.parametrize("start", range(0, 3000, 500))
def test_top_k_is_that_of_the_official_protocol(start: int) -> None:
    values = set()
    for seed in range(start, start + 500):
        case = random_case(seed)
        accuracy = strict_accuracy(*case)
        assert accuracy == official_accuracy(*case), seed
        values.add(accuracy["top-10"])
    assert len(values) > 5


def test_strict_stops_where_the_official_script_stops() -> None:
    stopped = set()
    for seed in range(2000):
        case = random_case(seed, is_odd=True)
        try:
            expected: dict[str, float] | str = official_accuracy(*case)
        except (AssertionError, IndexError) as error:
            expected = type(error).__name__
        if isinstance(expected, str):
            # The script stops at the first of these; the others stand behind it.
            with pytest.raises(AnnotationError, match="official script would stop"):
                strict_accuracy(*case)
            stopped.add(expected)
        else:
            assert strict_accuracy(*case) == expected, seed
    assert stopped == {"AssertionError", "IndexError"}


def test_a_false_positive_displaces_a_detection_depending_on_the_order_of_rows() -> None:
    first = {"query_image_id": 1, "bbox": [0, 0, 10, 10], "cls": 1, "style": 1, "pair_id": 1}
    second = {"query_image_id": 1, "bbox": [20, 0, 30, 10], "cls": 1, "style": 2, "pair_id": 1}
    gallery = [{"gallery_image_id": 11, "bbox": [0, 0, 10, 10], "style": style, "pair_id": 1} for style in (1, 2)]
    right = {"query_image_id": 1, "query_bbox": first["bbox"], "query_cls": 1, "query_score": 0.5}
    right |= {"gallery_image_id": [11] * 20, "gallery_bbox": [[0, 0, 10, 10]] * 20}
    stray = {**right, "query_bbox": [90, 90, 99, 99], "query_score": 0.9, "gallery_image_id": [12] * 20}
    displaced = Matching(protocol_rows([first, second], gallery), submission_of([right, stray]))
    assert (displaced.rank.tolist(), displaced.outcome) == ([0, 0], ["displaced", "not detected"])
    kept = Matching(protocol_rows([second, first], gallery), submission_of([right, stray]))
    assert (kept.rank.tolist(), kept.outcome) == ([0, 1], ["not detected", "right"])


def plain_average_precision(query: Mapping[str, Any], record: Mapping[str, Any], gallery: Records) -> float:
    """Return the average precision of the answers of a record, each right answer found once."""
    left = [item for item in gallery if (item["pair_id"], item["style"]) == (query["pair_id"], query["style"])]
    number, found, total = min(20, len(left)), 0, 0.0
    for rank, (image_id, box) in enumerate(zip(record["gallery_image_id"], record["gallery_bbox"], strict=True), 1):
        overlaps = [_iou([_xywh(box)], [_xywh(item["bbox"])])[0, 0] for item in left]
        best = max(
            (k for k, item in enumerate(left) if item["gallery_image_id"] == image_id and overlaps[k] >= 0.5),
            key=lambda k: overlaps[k],
            default=None,
        )
        if best is not None:
            del left[best]
            found += 1
            total += found / rank
    return total / number


def test_average_precision_counts_each_right_answer_once() -> None:
    values = set()
    for seed in range(300):
        queries, gallery, results = random_case(seed)
        matching = Matching(protocol_rows(queries, gallery), submission_of(results))
        for k, row in enumerate(matching.query.tolist()):
            record = matching.record[k]
            expected = plain_average_precision(queries[row], results[record], gallery) if record >= 0 else 0
            assert matching.average_precision[k] == pytest.approx(expected, abs=1e-12)
            values.add(round(expected, 6))
    assert len(values) > 20


def test_every_query_has_one_kind_and_right_are_those_with_a_rank() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(500):
        queries, gallery, results = random_case(seed, is_odd=True)
        matching = Matching(protocol_rows(queries, gallery), submission_of(results))
        assert [kind == "right" for kind in matching.outcome] == (matching.rank > 0).tolist()
        kinds.update(matching.outcome)
    assert set(kinds) == {
        "right", "not found", "displaced", "wrong category", "not detected", "no right answer"
    }  # fmt: skip
