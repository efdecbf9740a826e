"""The page that compares two versions: its numbers are those of the difference, and its pictures show both sides."""

from __future__ import annotations

import json
import threading
from copy import deepcopy
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import registry
from registry.ingest.build import ingest
from registry.snapshot.sync import sync
from registry.sources.photos import Photos
from registry.storage.place import Place
from registry.store.registry import Registry
from registry.subset.options import Subset
from registry.web import comparison
from registry.web.app import create_app
from registry.web.comparison import NEW, OLD
from registry.web.overlay import hex_colour
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.helpers import SMALL_SPLIT, annotation, item, write_split
from tests.registries import make_three_splits, make_version_2

JSON = {"Accept": "application/json"}


def make_other(old: Path, folder: Path) -> Path:
    """Return a newer version of ``make_three_splits``: items and images of train are changed, added and removed."""
    split: dict[int | str, Any] = deepcopy(SMALL_SPLIT)
    first, second, *_ = (key for key in split if isinstance(key, int) and "item1" in split[key])
    split[first]["item1"]["bounding_box"] = [1, 2, 90, 80]
    split[first]["item1"]["occlusion"] = 3
    del split[second]
    split[9] = annotation([item(2, 1)], "shop", 3)
    sync(Place(str(old)), Place(str(folder / "other")))
    ingest("train", str(write_split(folder / "changed" / "train", split)), str(folder / "other"), jobs=1)
    return folder / "other"


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, Registry]:
    folder = tmp_path_factory.mktemp("versions")
    old = make_three_splits(folder)
    return registry.open(str(old)), registry.open(str(make_other(old, folder)))


def client_of(new: Registry, old: Registry | None, **settings: Any) -> TestClient:
    against = None if old is None else (old, "v1.0")
    site = Site(new, Settings(against=against, **settings))
    return TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def client(versions: tuple[Registry, Registry]) -> TestClient:
    return client_of(versions[1], versions[0])


def answer(client: TestClient, path: str) -> Any:
    """Return the JSON document of a page, once the versions are compared."""
    for _ in range(60):
        response = client.get(path, headers=JSON)
        if response.status_code != 202:
            break
    assert response.status_code == 200, response.text
    return response.json()


def html(client: TestClient, path: str) -> str:
    answer(client, path)
    return client.get(path).text


@pytest.mark.parametrize("query", ["", "category=skirt", "split=train&source=shop", "split=validation"])
def test_the_page_says_what_diff_says(client: TestClient, versions: tuple[Registry, Registry], query: str) -> None:
    options = dict(part.split("=") for part in query.split("&") if part)
    expected = versions[0].diff(versions[1], Subset.of(**options))
    for of, changes in (("items", expected.items()), ("images", expected.images())):
        data = answer(client, f"/compare?of={of}&{query}")
        assert data["counts"] == expected.summary.counts()
        assert data["columns"] == expected.summary.fields[of]
        assert data["rows"] == json.loads(json.dumps([change.to_dict() for change in changes]))
        assert data["number"] == len(data["rows"])
    pairs = answer(client, f"/compare?of=instance_pairs&{query}")
    assert pairs["number"] == len(list(expected.instance_pairs()))


def test_each_filter_leads_to_as_many_differences_as_it_counts(client: TestClient) -> None:
    for of, changes in answer(client, "/compare")["counts"].items():
        for change, number in changes.items():
            data = answer(client, f"/compare?of={of}&change={change}")
            assert data["number"] == len(data["rows"]) == number
            assert {row["change"] for row in data["rows"]} <= {change}
        for column, number in answer(client, f"/compare?of={of}")["columns"].items():
            data = answer(client, f"/compare?of={of}&column={column}")
            assert data["number"] == number
            assert all(column in row["fields"] for row in data["rows"])


@pytest.mark.parametrize("of", ["items", "images", "instance_pairs"])
def test_pages_by_key_show_every_difference_once(
    versions: tuple[Registry, Registry], monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    monkeypatch.setattr("registry.web.compare.SIZE", 1)
    client = client_of(versions[1], versions[0])
    path, rows = f"/compare?of={of}", []
    while path:
        data = answer(client, path)
        rows += data["rows"]
        path = data["links"].get("next", "")
    monkeypatch.setattr("registry.web.compare.SIZE", 1000)
    assert len(rows) > 1
    assert rows == answer(client, f"/compare?of={of}")["rows"]
    monkeypatch.setattr("registry.web.compare.SIZE", 1)
    back = answer(client, data["links"]["previous"])
    assert back["rows"] == rows[-2:-1]


def test_a_changed_item_is_drawn_twice_with_its_columns_as_caption(client: TestClient) -> None:
    page = html(client, "/compare?change=changed")
    assert f'class="old" color="{hex_colour(OLD)}"' in page
    assert f'class="new" color="{hex_colour(NEW)}"' in page
    assert "<li>x1 10 -&gt; 1</li>" in page
    assert "<li>occlusion 1 -&gt; 3</li>" in page


@pytest.mark.parametrize(("change", "drawn", "missing"), [("added", "new", "old"), ("removed", "old", "new")])
@pytest.mark.parametrize("of", ["items", "images"])
def test_what_one_side_alone_has_is_drawn_once(
    client: TestClient, of: str, change: str, drawn: str, missing: str
) -> None:
    assert answer(client, f"/compare?of={of}&change={change}")["rows"]
    page = html(client, f"/compare?of={of}&change={change}")
    assert f'class="{drawn}" color' in page
    assert f'class="{missing}" color' not in page


def test_a_pair_is_drawn_as_both_of_its_items(client: TestClient) -> None:
    rows = answer(client, "/compare?of=instance_pairs&change=removed")["rows"]
    page = html(client, "/compare?of=instance_pairs&change=removed")
    assert rows
    for row in rows:
        for side in ("user", "shop"):
            assert f"{row['split']}/{row[f'{side}_image_id']:06d} item {row[f'{side}_item_no']}" in page


def test_what_is_the_same_in_both_versions_is_drawn_once(client: TestClient) -> None:
    page = html(client, "/compare?column=x1")
    old = page.split('class="old"')[1].split("</svg>")[0]
    new = page.split('class="new"')[1].split('class="old"')[0]
    assert 'class="box"' in old
    assert 'class="box"' in new
    assert 'class="landmarks"' not in old
    assert 'class="landmarks"' in new


def test_an_image_that_only_the_old_version_has_is_no_link(client: TestClient) -> None:
    (row,) = answer(client, "/compare?of=images&change=removed")["rows"]
    page = html(client, "/compare?of=images&change=removed")
    assert f"{row['split']}/{row['image_id']:06d}" in page
    assert f"/image/{row['split']}/{row['image_id']}" not in page


def test_photos_are_shared_by_both_versions(versions: tuple[Registry, Registry], tmp_path: Path) -> None:
    write_split(tmp_path / "train", SMALL_SPLIT)
    page = html(client_of(versions[1], versions[0], photos=Photos(str(tmp_path))), "/compare?of=images&change=removed")
    assert '<img loading="lazy"' in page


def test_arrow_has_the_rows_of_the_page(client: TestClient) -> None:
    for of, columns in (("items", 8), ("images", 6), ("instance_pairs", 8)):
        rows = answer(client, f"/compare?of={of}")["rows"]
        response = client.get(f"/compare?of={of}&format=arrow")
        with pa.ipc.open_stream(response.content) as stream:
            table = stream.read_all()
        assert table.num_columns == columns
        keys = [name for name in table.column_names if name not in ("old", "new")]
        assert table.select(keys).to_pylist() == [{name: row[name] for name in keys} for row in rows]


def test_the_same_version_has_no_differences(versions: tuple[Registry, Registry]) -> None:
    assert "both versions are the same" in html(client_of(versions[0], versions[0]), "/compare")


def test_a_version_of_an_older_schema_is_compared(versions: tuple[Registry, Registry], tmp_path: Path) -> None:
    sync(Place(versions[0].place.url), Place(str(tmp_path / "old")))
    older = registry.open(str(make_version_2(tmp_path / "old")))
    client = client_of(versions[0], older)
    assert answer(client, "/compare?of=images")["rows"] == []
    assert len(answer(client_of(versions[1], older), "/compare")["rows"]) > 1
    assert 'class="old"' in html(client_of(versions[1], older), "/compare")


@pytest.mark.parametrize(
    "query",
    [
        "of=photos", "change=x", "column=x", "show=x", "after=x", "after=[1]", 'after=["train",1]',
        'before=["train",1,1.5]', 'after=["x",1,1]', 'after=["train",1,99999999999999999999]', "where=true",
        "category=x", "split=nowhere", "of=instance_pairs&column=x1", "of=instance_pairs&change=changed",
        'of=images&after=["train",1,1]',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_an_error_of_the_address(client: TestClient, query: str) -> None:
    answer(client, "/compare")
    response = client.get(f"/compare?{quote(query, safe='=&')}", headers=JSON)
    assert response.status_code == 400, response.text
    assert response.json()["error"]


def test_without_another_version_there_is_no_page(versions: tuple[Registry, Registry]) -> None:
    client = client_of(versions[0], None)
    response = client.get("/compare", headers=JSON)
    assert response.status_code == 404
    assert "--against" in response.json()["error"]
    assert 'href="/compare"' not in client.get("/").text


def test_the_page_waits_once_and_then_no_more(
    versions: tuple[Registry, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, started = threading.Event(), []
    real = Registry.diff

    def slow(*args: Any) -> Any:
        started.append(1)
        go_on.wait(60)
        return real(*args)

    monkeypatch.setattr(Registry, "diff", slow)
    monkeypatch.setattr("registry.web.compare._PATIENCE", 0.01)
    client = client_of(versions[1], versions[0])
    for _ in range(3):
        waiting = client.get("/compare?of=images")
        assert waiting.status_code == 202
        assert 'hx-trigger="load delay:1s"' in waiting.text
        assert "of=images" in waiting.text
    go_on.set()
    assert "hx-trigger" not in html(client, "/compare?of=images")
    assert started == [1]


def test_a_damaged_file_of_the_old_version_is_told(versions: tuple[Registry, Registry], tmp_path: Path) -> None:
    sync(Place(versions[0].place.url), Place(str(tmp_path / "old")))
    client = client_of(versions[1], registry.open(str(tmp_path / "old")))
    for path in (tmp_path / "old" / "items").rglob("*.parquet"):
        path.write_bytes(bytes(path.stat().st_size))
    response = client.get("/compare", headers=JSON)
    while response.status_code == 202:
        response = client.get("/compare", headers=JSON)
    assert response.status_code == 503
    assert str(tmp_path / "old") in response.json()["error"]
    assert client.get("/").status_code == 200


def test_a_new_version_is_compared_anew(versions: tuple[Registry, Registry], tmp_path: Path) -> None:
    sync(Place(versions[0].place.url), Place(str(tmp_path / "shown")))
    client = client_of(registry.open(str(tmp_path / "shown")), versions[0])
    assert answer(client, "/compare")["number"] == 0
    sync(Place(versions[1].place.url), Place(str(tmp_path / "shown")))
    assert answer(client, "/compare")["number"] > 1


def test_rows_of_the_old_version_are_those_that_are_in_memory(versions: tuple[Registry, Registry]) -> None:
    narrow = Site(versions[0], Settings()).narrow()
    for keys in ([("train", 3), ("train", 1), ("train", 77)], [("validation", 2)], [("nowhere", 1)], []):
        for table in ("images", "items"):
            in_memory = narrow.find(table, keys)
            found = comparison.StoredRows(versions[0]).find(table, keys)
            assert len(found) == len(in_memory)
            for row, expected in zip(found, in_memory, strict=True):
                assert {*row} >= {*expected} - {"box_area", "num_corrections"}
                assert all(row[name] == expected[name] for name in {*row} & {*expected})


def test_the_command_and_the_python_of_a_page_give_the_same(versions: tuple[Registry, Registry]) -> None:
    old, new = (version.place.url for version in versions)
    settings = Settings(against=(versions[0], old), command=f"df2 -r {new}", python=f"registry.open({new!r})")
    client = TestClient(create_app(Site(versions[1], settings), Access.of("127.0.0.1")), base_url="http://127.0.0.1")
    page = html(client, "/compare?category=skirt")
    assert f"df2 -r {new} diff {old} --rows --category=skirt" in page
    python = unescape(page.split('id="copy-python"')[1].split(">", 1)[1].split("</pre>")[0])
    summary = eval(python.removeprefix("import registry\n"), {"registry": registry})
    assert summary == versions[0].diff(versions[1], category="skirt").summary
