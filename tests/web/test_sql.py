"""SQL of users: what is refused, what is cut, and that the server outlives its worker processes."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import registry
from registry.errors import QueryError, RegistryError
from registry.subset.options import Subset
from registry.web.app import create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from registry.web.sql_workers import TICKET, BusyError, SqlWorkers, Ticket
from tests.registries import make_three_splits
from tests.waiting import until_empty

SKIRTS = Subset.of(category="skirt")
#: A query that computes for minutes.
ENDLESS = "SELECT count(*) FROM range(1000000000000)"
#: A query that waits for minutes, for tests of queries that are there at once: computing ones take the processors.
WAITING = "SELECT sleep_ms(600000)"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_three_splits(tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="module")
def site(place: Path) -> Any:
    mine = pa.table({"split": ["train"], "image_id": [1], "item_no": [1], "loss": [2.5]})
    site = Site(registry.open(str(place), tables={"mine": mine}), Settings(sql_seconds=2, named={"skirts": SKIRTS}))
    yield site
    site.workers.close()


@pytest.fixture(scope="module")
def client(site: Site) -> TestClient:
    return TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")


def run(site: Site, query: str, rows: int = 100, size: int = 1 << 20) -> Any:
    return site.workers.run(query, rows=rows, bytes=size)


def test_a_query_is_answered_with_tables_of_the_user(site: Site) -> None:
    assert run(site, "SELECT loss, 1 AS one FROM mine").table.to_pylist() == [{"loss": 2.5, "one": 1}]
    query = "SELECT split, count(*) AS n FROM items GROUP BY ALL ORDER BY ALL"
    assert run(site, query).table.to_pylist() == site.registry.sql(query).to_arrow_table().to_pylist()


@pytest.mark.parametrize(
    "query",
    [
        "COPY items TO '{outside}'", "COPY (SELECT 1) TO 'registry://x'", "ATTACH '{outside}' AS a",
        "CREATE TABLE t AS SELECT 1", "CREATE VIEW v AS SELECT 1", "SET memory_limit = '10GB'", "RESET memory_limit",
        "PRAGMA database_list", "INSTALL httpfs", "LOAD httpfs", "SELECT 1; SELECT 2", "CALL pragma_version()",
        "DROP VIEW items", "INSERT INTO mine SELECT 1", "EXPORT DATABASE '{outside}'", "USE own", "CHECKPOINT",
        "VACUUM", "BEGIN", "EXPLAIN ANALYZE COPY items TO '{outside}'",
        "FROM read_text('{secret}')", "FROM read_csv('{secret}')",
        "FROM read_blob('{secret}')", "FROM '{secret}'", "FROM read_parquet('{secret}')", "FROM read_json('{secret}')",
        "FROM read_text('/etc/passwd')", "FROM glob('/etc/*')", "FROM read_text('/proc/self/environ')",
        "SELECT getenv('HOME')", "FROM read_csv('http://127.0.0.1:1/x')", "FROM sniff_csv('{secret}')",
        "FROM parquet_metadata('{secret}')", "FROM parquet_schema('{secret}')", "", ";", "nonsense", "SELECT $name",
        "FROM query('COPY items TO ''{outside}''')", "SELECT " + "(" * 2000, "FROM os", "FROM registry",
    ],
)  # fmt: skip
def test_nothing_but_one_select_over_the_registry_is_possible(site: Site, tmp_path: Path, query: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nhush-hush\n", encoding="utf-8")
    outside = tmp_path / "outside"
    with pytest.raises(QueryError) as caught:
        run(site, query.replace("{outside}", str(outside)).replace("{secret}", str(secret)))
    assert "hush-hush" not in str(caught.value)
    assert not outside.exists()
    assert run(site, "SELECT 1 AS one").table.to_pylist() == [{"one": 1}]


def test_no_secret_is_in_the_database_or_in_sight_of_other_processes(place: Path) -> None:
    workers = SqlWorkers(registry.open(str(place), {"secret": "hush-hush"}), 5)
    try:
        with pytest.raises(QueryError, match="disabled by configuration"):
            workers.run("FROM duckdb_secrets()", rows=10, bytes=1000)
        settings = workers.run("SELECT value FROM duckdb_settings()", rows=1000, bytes=1 << 20).table
        assert "hush-hush" not in str(settings.to_pylist())
        (number,) = workers.processes()
        if Path(f"/proc/{number}").exists():
            for name in ("cmdline", "environ"):
                assert b"hush-hush" not in Path(f"/proc/{number}/{name}").read_bytes()
    finally:
        workers.close()


def test_rows_and_bytes_are_cut_with_a_mark(site: Site) -> None:
    cut = run(site, "FROM range(5000)", rows=1500)
    assert (cut.table.num_rows, cut.is_cut) == (1500, True)
    whole = run(site, "FROM range(1500)", rows=1500)
    assert (whole.table.num_rows, whole.is_cut) == (1500, False)
    long = run(site, "SELECT repeat('x', 1000) AS x FROM range(1000)", rows=1000, size=100_000)
    assert long.is_cut
    assert 10 < long.table.num_rows < 100
    assert run(site, "SELECT repeat('x', 1000000)", size=1000).table.num_rows == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited on Linux")
@pytest.mark.parametrize(
    "query",
    ["SELECT repeat('x', 1000000000) AS a, repeat('y', 1000000000) AS b", "SELECT list(range) FROM range(1000000000)"],
)
def test_a_query_gets_no_more_memory_than_its_limit(site: Site, query: str) -> None:
    with pytest.raises(QueryError, match="was ended"):
        run(site, query)
    assert run(site, "SELECT 1 AS one").table.num_rows == 1


def test_a_query_ends_after_its_time(site: Site) -> None:
    with pytest.raises(QueryError, match="longer than 2 seconds"):
        run(site, ENDLESS)
    assert run(site, "SELECT 1 AS one").table.num_rows == 1


def test_a_killed_worker_comes_back(site: Site) -> None:
    run(site, "SELECT 1")
    for number in site.workers.processes():
        os.kill(number, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    assert run(site, "SELECT 1 AS one").table.to_pylist() == [{"one": 1}]


def test_a_worker_that_is_killed_during_a_query_fails_that_query_alone(place: Path) -> None:
    workers = SqlWorkers(registry.open(str(place)), 3)
    try:
        workers.run("SELECT 1", rows=1, bytes=1000)
        (number,) = workers.processes()
        threading.Timer(0.3, os.kill, (number, signal.SIGTERM)).start()
        with pytest.raises(QueryError):
            workers.run(ENDLESS, rows=1, bytes=1000)
        assert workers.run("SELECT 1", rows=1, bytes=1000).table.num_rows == 1
    finally:
        workers.close()


def test_too_many_queries_are_refused_at_once(place: Path) -> None:
    workers = SqlWorkers(registry.open(str(place)), 2)
    answers: list[str] = []

    def ask() -> None:
        try:
            workers.run(WAITING, rows=1, bytes=1000)
        except RegistryError as error:
            answers.append(type(error).__name__)

    threads = [threading.Thread(target=ask) for _ in range(14)]
    ticket = Ticket()
    try:
        for thread in threads:
            thread.start()
        assert not until_empty(lambda: "BusyError" not in answers, 30)
        # One that is given up frees its place at once.
        TICKET.set(ticket)
        ticket.cancel()
        with pytest.raises(BusyError):
            workers.run("SELECT 1", rows=1, bytes=1000)
    finally:
        TICKET.set(None)
        for thread in threads:
            thread.join()
        workers.close()
    assert set(answers) == {"BusyError", "QueryError"}


def test_a_query_ends_when_the_browser_goes_away(place: Path) -> None:
    site = Site(registry.open(str(place)), Settings(sql_seconds=60))
    app = create_app(site, Access.of("127.0.0.1"))
    scope = {
        "type": "http", "method": "GET", "path": "/sql", "raw_path": b"/sql", "root_path": "", "scheme": "http",
        "query_string": f"query={ENDLESS.replace(' ', '+')}".encode(), "headers": [(b"host", b"127.0.0.1")],
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip
    begin = time.monotonic()

    async def receive() -> dict[str, Any]:
        if time.monotonic() - begin > 1:
            return {"type": "http.disconnect"}
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    # In a thread of its own: the tests in a browser leave an event loop in the main thread.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(app(scope, receive, send))).result()
    assert time.monotonic() - begin < 30
    assert sent[0]["status"] == 503
    site.workers.close()


@pytest.mark.skipif(sys.platform == "win32", reason="processes are looked up by signals")
def test_workers_end_with_a_server_that_is_killed(place: Path) -> None:
    script = (
        "import registry, sys, time\n"
        "from registry.web.sql_workers import SqlWorkers\n"
        "workers = SqlWorkers(registry.open(sys.argv[1]), 60)\n"
        "workers.run('SELECT 1', rows=1, bytes=1000)\n"
        "print(*workers.processes(), flush=True)\n"
        f"workers.run({ENDLESS!r}, rows=1, bytes=1000)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", script, str(place)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    number = int(server.stdout.readline())
    server.kill()
    server.wait()
    server.stdout.close()
    assert not until_empty(lambda: _runs(number), 30)


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text(encoding="utf-8")
    except OSError:
        return False


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("where=category_name+%3D+'skirt'", {"where": "category_name = 'skirt'"}),
        ("where=mine.loss+>+2", {"where": "mine.loss > 2"}),
        ("where=len(landmarks)+>+0&split=train&limit=2", {"where": "len(landmarks) > 0", "split": "train", "limit": 2}),
        ("where=item_no=1&whole_images=1&category=skirt",
         {"where": "item_no=1", "whole_images": True, "category": "skirt"}),
        ("where=false", {"where": "false"}),
    ],
)  # fmt: skip
def test_a_condition_chooses_what_it_chooses_elsewhere(
    site: Site, client: TestClient, query: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = site.registry.select(**options)
    expected = {"images": selection.image_keys().num_rows, "items": selection.item_keys().num_rows}
    monkeypatch.setattr("registry.store.selection.check_condition", None)  # no condition comes into this process
    assert client.get(f"/?{query}&format=json").json()["counts"] == expected


def test_a_condition_and_a_list_of_items_both_hold(site: Site) -> None:
    keys = site.registry.select().item_keys().select(["split", "image_id", "item_no"]).slice(0, 2)
    for given in (keys, keys.select(["split", "image_id"])):
        subset = Subset.of(items=given, where="item_no = 1")
        chosen = site.registry.select(site.confined(subset)).item_keys()
        assert chosen.to_pylist() == site.registry.select(subset).item_keys().to_pylist()


@pytest.mark.parametrize(
    "condition", ["1=1;DROP VIEW items", "(SELECT 1) = 1", "nonsense", "x = (", "read_text('/etc/passwd') = ''"]
)
def test_conditions_that_are_none_are_refused(client: TestClient, condition: str) -> None:
    assert client.get("/", params={"where": condition}).status_code == 400


def test_conditions_of_named_subsets_are_the_owners(place: Path) -> None:
    subset = Subset.of(where="category_id = 9")
    site = Site(registry.open(str(place)), Settings(named={"mine": subset}, runs_sql=False))
    assert site.confined(subset) is subset


def test_the_page_shows_rows_values_and_pictures(client: TestClient) -> None:
    page = client.get("/sql", params={"query": "SELECT '<b>' AS x, NULL AS n, repeat('y', 500) AS y, [1, 2] AS l"}).text
    assert "&lt;b&gt;" in page
    assert '<td class="null">NULL</td>' in page
    assert f"{'y' * 120}…" in page
    assert f"{'y' * 121}" not in page
    page = client.get("/sql", params={"query": "SELECT split, image_id, item_no FROM items LIMIT 3"}).text
    assert page.count('href="/image/train/') == 3
    page = client.get("/sql", params={"query": "SELECT split, image_id FROM images LIMIT 3", "show": "pictures"}).text
    assert page.count('<ol class="pictures">') == 1
    page = client.get("/sql", params={"query": "FROM range(501)"}).text
    assert "cut here" in page
    assert "cut here" not in client.get("/sql", params={"query": "FROM range(500)"}).text


def test_an_error_keeps_the_query_and_shows_the_place(client: TestClient) -> None:
    response = client.get("/sql", params={"query": "SELECT nocolumn\nFROM items"})
    assert response.status_code == 400
    page = unescape(response.text)
    assert "SELECT nocolumn\nFROM items</textarea>" in page
    assert "nocolumn" in page.split('role="alert"')[1]


def test_answers_as_files(client: TestClient) -> None:
    params = {"query": "SELECT 1 AS a, 'x,\"y' AS b, [1, NULL] AS c UNION ALL SELECT NULL, NULL, NULL ORDER BY a"}
    document = client.get("/sql", params={**params, "format": "json"}).json()
    assert document["columns"] == ["a", "b", "c"]
    assert document["rows"] == [[1, 'x,"y', [1, None]], [None, None, None]]
    assert document["is_cut"] is False
    table = pa.ipc.open_stream(io.BytesIO(client.get("/sql", params={**params, "format": "arrow"}).content)).read_all()
    assert table.column("a").to_pylist() == [1, None]
    assert table.schema.metadata == {b"is_cut": b"false"}
    csv = client.get("/sql", params={**params, "format": "csv"}).text
    assert csv == 'a,b,c\n1,"x,""y","[1, null]"\n,,\n'


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a, 2 AS a", "SELECT '290000-01-01'::DATE", "SELECT 'infinity'::TIMESTAMP", "SELECT 'x'::BLOB",
        "SELECT INTERVAL 1 MONTH", "SELECT map {1: 2}", "SELECT {'a': 1}", "SELECT 12::HUGEINT", "SELECT '101'::BIT",
        "SELECT uuid()", "SELECT 'nan'::DOUBLE, 1e308 * 10", "SELECT NULL", "SELECT TIME '10:00:00'", "SELECT now()",
        "SELECT 1::UTINYINT AS split, 'x' AS image_id", "SELECT 'train' AS split, -1 AS image_id", "DESCRIBE items",
        "SELECT union_value(a := 1)", "SELECT '1e3'::DECIMAL(38, 10)", "SUMMARIZE items", "SELECT 'a' AS \"<b>\"",
        "EXPLAIN SELECT 1", "SHOW TABLES", "SELECT chr(0) || chr(55296 - 1)", "SELECT timetz '10:00:00+01'",
        "SELECT 1 WHERE false", "PIVOT items ON split USING count(*)",
        "SELECT '0044-01-01 (BC)'::TIMESTAMP", "SELECT '29999-01-01'::TIMESTAMP_S", "SELECT '{\"a\":1}'::JSON",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["html", "json", "arrow", "csv"])
def test_any_value_can_be_shown(client: TestClient, query: str, kind: str) -> None:
    assert client.get("/sql", params={"query": query, "format": kind}).status_code == 200


def test_words_to_complete(client: TestClient) -> None:
    words = client.get("/sql/words").json()
    assert words["tables"]["mine"] == ["split", "image_id", "item_no", "loss"]
    assert "category_name" in words["tables"]["items"]
    assert "repeat" in words["functions"]


def test_no_sql(place: Path) -> None:
    site = Site(registry.open(str(place)), Settings(runs_sql=False))
    client = TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")
    for path in ("/sql", "/sql?query=SELECT+1", "/sql/words"):
        assert client.get(path).status_code == 404
    assert client.get("/?where=true").status_code == 400
    assert 'href="/sql"' not in client.get("/").text
