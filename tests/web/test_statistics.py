"""The statistics: every bar leads to as many pictures as it counts, within the subset of the address."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import registry
from registry.dataset.statistics import STATISTICS
from registry.errors import UsageError
from registry.subset.options import Subset
from registry.web.app import create_app
from registry.web.jobs import Jobs
from registry.web.security import Access
from registry.web.site import Settings, Site
from registry.web.statistic_plots import PLOTS
from tests.registries import make_three_splits

JSON = {"Accept": "application/json"}
#: Plots whose bars count images or items; the others count pair_ids, identities and landmarks.
COUNTED = {plot.name for plot in PLOTS} - {"styles_per_pair_id", "pairs_per_identity", "landmark_visibility"}
SUBSETS = ("", "?category=skirt", "?split=train&source=user", "?paired=1", "?limit=2&whole_images=1")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> registry.store.registry.Registry:
    return registry.open(str(make_three_splits(tmp_path_factory.mktemp("three"))))


@pytest.fixture(scope="module")
def client(opened: Any) -> TestClient:
    return TestClient(create_app(Site(opened, Settings()), Access.of("127.0.0.1")), base_url="http://127.0.0.1")


def answer(client: TestClient, path: str) -> Any:
    response = client.get(path, headers=JSON)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("query", SUBSETS)
def test_a_bar_leads_to_as_many_pictures_as_it_counts(client: TestClient, query: str) -> None:
    plots = answer(client, f"/statistics{query}")["plots"]
    assert {plot["name"] for plot in plots} >= {"images", "category", "scale", "items_per_image", "annotated"}
    for plot in plots:
        for line in plot["lines"]:
            for part, bar in line["bars"].items():
                if not bar["number"]:
                    assert bar["link"] is None
                    continue
                shown = answer(client, bar["link"])
                of_items = "items" in shown.get("counts", {})
                number = shown["counts"]["items"] if of_items else shown["count"]
                assert len(shown["rows"]) == number
                assert number == bar["number"] or plot["name"] not in COUNTED, (plot["name"], line["key"], part)
                assert number > 0


def test_bars_of_others_than_items_lead_to_all_items_behind_them(client: TestClient, opened: Any) -> None:
    plots = {plot["name"]: plot for plot in answer(client, "/statistics?split=train")["plots"]}
    for line in plots["pairs_per_identity"]["lines"]:
        rows = answer(client, line["bars"]["train"]["link"])["rows"]
        expected = opened.sql(
            "SELECT split, image_id, item_no FROM items JOIN identities USING (split, pair_id, style) "
            "WHERE split = 'train' AND num_user_items * num_shop_items = ? ORDER BY ALL",
            [int(line["key"])],
        ).fetchall()
        assert [tuple(row.values()) for row in rows] == expected


def test_each_statistic_is_a_table_of_the_subset_in_each_format(client: TestClient, opened: Any) -> None:
    selection = opened.select(Subset.of(category="skirt"))
    for name in STATISTICS:
        path = f"/statistics?category=skirt&of={name}"
        expected = selection.stats(of=name).to_arrow_table()
        response = client.get(path, headers={"Accept": "application/vnd.apache.arrow.stream"})
        assert pa.ipc.open_stream(io.BytesIO(response.content)).read_all().num_rows == expected.num_rows
        assert len(answer(client, path)["rows"]) == expected.num_rows
        assert client.get(path).text.count("<table") >= 1


def test_pages_of_pictures_go_on_after_their_last_row(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.web.statistics.SIZE", 1)
    path = "/statistics/pictures?of=images&part=train&key=user"
    rows, pages = [], 0
    while path:
        shown = answer(client, path)
        rows += shown["rows"]
        pages += 1
        path = shown["links"].get("next", "")
    assert len(rows) == shown["count"] == pages
    assert len({(row["split"], row["image_id"]) for row in rows}) == len(rows)


def test_pages_of_pictures_go_back_the_way_they_came(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.web.statistics.SIZE", 1)
    for plot, bar in (("images", "part=train&key=user"), ("annotated", "part=train&key=boxes")):
        path, forwards = f"/statistics/pictures?of={plot}&{bar}", []
        while path:
            shown = answer(client, path)
            forwards.append(shown["rows"])
            path = shown["links"].get("next", "")
        backwards = [shown["rows"]]
        while "previous" in shown["links"]:
            shown = answer(client, shown["links"]["previous"])
            backwards.append(shown["rows"])
        assert backwards == forwards[::-1] and len(forwards) > 1


def test_a_plot_says_what_its_pictures_are_of_where_its_bars_count_others(opened: Any) -> None:
    for plot in PLOTS:
        assert ("he pictures are of" in plot.text) == (plot.name not in COUNTED)
        columns = opened.sql(plot.pictures, {"key": "1", "part": "train"}).to_arrow_table().column_names
        assert ("item_no" in columns) == (plot.of == "items")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/statistics?of=nothing", 400),
        ("/statistics?of=items%3B%20DROP", 400),
        ("/statistics/pictures", 400),
        ("/statistics/pictures?of=category", 200),
        ("/statistics/pictures?of=category&key=99999999999999&part=train", 200),
        ("/statistics/pictures?of=category&key=%27%3B--&part=%27", 200),
        ("/statistics/pictures?of=category&key=1&part=train&after=[1]", 400),
        ("/statistics/pictures?of=category&key=1&part=train&after=[1,2,true]", 400),
        ("/statistics/pictures?of=category&key=1&part=train&after=[1,2,1e400]", 400),
        ("/statistics/pictures?of=category&key=1&part=train&after=[1,2,3]", 200),
        ("/statistics?pair_id=999999", 200),
    ],
)
def test_odd_addresses_are_answered(client: TestClient, path: str, status: int) -> None:
    for kind in (JSON, {}):
        assert client.get(path, headers=kind).status_code == status


def test_a_job_is_made_once_however_many_ask_for_it() -> None:
    jobs, calls = Jobs(2), []

    def make() -> int:
        calls.append(1)
        time.sleep(0.05)
        return 7

    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(jobs.result("a", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [7] * 8
    assert calls == [1]


def test_a_job_that_failed_raises_its_error_and_is_made_again() -> None:
    jobs = Jobs(2)

    def fail() -> int:
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        jobs.result("a", fail)
    assert jobs.result("a", lambda: 3) == 3


def test_the_template_of_a_plot_names_each_bar_for_screen_readers(client: TestClient) -> None:
    page = client.get("/statistics").text
    assert 'aria-label="skirt, train: ' in page
    assert "style=" not in page
