"""Rows of checks page by page, and exceptions that hostile or simultaneous forms ask for."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import registry
from registry.checks.run import check_rows, load
from registry.checks.settings import load_check_settings
from registry.web.app import create_app
from registry.web.checks import SIZE
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.registries import make_odd, make_version_2

JSON = {"Accept": "application/json"}
ORIGIN = {"Origin": "http://127.0.0.1"}
HEADER = "-- One row per landmark.\n-- key: {}\n-- severity: note\n-- source: items\n"
#: Its key is NULL in some rows, and its rows are more than two pages.
WITH_NULL = HEADER.format("split, label, image_id, item_no, landmark_no") + (
    "SELECT split, CASE WHEN item_no % 2 = 0 THEN category_name END AS label, image_id, item_no, k AS landmark_no "
    "FROM items, range(1, 4) AS numbers (k)"
)
#: Three rows have each key.
THRICE = HEADER.format("split, image_id, item_no") + (
    "SELECT split, image_id, item_no, k FROM items, range(1, 4) AS numbers (k)"
)
ORPHANS = "orphan-identity"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_odd(tmp_path_factory.mktemp("odd"))


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """Return the path of a parameter file with the checks of a folder."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "with-null.sql").write_text(WITH_NULL)
    (tmp_path / "own" / "thrice.sql").write_text(THRICE)
    (tmp_path / "params.yaml").write_text("checks: {folders: [own]}\n")
    return tmp_path / "params.yaml"


def client_of(place: Path, params: Path) -> TestClient:
    site = Site(registry.open(str(place)), Settings(params=params, edits=True))
    return TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")


@pytest.fixture
def client(odd: Path, params: Path) -> TestClient:
    return client_of(odd, params)


def rows(client: TestClient, name: str, query: str = "") -> dict[str, Any]:
    response = client.get(f"/checks/{name}{query}", headers=JSON)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def _query(link: str) -> str:
    return "?" + link.partition("?")[2]


def accept(client: TestClient, name: str, key: Any) -> Any:
    fields = {"key": key if isinstance(key, str) else json.dumps(key), "who": "Ann", "why": "seen"}
    return client.post(f"/checks/{name}", data=fields, headers={**JSON, **ORIGIN})


def first_key(client: TestClient, name: str) -> dict[str, Any]:
    page = rows(client, name)
    return {column: page["rows"][0][column] for column in page["key"]}


@pytest.mark.parametrize("name", ["with-null", "thrice", "landmark-outside-box"])
@pytest.mark.parametrize("query", ["", "?split=train"])
def test_pages_have_every_row_once_forwards_and_backwards(
    sample_registry: Path, params: Path, name: str, query: str
) -> None:
    client = client_of(sample_registry, params)
    opened = registry.open(str(sample_registry))
    tables = opened.select(split="train") if query else opened
    expected = check_rows(tables, *_loaded(params, name)).to_arrow_table().to_pylist()
    assert len(expected) > SIZE
    pages = [rows(client, name, query)]
    while "next" in pages[-1]["links"]:
        pages.append(rows(client, name, _query(pages[-1]["links"]["next"])))
    found = [row for page in pages for row in page["rows"]]
    assert len(found) == len(expected) == pages[0]["count"]
    assert [_key(row) for row in found] == [_key(row) for row in expected]
    back = [pages[-1]]
    while "previous" in back[-1]["links"]:
        back.append(rows(client, name, _query(back[-1]["links"]["previous"])))
    assert [_key(row) for page in reversed(back) for row in page["rows"]] == [_key(row) for row in expected]


def _loaded(params: Path, name: str) -> tuple[Any, str, Any]:
    checks, accepted = load(load_check_settings(params))
    return checks, name, accepted


def _key(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without what its key does not tell."""
    return {name: value for name, value in row.items() if name != "k"}


def test_no_more_rows_are_read_than_a_page_has(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.web import check_runs

    sizes = []

    def page(*arguments: Any, **options: Any) -> Any:
        sizes.append(options["size"])
        return page_of_check(*arguments, **options)

    page_of_check = check_runs.page_of_check
    monkeypatch.setattr(check_runs, "page_of_check", page)
    rows(client, "with-null")
    assert sizes == [SIZE + 1]


@pytest.mark.parametrize(
    "place",
    ["x", "[", "{}", "[1]", '["train",1,"x"]', '["\\ud800",1,1]', '["train",1,[1]]', "[" * 5000, '["train"]'],
)  # fmt: skip
@pytest.mark.parametrize("name", ["after", "before"])
def test_a_place_that_cannot_be_is_refused(client: TestClient, name: str, place: str) -> None:
    assert client.get(f"/checks/{ORPHANS}", params={name: place}).status_code == 400


@pytest.mark.parametrize("place", ['["train",1,1e300]', '["train",1,99999999999999999999999999]', '["no",1,null]',
                                   '["train",1,NaN]', '["train",true,1]', '["\\u0000",1,1]'])  # fmt: skip
def test_a_strange_place_fails_nothing(client: TestClient, place: str) -> None:
    for name in ("after", "before"):
        assert client.get(f"/checks/{ORPHANS}", params={name: place}).status_code in (200, 400)


def test_the_grid_refuses_half_a_surrogate_pair_too(client: TestClient) -> None:
    assert client.get("/", params={"after": '["\\ud800",1]', "sort": "source"}).status_code == 400


def test_what_cannot_be_accepted_is_refused_and_nothing_written(client: TestClient, params: Path) -> None:
    key = first_key(client, ORPHANS)
    wrong: list[Any] = [
        {}, {"split": "train"}, {**key, "more": 1}, {**key, "style": 99}, {**key, "style": 1.5}, {**key, "style": True},
        [], None, "x", "[" * 5000, {**key, "split": "no"}, {**key, "split": "\ud800"}, {**key, "style": None},
        {**key, "style": [1]}, {**key, "style": {}}, {**key, "style": 10**30},
    ]  # fmt: skip
    for entry in wrong:
        response = accept(client, ORPHANS, entry)
        assert response.status_code == 400, (entry, response.text)
    assert accept(client, "nothing", key).status_code in (400, 404)
    assert not (params.parent / "checks").exists()


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\r\n"])
def test_other_lines_stay_byte_for_byte(client: TestClient, params: Path, end: bytes) -> None:
    file = params.parent / "checks" / "accepted.jsonl"
    file.parent.mkdir()
    old = '\ufeff{ "check":"missing-picture",  "key":{"split":"train","image_id":3},"why":"\\u00e9é" }'.encode() + end
    file.write_bytes(old)
    response = accept(client, ORPHANS, first_key(client, ORPHANS))
    assert response.status_code == 200, response.text
    new = file.read_bytes()
    assert new.startswith(old)
    assert len(new[len(old) :].strip().splitlines()) == 1
    assert client.get("/checks", headers=JSON).json()["problem"] == ""


def test_writers_at_once_lose_no_line(client: TestClient, params: Path) -> None:
    wanted = [
        (name, {column: row[column] for column in page["key"]})
        for name in (ORPHANS, "duplicate-items")
        for page in [rows(client, name)]
        for row in page["rows"]
    ]
    threads = [threading.Thread(target=accept, args=(client, *entry)) for entry in [*wanted, *wanted]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len((params.parent / "checks" / "accepted.jsonl").read_text().splitlines()) == len(wanted) > 2
    assert client.get("/checks", headers=JSON).json()["problem"] == ""


def test_a_check_of_photos_says_what_it_needs_without_them(tmp_path: Path, params: Path) -> None:
    client = client_of(make_version_2(make_odd(tmp_path / "old")), params)
    response = client.get("/checks/blurred-picture")
    assert response.status_code == 200
    assert "df2 photos describe" in response.text
