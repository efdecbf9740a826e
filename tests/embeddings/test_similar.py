"""Similar items: those of a comparison of all vectors, in any subset, with ties by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import registry
from registry.embeddings import neighbours
from registry.embeddings.distances import DISTANCES
from registry.embeddings.similar import similar_items, similar_to_vector
from registry.embeddings.vector_file import open_embeddings
from registry.errors import NotFoundError, UnknownNameError, UsageError
from registry.subset.options import Subset
from tests.registries import make_three_splits

KEYS = "split, image_id, item_no"
ORDER = "list_position(['train', 'validation', 'test'], split), image_id, item_no"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return registry.open(str(make_three_splits(tmp_path_factory.mktemp("three"))))


def embeddings_of(opened: Any, vectors: Any = None, size: int = 4, kind: Any = np.float16) -> pa.Table:
    """Return a table with a vector for each item, in the order of the keys."""
    keys = opened.sql(f"SELECT {KEYS} FROM items ORDER BY {ORDER}").to_arrow_table()
    if vectors is None:
        vectors = np.random.default_rng(0).normal(size=(keys.num_rows, size))
    flat = pa.array(np.asarray(vectors, kind).ravel())
    return keys.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, len(vectors[0])))


def shown(answer: Any) -> list[tuple[Any, ...]]:
    return [(row["split"], row["image_id"], row["item_no"]) for row in answer.rows.to_pylist()]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("options", [{}, {"source": "shop"}, {"split": "train"}, {"category": "skirt"}])
def test_similar_items_are_those_with_the_largest_cosines_in_the_subset(
    opened: Any, tmp_path: Path, options: dict[str, Any], number: int
) -> None:
    kind, keeps = [(kind, keeps) for kind in (np.float16, np.float32) for keeps in (True, False)][number]
    table = embeddings_of(opened, kind=kind)
    pq.write_table(table, tmp_path / "e.parquet", row_group_size=2)
    vectors = np.array(table.column("vector").to_pylist(), np.float64)
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    keys = [tuple(row.values()) for row in table.select(KEYS.split(", ")).to_pylist()]
    chosen = set(opened.select(**options).items(KEYS.split(", ")).fetchall()) if options else set(keys)
    # Selecting a subset takes long: each kind of vectors has other items in turn there.
    for at, key in list(enumerate(keys))[number :: 4 if options else 1]:
        cosines = vectors @ vectors[at]
        expected = [k for k in np.argsort(-cosines, kind="stable") if k != at and keys[k] in chosen][:3]
        subset = Subset.of(**options)
        answer = similar_items(opened, *key, 3, subset=subset, embeddings=str(tmp_path / "e.parquet"), keeps=keeps)
        assert shown(answer) == [keys[k] for k in expected]
        assert answer.rows.column("similarity").to_pylist() == pytest.approx([cosines[k] for k in expected], abs=1e-6)


def test_rows_have_the_columns_of_items(opened: Any) -> None:
    table = embeddings_of(opened)
    rows = registry.similar(opened, "train", 1, 1, 100, embeddings=table).rows
    items = opened.sql(f"SELECT {KEYS}, source, pair_id, style, category_name FROM items ORDER BY {ORDER}")
    columns = items.columns
    assert rows.column_names == [*columns, "similarity", "is_same_identity"]
    expected = [row for row in items.fetchall() if row[:3] != ("train", 1, 1)]
    assert sorted(tuple(row[name] for name in columns) for row in rows.to_pylist()) == sorted(expected)
    ((split, pair_id, style),) = opened.sql(
        "SELECT split, pair_id, style FROM items WHERE split = 'train' AND image_id = 1 AND item_no = 1"
    ).fetchall()
    for row in rows.to_pylist():
        is_same = style > 0 and (row["split"], row["pair_id"], row["style"]) == (split, pair_id, style)
        assert row["is_same_identity"] == is_same


@pytest.mark.parametrize("distance", DISTANCES)
def test_equally_near_items_stand_in_the_order_of_their_keys_however_many_they_are(distance: str) -> None:
    number, width = 3001, 37
    vectors = np.repeat(np.random.default_rng(3).normal(size=(3, width)), 1001, axis=0)[:number]
    split_no = np.ones(number, np.int64)
    items = pa.table(
        {
            "split_no": split_no, "image_id": np.arange(number) + 1, "item_no": split_no,
            "source": ["user"] * number, "pair_id": split_no, "style": split_no,
        }
    )  # fmt: skip
    order = np.random.default_rng(4).permutation(number)
    flat = pa.array(vectors[order].astype(np.float32).ravel())
    keys = items.take(order).select(["image_id", "item_no"]).append_column("split", pa.array(["train"] * number))
    table = keys.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, width))
    with open_embeddings(table) as file:
        held = neighbours.read_neighbours(items, file)
    for at in (0, 1500, 3000):
        near, far = held.nearest(at, 300, distance, np.ones(number, bool))
        if distance != "dot":
            first = at // 1001 * 1001
            assert near.tolist() == [k for k in range(first, first + 1001) if k != at][:300]
        assert (np.diff(far) == 0).all()
        assert (np.diff(near) > 0).all()


def test_a_changed_file_is_read_again(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    answers = []
    for seed in range(2):
        number = opened.sql("SELECT count(*) FROM items").fetchall()[0][0]
        vectors = np.random.default_rng(seed).normal(size=(number, 4 + seed))
        pq.write_table(embeddings_of(opened, vectors), path)
        answers.append(registry.similar(opened, "train", 1, 1, embeddings=path).rows.column("similarity").to_pylist())
    assert answers[0] != answers[1]


def test_a_vector_has_similar_items(opened: Any) -> None:
    table = embeddings_of(opened)
    vector = np.array(table.column("vector")[0].as_py())
    answer = similar_to_vector(opened, 3 * vector, 4, embeddings=table)
    assert shown(answer)[0] == tuple(table.slice(0, 1).select(KEYS.split(", ")).to_pylist()[0].values())
    assert answer.rows.column("similarity")[0].as_py() == pytest.approx(1)
    assert answer.rows.column("is_same_identity").null_count == 4
    for scale in (1e200, 1e-200):  # whose squares are no doubles
        scaled = similar_to_vector(opened, scale * vector, 4, embeddings=table).rows
        assert scaled.column("similarity").to_pylist() == pytest.approx(answer.rows.column("similarity").to_pylist())
    for wrong in (vector[:2], vector * 0, vector * np.nan):
        with pytest.raises(UsageError, match=r"vector of (finite|4) numbers"):
            similar_to_vector(opened, wrong, embeddings=table)


@pytest.mark.parametrize(
    ("key", "options", "error", "text"),
    [
        (("train", 1, 99), {}, NotFoundError, "train image 1 has no item 99; its items are 1, 2"),
        (("train", 999999, 1), {}, NotFoundError, "train has no image 999999"),
        (("train", 1, -1), {}, NotFoundError, "has no item -1"),
        (("trian", 1, 1), {}, UnknownNameError, "trian"),
        (("train", 1, 1), {"k": 0}, UsageError, "at least 1, found 0"),
        (("train", 1, 1), {"subset": {"pair_id": 99999}}, NotFoundError, "No item of the registry is in the subset"),
        (("train", 1, 1), {"subset": {"category": "hat"}}, UnknownNameError, "hat"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    opened: Any, key: tuple[str, int, int], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        registry.similar(opened, *key, embeddings=embeddings_of(opened), **options)


def test_items_without_a_vector_are_told_apart_from_unknown_ones(opened: Any) -> None:
    table = embeddings_of(opened)
    others = table.slice(1)
    key = tuple(table.slice(0, 1).select(KEYS.split(", ")).to_pylist()[0].values())
    with pytest.raises(NotFoundError, match="have no vector of train/000001 item 1"):
        registry.similar(opened, *key, embeddings=others)
    of_train = table.filter(pa.compute.equal(table.column("split"), "train"))
    with pytest.raises(NotFoundError, match="No item of the subset has a vector"):
        registry.similar(opened, *key, embeddings=of_train, subset={"split": "validation"})


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("keeps", [True, False])
def test_vectors_that_cannot_be_compared_are_left_out_and_counted(opened: Any, kind: Any, keeps: bool) -> None:
    table = embeddings_of(opened, kind=kind)
    lists: list[Any] = table.column("vector").to_pylist()
    lists[1], lists[2], lists[3] = [float("nan")] * 4, None, [0.0] * 4
    column = pa.array(lists, pa.list_(pa.from_numpy_dtype(kind)))
    answer = similar_items(opened, "train", 1, 1, 100, embeddings=table.set_column(3, "vector", column), keeps=keeps)
    assert answer.rows.num_rows == table.num_rows - 4
    assert answer.notices == [
        "3 rows of the embeddings have no vector that can be compared (NULL, of another length, not finite, or zeros): "
        "not used"
    ]
