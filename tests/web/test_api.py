"""The API is described wholly: each route, each parameter, and what a script gets by the description is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import registry
from registry.subset.options import OPTIONS
from registry.web.api import PAGES, document, path_of
from registry.web.app import ROUTES, create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.registries import make_three_splits

#: Routes for browsers alone.
FOR_BROWSERS = {"/static/{name}", "/openapi.json", "/api", "/corrections"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    site = Site(registry.open(str(make_three_splits(tmp_path_factory.mktemp("three")))), Settings())
    return TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")


def test_each_route_is_described() -> None:
    assert {path_of(route.path) for route in ROUTES} - FOR_BROWSERS == set(PAGES)


def test_the_description_is_openapi(client: TestClient) -> None:
    answer = client.get("/openapi.json").json()
    assert answer == document("")
    assert answer["openapi"].startswith("3.1")
    names = set(answer["components"]["parameters"])
    assert names == (set(OPTIONS) - {"items"}) | {"subset"}
    operations = [operation for path in answer["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, entry in answer["paths"].items():
        (operation,) = entry.values()
        own = [parameter for parameter in operation["parameters"] if "$ref" not in parameter]
        assert {parameter["name"] for parameter in own if parameter["in"] == "path"} == set(
            re.findall(r"\{(\w+)\}", path)
        )
        assert len({(p["name"], p["in"]) for p in own}) == len(own)
        assert {p["$ref"].rpartition("/")[2] for p in operation["parameters"] if "$ref" in p} <= names


def test_each_page_answers_in_the_formats_it_names(client: TestClient) -> None:
    values: dict[str, Any] = {"split": "train", "image_id": 1, "pair_id": 1, "style": 1, "name": "degenerate-box"}
    for path, page in PAGES.items():
        if page.needs or "image/" in page.kinds[0] or path == "/statistics/pictures":
            continue
        for kind in page.kinds:
            query = "?query=SELECT+1+AS+one" if path == "/sql" else "?of=split_counts" if path == "/statistics" else ""
            response = client.get(path.format_map(values) + query, headers={"Accept": kind})
            assert (path, kind, response.status_code) == (path, kind, 200)
            assert response.headers["content-type"].partition(";")[0] == kind


def test_links_of_an_answer_lead_on(client: TestClient) -> None:
    for path in ("/?split=train", "/identities", "/image/train/1", "/checks/orphan-identity"):
        links = client.get(path, headers={"Accept": "application/json"}).json()["links"]
        for link in links.values():
            assert link.startswith("/")
            assert client.get(link, headers={"Accept": "application/json"}).status_code == 200


def test_parameters_that_the_description_names_are_read() -> None:
    code = "".join(path.read_text() for path in (Path(registry.__file__).parent / "web").glob("*.py"))
    code += "".join(path.read_text() for path in (Path(registry.__file__).parent / "web" / "static").glob("*.js"))
    for page in PAGES.values():
        for name in page.parameters:
            assert len(re.findall(rf'"{name}"', code)) > 1, name  # here, and where it is read


def test_the_list_of_addresses_is_a_page(client: TestClient) -> None:
    page = client.get("/api").text
    for path in PAGES:
        assert path in page
    assert 'href="/api"' in page
