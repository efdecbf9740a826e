"""Checks, accepted exceptions, corrections and the comparison with another version."""

from __future__ import annotations

import html
import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import registry
from registry.checks.run import run_checks
from registry.checks.settings import CheckSettings
from registry.web.app import create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.registries import make_odd, make_three_splits

BASE = "http://127.0.0.1"
ORIGIN = {"Origin": BASE}


def client_of(folder: Path, place: Path, **settings: Any) -> TestClient:
    site = Site(registry.open(str(place)), Settings(params=folder / "params.yaml", **settings))
    return TestClient(create_app(site, Access.of("127.0.0.1")), base_url=BASE)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_odd(tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_three_splits(tmp_path_factory.mktemp("three"))


def counted(client: TestClient, query: str = "") -> dict[str, Any]:
    for _ in range(600):
        got: dict[str, Any] = client.get(f"/checks{query}", headers={"Accept": "application/json"}).json()
        if got["is_done"]:
            return got
        time.sleep(0.05)
    raise AssertionError("the checks are still being counted")


def test_counts_are_those_of_the_checks(tmp_path: Path, odd: Path) -> None:
    opened = registry.open(str(odd))
    client = client_of(tmp_path, odd)
    got = {row["check"]: row["count"] for row in counted(client)["checks"]}
    assert got == {result.name: result.count for result in run_checks(opened, CheckSettings())}
    assert got["duplicate-picture"] is None  # the registry has no rows of photos
    page = client.get("/checks").text
    assert "hx-trigger" not in page
    for name, count in got.items():
        answer = client.get(f"/checks/{name}?format=json").json()
        assert answer["count"] == (count or 0)
        assert bool(answer["problem"]) == (count is None)
        assert client.get(f"/checks/{name}").status_code == 200
        if count:
            table = pa.ipc.open_stream(io.BytesIO(client.get(f"/checks/{name}?format=arrow").content)).read_all()
            assert table.num_rows == len(answer["rows"])


def test_rows_are_paged_by_key(tmp_path: Path, three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.web.checks.SIZE", 2)
    (tmp_path / "own").mkdir()
    sql = "-- One row per item.\n-- key: split, image_id, item_no\n-- severity: note\n-- source: items\n"
    (tmp_path / "own" / "all-items.sql").write_text(sql + "SELECT split, image_id, item_no FROM items")
    (tmp_path / "params.yaml").write_text("checks: {folders: [own]}")
    client = client_of(tmp_path, three)
    path: str | None = "/checks/all-items"
    rows, places = [], []
    while path is not None:
        got = client.get(path, headers={"Accept": "application/json"}).json()
        rows += got["rows"]
        places.append(got)
        path = got["links"].get("next", None)
    keys = [(row["split"], row["image_id"], row["item_no"]) for row in rows]
    wanted = registry.open(str(three)).sql("SELECT split, image_id, item_no FROM items").fetchall()
    assert len(keys) == len(wanted)
    assert set(keys) == set(wanted)
    back = client.get(places[1]["links"]["previous"], headers={"Accept": "application/json"})
    assert back.json()["rows"] == places[0]["rows"]
    for bad in ("[1]", "x", '[[],"",1]', '["train","x",1]'):
        assert client.get("/checks/all-items", params={"after": bad}).status_code == 400


def test_a_broken_file_is_told(tmp_path: Path, odd: Path) -> None:
    client = client_of(tmp_path, odd, edits=True)
    (tmp_path / "checks").mkdir()
    accepted = tmp_path / "checks" / "accepted.jsonl"
    accepted.write_text('{"check": "nothing"}\n')
    got = counted(client)
    assert "accepted.jsonl, line 1" in got["problem"]
    assert client.get("/checks").status_code == 200
    assert client.get("/checks/degenerate-box").status_code == 400
    form = {"key": "{}", "why": "w", "who": "x"}
    assert client.post("/checks/degenerate-box", data=form, headers=ORIGIN).status_code == 400
    assert accepted.read_text() == '{"check": "nothing"}\n'


def test_a_check_that_fails_leaves_the_others(tmp_path: Path, odd: Path) -> None:
    (tmp_path / "own").mkdir()
    sql = "-- One row per item.\n-- key: split\n-- severity: note\n-- source: items\nSELECT split FROM nothing_here"
    (tmp_path / "own" / "fails.sql").write_text(sql)
    (tmp_path / "own" / "no-check.sql").write_text("SELECT 1")
    (tmp_path / "params.yaml").write_text("checks: {folders: [own]}")
    client = client_of(tmp_path, odd)
    rows = {row["check"]: row for row in counted(client)["checks"]}
    assert "nothing_here" in rows["fails"]["problem"]
    assert rows["no-check"]["problem"]
    assert rows["degenerate-box"]["count"] is not None
    for name in ("fails", "no-check"):
        assert client.get(f"/checks/{name}").status_code == 200
        assert client.get(f"/checks/{name}?format=json").json()["problem"]
    assert client.get("/checks/unknown").status_code == 404


def test_a_row_is_accepted_as_the_page_offers_it(tmp_path: Path, odd: Path) -> None:
    client = client_of(tmp_path, odd, edits=True)
    name = next(row["check"] for row in counted(client)["checks"] if row["count"])
    count = client.get(f"/checks/{name}?format=json").json()["count"]
    page = client.get(f"/checks/{name}").text
    (key, *_) = re.findall(r'name="key" value="([^"]*)"', page)
    form = {"key": html.unescape(key), "why": "looked at it", "who": "Ann"}
    (tmp_path / "checks").mkdir()
    accepted = tmp_path / "checks" / "accepted.jsonl"
    accepted.write_bytes(b"\n  ")
    response = client.post(f"/checks/{name}", data=form, headers=ORIGIN)
    assert response.status_code == 200, response.text
    assert accepted.read_bytes().startswith(b"\n  \n{")
    assert json.loads(accepted.read_text()) == {
        "check": name,
        "key": json.loads(form["key"]),
        "why": "looked at it",
        "who": "Ann",
    }
    assert client.get(f"/checks/{name}?format=json").json()["count"] == count - 1
    assert client.post(f"/checks/{name}", data=form, headers=ORIGIN).status_code == 400  # accepted already
    assert client.post(f"/checks/{name}", data={**form, "why": " "}, headers=ORIGIN).status_code == 400


def test_nothing_is_written_without_edit_or_from_elsewhere(tmp_path: Path, odd: Path) -> None:
    form = {"key": "{}", "why": "w", "who": "x"}
    reads = client_of(tmp_path, odd)
    writes = client_of(tmp_path, odd, edits=True)
    for path in ("/checks/degenerate-box", "/corrections"):
        assert reads.post(path, data=form, headers=ORIGIN).status_code == 404
        assert writes.post(path, data=form, headers={"Origin": "http://evil.example"}).status_code == 403
    assert (
        writes.post(
            "/corrections",
            content="x" * 2_000_000,
            headers={**ORIGIN, "Content-Type": "application/x-www-form-urlencoded"},
        ).status_code
        == 413
    )
    assert writes.post("/corrections", json={}, headers=ORIGIN).status_code == 415
    assert writes.get("/corrections").status_code == 405
    assert list(tmp_path.iterdir()) == []


def test_a_value_is_corrected_once(tmp_path: Path, three: Path) -> None:
    client = client_of(tmp_path, three, edits=True)
    row = client.get("/?format=json&show=items").json()["rows"][0]
    split, image_id, item_no = row["split"], row["image_id"], row["item_no"]
    page = client.get(f"/image/{split}/{image_id}").text
    seen = re.findall(r'name="seen" value="([^"]*)"', page)[0]
    form = {
        "split": split,
        "image_id": image_id,
        "item_no": item_no,
        "style": "77",
        "why": "same",
        "who": "Ann",
        "seen": seen,
    }
    wrong = client.post("/corrections", data={**form, "style": "-5"}, headers=ORIGIN)
    assert wrong.status_code == 400
    assert not list(tmp_path.rglob("*.jsonl"))
    assert client.post("/corrections", data=form, headers=ORIGIN).status_code == 200
    (line,) = (tmp_path / "corrections" / f"{split}.jsonl").read_text().splitlines()
    assert json.loads(line)["new"] == 77
    again = client.post("/corrections", data={**form, "style": "78"}, headers=ORIGIN)
    assert again.status_code == 409
    assert client.get("/?format=json&show=items").json()["rows"][0] == row  # the registry is as it was
    (tmp_path / "corrections" / f"{split}.jsonl").write_text("{")
    assert client.get(f"/image/{split}/{image_id}").status_code == 200
