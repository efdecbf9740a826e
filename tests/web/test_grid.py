"""The grid: what an address asks for is what it shows, and every link leads to what it says."""

from __future__ import annotations

import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

import registry
from registry.dataset.deepfashion2 import SPLITS
from registry.errors import UsageError
from registry.subset.options import Subset
from registry.web.app import create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from registry.web.state import START, State, start
from tests.registries import make_three_splits

NAMED = {"skirts": Subset.of(category="skirt", occlusion="1-2"), "pairs": Subset.of(paired=True)}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> registry.store.registry.Registry:
    return registry.open(str(make_three_splits(tmp_path_factory.mktemp("three"))))


@pytest.fixture(scope="module")
def client(opened: Any) -> TestClient:
    site = Site(opened, Settings(named=NAMED))
    return TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")


def answer(client: TestClient, path: str) -> Any:
    response = client.get(path, headers={"Accept": "application/json"})
    assert response.status_code == 200, response.text
    return response.json()


def in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: (SPLITS.index(row[0]), *row[1:]))


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {}),
        ("?category=skirt", {"category": "skirt"}),
        ("?category=9&category=vest&source=user", {"category": [9, "vest"], "source": "user"}),
        ("?paired=1", {"paired": True}),
        ("?paired=on&whole_images=true&has_landmarks=0", {"paired": True, "whole_images": True}),
        ("?pair_id=1%202-3&limit=2&seed=", {"pair_id": ["1", "2-3"], "limit": 2}),
        ("?image_id=1&image_id=3-9&split=train", {"image_id": ["1", "3-9"], "split": "train"}),
        ("?min_box_area=10.5&sample=50%25&seed=3", {"min_box_area": 10.5, "sample": "50%", "seed": 3}),
        ("?subset=skirts", {"category": "skirt", "occlusion": "1-2"}),
        ("?subset=pairs&paired=0", {}),
        ("?subset=skirts&occlusion=heavy&split=train", {"category": "skirt", "occlusion": 3, "split": "train"}),
    ],
)
def test_an_address_asks_for_a_subset(client: TestClient, opened: Any, query: str, options: dict[str, Any]) -> None:
    subset = Subset.of(**options)
    assert State.of(QueryParams(query[1:]), NAMED).subset == subset
    selection = opened.select(subset)
    images = [(row["split"], row["image_id"]) for row in selection.image_keys().to_pylist()]
    got = answer(client, f"/{query}")
    assert [(row["split"], row["image_id"]) for row in got["rows"]] == in_order(images)
    assert got["counts"] == {"images": len(images), "items": selection.item_keys().num_rows}
    items = [(row["split"], row["image_id"], row["item_no"]) for row in selection.item_keys().to_pylist()]
    rows = answer(client, f"/{query or '?'}&show=items")["rows"]
    assert [(row["split"], row["image_id"], row["item_no"]) for row in rows] == in_order(items)


def test_the_query_of_a_state_asks_for_the_same_subset() -> None:
    state = State.of(QueryParams("category=9&occlusion=1-2&subset=skirts&show=items&after=[1,2]"), NAMED)
    assert state.query() == "?subset=skirts&category=9&occlusion=1-2"
    assert state.query(keep=("show",), category=None) == "?subset=skirts&occlusion=1-2&show=items"
    assert State.of(QueryParams(state.query()[1:]), NAMED).subset == state.subset
    assert State.of(QueryParams(""), NAMED).query() == ""


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("category=skrt", "Did you mean 'skirt'"),
        ("subset=skirt", "Unknown subset 'skirt'"),
        ("limit=ten", "limit: expected a whole number"),
        ("paired=maybe", "paired: expected true or false"),
        ("image_id=@/etc/passwd", "no file is read"),
        ("items=/etc/passwd", "no file is read"),
        ("split=valid", "split"),
    ],
)
def test_an_address_that_asks_for_nothing_there_is_gets_a_sentence(
    client: TestClient, query: str, problem: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(problem)):
        State.of(QueryParams(query), NAMED)
    for kind, status in (("text/html", 400), ("application/json", 400)):
        response = client.get(f"/?{query}", headers={"Accept": kind})
        assert response.status_code == status
        assert problem in unescape(response.text).replace('\\"', '"')


@pytest.mark.parametrize(
    "query", ["show=pictures", "sort=colour", "after=[", "after={}", "after=[[1]]", "before=[1]", "format=xml"]
)
def test_parameters_of_the_page_are_checked(client: TestClient, query: str) -> None:
    assert client.get(f"/?{query}").status_code == 400


def test_every_value_of_a_facet_leads_to_as_many_as_it_says(client: TestClient) -> None:
    page = client.get("/?category=short+sleeve+top").text
    facets = re.findall(r'<h2 id="facet-(\w+)">[^<]*<small>(\w+)</small></h2>\s*<ul>(.*?)</ul>', page, re.DOTALL)
    assert [name for name, *_ in facets] == [
        "split",
        "source",
        "category",
        "scale",
        "occlusion",
        "zoom_in",
        "viewpoint",
    ]
    number_of_links = 0
    for name, counted, values in facets:
        for address, is_set, number in re.findall(
            r'<a href="([^"]*)"( aria-current="true")?>.*?class="number">([\d,]+)<', values
        ):
            counts = answer(client, unescape(address))["counts"]
            if name != "category":  # whose values are added to the one that is set
                assert counts[counted] == int(number.replace(",", ""))
            elif is_set:
                assert "category" not in address
            number_of_links += 1
    assert number_of_links > 10


def links_of_facets(page: str) -> dict[str, str]:
    """Return the lists of a page's facets by option."""
    facets = re.findall(r'<h2 id="facet-(\w+)">[^<]*<small>\w+</small></h2>\s*<ul>(.*?)</ul>', page, re.DOTALL)
    return dict(facets)


def test_values_that_cannot_be_changed_have_no_link(client: TestClient) -> None:
    splits = links_of_facets(client.get("/?image_id=train/image/000001.jpg").text)["split"]
    assert "train" in splits and "<a " not in splits
    splits = links_of_facets(client.get("/?image_id=1").text)["split"]
    assert "<a " in splits
    categories = links_of_facets(client.get("/?subset=skirts").text)["category"]
    assert 'title="Set by the subset skirts"><span>skirt<' in categories
    everywhere = ("/?subset=skirts", "/?subset=skirts&category=skirt", "/?image_id=train/image/000001.jpg")
    for address in (*everywhere, "/?subset=skirts&category=vest"):
        before = State.of(QueryParams(address[2:]), NAMED).subset
        for option, values in links_of_facets(client.get(address).text).items():
            for link in re.findall(r'<a href="([^"]*)"', values):
                after = State.of(QueryParams(unescape(link)[2:]), NAMED).subset
                assert getattr(after, option) != getattr(before, option)


@pytest.mark.parametrize("query", ["paired=1", "limit=2", "sample=50%25", "whole_images=1", "subset=pairs"])
def test_numbers_that_a_value_may_change_promise_nothing(client: TestClient, query: str) -> None:
    assert "chooses anew" in client.get(f"/?{query}").text
    assert "chooses anew" not in client.get("/?category=skirt").text


def test_links_to_other_pages_keep_the_subset(client: TestClient) -> None:
    for path in ("/", "/statistics", "/checks"):
        page = unescape(client.get(f"{path}?category=skirt&subset=pairs&sort=image_id").text).split("</nav>")[0]
        links = re.findall(r'href="(/[^"]*)"', page.split("<nav")[1])
        expected = "?subset=pairs&category=skirt"
        assert links == [f"/{expected}", "/identities", f"/statistics{expected}", f"/checks{expected}", "/sql"]
    assert 'href="/statistics"' in client.get("/?category=nothing").text


def test_the_subset_of_the_command_wins_over_one_of_its_name() -> None:
    mine, other = Subset.of(where=f"x1 > 1{0:02000d}"), Subset.of(category="skirt")
    query, named = start(mine, {START: other})
    assert (query, named) == (f"?subset={START}", {START: mine})
    assert State.of(QueryParams(query[1:]), named).subset == mine


def test_the_same_rows_as_arrow(client: TestClient) -> None:
    response = client.get("/?split=train&show=items", headers={"Accept": "application/vnd.apache.arrow.stream"})
    table = pa.ipc.open_stream(io.BytesIO(response.content)).read_all()
    assert table.to_pylist() == answer(client, "/?split=train&show=items")["rows"]


def test_a_browser_keeps_a_page_until_the_registry_changes(client: TestClient, tmp_path: Path) -> None:
    first = client.get("/?split=train")
    assert first.headers["cache-control"] == "private, no-cache"
    again = client.get("/?split=train", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/?split=validation").headers["etag"] != first.headers["etag"]
    assert client.get("/?split=train", headers={"Accept": "application/json"}).headers["etag"] != first.headers["etag"]
    assert "etag" not in client.get("/?split=none").headers


def test_a_replaced_registry_shows_its_new_version(tmp_path: Path) -> None:
    from registry.ingest.build import ingest
    from tests.helpers import annotation, item, write_split

    def publish(number: int) -> None:
        source = write_split(tmp_path / f"s{number}", {k: annotation([item(1, 1)]) for k in range(1, number + 1)})
        ingest("train", str(source), str(tmp_path / "r"), jobs=1)

    publish(2)
    site = Site(registry.open(str(tmp_path / "r")), Settings())
    client = TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")
    first = client.get("/")
    assert answer(client, "/")["counts"] == {"images": 2, "items": 2}
    publish(3)
    assert answer(client, "/")["counts"] == {"images": 3, "items": 3}
    assert client.get("/", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_a_server_that_was_started_anew_answers_anew(opened: Any) -> None:
    clients = [
        TestClient(create_app(Site(opened, Settings(named=named)), Access.of("127.0.0.1")), base_url="http://127.0.0.1")
        for named in ({"some": Subset.of(limit=1)}, {"some": Subset.of(limit=2)})
    ]
    first = clients[0].get("/?subset=some&format=json")
    again = clients[1].get("/?subset=some&format=json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.json()["counts"]["items"]) == (200, 2)


def test_conditions_are_refused_without_sql(opened: Any) -> None:
    site = Site(opened, Settings(runs_sql=False))
    client = TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")
    response = client.get("/?where=true")
    assert (response.status_code, "--no-sql" in response.text) == (400, True)
    assert 'name="where"' not in client.get("/").text
