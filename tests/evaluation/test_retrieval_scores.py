"""Intervals of retrieval, and the scores of the items themselves."""

from __future__ import annotations

import json
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest

import registry
from registry.errors import NotFoundError, UsageError
from registry.evaluation import bootstrap
from registry.evaluation.retrieval import evaluate_retrieval
from registry.evaluation.retrieval_scores import METRICS, Answered, scores
from registry.store.registry import Registry
from registry.subset.options import Subset
from tests.evaluation.generated import make_registry


def perfect(opened: Registry) -> list[dict[str, Any]]:
    """Return a submission of the consumer items of validation, each with all its right answers first."""
    query = "SELECT *, [x1, y1, x2, y2] AS box FROM items WHERE split = 'validation' ORDER BY image_id, item_order"
    rows = opened.sql(query).to_arrow_table().to_pylist()
    shops = [row for row in rows if row["source"] == "shop"]
    records = []
    for row in rows:
        if row["source"] == "user":
            right = [shop for shop in shops if (shop["pair_id"], shop["style"]) == (row["pair_id"], row["style"])]
            answers = [*right, *[shops[0]] * 20][:20]
            records.append(
                {
                    "query_image_id": row["image_id"],
                    "query_bbox": row["box"],
                    "query_cls": row["category_id"],
                    "query_score": 1.0,
                    "gallery_image_id": [answer["image_id"] for answer in answers],
                    "gallery_bbox": [answer["box"] for answer in answers],
                }
            )
    return records


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry of train, validation and test."""
    return registry.open(str(make_registry(tmp_path_factory.mktemp("generated"))))


def test_the_items_themselves_score_1_in_every_slice(opened: Registry) -> None:
    rows = pa.Table.from_pylist(perfect(opened))
    answerable = Subset.of(split="validation", paired=True)
    evaluation = evaluate_retrieval(opened, rows, subset=answerable, by=["occlusion", "scale", "x2 - x1 > 50"])
    assert evaluation.facts["queries"] > 10
    assert {(score.value, score.low, score.high) for score in evaluation.scores} == {(1.0, 1.0, 1.0)}


def test_one_split_is_evaluated(opened: Registry) -> None:
    rows = pa.Table.from_pylist(perfect(opened))
    evaluation = evaluate_retrieval(opened, rows)
    assert evaluation.facts["split"] == "validation"
    assert "validation is evaluated, not train: name the splits with split (--split) for others." in evaluation.notices
    named = evaluate_retrieval(opened, rows, subset=Subset.of(split="validation"))
    assert named.records() == evaluation.records()
    with pytest.raises(UsageError, match="expected one \\(--split\\), found train, validation"):
        evaluate_retrieval(opened, rows, subset=Subset.of(split=("train", "validation")))
    with pytest.raises(NotFoundError, match="has no image with an annotation"):
        evaluate_retrieval(opened, rows, subset=Subset.of(split="test"))


def test_a_submission_behind_a_url_is_read(opened: Registry) -> None:
    records = perfect(opened)
    with fsspec.open("memory://submissions/s.json", "w") as file:
        json.dump(records, file)
    expected = evaluate_retrieval(opened, pa.Table.from_pylist(records))
    assert evaluate_retrieval(opened, "memory://submissions/s.json").records() == expected.records()
    with pytest.raises(NotFoundError):
        evaluate_retrieval(opened, "memory://submissions/none.json")


def test_intervals_are_those_of_data_sets_of_drawn_pair_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.evaluation.retrieval_scores._BLOCK", 30)
    draw = np.random.default_rng(1)
    rank = draw.integers(0, 21, 60)
    answered = Answered(rank, draw.random(60), draw.integers(0, 9, 60))
    is_in = draw.random(60) < 0.5
    intervals = {
        (score.slice, score.metric): score
        for score in scores(answered, [("all", np.ones(60, bool)), ("half", is_in)], 100)
    }
    groups = np.unique(answered.pair_id)
    resampled: dict[tuple[str, str], list[float]] = {}
    for k in range(100):
        chosen = np.repeat(groups, bootstrap.draw(len(groups), k))
        rows = np.concatenate([np.flatnonzero(answered.pair_id == pair_id) for pair_id in chosen])
        for name, members in (("all", rows), ("half", rows[is_in[rows]])):
            hits = rank[members]
            resampled.setdefault((name, "top-5"), []).append(float(((hits > 0) & (hits <= 5)).mean()))
            resampled.setdefault((name, "mAP"), []).append(float(answered.average_precision[members].mean()))
    for key, values in resampled.items():
        low, high = np.percentile(values, (2.5, 97.5))
        assert (intervals[key].low, intervals[key].high) == pytest.approx((low, high), abs=1e-12)
    assert len(intervals) == 2 * len(METRICS)


def test_nothing_is_measured_of_an_empty_slice() -> None:
    answered = Answered(np.array([1, 0]), np.array([1.0, 0.0]), np.array([1, 1]))
    for score in scores(answered, [("none", np.zeros(2, bool))], 10):
        assert (score.value, score.low, score.high, score.num_items) == (None, None, None, 0)
