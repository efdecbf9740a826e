"""Benchmark of ``df2 ingest`` and of look-ups, as ratios within a run.

Writes a synthetic release of full size (:mod:`benchmarks.corpus`), then times whole processes in turn: listing and
reading all annotation files in a single thread, ``df2 ingest`` from the folder, and from a zip. ``--cold`` (needs root)
also times them with an empty page cache, as after a restart. Then times look-ups, in an opened registry in Python and
as commands.

Run as ``python -m benchmarks.ingest [--dest DIR] [--scale 1.0] [--runs 5] [--cold]``.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import registry
from benchmarks.corpus import SPLITS, write_split

READ_ALL = """
import os, sys
folder = sys.argv[1]
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), "rb") as file:
        file.read()
"""
DF2 = str(Path(sys.executable).with_name("df2"))


#: Runs a command and writes its seconds, exit code and peak memory to a file descriptor. The peak of a process begins
#: with that of the process that started it, which must be small.
LAUNCHER = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
os.write(int(sys.argv[1]), f"{seconds} {os.waitstatus_to_exitcode(status)} {usage.ru_maxrss}".encode())
"""


def run(command: list[str]) -> tuple[float, float]:
    """Run a command; return (wall seconds, peak memory of its largest process in MiB)."""
    reading, writing = os.pipe()
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(writing), *command]
    subprocess.run(launch, stdout=subprocess.DEVNULL, pass_fds=(writing,), check=True)
    os.close(writing)
    with open(reading, encoding="ascii") as pipe:
        seconds, code, peak = pipe.read().split()
    if code != "0":
        raise SystemExit(f"{command} ended with {code}")
    return float(seconds), int(peak) / 1024


def drop_caches() -> None:
    """Empty the page cache of the kernel."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")


def time_in_turn(
    commands: dict[str, list[str]], runs: int, before: Callable[[], None]
) -> dict[str, tuple[float, float]]:
    """Run commands in turn, so that noise affects all, and return (median seconds, highest peak in MiB) by name.

    Args:
        commands: command by name.
        runs: number of rounds.
        before: called before each command.
    """
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            before()
            measured[name].append(run(command))
    return {
        name: (statistics.median(seconds for seconds, _ in rows), max(peak for _, peak in rows))
        for name, rows in measured.items()
    }


def report_ingest(dest: Path, runs: int, cold: bool) -> None:
    """Print the times of ingesting both splits and of reading their files."""
    print("| split | cache | list and read, s | folder, s | ratio | zip, s | ratio | largest process, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for split in SPLITS:
        target = str(dest / "registry")
        commands = {
            "read": [sys.executable, "-c", READ_ALL, str(dest / split / "annos")],
            "folder": [DF2, "ingest", "--split", split, str(dest / split), target],
            "zip": [DF2, "ingest", "--split", split, str(dest / f"{split}.zip"), target],
        }
        for cache in ("warm", "cold") if cold else ("warm",):
            if cache == "warm":
                run(commands["read"])
            measured = time_in_turn(commands, runs, drop_caches if cache == "cold" else lambda: None)
            (read, _), (folder, folder_peak), (archive, archive_peak) = measured.values()
            print(
                f"| {split} | {cache} | {read:.2f} | {folder:.2f} | {folder / read:.2f} | {archive:.2f} "
                f"| {archive / read:.2f} | {max(folder_peak, archive_peak):.0f} |",
                flush=True,
            )


def report_lookups(dest: Path, runs: int) -> None:
    """Print the times of look-ups in an opened registry and as commands."""
    target = str(dest / "registry")
    opened = registry.open(target)
    rng = random.Random(0)
    pair_ids = [rng.randint(1, SPLITS["train"]["pair_ids"]) for _ in range(50)]
    (last,) = opened.sql("SELECT max(pair_id) FROM images WHERE split = 'train'").fetchall()[0]
    pair_ids = [min(pair_id, last) for pair_id in pair_ids]
    identities = opened.sql("SELECT pair_id, style FROM identities WHERE split = 'train' USING SAMPLE 50").fetchall()

    def median_ms(queries: list[Callable[[], object]]) -> str:
        queries[0]()  # warms the caches
        seconds = []
        for query in queries:
            start = time.perf_counter()
            query()
            seconds.append(time.perf_counter() - start)
        return f"{1000 * statistics.median(seconds):.1f}"

    count_pairs = "SELECT count(*) FROM instance_pairs"
    rows = {
        "pairs of one pair_id, warm": median_ms(
            [lambda n=n: opened.pairs("train", n).fetchall() for n in pair_ids]  # type: ignore[misc]
        ),
        "items of one identity, warm": median_ms(
            [lambda n=n, s=s: opened.style("train", n, s).fetchall() for n, s in identities]  # type: ignore[misc]
        ),
        "count of all pairs, warm": median_ms([lambda: opened.sql(count_pairs).fetchall()] * 10),
    }
    commands = {
        "`df2 pairs --split train --pair-id N`": ["pairs", "--split", "train", "--pair-id", str(pair_ids[0])],
        "`df2 sql 'SELECT count(*) FROM instance_pairs'`": ["sql", count_pairs],
        "`df2 --help`": ["--help"],
    }
    timed = time_in_turn({name: [DF2, "-r", target, *rest] for name, rest in commands.items()}, runs, lambda: None)
    rows |= {name: f"{1000 * seconds:.0f}" for name, (seconds, _) in timed.items()}
    print("\n| look-up | median, ms |\n|---|---|")
    for name, text in rows.items():
        print(f"| {name} | {text} |")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the release (kept)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="also with an empty page cache; needs root")
    options = parser.parse_args()
    for split in SPLITS:
        write_split(options.dest, split, scale=options.scale)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    report_ingest(options.dest, options.runs, options.cold)
    report_lookups(options.dest, options.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
