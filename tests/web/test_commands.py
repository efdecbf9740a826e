"""The commands that pages show give what the pages show."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

import registry
from registry.cli.browse import _lists
from registry.cli.main import main
from registry.subset.options import Subset
from registry.web import commands
from registry.web.app import create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.registries import make_three_splits


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    # A name that a shell would divide.
    place = make_three_splits(tmp_path_factory.mktemp("three and $more"))
    return Site(
        registry.open(str(place)),
        Settings(command=shlex.join(["df2", "-r", str(place)]), python=f"registry.open({str(place)!r})"),
    )


def run(command: str, *more: str) -> str:
    result = CliRunner().invoke(main, [*shlex.split(command)[1:], *more])
    assert result.exit_code == 0, result.output
    return result.stdout


def value(expression: str) -> Any:
    first, second = expression.split("\n", 1)
    assert first == "import registry"
    return eval(second, {"registry": registry})


@pytest.mark.parametrize(
    "query",
    ["", "?category=skirt&category=vest&occlusion=1-2", "?paired=1&pair_id=1&pair_id=2-&sample=50%25&seed=3",
     "?split=train&where=item_no+%3D+1+AND+category_name+!%3D+'it''s'&limit=2", "?min_box_area=10.5&whole_images=1"],
)  # fmt: skip
def test_the_commands_of_a_subset_choose_what_the_page_shows(site: Site, query: str) -> None:
    client = TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")
    counts = client.get(f"/{query}", headers={"Accept": "application/json"}).json()["counts"]
    page = unescape(client.get(f"/{query}").text)
    command = page.split('aria-label="command">')[1].split("</pre>")[0]
    rows = [json.loads(line) for line in run(command, "--format", "jsonl").splitlines()]
    assert sum(row["items"] for row in rows if row["category_name"]) == counts["items"]
    expression = page.split('aria-label="Python">')[1].split("</pre>")[0]
    assert value(expression).item_keys().num_rows == counts["items"]
    site.workers.close()


def test_the_commands_of_a_query(site: Site) -> None:
    made = commands.of_query(site, "SELECT 'it''s \"$x\"' AS a,\n  -1 AS b")
    assert json.loads(run(made["command"].replace("sql --", "sql --format jsonl --"))) == {"a": 'it\'s "$x"', "b": -1}
    assert value(made["python"]).fetchall() == [('it\'s "$x"', -1)]


def test_the_commands_of_an_image_an_identity_and_checks(site: Site, tmp_path: Path) -> None:
    ((image_id, pair_id, style),) = site.registry.sql(
        "SELECT image_id, pair_id, style FROM items WHERE split = 'train' AND style > 0 LIMIT 1"
    ).fetchall()
    made = commands.of_image(site, "train", image_id)
    run(made["command"], "-o", str(tmp_path / "x.png"))
    assert value(made["python"]).fetchall()
    made = commands.of_identity(site, "train", pair_id, style)
    assert run(made["command"])
    assert value(made["python"]).fetchall()
    made = commands.of_pairs(site, "train", pair_id)
    assert len(run(made["command"], "--format", "jsonl").splitlines()) == len(value(made["python"]).fetchall())
    whole, some = Subset(), Subset.of(split="train", category=["skirt", "short sleeve top"])
    for made in (
        commands.of_checks(site, whole),
        commands.of_checks(site, some),
        commands.of_checks(site, some, "degenerate-box"),
        commands.of_statistics(site, whole),
        commands.of_statistics(site, some, "box_areas"),
    ):
        result = CliRunner().invoke(main, shlex.split(made["command"])[1:])
        assert result.exit_code in (0, 1, 3) and result.stdout  # as the checks find
        assert value(made["python"])


def test_a_query_stays_as_it_was_written_and_files_lose_their_secrets(site: Site) -> None:
    query = "SELECT 'password=hunter2&token=abc' AS a"
    assert value(commands.of_query(site, query)["python"]).fetchall() == [("password=hunter2&token=abc",)]
    assert query in shlex.split(commands.of_query(site, query)["command"])
    where = replace(site.settings, predictions={"a": "https://ada:hush-hush@example.org/a.json"})
    assert "hush-hush" not in str(commands.of_model(Site(site.registry, where), "a", Subset()))


def test_a_list_of_items_and_tables_are_named_by_their_files(site: Site, tmp_path: Path) -> None:
    path, table = tmp_path / "my items.txt", tmp_path / "mine.csv"
    path.write_text("train/000001_1\n")
    table.write_text("split,image_id,item_no,good\ntrain,1,1,true\n")
    subset = Subset.of(items=str(path), where="mine.good")
    assert commands.of_subset(site, subset) == {}
    assert subset.items is not None
    settings = replace(site.settings, items={subset.items.text: str(path)}, tables={"mine": str(table)})
    named = Site(registry.open(str(site.registry.place), tables={"mine": str(table)}), settings)
    made = commands.of_subset(named, subset)
    assert value(made["python"]).item_keys().num_rows == 1
    rows = [json.loads(line) for line in run(made["command"], "--format", "jsonl").splitlines()]
    assert sum(row["items"] for row in rows if row["category_name"]) == 1
    for made in (commands.of_statistics(named, subset), commands.of_checks(named, subset, "degenerate-box")):
        result = CliRunner().invoke(main, shlex.split(made["command"])[1:])
        assert result.exit_code in (0, 1, 3) and result.stdout, result.output
    queried = commands.of_query(named, "SELECT count(*) AS n FROM mine")
    assert json.loads(run(queried["command"].replace("sql ", "sql --format jsonl ", 1))) == {"n": 1}
    assert value(queried["python"]).fetchall() == [(1,)]


def test_a_page_of_a_list_without_file_offers_no_command(site: Site, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("train/000001_1\n")
    settings = replace(site.settings, named={"listed": Subset.of(items=str(tmp_path / "list.txt"))})
    app = create_app(Site(site.registry, settings), Access.of("127.0.0.1"))
    page = TestClient(app, base_url="http://127.0.0.1").get("/?subset=listed")
    assert page.status_code == 200 and "As a command" not in page.text


def test_the_files_of_lists_are_those_of_the_command_and_of_the_named_subsets(tmp_path: Path) -> None:
    for name, line in (("mine", "train/000001_1"), ("other", "train/000002_1")):
        (tmp_path / f"{name}.txt").write_text(f"{line}\n")
    mine, other = (Subset.of(items=str(tmp_path / f"{name}.txt")) for name in ("mine", "other"))
    params = tmp_path / "params.yaml"
    params.write_text(f"subsets:\n  listed:\n    items: {tmp_path / 'other.txt'}\n  whole: {{}}\n")
    files = _lists(str(params), {"listed": other, "whole": Subset()}, str(tmp_path / "mine.txt"), mine)
    assert mine.items and other.items
    assert files == {mine.items.text: str(tmp_path / "mine.txt"), other.items.text: str(tmp_path / "other.txt")}
    assert _lists(str(params), {}, None, Subset()) == {}
