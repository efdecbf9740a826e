"""Embeddings of items and of detections, scored as retrieval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import registry
from registry.embeddings.distances import nearest, normalize
from registry.errors import AnnotationError, UsageError
from registry.evaluation.embeddings import evaluate_embeddings
from registry.evaluation.retrieval import evaluate_retrieval
from registry.store.registry import Registry
from tests.evaluation.retrieval_registry import LEFT, RIGHT, make_retrieval

#: image_id, item_no and vector of each query and gallery item. Each query has the direction of its right answer, except
#: that of image 6, which has none.
VECTORS: list[tuple[int, int, list[float]]] = [
    (1, 1, [2, 0, 0]), (1, 2, [0, 3, 0]), (2, 1, [0, 0, 1]), (6, 1, [1, 1, 1]),
    (3, 1, [1, 0, 0]), (4, 1, [0, 1, 0]), (4, 2, [0, 1, 1]), (5, 1, [0, 0, 5]),
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return the registry."""
    return registry.open(str(make_retrieval(tmp_path_factory.mktemp("embeddings"))))


def rows_of(vectors: Any = VECTORS, kind: pa.DataType | None = None) -> pa.Table:
    """Return rows of items."""
    columns = zip(*vectors, strict=True)
    image_id, item_no, vector = (list(column) for column in columns)
    return pa.table(
        {
            "split": ["validation"] * len(image_id),
            "image_id": image_id,
            "item_no": item_no,
            "vector": pa.array(vector, kind or pa.list_(pa.float32())),
        }
    )


def write(path: Path, rows: pa.Table) -> str:
    """Write rows as Parquet and return the path."""
    pq.write_table(rows, path)
    return str(path)


@pytest.mark.parametrize(("distance", "share"), [("cosine", 3 / 4), ("l2", 2 / 4), ("dot", 3 / 4)])
def test_the_right_answer_is_nearest(data: Registry, tmp_path: Path, distance: str, share: float) -> None:
    evaluation = evaluate_embeddings(data, write(tmp_path / "v.parquet", rows_of()), distance=distance)
    assert evaluation.value("top-1") == pytest.approx(
        share
    )  # by l2, [0, 0, 1] is nearer to [0, 1, 1] than to [0, 0, 5]
    assert evaluation.task == "embeddings"
    assert evaluation.facts["boxes"] == "annotated"
    assert evaluation.facts["gallery_vectors"] == 4
    assert any("the gallery has 4 vectors, fewer than 20" in notice for notice in evaluation.notices)


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float16()), pa.list_(pa.float16(), 3), pa.list_(pa.float64(), 3), pa.large_list(pa.float32()),
     pa.list_(pa.int8())],
)  # fmt: skip
def test_vectors_of_every_kind_of_list_are_read(data: Registry, tmp_path: Path, kind: pa.DataType) -> None:
    vectors = [
        (image_id, item_no, np.array(vector, kind.value_type.to_pandas_dtype()))
        for image_id, item_no, vector in VECTORS
    ]
    rows = rows_of(vectors, kind)
    pyarrow.feather.write_feather(rows, str(tmp_path / "v.arrow"))
    for source in (rows, write(tmp_path / "v.parquet", rows), str(tmp_path / "v.arrow")):
        assert evaluate_embeddings(data, source).value("top-1") == 3 / 4


def test_the_written_submission_has_the_same_scores(data: Registry, tmp_path: Path) -> None:
    vectors = [(image_id, item_no, [*vector[1:], vector[0]]) if image_id < 3 else (image_id, item_no, vector)
               for image_id, item_no, vector in VECTORS]  # fmt: skip
    path = tmp_path / "new" / "submission.json"
    evaluation = evaluate_embeddings(data, rows_of(vectors), submission=path)
    scored = evaluate_retrieval(data, str(path), skip_bad=True)
    assert scored.records() == evaluation.records()
    assert 0 < (evaluation.value("MRR") or 0) < 1
    records = json.loads(path.read_text())
    assert [record["query_image_id"] for record in records] == [1, 1, 2, 6]
    assert records[0]["query_bbox"] == RIGHT
    assert len(records[0]["gallery_image_id"]) == len(records[0]["gallery_bbox"]) == 4


def test_items_without_a_row_and_bad_rows_are_told_together(data: Registry, tmp_path: Path) -> None:
    nan = float("nan")
    bad = [
        (1, 1, [2, 0, 0]), (1, 2, [0, 3]), (2, 1, [0, nan, 1]), (6, 1, None),
        (3, 1, [1, 0, 0]), (3, 1, [0, 1, 0]), (4, 2, [0, 0, 0]), (5, 1, [0, 0, 5]), (9, 1, [1, 1, 1]),
    ]  # fmt: skip
    path = write(tmp_path / "v.parquet", rows_of(bad))
    with pytest.raises(AnnotationError) as caught:
        evaluate_embeddings(data, path)
    lines = str(caught.value).splitlines()[1:-1]
    assert [line.strip().split(";")[0] for line in lines] == [
        "1 row without an item in the registry",
        "1 repeated row",
        "1 gallery item without a row",
        "1 row without a vector",
        "1 vector of another length",
        "1 vector without finite numbers",
        "1 vector of zeros",
    ]
    evaluation = evaluate_embeddings(data, path, skip_bad=True)
    assert evaluation.value("top-1") == 1 / 4
    assert evaluation.facts["not_detected"] == 2
    assert evaluation.facts["gallery_vectors"] == 2


def test_rows_of_other_splits_and_of_no_use_are_noticed(data: Registry) -> None:
    rows = pa.concat_tables([rows_of([*VECTORS, (2, 2, [1, 1, 1])]), rows_of(VECTORS[:2])])
    splits = ["validation"] * (len(VECTORS) + 1) + ["train"] * 2
    notices = evaluate_embeddings(data, rows.set_column(0, "split", pa.array(splits))).notices
    assert "2 rows are of no image of validation: not used" in notices
    assert "1 row is neither of a query nor of the gallery: not used" in notices


def test_detections_are_scored_by_the_official_protocol(data: Registry, tmp_path: Path) -> None:
    rows = [
        # image, box, score, category, vector
        (1, LEFT, 0.9, 1, [1.0, 0, 0]), (1, RIGHT, 0.8, 8, [0, 1.0, 0]), (1, RIGHT, 0.95, 1, [0, 0, 1.0]),
        (2, LEFT, 0.5, 8, [0, 0, 1.0]),
        (3, LEFT, 0.9, 1, [1.0, 0, 0]), (4, [10, 20, 110, 210], 0.9, 8, [0, 1.0, 0]), (5, RIGHT, 0.3, 9, [0, 0, 1.0]),
        (5, LEFT, 0.3, 9, [0, 0, -1.0]),
    ]  # fmt: skip
    table = pa.table(
        {
            "split": ["validation"] * len(rows),
            "image_id": [row[0] for row in rows],
            **{name: [float(row[1][k]) for row in rows] for k, name in enumerate(("x1", "y1", "x2", "y2"))},
            "score": [row[2] for row in rows],
            "category_id": [row[3] for row in rows],
            "vector": [row[4] for row in rows],
        }
    )
    path = tmp_path / "submission.json"
    evaluation = evaluate_embeddings(data, table, submission=path)
    assert evaluation.facts["boxes"] == "detected"
    kinds = [(row["image_id"], row["item_no"], row["kind"]) for row in evaluation.tables["items"].to_pylist()]
    assert kinds == [
        (1, 2, "right"), (1, 1, "right"), (2, 1, "wrong category"), (6, 1, "no right answer")
    ]  # fmt: skip
    assert evaluate_retrieval(data, str(path), skip_bad=True).records() == evaluation.records()
    with pytest.raises(UsageError, match="lack the columns score"):
        evaluate_embeddings(data, table.drop_columns(["score"]))
    negative = table.set_column(2, "x1", pa.array([500.0] * len(rows)))
    with pytest.raises(AnnotationError, match="8 boxes of negative size"):
        evaluate_embeddings(data, negative)


def test_wrong_columns_are_refused(data: Registry) -> None:
    with pytest.raises(UsageError, match="have no column vector"):
        evaluate_embeddings(data, rows_of().drop_columns(["vector"]))
    with pytest.raises(UsageError, match="expected lists of numbers, found"):
        evaluate_embeddings(data, rows_of().set_column(3, "vector", pa.array(["a"] * 8)))
    with pytest.raises(UsageError, match="image_id of the embeddings: expected whole numbers"):
        evaluate_embeddings(data, rows_of().set_column(1, "image_id", pa.array(["a"] * 8)))
    with pytest.raises(UsageError, match="Expected the distance cosine, l2, dot"):
        evaluate_embeddings(data, rows_of(), distance="l1")


@pytest.mark.parametrize("distance", ["cosine", "l2", "dot"])
def test_neighbours_are_those_of_a_full_sort_with_ties_by_position(
    distance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.embeddings.distances._BLOCK", 700)
    for seed in range(20):
        draw = np.random.default_rng(seed)
        queries = draw.integers(-2, 3, (17, 3)).astype(np.float32)
        gallery = draw.integers(-2, 3, (draw.integers(1, 120), 3)).astype(np.float32)
        queries, gallery = queries[queries.any(1)], gallery[gallery.any(1)]
        if not len(gallery):
            continue
        if distance == "cosine":
            assert not normalize(queries).any()
            assert not normalize(gallery).any()
        products = (queries[:, None] * gallery).sum(2)
        scores = products if distance != "l2" else -((queries[:, None] - gallery) ** 2).sum(2)
        found = nearest(queries, gallery, 20, distance)
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :20]
        if distance == "cosine":  # different vectors of nearly the same angle
            rows = np.arange(len(queries))[:, None]
            assert scores[rows, found] == pytest.approx(scores[rows, expected], abs=1e-6)
        else:
            assert (found == expected).all()


def test_equal_vectors_are_in_the_order_of_the_gallery() -> None:
    draw = np.random.default_rng(0)
    gallery = np.repeat(draw.normal(size=(1, 37)).astype(np.float32), 500, axis=0)
    queries = draw.normal(size=(9, 37)).astype(np.float32)
    assert (nearest(queries, gallery, 20) == np.arange(20)).all()


@pytest.mark.parametrize("offset", [100, 1000])
def test_distances_far_from_0_lose_no_digits(offset: int) -> None:
    draw = np.random.default_rng(offset)
    gallery, queries = ((draw.normal(size=(n, 64)) + offset).astype(np.float32) for n in (400, 30))
    scores = ((queries[:, None].astype(np.float64) - gallery) ** 2).sum(2)
    assert (nearest(queries, gallery, 20, "l2") == np.argsort(scores, axis=1, kind="stable")[:, :20]).all()
