"""10,000 random requests to the pages: no failure, nothing from outside the registry, and the server goes on.

    python -m benchmarks.fuzz_browse [--requests N] [--seed N] [--registry FOLDER]

The requests are those of ``tests/web/requests.py``: addresses of all pages with options that are right, wrong, or made
to break out, in four threads. Prints the number of answers by status, and each failure with its request.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from starlette.testclient import TestClient

import registry
from registry.ingest.build import ingest
from registry.sample import write_sample
from registry.sources.photos import Photos
from registry.web.app import create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.web.requests import random_request

#: Text of files outside the registry that requests ask for.
_OUTSIDE = ("root:x:", "root:*:")
#: Seconds after which an answer is late.
_LATE = 15


def main() -> None:
    """Send the requests; exit with 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--registry", help="By default that of a drawn release, with its photos.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(registry.open(options.registry), Settings()) if options.registry else _sample_site(Path(folder))
        client = TestClient(
            create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1", follow_redirects=False
        )
        statuses: Counter[str] = Counter()
        failures: list[str] = []

        def send(number: int) -> None:
            method, path, headers = random_request(random.Random(f"{options.seed}-{number}"))
            begin = time.monotonic()
            try:
                answer = client.request(method, path, headers=headers)
            except Exception as error:  # noqa: BLE001  # the client may refuse an address that no browser sends
                statuses[type(error).__name__] += 1
                failures.append(f"{method} {path[:300]}: {error!r}")
                return
            seconds = time.monotonic() - begin
            statuses[str(answer.status_code)] += 1
            is_outside = any(text in answer.text for text in _OUTSIDE)
            if answer.status_code >= 500 or is_outside or seconds > _LATE:
                failures.append(f"{answer.status_code} in {seconds:.1f} s: {method} {path[:300]} {headers}")

        begin = time.monotonic()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(send, range(options.requests)))
        seconds = time.monotonic() - begin
        for failure in failures:
            print(failure)
        counts = ", ".join(f"{status}: {number:,}" for status, number in sorted(statuses.items()))
        print(f"{options.requests:,} requests in {seconds:.0f} s; {counts}; {len(failures)} failures")
        is_up = client.get("/").status_code == 200
        print("The server goes on." if is_up else "The server does not answer any more.")
        sys.exit(1 if failures or not is_up else 0)


def _sample_site(folder: Path) -> Site:
    write_sample(folder / "sample", 72)
    for split in ("train", "validation", "test"):
        ingest(split, str(folder / "sample"), str(folder / "registry"), jobs=1)
    return Site(registry.open(str(folder / "registry")), Settings(photos=Photos(str(folder / "sample"))))


if __name__ == "__main__":
    main()
