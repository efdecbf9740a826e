"""Vectors of models as tables of a registry: added, replaced, removed, copied, and told out of date."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import registry
from registry.dataset.names import is_data_path
from registry.embeddings import add
from registry.embeddings.add import add_embeddings, remove_embeddings
from registry.embeddings.similar import similar_items
from registry.embeddings.table import model_names, models, open_model
from registry.embeddings.vector_file import open_parts
from registry.errors import ConflictError, StorageError, UnknownNameError, UsageError
from registry.ingest.build import ingest
from registry.snapshot.manifest import MANIFEST_NAME, read_manifest, rebuild_manifest
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from tests.embeddings.test_similar import embeddings_of
from tests.helpers import annotation, item, photo, write_split
from tests.registries import make_three_splits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_three_splits(tmp_path / "three")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a registry of train with two images, the first with two items; its release lies beside it."""
    annotations = {1: annotation([item(1), item(9)]), 2: annotation([item(8)])}
    write_split(tmp_path / "release" / "train", annotations, {1: photo(), 2: photo()})
    ingest("train", str(tmp_path / "release" / "train"), str(tmp_path / "registry"), jobs=1)
    return tmp_path / "registry"


def of_small(vectors: Any = ((3, 4), (1, 0), (0, -2))) -> pa.Table:
    keys = [("train", 2, 1), ("train", 1, 1), ("train", 1, 2)]
    columns = dict(zip(("split", "image_id", "item_no"), map(list, zip(*keys, strict=True)), strict=True))
    return pa.table({**columns, "vector": [list(map(float, vector)) for vector in vectors]})


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    fetched: list[tuple[Any, ...]] = registry.open(str(folder)).sql(query).fetchall()
    return fetched


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_vectors_are_kept_with_length_1_in_the_order_of_the_items(small: Path, dtype: str) -> None:
    old = read_manifest(Place(str(small))).sha256
    report = add_embeddings(str(small), "toy-1.5", of_small(), dtype=dtype, weights="ab" * 32, crop="the box")
    assert (report.num_vectors, report.num_missing, report.dimensions, report.notices) == (3, 0, 2, [])
    kept = rows(small, "SELECT split, model, image_id, item_no, x1, y1, x2, y2, sha256, vector FROM embeddings")
    exact = np.array([[1, 0], [0, -1], [0.6, 0.8]], dtype).tolist()
    assert kept == [
        ("train", "toy-1.5", image_id, item_no, 10.0, 20.0, 110.0, 220.0, None, vector)
        for (image_id, item_no), vector in zip([(1, 1), (1, 2), (2, 1)], exact, strict=True)
    ]
    assert rows(small, "FROM embedding_models") == [("train", "toy-1.5", 2, dtype, "ab" * 32, "the box", old)]
    (cosine,) = rows(
        small,
        "SELECT array_cosine_similarity(a.vector::FLOAT[2], b.vector::FLOAT[2]) FROM embeddings AS a, embeddings AS b "
        "WHERE (a.image_id, a.item_no, b.image_id) = (1, 1, 2)",
    )
    assert cosine[0] == pytest.approx(0.6, abs=1e-3)


def test_a_model_is_read_back_as_a_file_is(folder: Path) -> None:
    opened = registry.open(str(folder))
    table = embeddings_of(opened, kind=np.float32)
    add_embeddings(str(folder), "toy", table, dtype="float32")
    opened = registry.open(str(folder))
    assert model_names(opened) == ["toy"]
    with open_model(opened, "toy") as file:
        vectors = np.concatenate([block for _, block, _ in file.blocks()])
        assert file.keys.to_pylist() == table.select(["split", "image_id", "item_no"]).to_pylist()
    expected = np.array(table.column("vector").to_pylist(), np.float32)
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1)[:, None], rtol=1e-6)
    split, image_id, item_no = (table.column(name)[0].as_py() for name in ("split", "image_id", "item_no"))
    by_model = registry.similar(opened, split, image_id, item_no)
    assert by_model.rows.drop_columns(["similarity"]) == registry.similar(
        opened, split, image_id, item_no, embeddings=table
    ).rows.drop_columns(["similarity"])


def test_all_bad_rows_are_told_together_and_nothing_is_changed(small: Path) -> None:
    table = pa.table(
        {
            "split": ["train", "train", "train", "train", "test", "train"],
            "image_id": [1, 1, 2, 1, 1, 77],
            "item_no": [1, 2, 1, 1, 1, 1],
            "vector": [[1.0, 2.0], [1.0], [0.0, 0.0], [float("nan"), 1.0], [1.0, 1.0], None],
        }
    )
    before = (small / MANIFEST_NAME).read_bytes()
    with pytest.raises(UsageError) as raised:
        add_embeddings(str(small), "toy", table)
    assert str(raised.value).splitlines() == [
        "The embeddings cannot be added, and nothing was changed:",
        "  2 rows of no item; expected items of the registry, or --skip-unknown to leave them out "
        "(row 4: test/1 item 1; row 5: train/77 item 1)",
        "  1 row of an item of an earlier row; expected one row for each item (row 3: train/1 item 1)",
        "  1 vector of another length; expected 2 numbers, as the first vector has (row 1)",
        "  1 vector with NaN, or numbers too large or too small; "
        "expected finite numbers up to 1e15, not all below 1e-30 (row 3)",
        "  1 vector of zeros; expected a vector that has a direction (row 2)",
    ]
    assert (small / MANIFEST_NAME).read_bytes() == before
    assert not (small / "embeddings").exists()


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_vectors_whose_digits_a_float_loses_are_refused(small: Path, kind: pa.DataType) -> None:
    vectors = pa.array([[1.0, 1e-40], [3e-42, 1e-42], [0.0, 1e-31]], pa.list_(kind))
    with pytest.raises(UsageError, match=r"2 vectors with .* too small; .* \(row 1; row 2\)"):
        add_embeddings(str(small), "toy", of_small().set_column(3, "vector", vectors))


def test_a_row_without_a_vector_is_no_vector_of_another_length(small: Path) -> None:
    vectors = pa.array([None, [], [1.0]], pa.list_(pa.float32()))
    with pytest.raises(UsageError, match=r"changed:\n  2 rows without a vector; expected .* \(row 0; row 1\)$"):
        add_embeddings(str(small), "toy", of_small().set_column(3, "vector", vectors))


def test_blocks_without_a_used_row_before_the_vectors_are_kept_apart(small: Path, tmp_path: Path) -> None:
    keys = {"split": ["train"] * 5003, "image_id": [77] * 5000 + [1, 1, 2], "item_no": [1] * 5000 + [1, 2, 1]}
    vectors = pa.array([None] * 5000 + [[3.0, 4.0], [1.0, 0.0], [0.0, -1.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({**keys, "vector": vectors}), tmp_path / "v.parquet")
    add_embeddings(str(small), "toy", str(tmp_path / "v.parquet"), dtype="float32", skip_unknown=True)
    kept = rows(small, "SELECT vector FROM embeddings ORDER BY image_id, item_no")
    assert [list(vector) for (vector,) in kept] == [pytest.approx([0.6, 0.8]), [1.0, 0.0], [0.0, -1.0]]


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("item_no", [True, True, True], "The column item_no of the embeddings: expected numbers, found bool"),
        ("image_id", pa.array([2, 1, 1], pa.timestamp("s")), "expected numbers, found timestamp"),
        ("split", ["\x1b[1m", "train", "train"], r"\(row 0: \\x1b\[1m/2 item 1\)$"),
        ("split", [None, "train", "train"], r"\(row 0: NULL/2 item 1\)$"),
    ],
)
def test_keys_that_are_none_are_told_as_they_are(small: Path, name: str, values: Any, text: str) -> None:
    table = of_small()
    with pytest.raises(UsageError, match=text):
        add_embeddings(str(small), "toy", table.set_column(table.column_names.index(name), name, pa.array(values)))


@pytest.mark.parametrize("name", ["vector", "image_id"])
def test_a_column_twice_in_a_parquet_file_is_refused(small: Path, tmp_path: Path, name: str) -> None:
    table = of_small()
    pq.write_table(table.append_column(name, table.column(name)), tmp_path / "v.parquet")
    with pytest.raises(UsageError, match=f"expected each column once, found {name} twice"):
        add_embeddings(str(small), "toy", str(tmp_path / "v.parquet"))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"crop": "\udcff"}, "printable characters"),
        ({"crop": "x" * 1001}, "at most 1000"),
        ({"crop": 3}, "printable characters, found '3'"),
        ({"weights": 3}, "64 hex digits .* found '3'"),
        ({"model": 3}, "3 cannot name a model"),
    ],
)
def test_words_about_a_model_that_cannot_be_kept_are_refused(small: Path, words: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        add_embeddings(str(small), **{"model": "toy", "source": of_small(), **words})


def test_a_full_disk_of_temporary_files_changes_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (small / MANIFEST_NAME).read_bytes()

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(add, "open", lambda *_: Full(), raising=False)
    with pytest.raises(StorageError, match=r"Cannot write the vectors to .*: No space left on device"):
        add_embeddings(str(small), "toy", of_small())
    assert (small / MANIFEST_NAME).read_bytes() == before


def test_stored_vectors_of_another_type_than_lists_of_numbers_are_refused(small: Path) -> None:
    with pytest.raises(UsageError, match=r"column vector of the embeddings: expected lists of numbers, found string"):
        path = small.parent / "v.parquet"
        pq.write_table(pa.table({"image_id": [1], "item_no": [1], "vector": ["a"]}), path)
        open_parts([("train", path)], "toy")


def test_parts_are_half_floats_only_where_all_are(tmp_path: Path) -> None:
    parts = []
    for split, kind in (("train", pa.float16()), ("validation", pa.float32())):
        vectors = pa.array([[np.float16(1)]] if kind == pa.float16() else [[1e6]], pa.list_(kind))
        pq.write_table(pa.table({"image_id": [1], "item_no": [1], "vector": vectors}), tmp_path / split)
        parts.append((split, tmp_path / split))
    assert not open_parts(parts, "toy").is_half


def test_rows_of_no_item_can_be_left_out_and_items_without_a_vector_are_counted(small: Path) -> None:
    table = pa.concat_tables([of_small().slice(0, 2), of_small().slice(0, 1)])
    table = table.set_column(1, "image_id", pa.array([2, 1, 9]))
    report = add_embeddings(str(small), "toy", table, skip_unknown=True)
    assert report.notices == ["1 row of no item of the registry left out (the first: row 2: train/9 item 1)"]
    assert (report.num_vectors, report.num_missing) == (2, 1)
    assert rows(small, "FROM embedding_states") == [("toy", "train", 1, 2, "missing")]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "e.parquet", "é", "x" * 64, "a\nb"])
def test_names_that_are_no_folder_or_those_of_files_are_refused(small: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a model"):
        add_embeddings(str(small), name, of_small())


def test_a_model_is_replaced_only_when_asked(small: Path) -> None:
    add_embeddings(str(small), "toy", of_small())
    with pytest.raises(ConflictError, match="has vectors of a model toy"):
        add_embeddings(str(small), "toy", of_small())
    add_embeddings(str(small), "other", of_small())
    add_embeddings(str(small), "toy", of_small([(1, 0, 0), (0, 1, 0), (0, 0, 1)]), replace=True)
    dimensions = "SELECT model, dimensions FROM embedding_models ORDER BY model"
    assert rows(small, dimensions) == [("other", 2), ("toy", 3)]
    assert len(list((small / "embeddings").rglob("*.parquet"))) == 2
    remove_embeddings(str(small), "toy")
    assert rows(small, dimensions) == [("other", 2)]
    with pytest.raises(UnknownNameError, match="Did you mean 'other'"):
        remove_embeddings(str(small), "othe")


def test_names_that_differ_in_case_alone_are_refused(small: Path) -> None:
    add_embeddings(str(small), "toy", of_small())
    with pytest.raises(ConflictError, match="has vectors of a model toy: expected a name that differs in letters"):
        add_embeddings(str(small), "Toy", of_small(), replace=True)


def test_vectors_are_read_from_json_lines(small: Path, tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in of_small().to_pylist()]
    (tmp_path / "vectors.jsonl").write_text("\n".join(lines))
    assert add_embeddings(str(small), "toy", str(tmp_path / "vectors.jsonl")).num_vectors == 3


def test_an_ingestion_keeps_the_vectors_and_tells_which_are_out_of_date(small: Path, tmp_path: Path) -> None:
    add_embeddings(str(small), "toy", of_small())
    annotations = {1: annotation([item(1, bounding_box=[11, 20, 110, 220])]), 2: annotation([item(8), item(2)])}
    shutil.rmtree(tmp_path / "release")
    write_split(tmp_path / "release" / "train", annotations)
    ingest("train", str(tmp_path / "release" / "train"), str(small), jobs=1)
    assert rows(small, "FROM embedding_states ORDER BY ALL") == [
        ("toy", "train", 1, 1, "stale"),
        ("toy", "train", 1, 2, "unknown"),
        ("toy", "train", 2, 2, "missing"),
    ]
    (part,) = models(registry.open(str(small)))
    assert (part.num_vectors, part.num_missing, part.num_stale, part.num_unknown) == (3, 1, 1, 1)


def test_a_photo_that_changed_makes_its_vectors_stale(small: Path, tmp_path: Path) -> None:
    from registry.ingest.describe import describe_photos

    describe_photos("train", str(tmp_path / "release" / "train"), str(small), jobs=1)
    add_embeddings(str(small), "toy", of_small())
    assert rows(small, "FROM embedding_states") == []
    (tmp_path / "release" / "train" / "image" / "000002.jpg").write_bytes(photo(41, 30))
    describe_photos("train", str(tmp_path / "release" / "train"), str(small), jobs=1)
    assert rows(small, "FROM embedding_states") == [("toy", "train", 2, 1, "stale")]
    opened = registry.open(str(small))
    notice = "1 vector of the model toy is of an item whose box or photo changed since: 'df2 embeddings add --replace'"
    for keeps in (True, False):
        (told,) = similar_items(opened, "train", 1, 1, keeps=keeps).notices
        assert told.startswith(notice)


def test_vectors_are_files_of_the_registry_like_others(folder: Path, tmp_path: Path) -> None:
    add_embeddings(str(folder), "toy", embeddings_of(registry.open(str(folder))))
    place = Place(str(folder))
    manifest = read_manifest(place)
    assert all(is_data_path(file.path) for file in manifest.of_model("toy"))
    assert verify_registry(place).is_whole
    assert rebuild_manifest(place).files == manifest.files
    sync(place, Place(str(tmp_path / "copy")))
    assert rows(tmp_path / "copy", "SELECT count(*) FROM embeddings") == rows(folder, "SELECT count(*) FROM items")
    # The same vectors give the same files.
    again = tmp_path / "again"
    sync(place, Place(str(again)))
    remove_embeddings(str(again), "toy")
    table = embeddings_of(registry.open(str(again)))
    add_embeddings(str(again), "toy", table.take(pa.array(list(range(table.num_rows))[::-1])))
    of_vectors = [file.path for file in read_manifest(Place(str(again))).of_table("embeddings")]
    assert of_vectors == [file.path for file in manifest.of_table("embeddings")]


def test_a_subset_has_the_vectors_of_its_items(folder: Path) -> None:
    add_embeddings(str(folder), "toy", embeddings_of(registry.open(str(folder))))
    chosen = registry.open(str(folder)).select(source="shop")
    assert (
        chosen.sql("SELECT count(*) FROM embeddings").fetchall() == chosen.sql("SELECT count(*) FROM items").fetchall()
    )
    assert chosen.sql("FROM embedding_states").fetchall() == []


def test_a_changed_file_of_vectors_is_refused(small: Path) -> None:
    add_embeddings(str(small), "toy", of_small())
    (path,) = (small / "embeddings").rglob("*.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match="is not the file that"):
        registry.similar(registry.open(str(small)), "train", 1, 1)


def test_models_of_a_remote_registry_are_read(small: Path) -> None:
    add_embeddings(str(small), "toy", of_small())
    sync(Place(str(small)), Place("memory://embeddings-of-a-model"))
    opened = registry.open("memory://embeddings-of-a-model")
    assert registry.similar(opened, "train", 1, 1, k=1).rows.column("image_id").to_pylist() == [2]


def test_half_floats_are_stored_as_such(small: Path) -> None:
    add_embeddings(str(small), "toy", of_small())
    (path,) = (small / "embeddings").rglob("*.parquet")
    assert pa.types.is_float16(pq.read_schema(path).field("vector").type.value_type)


def test_a_difference_names_the_models_whose_vectors_differ(small: Path, tmp_path: Path) -> None:
    sync(Place(str(small)), Place(str(tmp_path / "new")))
    add_embeddings(str(small), "gone", of_small())
    for place in (small, tmp_path / "new"):
        add_embeddings(str(place), "same", of_small())
    add_embeddings(str(small), "toy", of_small())
    add_embeddings(str(tmp_path / "new"), "toy", of_small([(1, 1), (1, 0), (0, 1)]))
    difference = registry.open(str(small)).diff(registry.open(str(tmp_path / "new")))
    assert difference.summary.is_same
    assert difference.notices == ["the vectors of the model gone are gone", "the vectors of the model toy changed"]
