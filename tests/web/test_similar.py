"""The nearest items: as a comparison of all vectors gives them, for any file of vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

import registry
from registry.embeddings import neighbours
from registry.embeddings.add import add_embeddings
from registry.web import similar
from registry.web.app import create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.registries import make_three_splits

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> registry.store.registry.Registry:
    return registry.open(str(make_three_splits(tmp_path_factory.mktemp("three"))))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "_PATIENCE", 30.0)


def keys_of(opened: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = opened.sql(
        "SELECT split, image_id, item_no, source, pair_id, style, category_id FROM items "
        "ORDER BY list_position(['train', 'validation', 'test'], split), image_id, item_no"
    ).fetchall()
    return rows


def write_vectors(path: Path, keys: Any, vectors: Any) -> Path:
    columns = [list(column) for column in zip(*(key[:3] for key in keys), strict=True)]
    table = {**dict(zip(("split", "image_id", "item_no"), columns, strict=True)), "vector": vectors}
    pq.write_table(pa.table(table), path)
    return path


def client_of(opened: Any, path: Any) -> TestClient:
    site = Site(opened, Settings(embeddings=None if path is None else str(path)))
    return TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")


def random_vectors(number: int, size: int = 8) -> list[list[float]]:
    rows: list[list[float]] = (np.random.default_rng(0).normal(size=(number, size)) + 0.2).tolist()
    return rows


def expected_order(keys: Any, vectors: Any, at: int, distance: str, chosen: Any) -> list[tuple[Any, ...]]:
    array = np.array(vectors, np.float32).astype(np.float64)
    if distance == "cosine":
        array /= np.linalg.norm(array, axis=1)[:, None]
    far = ((array - array[at]) ** 2).sum(1) if distance == "l2" else -(array @ array[at])
    return [keys[k][:3] for k in np.argsort(far, kind="stable") if k != at and chosen(keys[k])]


@pytest.mark.parametrize("is_half", [False, True])
@pytest.mark.parametrize("distance", ["cosine", "l2", "dot"])
@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("", lambda key: True),
        ("&gallery=shop", lambda key: key[3] == "shop"),
        ("&gallery=user", lambda key: key[3] == "user"),
        ("&split=train", lambda key: key[0] == "train"),
        ("&category=skirt&gallery=shop", lambda key: key[6] == 9 and key[3] == "shop"),
        ("&pair_id=99999", lambda key: False),
    ],
)
def test_the_nearest_are_those_of_a_comparison_of_all(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, chosen: Any, distance: str, is_half: bool
) -> None:
    if is_half:
        monkeypatch.setattr(neighbours, "_MOST", 0)
        monkeypatch.setattr(neighbours, "ROWS", 3)
    keys = keys_of(opened)
    vectors = random_vectors(len(keys))
    order = np.random.default_rng(1).permutation(len(keys))
    path = write_vectors(tmp_path / "e.parquet", [keys[k] for k in order], [vectors[k] for k in order])
    client = client_of(opened, path)
    for at, key in enumerate(keys):
        page = client.get(f"/similar/{key[0]}/{key[1]}/{key[2]}?distance={distance}{query}", headers=JSON).json()
        shown = [(row["split"], row["image_id"], row["item_no"]) for row in page["rows"]]
        assert shown == expected_order(keys, vectors, at, distance, chosen)
        same = {(row["split"], row["image_id"], row["item_no"]) for row in page["rows"] if row["is_same_identity"]}
        identity = (key[0], *key[4:6])
        assert same == {
            other[:3] for other in keys if (other[0], *other[4:6]) == identity and other[5] > 0 and other[:3] in shown
        }
        assert page["num_allowed"] == len(shown)


def test_the_page_marks_the_same_identity_in_words(opened: Any, tmp_path: Path) -> None:
    keys = keys_of(opened)
    client = client_of(opened, write_vectors(tmp_path / "e.parquet", keys, random_vectors(len(keys))))
    page = client.get("/similar/validation/1/1").text
    assert page.count("<strong>same identity</strong>") == page.count('class="same"') == 1
    assert "style=" not in page


def test_rows_that_cannot_be_used_are_counted(opened: Any, tmp_path: Path) -> None:
    keys = keys_of(opened)
    vectors: list[Any] = random_vectors(len(keys))
    vectors[1] = [float("nan")] * 8
    vectors[2] = None
    vectors[3] = [1.0]
    vectors[4] = [0.0] * 8
    odd = [("train", 77777, 1), ("other", 1, 1), ("train", -1, 1), ("train", 1, 1 << 40), keys[0]]
    path = write_vectors(tmp_path / "e.parquet", [*keys, *odd], [*vectors, *random_vectors(len(odd))])
    client = client_of(opened, path)
    page = client.get(f"/similar/{keys[0][0]}/{keys[0][1]}/{keys[0][2]}", headers=JSON).json()
    assert len(page["rows"]) == len(keys) - 5
    assert [notice.split(":")[0] for notice in page["notices"]] == [
        "4 rows of the embeddings are of no item of the registry",
        "1 row of the embeddings has the item of an earlier row",
        "4 rows of the embeddings have no vector that can be compared (NULL, of another length, not finite, or zeros)",
    ]
    response = client.get(f"/similar/{keys[1][0]}/{keys[1][1]}/{keys[1][2]}")
    assert response.status_code == 404
    assert "have no vector of" in response.text


@pytest.mark.parametrize("content", ["empty", "nan", "text", "lacking", "detections", "none", "csv"])
def test_files_without_vectors_of_items_are_refused(opened: Any, tmp_path: Path, content: str) -> None:
    path = tmp_path / "e.parquet"
    keys = keys_of(opened)
    if content == "empty":
        kinds = {"split": pa.string(), "image_id": pa.int64(), "item_no": pa.int64(), "vector": pa.list_(pa.float32())}
        table = pa.table({name: pa.array([], kind) for name, kind in kinds.items()})
        pq.write_table(table, path)
    elif content == "nan":
        write_vectors(path, keys, [[float("nan")] * 3] * len(keys))
    elif content == "lacking":
        pq.write_table(pa.table({"split": ["train"], "vector": [[1.0]]}), path)
    elif content == "detections":
        row = {"split": "train", "image_id": 1, "x1": 0, "y1": 0, "x2": 1, "y2": 1, "score": 1.0, "category_id": 1}
        pq.write_table(pa.table({**{name: [value] for name, value in row.items()}, "vector": [[1.0]]}), path)
    elif content in ("text", "csv"):
        path = tmp_path / ("e.csv" if content == "csv" else "e.parquet")
        path.write_text("no vectors")
    for _ in range(2):
        for kind in (JSON, {}):
            response = client_of(opened, path).get("/similar/train/1/1", headers=kind)
            assert response.status_code in (400, 404, 503), response.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/similar/train/1/1", 200),
        ("/similar/train/1/99", 404),
        ("/similar/train/999999/1", 404),
        ("/similar/other/1/1", 404),
        ("/similar/train/1/x", 404),
        ("/similar/train/99999999999999999999/1", 404),
        ("/similar/train/1/99999999999999999999", 404),
        ("/similar/train/1/1?distance=far", 400),
        ("/similar/train/1/1?gallery=none", 400),
        ("/similar/train/1/1?category=hat", 400),
    ],
)
def test_odd_addresses_are_answered(opened: Any, tmp_path: Path, path: str, status: int) -> None:
    keys = keys_of(opened)
    client = client_of(opened, write_vectors(tmp_path / "e.parquet", keys, random_vectors(len(keys))))
    for kind in (JSON, {}):
        assert client.get(path, headers=kind).status_code == status


def test_a_server_without_embeddings_says_how_to_show_them(opened: Any) -> None:
    response = client_of(opened, None).get("/similar/train/1/1")
    assert response.status_code == 404
    assert "--embeddings FILE" in response.text


def test_pages_choose_among_the_models_of_the_registry(tmp_path: Path) -> None:
    folder = str(make_three_splits(tmp_path))
    keys = keys_of(registry.open(folder))
    tables = {}
    for name, seed in (("first", 5), ("second", 6)):
        columns = [list(column) for column in zip(*(key[:3] for key in keys), strict=True)]
        vectors = np.random.default_rng(seed).normal(size=(len(keys), 3)).tolist()
        tables[name] = pa.table([*columns, vectors], names=["split", "image_id", "item_no", "vector"])
        add_embeddings(folder, name, tables[name], dtype="float32")
    opened = registry.open(folder)
    client = client_of(opened, None)
    pages = {name: client.get(f"/similar/train/1/1?model={name}", headers=JSON).json() for name in tables}
    for name, page in pages.items():
        assert page["model"] == name
        nearest = registry.similar(opened, "train", 1, 1, 60, embeddings=tables[name]).rows
        assert [row["image_id"] for row in page["rows"]] == nearest.column("image_id").to_pylist()
    assert pages["first"]["rows"] != pages["second"]["rows"]
    assert client.get("/similar/train/1/1", headers=JSON).json() == pages["first"]
    assert client.get("/similar/train/1/1?model=third").status_code == 400
    text = client.get("/similar/train/1/1?model=second").text
    assert "<option selected>second</option>" in text
    assert "model=second" in text
    assert "/similar/train/1/1" in client.get("/image/train/1").text
