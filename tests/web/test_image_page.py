"""The page of an image, the annotation as JSON, and the pages of identities and groups."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import registry
from registry.ingest.build import ingest
from registry.web.app import create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.helpers import SMALL_SPLIT, annotation, item, jpeg, write_split
from tests.registries import make_three_splits


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("three")
    return Site(registry.open(str(make_three_splits(folder))), Settings())


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    with TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1") as client:
        yield client


def document(client: TestClient, path: str) -> Any:
    response = client.get(path, headers={"Accept": "application/json"})
    assert response.status_code == 200, response.text
    return response.json()


def links(page: str, relation: str) -> list[str]:
    return [unescape(link) for link in re.findall(rf'<a rel="{relation}" href="([^"]*)"', page)]


def test_an_image_shows_each_item_with_names_of_its_landmarks(client: TestClient) -> None:
    page = client.get("/image/train/2").text
    assert [int(number) for number in re.findall(r'<g class="item" data-item="(\d+)"', page)] == [2, 5]
    assert "skirt_kpt1, visible" in page or "skirt_kpt1, occluded" in page
    assert "Landmarks of item 5 long sleeve top" in page
    assert '<g class="item active" data-item="5"' in client.get("/image/train/2?item=5").text


def test_the_annotation_has_the_values_of_the_released_file(client: TestClient) -> None:
    for image_id, released in SMALL_SPLIT.items():
        response = client.get(f"/annotation/train/{image_id}.json")
        assert response.headers["content-type"] == "application/json"
        assert json.loads(response.content) == released
        assert list(response.json()) == list(released)
    assert client.get("/annotation/test/1.json").status_code == 404


def test_what_a_coco_file_does_not_tell_is_named_instead_of_an_annotation(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "000001.jpg", "width": 30, "height": 40}
    box = {"id": 1, "image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
    categories = [{"id": 9, "name": "skirt"}]
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"images": [image], "annotations": [box], "categories": categories}))
    ingest("train", str(path), str(tmp_path / "registry"), jobs=1)
    bare = TestClient(
        create_app(Site(registry.open(str(tmp_path / "registry")), Settings()), Access.of("127.0.0.1")),
        base_url="http://127.0.0.1",
    )
    response = bare.get("/annotation/train/1.json", headers={"Accept": "application/json"})
    assert response.status_code == 404
    assert "does not tell" in response.json()["error"]
    assert bare.get("/image/train/1").status_code == 200
    assert bare.get("/identities").status_code == 200


def test_links_lead_through_the_subset_in_its_order(client: TestClient) -> None:
    page = client.get("/image/train/1").text
    assert links(page, "prev") == []
    assert links(page, "next") == ["/image/train/2"]
    assert links(client.get("/image/train/7").text, "prev") == ["/image/train/4"]
    assert links(client.get("/image/train/7").text, "next") == ["/image/validation/1"]
    of_shops = client.get("/image/train/3?source=shop&hide=masks").text
    assert links(of_shops, "next") == ["/image/train/4?source=shop&hide=masks"]
    assert links(of_shops, "prev") == []
    reverse = client.get("/image/train/2?sort=-image_id").text
    assert links(reverse, "next") == ["/image/train/1?sort=-image_id"]
    of_items = client.get("/image/train/2?show=items&item=2").text
    assert links(of_items, "prev") == ["/image/train/1?show=items&item=2"]
    assert links(of_items, "next") == ["/image/train/2?show=items&item=5"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/image/train/99", 404), ("/image/train/1?item=9", 404), ("/image/train/1?item=x", 404),
        ("/image/train/1?hide=eyes", 400), ("/image/nowhere/1", 400), (f"/image/train/{10**30}", 404),
        ("/image/train/-1", 404), ("/image/train/1?sort=nonsense", 200), ("/image/train/1?category=hat", 400),
        ("/annotation/train/99.json", 404), (f"/annotation/train/{2**31}.json", 404),
        ("/identity/train/1/9", 404), ("/identity/train/9/1", 404), (f"/identity/train/{2**31}/1", 404),
        ("/identity/train/1/1?crop=2", 400), ("/pair/train/99", 404), (f"/pair/train/{10**40}", 404),
        ("/identities?min_user=-1", 400), ("/identities?min_shop=99999999999", 400), ("/identities?orphans=x", 400),
        ("/identities?split=nowhere", 400), ("/identities?after=[1]", 400), ("/identities?after={}", 400),
        ("/identities?after=[1,2,3,4]", 400), ("/identities?before=[0,0,0]", 200), ("/identities?after=[9,1,1]", 200),
        ("/identities?after=[[[[", 400),
    ],
)  # fmt: skip
def test_an_address_that_leads_nowhere_is_answered_plainly(client: TestClient, path: str, status: int) -> None:
    response = client.get(path)
    assert response.status_code == status, response.text
    assert "Traceback" not in response.text


def test_layers_that_are_hidden_stand_in_the_address(client: TestClient) -> None:
    page = client.get("/image/train/1?hide=masks&hide=labels").text
    assert "hide-masks hide-labels" in page
    assert page.count(" checked") == 2


def test_fields_of_an_image_are_the_same_as_json_and_arrow(client: TestClient) -> None:
    answer = document(client, "/image/train/2")
    assert (answer["image"]["pair_id"], answer["image"]["num_items"]) == (1, 2)
    assert [row["item_no"] for row in answer["items"]] == [2, 5]
    assert answer["items"][0]["landmarks"] == SMALL_SPLIT[2]["item2"]["landmarks"]
    assert {row["image_id"] for row in answer["neighbours"]} == {1, 2, 3, 4}
    response = client.get("/image/train/2?format=arrow")
    table = pa.ipc.open_stream(io.BytesIO(response.content)).read_all()
    assert table.column("item_no").to_pylist() == [2, 5]
    assert table.column("segmentation").to_pylist() == [row["segmentation"] for row in answer["items"]]


def test_corrections_of_an_image_stand_on_its_page(tmp_path: Path) -> None:
    corrections = tmp_path / "corrections"
    corrections.mkdir()
    line = {
        "split": "train",
        "image_id": 1,
        "item_no": 1,
        "field": "scale",
        "old": 2,
        "new": 3,
        "who": "Ada",
        "why": "<big>",
    }
    (corrections / "sizes.jsonl").write_text(json.dumps(line) + "\n")
    ingest(
        "train", str(write_split(tmp_path / "train", {1: annotation()})), str(tmp_path / "registry"), jobs=1,
        corrections=str(corrections),
    )  # fmt: skip
    site = Site(registry.open(str(tmp_path / "registry")), Settings())
    page = TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1").get("/image/train/1").text
    assert "sizes.jsonl" in page
    assert "&lt;big&gt;" in page
    assert "<big>" not in page


def test_an_identity_has_consumer_items_left_and_shop_items_right(client: TestClient) -> None:
    answer = document(client, "/identity/train/1/1")
    sides = {(row["source"], row["image_id"], row["item_no"]) for row in answer["items"]}
    assert sides == {("user", 1, 1), ("user", 2, 2), ("shop", 3, 1), ("shop", 4, 2)}
    assert (answer["num_user_items"], answer["num_shop_items"]) == (2, 2)
    page = client.get("/identity/train/1/1").text
    assert page.index("Consumer photos") < page.index("Shop photos")
    assert "short sleeve dress, other category" in page
    assert page.count('class="odd-one"') == 2


def test_identities_are_walked_through_in_order_within_their_filter(client: TestClient) -> None:
    path, seen = "/identity/train/1/1", []
    while path:
        seen.append(path)
        (path,) = links(client.get(path).text, "next") or [""]
    assert seen == [f"/identity/{key}" for key in ("train/1/1", "train/1/2", "train/2/3", "validation/1/1")]
    assert links(client.get("/identity/train/1/1?orphans=1").text, "next") == ["/identity/train/2/3?orphans=1"]
    assert links(client.get("/identity/train/2/3?orphans=1").text, "next") == []


def test_the_list_of_identities_agrees_with_the_views(client: TestClient, site: Site) -> None:
    def keys(path: str) -> list[tuple[Any, ...]]:
        return [(row["split"], row["pair_id"], row["style"]) for row in document(client, path)["rows"]]

    columns = "split, pair_id, style"
    order = "ORDER BY list_position(['train', 'validation', 'test'], split), pair_id, style"

    def view(condition: str, name: str = "identities") -> list[tuple[Any, ...]]:
        return site.registry.sql(f"SELECT {columns} FROM {name} WHERE {condition} {order}").fetchall()

    assert keys("/identities") == view("true")
    assert keys("/identities?orphans=1") == view("true", "orphan_identities")
    assert keys("/identities?mixed=1") == view("len(categories) > 1")
    assert keys("/identities?split=train&min_user=1&min_shop=2") == view(
        "split = 'train' AND num_user_items >= 1 AND num_shop_items >= 2"
    )
    counts = document(client, "/identities")["counts"]
    assert counts["orphans"] == len(view("true", "orphan_identities"))


def test_a_group_has_all_its_styles_and_style_0_last(client: TestClient) -> None:
    answer = document(client, "/pair/train/1")
    assert [row["style"] for row in answer["styles"]] == [1, 2, 0]
    page = client.get("/pair/train/1").text
    assert '<a href="/identity/train/1/2">Style 2</a>' in page
    assert "Style 0, in no pair" in page


def test_pages_of_the_new_version_show_its_images(tmp_path: Path) -> None:
    target = tmp_path / "registry"
    ingest("train", str(write_split(tmp_path / "old", {1: annotation()}, {1: jpeg()})), str(target), jobs=1)
    site = Site(registry.open(str(target)), Settings())
    client = TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")
    assert "short sleeve top" in client.get("/image/train/1").text
    ingest("train", str(write_split(tmp_path / "new", {1: annotation([item(9, 1)])})), str(target), jobs=1)
    assert "short sleeve top" not in client.get("/image/train/1").text
    assert document(client, "/identity/train/1/1")["categories"] == ["skirt"]
