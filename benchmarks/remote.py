"""Benchmark of a registry in an S3 bucket: requests, bytes and seconds, as ratios within a run.

Puts a synthetic registry of full size (:mod:`benchmarks.corpus`) into SeaweedFS, behind a proxy that counts and
delays requests. Then runs whole processes in turn, with and without latency:

* commands on the bucket, without ``--cache``, with an empty and with a full cache, against copying the registry first
  and running the command on the copy;
* DuckDB reading the same files through s3fs;
* ``df2 sync`` and ``df2 verify`` against copying all files.

Run as ``python -m benchmarks.remote [--dest DIR] [--scale 1.0] [--runs 3] [--latency 20] [--registry FOLDER]``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import registry
from benchmarks.corpus import SPLITS, annotations, write_split
from benchmarks.ingest import DF2
from registry.dataset.tables import SCHEMA_VERSION
from registry.snapshot.manifest import MANIFEST_NAME, read_manifest
from registry.storage.place import Place
from tests.servers.processes import is_setting
from tests.servers.proxy import S3Proxy
from tests.servers.seaweedfs import run_seaweedfs

READ_MANIFEST = "import fsspec, sys; fsspec.filesystem('s3').cat_file(sys.argv[1])"
PUT = "import fsspec, sys; fsspec.filesystem('s3').put(sys.argv[1] + '/', sys.argv[2] + '/', recursive=True)"
GET = "import fsspec, sys; fsspec.filesystem('s3').get(sys.argv[1] + '/', sys.argv[2] + '/', recursive=True)"
#: The rows of ``df2 pairs``, read with DuckDB through s3fs, without this package's reader.
NAIVE = """
import json, sys
import duckdb, fsspec
from registry.dataset.views import load_views
url, pair_id = sys.argv[1:]
connection = duckdb.connect()
connection.register_filesystem(fsspec.filesystem("s3"))
files = f"read_parquet('{url}/items/**/*.parquet', hive_partitioning = true)"
connection.execute(f"CREATE VIEW items AS SELECT * FROM {files}")
connection.execute(f"CREATE VIEW instance_pairs AS {load_views()['instance_pairs'].sql}")
order = "style, user_image_id, user_item_no, shop_image_id, shop_item_no"
query = f"SELECT * FROM instance_pairs WHERE split = 'train' AND pair_id = {pair_id} ORDER BY {order}"
pairs = connection.sql(query)
print(json.dumps([dict(zip(pairs.columns, row)) for row in pairs.fetchall()]))
"""
#: Limits of ``df2 pairs`` for a pair_id. The time limit is MAX_TIME_FACTOR times the local time, plus the latency of
#: all requests.
MAX_REQUESTS = 40
MAX_BYTES = 3_000_000
MAX_TIME_FACTOR = 3

PAIR_ID = 1811
PAIRS = "df2 pairs"
NAIVE_PAIRS = "DuckDB through s3fs, the same pairs"
START = "s3fs reads the manifest"
PUT_ALL = "s3fs puts everything"
GET_ALL = "s3fs gets everything"
LOCAL, COLD, EMPTY, FULL = "folder", "no cache", "empty cache", "full cache"
#: Bandwidth in bytes per second. The server is local, so the time to transfer bytes is computed, not measured.
BANDWIDTH = 100e6 / 8


@dataclass(frozen=True)
class Cost:
    """Cost of a command.

    Attributes:
        seconds: wall time.
        requests: number of requests.
        read: bytes received.
        sent: bytes sent.
    """

    seconds: float
    requests: int
    read: int
    sent: int


@dataclass
class Costs:
    """Runs commands and stores their costs by name and latency.

    Attributes:
        proxy: proxy in front of the server.
        runs: costs of each run, by (name, latency in seconds).
    """

    proxy: S3Proxy
    runs: dict[tuple[str, float], list[Cost]] = field(default_factory=lambda: defaultdict(list))

    def run(self, name: str, command: list[str], latency: float = 0.0) -> None:
        """Run a command; the proxy delays each request by ``latency`` seconds."""
        self.proxy.reset()
        self.proxy.latency = latency
        start = time.perf_counter()
        output(command)
        seconds = time.perf_counter() - start
        requests = self.proxy.requests
        read = sum(request.received_bytes for request in requests)
        sent = sum(request.sent_bytes for request in requests)
        self.runs[name, latency].append(Cost(seconds, len(requests), read, sent))

    def of(self, name: str, latency: float = 0.0) -> Cost:
        """Return the median time and the maximum requests and bytes of all runs of a command."""
        costs = self.runs[name, latency]
        return Cost(
            statistics.median(cost.seconds for cost in costs),
            max(cost.requests for cost in costs),
            max(cost.read for cost in costs),
            max(cost.sent for cost in costs),
        )


def output(command: list[str]) -> bytes:
    """Run a command and return its stdout.

    Raises:
        SystemExit: the command failed; the message has its stderr.
    """
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def python(code: str, *arguments: str) -> list[str]:
    """Return the command that runs Python code."""
    return [sys.executable, "-c", code, *arguments]


def make_registry(dest: Path, scale: float) -> Path:
    """Return a registry of both splits in ``dest``; ingest it unless it exists in the current schema version."""
    target = dest / "registry"
    if (target / MANIFEST_NAME).exists():
        manifest = read_manifest(Place(str(target)))
        if manifest.splits == sorted(SPLITS) and manifest.schema_version == SCHEMA_VERSION:
            return target
    for split in SPLITS:
        write_split(dest, split, scale=scale)
        output([DF2, "ingest", "--split", split, str(dest / f"{split}.zip"), str(target)])
    return target


def change_one(base: Path, target: Path, scale: float) -> None:
    """Copy a registry and ingest validation again with the bounding box of a single item changed."""
    shutil.copytree(base, target)
    archive = target.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as bundle:
        for number, (name, data) in enumerate(annotations("validation", 0, scale)):
            document = json.loads(data) if number == 0 else {}
            for item in list(document.values())[-1:]:
                item["bounding_box"][0] += 1
            bundle.writestr(f"validation/annos/{name}", json.dumps(document).encode("ascii") if document else data)
    output([DF2, "ingest", "--split", "validation", str(archive), str(target)])
    archive.unlink()


def read_commands(base: Path, out: Path) -> dict[str, list[str]]:
    """Return the arguments of commands that read a registry, by name.

    Args:
        base: local copy of the registry.
        out: destination of the export.
    """
    opened = registry.open(str(base))
    where = "FROM items WHERE split = 'train' AND pair_id"
    ((pair_id, style),) = opened.sql(
        f"SELECT pair_id, min(style) {where} = (SELECT max(pair_id) {where} <= {PAIR_ID}) GROUP BY ALL"
    ).fetchall()
    return {
        PAIRS: ["pairs", "--split", "train", "--pair-id", str(pair_id)],
        "df2 image": ["image", "train", "1"],
        "df2 style": ["style", "train", str(pair_id), str(style)],
        "df2 stats": ["stats"],
        "df2 sql, mean of a column": ["sql", "SELECT category_name, avg(x2 - x1) FROM items GROUP BY ALL"],
        "df2 sql, count": ["sql", "SELECT count(*) FROM items"],
        "df2 subset, skirts": ["subset", "--category", "skirt"],
        "df2 export coco, skirts of validation": [
            *["export", "coco", str(out), "--split", "validation", "--category", "skirt", "--occlusion", "1"]
        ],
    }


def run_read_commands(
    costs: Costs, commands: dict[str, list[str]], base: Path, url: str, folder: Path, latency: float
) -> None:
    """Run each reading command once: on the folder, and on the bucket with each kind of cache."""
    cache, out = folder / "cache", folder / "export"
    for name, arguments in commands.items():
        shutil.rmtree(cache, ignore_errors=True)
        for kind, place, delay in (
            (LOCAL, [str(base)], 0.0),
            (COLD, [url], 0.0),
            (COLD, [url], latency),
            (EMPTY, [url, "--cache", str(cache)], latency),
            (FULL, [url, "--cache", str(cache)], latency),
        ):
            shutil.rmtree(out, ignore_errors=True)
            costs.run(f"{name}, {kind}", [DF2, "-r", *place, *arguments], delay)


def run_transfers(costs: Costs, base: Path, changed: Path, url: str, bucket: str, folder: Path, latency: float) -> None:
    """Run each transfer of a registry once: up to a new prefix of the bucket, and down to a new folder."""
    number = len(costs.runs[PUT_ALL, 0.0]) + len(costs.runs[PUT_ALL, latency])
    up, down = f"{bucket}/{number}", str(folder / "down")
    costs.run(PUT_ALL, python(PUT, str(base), f"{bucket}/copy-{number}"), latency)
    costs.run("df2 sync up, everything", [DF2, "sync", str(base), up], latency)
    costs.run("df2 sync up, nothing changed", [DF2, "sync", str(base), up], latency)
    costs.run("df2 sync up, one item changed", [DF2, "sync", str(changed), up], latency)
    costs.run(GET_ALL, python(GET, url, str(folder / "copy")), latency)
    costs.run("df2 sync down, everything", [DF2, "sync", url, down], latency)
    costs.run("df2 sync down, nothing changed", [DF2, "sync", url, down], latency)
    costs.run("df2 sync down, one item changed", [DF2, "sync", up, down], latency)
    costs.run("df2 verify", [DF2, "verify", url], latency)
    for name in ("down", "copy"):
        shutil.rmtree(folder / name)


def ratio(base: float, seconds: float) -> str:
    """Return the ratio of a time to that of the baseline, in words."""
    return f"{base / seconds:.1f} x as fast" if base > seconds else f"{seconds / base:.2f} x the time"


def report(costs: Costs, commands: dict[str, list[str]], latency: float) -> None:
    """Print the tables of reading commands and of transfers."""
    wait = f"{1000 * latency:.0f} ms"
    print(f"| command | {LOCAL}, s | requests | MB read | s | s, {wait} | {EMPTY}, s, {wait} ", end="")
    megabits = 8e-6 * BANDWIDTH
    print(f"| {FULL}, requests | {FULL}, s, {wait} | against a copy first | the same at {megabits:.0f} Mbit/s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    copy = costs.of(GET_ALL, latency)
    for name in commands:
        local = costs.of(f"{name}, {LOCAL}").seconds
        near, far = (costs.of(f"{name}, {COLD}", delay) for delay in (0.0, latency))
        empty, full = (costs.of(f"{name}, {kind}", latency) for kind in (EMPTY, FULL))
        compared = ratio(copy.seconds + local, far.seconds)
        copy_seconds = copy.seconds + copy.read / BANDWIDTH + local
        on_line = ratio(copy_seconds, far.seconds + far.read / BANDWIDTH)
        print(
            f"| {name} | {local:.2f} | {far.requests} | {far.read / 1e6:.2f} | {near.seconds:.2f} | {far.seconds:.2f} "
            f"| {empty.seconds:.2f} | {full.requests} | {full.seconds:.2f} | {compared} | {on_line} |"
        )
    print(f"\n| command | requests | MB sent | MB read | s | s, {wait} | against | ratio, {wait} |")
    print("|---|---|---|---|---|---|---|---|")
    kinds = (LOCAL, COLD, EMPTY, FULL)
    for name in [name for name, delay in costs.runs if delay == latency and not name.endswith(kinds)]:
        near, far = costs.of(name), costs.of(name, latency)
        base = PUT_ALL if " up, " in name else GET_ALL if " down, " in name or " verify" in name else ""
        compared = ratio(costs.of(base, latency).seconds, far.seconds) if base else ""
        print(
            f"| {name} | {far.requests} | {far.sent / 1e6:.2f} | {far.read / 1e6:.2f} | {near.seconds:.2f} "
            f"| {far.seconds:.2f} | {base} | {compared} |"
        )


def report_limits(costs: Costs, latency: float) -> None:
    """Print the costs of ``df2 pairs`` and whether they are within the limits."""
    local = costs.of(f"{PAIRS}, {LOCAL}").seconds
    print(f"\n| {PAIRS} | round trip, ms | found | at most | held |\n|---|---|---|---|---|")
    for delay in (0.0, latency):
        cost = costs.of(f"{PAIRS}, {COLD}", delay)
        max_seconds = MAX_TIME_FACTOR * local + cost.requests * delay
        for quantity, value, limit in (
            ("requests", cost.requests, MAX_REQUESTS),
            ("MB read", round(cost.read / 1e6, 2), MAX_BYTES / 1e6),
            ("seconds", round(cost.seconds, 2), round(max_seconds, 2)),
        ):
            print(f"| {quantity} | {1000 * delay:.0f} | {value} | {limit} | {'yes' if value <= limit else 'no'} |")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the release (kept)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--latency", type=float, default=20.0, help="delay of each request in milliseconds")
    parser.add_argument("--registry", type=Path, help="an existing registry of this release")
    options = parser.parse_args()
    latency = options.latency / 1000
    # The user's accounts and registries must not influence the measurement.
    for name in filter(is_setting, list(os.environ)):
        del os.environ[name]
    options.dest = options.dest.absolute()  # servers run in other working directories
    options.dest.mkdir(parents=True, exist_ok=True)
    base = options.registry or make_registry(options.dest, options.scale)
    with (
        tempfile.TemporaryDirectory(prefix="remote-", dir=options.dest) as temporary,
        run_seaweedfs(Path(temporary) / "server") as server,
        S3Proxy(server.endpoint_url) as proxy,
    ):
        folder = Path(temporary)
        changed = folder / "changed"
        change_one(base, changed, options.scale)
        bucket = server.make_bucket("bench")
        url = f"{bucket}/registry"
        os.environ.update(proxy.through(server).environment)
        costs, commands = Costs(proxy), read_commands(base, folder / "export")
        naive = python(NAIVE, url, commands[PAIRS][-1])
        output(python(PUT, str(base), url))
        for _ in range(options.runs):
            run_read_commands(costs, commands, base, url, folder, latency)
            for delay in (0.0, latency):
                costs.run(START, python(READ_MANIFEST, f"{url}/{MANIFEST_NAME}"), delay)
                costs.run(NAIVE_PAIRS, naive, delay)
                run_transfers(costs, base, changed, url, bucket, folder, delay)
        shutil.rmtree(folder / "export")
        proxy.reset()
        local, remote = (json.loads(output([DF2, "-r", place, *commands[PAIRS]])) for place in (str(base), url))
        same = local == remote == json.loads(output(naive))
        total = sum(path.stat().st_size for path in base.rglob("*"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; ", end="")
    print(f"{sum(1 for _ in base.rglob('*.parquet'))} files, {total / 1e6:.1f} MB\n")
    report(costs, commands, latency)
    report_limits(costs, latency)
    print(f"\nThe folder, the bucket and DuckDB through s3fs give the same {len(local)} pairs: {same}.")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
