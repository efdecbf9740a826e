"""Benchmark of tables of the user: what a table with a row for every item costs.

Ingests a synthetic release of full size (:mod:`benchmarks.corpus`), and writes a Parquet and a CSV file with a score
for each of its items. Then times in one process: opening the registry with the table, joining it to all items in a
query and in a condition; and whole processes in turn: a subset and an export with the table and without.

Run as ``python -m benchmarks.tables [--dest DIR] [--scale 1.0] [--runs 3]``.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq

import registry
from benchmarks.corpus import annotations
from benchmarks.diff import make_registry
from benchmarks.ingest import DF2, time_in_turn

JOIN = "SELECT count(*), avg(loss) FROM items JOIN scores USING (split, image_id, item_no)"
WHERE = "scores.loss >= 0.5"


def write_scores(folder: str, dest: Path) -> int:
    """Write ``scores.parquet`` and ``scores.csv`` with a loss for every item of a registry; return their number."""
    query = "SELECT split, image_id, item_no, hash(image_id, item_no) % 1000 / 1000 AS loss FROM items"
    rows = registry.open(folder).sql(query).to_arrow_table()
    pq.write_table(rows, dest / "scores.parquet")
    pyarrow.csv.write_csv(rows, dest / "scores.csv")
    return int(rows.num_rows)


def median_seconds(call: Callable[[], Any], runs: int) -> float:
    """Return the median of the seconds that a call takes."""
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the registry (kept)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.dest.mkdir(parents=True, exist_ok=True)
    folder = make_registry(options.dest, "as-it-is", lambda split, scale: annotations(split, 0, scale), options.scale)
    number = write_scores(folder, options.dest)
    path = options.dest / "scores.parquet"
    plain, scored = registry.open(folder), registry.open(folder, tables={"scores": path})
    calls: dict[str, Callable[[], Any]] = {
        "open": lambda: registry.open(folder),
        "open with the Parquet file": lambda: registry.open(folder, tables={"scores": path}),
        "open with the CSV file": lambda: registry.open(folder, tables={"scores": options.dest / "scores.csv"}),
        "join to all items in a query": lambda: scored.sql(JOIN).fetchall(),
        "select all items": plain.select,
        "select with a condition on the table": lambda: scored.select(where=WHERE),
    }
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {number:,} rows\n")
    print("| in one process | seconds |\n|---|---|")
    for name, call in calls.items():
        print(f"| {name} | {median_seconds(call, options.runs):.2f} |")
    table, out = ["--table", f"scores={path}"], options.dest / "out"
    export = [DF2, "-r", folder, "export", "parquet", str(out), "--overwrite"]
    columns = "split,image_id,item_no,category_id"
    commands = {
        "df2 subset": [DF2, "-r", folder, "subset"],
        "df2 subset --table --where": [DF2, "-r", folder, "subset", *table, "--where", WHERE],
        "df2 export parquet --columns": [*export, "--columns", columns],
        "df2 export parquet --columns --table": [*export, *table, "--columns", f"{columns},scores.loss"],
    }
    timed = time_in_turn(commands, options.runs, lambda: None)
    print("\n| command | seconds | largest process, MiB |\n|---|---|---|")
    for name, (seconds, peak) in timed.items():
        print(f"| {name} | {seconds:.2f} | {peak:.0f} |")
    ((joined, _),) = scored.sql(JOIN).fetchall()
    return 0 if joined == number else 1


if __name__ == "__main__":
    sys.exit(main())
