"""Submissions of retrieval on a small registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import registry
from registry.errors import AnnotationError, NotFoundError, UsageError
from registry.evaluation.retrieval import evaluate_retrieval
from registry.evaluation.retrieval_scores import Answered, scores
from registry.store.registry import Registry
from registry.subset.options import Subset
from tests.evaluation.retrieval_registry import LEFT, RIGHT, SUBMISSION, make_retrieval, record


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry without lists."""
    return registry.open(str(make_retrieval(tmp_path_factory.mktemp("items"))))


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry with lists."""
    return registry.open(str(make_retrieval(tmp_path_factory.mktemp("lists"), has_lists=True)))


def write(tmp_path: Path, records: Any) -> str:
    """Write a submission and return its path."""
    (tmp_path / "submission.json").write_text(json.dumps(records))
    return str(tmp_path / "submission.json")


def test_scores_of_a_submission(items: Registry, tmp_path: Path) -> None:
    evaluation = evaluate_retrieval(items, write(tmp_path, SUBMISSION), by=["occlusion"])
    values = {metric: evaluation.value(metric) for metric in ("top-1", "top-5", "top-20", "mAP", "MRR")}
    assert values == pytest.approx({"top-1": 1 / 4, "top-5": 2 / 4, "top-20": 2 / 4, "mAP": 1 / 3, "MRR": 1 / 3})
    assert evaluation.value("top-1", "occlusion=heavy") == 0
    assert evaluation.value("top-5", "occlusion=heavy") == 1
    assert evaluation.value("top-1", "category=short sleeve top") == 1
    facts = {name: evaluation.facts[name] for name in ("rows", "queries", "query_rows", "gallery_rows", "split")}
    assert facts == {"rows": "items", "queries": 4, "query_rows": 5, "gallery_rows": 4, "split": "validation"}
    counts = {name: evaluation.facts[name] for name in ("right", "not_detected", "no_right_answer", "displaced")}
    assert counts == {"right": 2, "not_detected": 1, "no_right_answer": 1, "displaced": 0}
    assert [score.slice for score in evaluation.scores][:7] == ["all"] * 7
    assert evaluation.notices == [
        "1 query has no right answer in the gallery: counted as wrong; the official script stops where one has a "
        "detection"
    ]
    low, high = next((score.low, score.high) for score in evaluation.scores)
    assert low is not None and high is not None and 0 <= low <= 1 / 4 <= high <= 1


def test_items_and_ranks_are_tables(items: Registry, tmp_path: Path) -> None:
    tables = evaluate_retrieval(items, write(tmp_path, SUBMISSION)).tables
    rows = tables["items"].select(["split", "image_id", "item_no", "rank", "kind", "hit_ranks", "record"])
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("validation", 1, 2, 3, "right", [3], 1),  # file order
        ("validation", 1, 1, 1, "right", [1], 0),
        ("validation", 2, 1, None, "not detected", [], None),
        ("validation", 6, 1, None, "no right answer", [], None),
    ]
    ranks = [(row["rank"], row["num_queries"]) for row in tables["ranks"].to_pylist() if row["num_queries"]]
    assert ranks == [(1, 1), (3, 1), (None, 2)]
    curve = [row["share"] for row in tables["cmc"].to_pylist() if row["slice"] == "all"]
    assert curve == pytest.approx([1 / 4, 1 / 4, *[2 / 4] * 18])


def test_the_published_lists_are_the_rows_where_there_are_any(lists: Registry, tmp_path: Path) -> None:
    path = write(tmp_path, SUBMISSION)
    evaluation = evaluate_retrieval(lists, path)
    assert evaluation.facts["rows"] == "lists"
    assert evaluation.facts["lists"] == ["val_query.json", "val_gallery.json"]
    assert evaluation.facts["query_rows"] == 3
    # The detection of the item of style 0 goes to the query beside it, but has another category.
    assert evaluation.value("top-20") == pytest.approx(2 / 3)
    assert evaluation.tables["items"]["image_id"].to_pylist() == [2, 1, 1]
    assert evaluate_retrieval(lists, path, rows="items").facts["query_rows"] == 5
    assert evaluate_retrieval(lists, path, strict=True).value("top-5") == pytest.approx(2 / 3)


def test_rows_that_are_not_there_are_refused(items: Registry, tmp_path: Path) -> None:
    path = write(tmp_path, SUBMISSION)
    with pytest.raises(NotFoundError, match="has no query and no gallery list with boxes of validation"):
        evaluate_retrieval(items, path, rows="lists")
    with pytest.raises(UsageError, match="Expected the rows auto, lists, items, found 'all'"):
        evaluate_retrieval(items, path, rows="all")
    with pytest.raises(NotFoundError, match="has no query in validation"):
        evaluate_retrieval(items, path, subset=Subset.of(source="shop"))


def test_a_subset_chooses_queries_and_keeps_the_gallery(items: Registry, tmp_path: Path) -> None:
    evaluation = evaluate_retrieval(items, write(tmp_path, SUBMISSION), subset=Subset.of(category="skirt"))
    assert evaluation.facts["queries"] == 2
    assert evaluation.facts["gallery_rows"] == 4
    skirts = evaluate_retrieval(items, write(tmp_path, SUBMISSION), subset=Subset.of(where="category_id = 8"))
    assert (skirts.facts["queries"], skirts.value("top-1"), skirts.value("top-5")) == (1, 0, 1)


def test_strict_says_where_the_official_script_stops(items: Registry, tmp_path: Path) -> None:
    path = write(tmp_path, [*SUBMISSION, record(6, LEFT, 9, [(5, RIGHT)])])
    with pytest.raises(
        AnnotationError, match=r"stop with an AssertionError .* 1 query with a detection and without a right answer"
    ):
        evaluate_retrieval(items, path, strict=True)
    # Nothing is detected of the query without answer: the script counts it as wrong.
    assert evaluate_retrieval(items, write(tmp_path, SUBMISSION), strict=True).value("top-5") == pytest.approx(2 / 4)


def test_all_problems_are_told_together(items: Registry, tmp_path: Path) -> None:
    good = SUBMISSION[0]
    bad = [
        *SUBMISSION,
        good,
        {**good, "query_image_id": 99},
        {**good, "query_image_id": 3},
        {**good, "query_cls": 14},
        {**good, "query_bbox": [110, 20, 10, 220]},
        {**good, "query_bbox": [110, 20]},
        {name: good[name] for name in good if name != "query_score"},
        {**good, "query_score": float("nan")},
        {**good, "query_score": 0.2, "gallery_image_id": [3] * 19, "gallery_bbox": [LEFT] * 19},
        {**good, "query_score": 0.3, "gallery_image_id": [3] * 20, "gallery_bbox": [LEFT] * 19},
        {**good, "query_score": 0.4, "gallery_image_id": [77] * 20},
        {**good, "query_score": 0.5, "gallery_image_id": [1] * 20},
        {**good, "query_score": 0.6, "gallery_bbox": [[5, 5, 1, 9]] * 20},
        7,
    ]
    path = write(tmp_path, bad)
    with pytest.raises(AnnotationError) as caught:
        evaluate_retrieval(items, path)
    lines = str(caught.value).splitlines()
    assert [line.split(";")[0].strip() for line in lines[1:-1]] == [
        "1 record with values of a wrong type",
        "1 record without a key",
        "1 score without a finite number",
        "1 value in place of a record",
        "1 query image that the registry does not have",
        "1 query image of shops",
        "1 unknown category",
        "1 box of negative size",
        "1 repeated record",
        "1 record with another number of boxes than of images in their answers",
        "1 record with fewer than 20 answers",
        "1 record with answers in images that the registry does not have",
        "1 record with answers in images of consumers",
        "1 record with answers whose box has a negative size",
    ]
    evaluation = evaluate_retrieval(items, path, skip_bad=True)
    assert evaluation.value("top-5") == pytest.approx(2 / 4)
    assert evaluation.facts["records"] == 8
    assert "9 records left out" in evaluation.notices[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("[{}", "is cut short"),
        ("{}", "expected a list"),
        ("[] []", "expected nothing after the list of records"),
    ],
)
def test_a_file_that_is_no_list_is_refused(items: Registry, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "submission.json").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        evaluate_retrieval(items, str(tmp_path / "submission.json"))


def test_tables_and_frames_have_the_same_scores(items: Registry, tmp_path: Path) -> None:
    expected = evaluate_retrieval(items, write(tmp_path, SUBMISSION))
    rows = pa.Table.from_pylist(SUBMISSION)
    pq.write_table(rows, tmp_path / "submission.parquet")
    for source in (rows, str(tmp_path / "submission.parquet")):
        evaluation = evaluate_retrieval(items, source)
        assert evaluation.records() == expected.records()
        assert evaluation.tables["items"] == expected.tables["items"]
    with pytest.raises(UsageError, match="lacks the columns query_score"):
        evaluate_retrieval(items, rows.drop_columns(["query_score"]))


def test_boxes_of_any_numbers_are_no_right_answers(items: Registry) -> None:
    inf = float("inf")
    odd = [[-inf, -inf, inf, inf], [float("nan")] * 4, [-1e308, -1e308, 1e308, 1e308], [1e200, 1e200, 1e201, 1e201]]
    answers = {"gallery_image_id": [3] * 20, "gallery_bbox": odd * 5}
    records = [
        record(1, LEFT, 1, [], **answers),
        record(1, RIGHT, 8, [], query_bbox=[-1e308, -1e308, 1e308, 1e308], **answers),
        record(2, LEFT, 9, [], query_bbox=odd[0], **answers),
    ]
    evaluation = evaluate_retrieval(items, pa.Table.from_pylist(records), skip_bad=True)
    assert evaluation.value("top-20") == 0
    assert evaluation.facts["records"] == 1


def test_the_queries_of_a_single_pair_id_have_no_interval() -> None:
    is_in = np.array([True, True, False])
    answered = Answered(np.array([1, 3, 0]), np.array([1.0, 0.5, 0.0]), np.array([7, 7, 8]))
    found = list(scores(answered, [("all", np.ones(3, bool)), ("one", is_in)], 50))
    assert [(score.slice, score.low is None) for score in found if score.metric == "top-1"] == [
        ("all", False), ("one", True)
    ]  # fmt: skip


def test_strict_and_skip_bad_exclude_each_other(items: Registry, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected no skip_bad"):
        evaluate_retrieval(items, write(tmp_path, SUBMISSION), strict=True, skip_bad=True)
    path = write(tmp_path, [*SUBMISSION, 7])
    with pytest.raises(AnnotationError, match="Without --strict, --skip-bad leaves them out"):
        evaluate_retrieval(items, path, strict=True)


def test_a_deeply_nested_value_is_a_bad_record(items: Registry, tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text('[{"query_image_id": ' + "[" * 100_000 + "]" * 100_000 + "}]")
    with pytest.raises(AnnotationError, match="1 record with malformed JSON"):
        evaluate_retrieval(items, str(path))
