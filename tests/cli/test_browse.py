"""``df2 browse`` as a process: its address, its token, its end, and what it needs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from registry.subset.options import Subset
from registry.web.site import Settings
from registry.web.state import START, State, start
from tests.cli.processes import command, environment, run_df2
from tests.forks import Forks

pytestmark = pytest.mark.system

TOKEN = "a-token-of-24-characters"


class Browse:
    """A running ``df2 browse``.

    Attributes:
        line: that it printed first.
        url: in it.
    """

    def __init__(self, *arguments: object, **variables: str) -> None:
        self.process = subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**environment(), **variables}, start_new_session=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        self.line = ""
        while "Serving" not in self.line:
            self.line = self.process.stderr.readline()
            assert self.line, self.process.wait(10)
        self.url = re.findall(r"http://\S+", self.line)[0]

    def get(self, url: str | None = None, **options: Any) -> httpx2.Response:
        """Ask for a page; wait until the server accepts requests."""
        until = time.monotonic() + 20
        while True:
            try:
                return httpx2.get(url or self.url, timeout=30, **options)
            except httpx2.ConnectError:
                assert time.monotonic() < until
                time.sleep(0.05)

    def end(self, number: int) -> tuple[int, str, str]:
        """Send a signal; return the exit code and the rest of the output."""
        os.killpg(self.process.pid, number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextmanager
def browsing(*arguments: object, **variables: str) -> Iterator[Browse]:
    running = Browse(*arguments, **variables)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
def test_it_serves_until_it_is_interrupted(small_registry: Path, number: int, code: int) -> None:
    with browsing("-r", small_registry, "browse", "--port", "0", "--no-open") as running:
        assert running.get().status_code == 200
        assert re.fullmatch(rf"Serving {small_registry} at http://127\.0\.0\.1:\d+/ \(Ctrl-C ends\)\n", running.line)
        assert running.end(number) == (code, "", "Interrupted.\n")


def test_the_options_of_the_command_stand_in_the_address(small_registry: Path, tmp_path: Path) -> None:
    words = ("--category", "skirt", "--occlusion", "1-2", "--paired", "--root-path", "/fashion/")
    with browsing("-r", small_registry, "browse", "--port", "0", "--no-open", *words) as running:
        address = re.sub(r":\d+", "", running.url.removeprefix("http:"))
        assert address == "//127.0.0.1/fashion/?category=skirt&occlusion=1&occlusion=2&paired=1"
        assert running.get().status_code == 200
    keys = tmp_path / "keys.csv"
    keys.write_text("split,image_id\ntrain,1\n")
    with browsing("-r", small_registry, "browse", "--port", "0", "--no-open", "--items", keys) as running:
        assert running.url.endswith("/?subset=start")
        page = running.get(f"{running.url}&format=json").json()
        assert page["counts"]["images"] == 1


def test_named_subsets_can_be_chosen_and_broken_ones_are_told(small_registry: Path, tmp_path: Path) -> None:
    params = tmp_path / "own.yaml"
    params.write_text("subsets: {skirts: {category: skirt}, hats: {category: hat}, mine: {table: t, where: t.a > 1}}\n"
                      "tables: {t: t.csv}\n")  # fmt: skip
    words = ("--params", params, "--subset", "skirts", "--no-sql")
    with browsing("-r", small_registry, "browse", "--port", "0", "--no-open", *words) as running:
        assert running.url.endswith("/?subset=skirts")
        page = running.get().text
        assert "<option selected>skirts</option>" in page
        assert "hats" not in page
        base = running.url.partition("?")[0]
        assert running.get(f"{base}?where=true").status_code == 400
        _, _, err = running.end(signal.SIGINT)
    # The warnings stand before the address, which was read already.
    assert err == "Interrupted.\n"
    result = run_df2("-r", small_registry, "browse", "--port", "0", "--root-path", "no prefix")
    assert result.returncode == 2


def test_a_server_for_others_prints_its_token_once(small_registry: Path) -> None:
    with browsing("-r", small_registry, "browse", "--port", "0", "--no-open", "--host", "0.0.0.0") as running:
        (token,) = re.findall(r"\?token=([\w-]{32}) ", running.line)
        base = running.url.partition("?")[0]
        assert running.get(base).status_code == 401
        assert running.get(base, headers={"authorization": f"Bearer {token}"}).status_code == 200
        assert running.get(base, headers={"host": "evil.example"}).status_code == 421
        port = base.rstrip("/").rpartition(":")[2]
        assert running.get(running.url, headers={"host": f"192.0.2.1:{port}"}).status_code == 303
        code, out, err = running.end(signal.SIGINT)
        assert (code, out, err) == (130, "", "Interrupted.\n")
    words = ("-r", small_registry, "browse", "--port", "0", "--no-open", "--allow-host", "fashion.example")
    with browsing(*words, DF2_BROWSE_TOKEN=TOKEN) as running:
        assert running.url.endswith(f"?token={TOKEN}")
        base = running.url.partition("?")[0]
        headers = {"host": "fashion.example", "authorization": f"Bearer {TOKEN}"}
        assert running.get(base, headers=headers).status_code == 200


def test_a_port_that_is_taken_is_told_and_the_usual_one_is_left_alone(small_registry: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_df2("-r", small_registry, "browse", "--no-open", "--port", port)
        assert (result.returncode, result.stdout) == (4, "")
        assert result.stderr == (
            f"Error: Cannot listen on 127.0.0.1 port {port}: Address already in use; --port 0 takes a free one.\n"
        )
    words = ("-r", small_registry, "browse", "--no-open")
    with browsing(*words) as first, browsing(*words) as second:
        assert first.url != second.url
        assert second.get().status_code == 200
    output = tmp_path / "output"
    with Forks("tests.cli.forked", environment()) as forks:
        words_of_all = ["-r", str(small_registry), "browse", "--no-open"]
        for host in ("nosuch.invalid", "a" * 70, "192.0.2.1"):
            status = forks.call("df2", [*words_of_all, "--port", "0", "--host", host], {}, output=output)
            assert os.waitstatus_to_exitcode(status) == 4
            assert output.read_text().startswith(f"Error: Cannot listen on {host} port 0: ")
        assert os.waitstatus_to_exitcode(forks.call("df2", [*words_of_all, "--allow-host", "http://x"], {})) == 2


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "jinja2"])
def test_a_missing_extra_is_told(small_registry: Path, package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from registry.cli.main import main; main()"
    words = [sys.executable, "-c", code, "-r", str(small_registry), "browse", "--no-open"]
    result = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert result.returncode == 1
    assert "pip install 'deepfashion2-registry[browse]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_it_needs_no_folder_that_it_may_write(small_registry: Path, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere" / "below")
    folders = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "DF2_TMPDIR"), nowhere)
    before = sorted(small_registry.rglob("*"))
    with browsing("-r", small_registry, "browse", "--port", "0", "--no-open", **folders) as running:
        assert running.get().status_code == 200
        assert running.end(signal.SIGINT)[0] == 130
    assert sorted(small_registry.rglob("*")) == before
    assert not Path(nowhere).exists()


@pytest.mark.parametrize(
    "options",
    [{}, {"category": ["skirt", "vest"], "occlusion": "1-2"}, {"style": ["1-", "0"], "pair_id": "7-9"},
     {"paired": True}, {"image_id": "train/image/000001.jpg"}, {"where": "x2 - x1 > 'a&b=c'"},
     {"sample": "10%", "seed": 3}, {"sample": "5", "limit": 0},
     {"min_box_area": 0.5, "has_landmarks": True}, {"exclude_check": "degenerate-box"}],
)  # fmt: skip
def test_the_address_of_a_subset_has_the_same_subset(options: dict[str, Any]) -> None:
    from starlette.datastructures import QueryParams

    subset = Subset.of(**options)
    query, named = start(subset, {})
    assert named == {}
    assert State.of(QueryParams(query.removeprefix("?")), {}).subset == subset


def test_a_subset_that_no_address_can_hold_has_a_name() -> None:
    from starlette.datastructures import QueryParams

    subset = Subset.of(image_id=[str(2 * number) for number in range(1000)])
    query, named = start(subset, {"other": Subset()})
    assert query == f"?subset={START}"
    assert State.of(QueryParams(query[1:]), Settings(named=named).named).subset == subset
