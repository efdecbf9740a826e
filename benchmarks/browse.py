"""Benchmark of the pages in a browser: what they cost in seconds and in memory on a registry of full size.

Ingests a synthetic release of full size (:mod:`benchmarks.corpus`), unless a registry is named. Times from the command
to the first page; then asks one server for each kind of page with fresh values, so that no answer is kept from before;
then lets 20 users click at the same time, who look at each page for a second and then
for no time at all; and reads the memory of the server and of its workers, after the statistics and all
checks too. The memory is that of the processes as the system counts it (resident), the largest seen. Exits with 1
where an answer is not 200.

Run as ``python -m benchmarks.browse [--registry DIR] [--runs 3] [--users 20] [--seconds 10]``.
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

import registry
from benchmarks.corpus import annotations
from benchmarks.diff import make_registry
from benchmarks.ingest import DF2

#: Options of the subsets that a click may combine.
FACETS = {
    "split": ("train", "validation"), "source": ("user", "shop"), "occlusion": ("1", "2", "3"),
    "category": ("1", "7", "8", "9", "10"), "scale": ("1", "2", "3"),
    "viewpoint": ("1", "2", "3"), "zoom_in": ("1", "2", "3"),
}  # fmt: skip
#: Rows that addresses of images and identities are drawn from.
KEYS = "SELECT split, image_id, pair_id, style FROM items WHERE style > 0 USING SAMPLE 1000 ROWS (reservoir, 1)"
#: Seconds that an answer took, and its status.
Answer = tuple[float, int]
#: Seconds until an answer is given up.
TIMEOUT = 120


class Server:
    """A running ``df2 browse``, and the memory of its processes."""

    def __init__(self, folder: str) -> None:
        command = [DF2, "-r", folder, "browse", "--no-open", "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        while "http://" not in line and self.process.poll() is None:  # warnings come before
            line = self.process.stderr.readline()
        self.port = int(line.partition("http://127.0.0.1:")[2].partition("/")[0])
        self.peaks = [0, 0]
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self.process.poll() is None:
            self.peaks = [max(pair) for pair in zip(self.peaks, self.memory(), strict=True)]
            time.sleep(0.05)

    def memory(self) -> list[int]:
        """Return the bytes of the server, and of its workers together."""
        try:
            server = psutil.Process(self.process.pid)
            workers = [child.memory_info().rss for child in server.children(recursive=True)]
            return [server.memory_info().rss, sum(workers)]
        except psutil.Error:
            return [0, 0]

    def seconds(self, path: str, connection: http.client.HTTPConnection | None = None) -> Answer:
        """Return the seconds that an answer takes, and its status; 0 where there is none."""
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        begin = time.perf_counter()
        try:
            connection.request("GET", path, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()
            status = 0
        return time.perf_counter() - begin, status


@contextmanager
def running(folder: str) -> Iterator[Server]:
    """Run a server, and end it."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait()


def first_page(folder: str) -> Answer:
    """Return the seconds from the command to the first page, and its status."""
    begin = time.perf_counter()
    with running(folder) as server:
        _, status = server.seconds("/")
        return time.perf_counter() - begin, status


def addresses(folder: str) -> dict[str, Callable[[random.Random], str]]:
    """Return what makes an address of each kind of page."""
    keys = registry.open(folder).sql(KEYS).fetchall()

    def subset(rng: random.Random) -> str:
        options = rng.sample(sorted(FACETS), rng.randint(1, 3))
        return "/?show=items&" + "&".join(f"{name}={rng.choice(FACETS[name])}" for name in options)

    def grid(rng: random.Random) -> str:
        split, image_id, _, _ = rng.choice(keys)
        return f"/?after=[{1 if split == 'train' else 2},{image_id}]"

    def identity(rng: random.Random) -> str:
        split, _, pair_id, style = rng.choice(keys)
        return f"/identity/{split}/{pair_id}/{style}"

    def image(rng: random.Random) -> str:
        split, image_id, _, _ = rng.choice(keys)
        return f"/image/{split}/{image_id}"

    return {"grid": grid, "facet": subset, "identity": identity, "image": image}


def click(
    server: Server, pages: dict[str, Callable[[random.Random], str]], users: int, seconds: float, look: float
) -> list[Answer]:
    """Return the answers to users who click at the same time, and look at each page for some seconds."""
    answers: list[Answer] = []
    end = time.monotonic() + seconds

    def user(number: int) -> None:
        rng = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        while time.monotonic() < end:
            answers.append(server.seconds(pages[rng.choice(sorted(pages))](rng), connection))
            time.sleep(rng.uniform(0.5, 1.5) * look)

    threads = [threading.Thread(target=user, args=(number,)) for number in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", help="of full size; by default one is made")
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the made registry (kept)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    folder = options.registry
    if folder is None:
        options.dest.mkdir(parents=True, exist_ok=True)
        folder = make_registry(options.dest, "as-it-is", lambda split, scale: annotations(split, 0, scale), 1.0)
    pages = addresses(folder)
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; load {load:.1f}\n")
    print("| | seconds | at most |\n|---|---|---|")
    firsts = [first_page(folder) for _ in range(options.runs)]
    print(f"| first page after the command | {statistics.median(first for first, _ in firsts):.2f} | 1 |")
    statuses = [status for _, status in firsts]
    memory = []
    with running(folder) as server:

        def note(text: str) -> None:
            memory.append(f"| {text} | {' | '.join(f'{size / 2**20:.0f}' for size in server.peaks)} |")

        statuses += [server.seconds(path)[1] for path in ("/", "/?show=items", "/?sort=width")]
        note("first pages")
        rng = random.Random(0)
        for name, most in (("grid", 0.15), ("facet", 0.2), ("identity", 0.05), ("image", 0.15)):
            answers = [server.seconds(pages[name](rng)) for _ in range(20)]
            statuses += [status for _, status in answers]
            print(f"| {name}, median of 20 | {statistics.median(took for took, _ in answers):.3f} | {most} |")
        note("pages of one user")
        for look in (1, 0):
            answers = click(server, pages, options.users, options.seconds, look)
            statuses += [status for _, status in answers]
            times = sorted(took for took, _ in answers)
            text = f"{options.users} users, {'a second for each page' if look else 'without a pause'}"
            print(f"| {text}, median of {len(times)} | {statistics.median(times):.2f} | |")
            print(f"| {text}, 95th percentile | {times[int(0.95 * len(times))]:.2f} | 1 |")
        note(f"{options.users} users")
        for path in ("/statistics", "/checks"):
            took, status = server.seconds(path)
            statuses.append(status)
            print(f"| {path} | {took:.2f} | |")
            time.sleep(options.seconds)  # the checks go on after the page
            note(path)
    print("\n| memory after | server, MiB | workers, MiB |\n|---|---|---|")
    print("\n".join(memory))
    failures = sum(status != 200 for status in statuses)
    print(f"\n{len(statuses)} requests, {failures} without a page")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
