"""Corrections from the page of an image: lines as df2 correct writes them, which the next ingestion applies."""

from __future__ import annotations

import html
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import registry
from registry.ingest.build import ingest
from registry.web.app import create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.helpers import SMALL_SPLIT, landmarks, write_split

JSON = {"Accept": "application/json"}
OWN = {"Origin": "http://127.0.0.1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the release of a small registry, and the registry."""
    ingest("train", str(write_split(tmp_path / "train", SMALL_SPLIT)), str(tmp_path / "registry"), jobs=1)
    return tmp_path


def client_of(folder: Path, **settings: Any) -> TestClient:
    site = Site(registry.open(str(folder / "registry")), Settings(params=folder / "params.yaml", **settings))
    return TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")


@pytest.fixture
def client(folder: Path) -> TestClient:
    """Return a client of a site that writes."""
    return client_of(folder, edits=True)


def form_of(client: TestClient, image_id: int, item_no: int | None) -> dict[str, str]:
    """Return the fields of the form on the page of an image, as a browser sends them unchanged."""
    page = client.get(f"/image/train/{image_id}").text
    for form in re.findall(r'<form class="edit".*?</form>', page, re.DOTALL):
        fields = dict(re.findall(r'<input (?:type="hidden" )?name="([a-z_]+)" value="([^"]*)"', form))
        for name, options in re.findall(r'<select name="([a-z_]+)">(.*?)</select>', form, re.DOTALL):
            fields[name] = re.findall(r'<option value="([^"]*)" selected>', options)[0]
        fields = {name: html.unescape(value) for name, value in fields.items()}
        if fields["item_no"] == ("" if item_no is None else str(item_no)):
            return fields
    raise AssertionError(f"no form of {image_id}, {item_no}")


def send(client: TestClient, fields: dict[str, Any], headers: Any = OWN) -> Any:
    fields = {"who": "Ann", "why": "seen", **fields}
    return client.post("/corrections", data=fields, headers={**JSON, **(headers or {})})


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of train, without their date."""
    file = folder / "corrections" / "train.jsonl"
    found = [json.loads(text) for text in file.read_text().splitlines()] if file.exists() else []
    return [{name: value for name, value in line.items() if name != "date"} for line in found]


def line(image_id: int, item_no: int | None, field: str, old: Any, new: Any) -> dict[str, Any]:
    item = {} if item_no is None else {"item_no": item_no}
    values = {"split": "train", "image_id": image_id, **item, "field": field, "old": old}
    return {**values, **({} if new is None else {"new": new}), "who": "Ann", "why": "seen"}


def test_the_values_that_differ_become_lines_that_the_next_ingestion_applies(client: TestClient, folder: Path) -> None:
    before = client.app.state.site.version()  # type: ignore[attr-defined]
    fields = form_of(client, 1, 1) | {"style": "7", "occlusion": "3", "bounding_box": "1, 2, 3, 4.5"}
    response = send(client, fields)
    assert response.status_code == 200, response.text
    assert lines(folder) == [
        line(1, 1, "style", 1, 7),
        line(1, 1, "bounding_box", [10, 20, 110, 220], [1, 2, 3, 4.5]),
        line(1, 1, "occlusion", 1, 3),
    ]
    assert [json.loads(text)["field"] for text in response.json()["lines"]] == ["style", "bounding_box", "occlusion"]
    assert client.app.state.site.version() == before  # type: ignore[attr-defined]
    ingest("train", str(folder / "train"), str(folder / "registry"), corrections=str(folder / "corrections"), jobs=1)
    item = registry.open(str(folder / "registry")).sql(
        "SELECT style, occlusion, x1, y2 FROM items WHERE image_id = 1 AND item_no = 1"
    )
    assert item.fetchall() == [(7, 3, 1.0, 4.5)]
    assert form_of(client, 1, 1)["style"] == "7"
    assert "<h2>Corrections</h2>" in client.get("/image/train/1").text


def test_a_value_of_the_image_is_corrected(client: TestClient, folder: Path) -> None:
    assert send(client, form_of(client, 1, None) | {"source": "shop", "pair_id": "9"}).status_code == 200
    assert lines(folder) == [line(1, None, "source", "user", "shop"), line(1, None, "pair_id", 1, 9)]


def test_an_item_is_removed(client: TestClient, folder: Path) -> None:
    assert send(client, form_of(client, 1, 2) | {"remove": "1"}).status_code == 200
    (found,) = lines(folder)
    assert (found["field"], found["item_no"]) == ("remove", 2)
    assert "Correct item 2<" not in client.get("/image/train/1").text


def test_another_category_needs_its_landmarks(client: TestClient, folder: Path) -> None:
    fields = form_of(client, 1, 1) | {"category": "skirt"}
    response = send(client, fields)
    assert response.status_code == 400
    assert "landmarks" in response.json()["error"]
    assert lines(folder) == []
    assert send(client, fields | {"landmarks": "none"}).status_code == 200
    assert lines(folder)[-1] == line(1, 1, "landmarks", landmarks(1), landmarks(9, 0)) or lines(folder)[0]["field"] == (
        "category"
    )


def test_all_problems_are_told_together(client: TestClient, folder: Path) -> None:
    response = send(client, form_of(client, 1, 1) | {"style": "-1", "scale": "9", "bounding_box": "1, 2"})
    assert response.status_code == 400
    for name in ("style", "scale", "bounding_box"):
        assert name in response.json()["error"]
    assert lines(folder) == []


def test_a_form_of_before_another_correction_is_refused(client: TestClient, folder: Path) -> None:
    old = form_of(client, 1, 1)
    assert send(client, old | {"style": "7"}).status_code == 200
    written = lines(folder)
    assert send(client, old | {"scale": "3"}).status_code == 409
    assert lines(folder) == written
    new = form_of(client, 1, 1)
    assert new["style"] == "7"  # what the next ingestion makes
    response = send(client, new | {"style": "8"})
    assert response.json()["replaced"] == [f"{folder / 'corrections' / 'train.jsonl'}, line 1"]
    assert lines(folder) == [line(1, 1, "style", 1, 8)]
    assert send(client, form_of(client, 1, 1) | {"style": "1"}).json()["lines"] == []
    assert lines(folder) == []


def test_two_writers_of_one_form_do_not_overwrite_each_other(client: TestClient, folder: Path) -> None:
    fields = form_of(client, 1, 1)
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda style=style: codes.append(send(client, fields | {"style": style}).status_code))
        for style in ("7", "8", "9", "10")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 409, 409, 409]
    assert len(lines(folder)) == 1


def test_what_cannot_be_corrected_is_refused(client: TestClient, folder: Path) -> None:
    fields = form_of(client, 1, 1)
    for more, code in (
        ({}, 400),
        ({"split": "dev"}, 400),
        ({"split": "test"}, 400),
        ({"image_id": "99"}, 404),
        ({"image_id": "9" * 30}, 400),
        ({"image_id": "\u0661"}, 400),
        ({"item_no": "7", "style": "3"}, 404),
        ({"item_no": "0", "style": "3"}, 404),
        ({"item_no": "", "style": "3"}, 400),
        ({"category": "hat"}, 400),
        ({"style": "[" * 5000}, 400),
        ({"style": "1e999"}, 400),
        ({"bounding_box": "1, 2, 3, -1e999"}, 400),
        ({"style": '"\\ud800"'}, 400),
        ({"segmentation": "[[1]]"}, 400),
        ({"add": "{}"}, 404),
        ({"seen": "x", "style": "3"}, 409),
        ({"seen": "", "style": "3"}, 409),
        ({"who": " ", "style": "3"}, 400),
        ({"why": "", "style": "3"}, 400),
        ({"source": "shop"}, 400),
    ):
        response = send(client, fields | more)
        assert response.status_code == code, (more, response.text)
        assert response.json()["error"]
    assert lines(folder) == []
    assert not (folder / "corrections").exists()


def test_bad_lines_of_the_folder_are_told_and_stay(client: TestClient, folder: Path) -> None:
    fields = form_of(client, 1, 1)
    file = folder / "corrections" / "train.jsonl"
    file.parent.mkdir()
    file.write_text("no JSON\n")
    page = client.get("/image/train/1")
    assert page.status_code == 200
    assert "lines to mend first" in page.text
    assert send(client, fields | {"style": "3"}).status_code in (400, 503)
    assert file.read_text() == "no JSON\n"


def test_only_forms_of_the_own_pages_write(client: TestClient, folder: Path) -> None:
    fields = form_of(client, 1, 1) | {"style": "3"}
    for headers in (None, {"Origin": "http://evil.example"}, {"Origin": "null"},
                    {**OWN, "Sec-Fetch-Site": "cross-site"}):  # fmt: skip
        assert send(client, fields, headers).status_code == 403
    assert client.get("/corrections").status_code == 405
    without = client_of(folder)
    assert send(without, fields).status_code == 404
    assert '<form class="correct"' not in without.get("/image/train/1").text
    assert lines(folder) == []


def test_an_image_without_annotation_has_no_form(tmp_path: Path) -> None:
    from tests.registries import make_three_splits

    make_three_splits(tmp_path)
    client = client_of(tmp_path, edits=True)
    page = client.get("/image/test/1")
    assert page.status_code == 200
    assert "Write the correction" not in page.text
