"""Benchmark of row-group sizes for look-ups by pair_id; the size in tables.py was chosen with it.

Rewrites the items of a registry with several sizes. Reports for the train split: bytes on disk, rows scanned (those of
row groups whose statistics admit the pair_id), and the median time of a look-up.

Run as ``python -m benchmarks.row_groups REGISTRY``, on a registry of ``benchmarks.ingest``.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from registry.dataset.tables import ITEMS
from registry.snapshot.manifest import read_manifest
from registry.snapshot.parquet import TableWriter
from registry.storage.place import Place
from registry.store.sql import table_sql

SIZES = (512, 1024, 2048, 4096, 8192, 16384, 65536)


def rewrite(registry: Path, dest: Path, size: int) -> list[Path]:
    """Rewrite the train items of a registry with row groups of ``size`` rows; return the new files."""
    table = dataclasses.replace(ITEMS, row_group_size=size)
    paths = []
    for file in read_manifest(Place(str(registry))).of_table(ITEMS.name):
        if file.split != "train":
            continue
        writer = TableWriter(dest / file.path, table, file.split)
        for batch in pq.ParquetFile(registry / file.path).iter_batches(size):
            writer.write(batch)
        writer.close()
        paths.append(dest / file.path)
    return paths


def rows_scanned(paths: list[Path], pair_ids: list[int]) -> float:
    """Return the number of rows in row groups whose statistics admit a pair_id, as a mean over the pair_ids."""
    column = [c.name for c in ITEMS.stored_columns].index("pair_id")
    groups = []
    for path in paths:
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            pair_id_range = group.column(column).statistics
            groups.append((pair_id_range.min, pair_id_range.max, group.num_rows))
    return statistics.mean(sum(rows for low, high, rows in groups if low <= pair_id <= high) for pair_id in pair_ids)


def main() -> int:
    """Print a row for each size."""
    registry = Path(sys.argv[1])
    rng = random.Random(0)
    pair_ids = [rng.randint(1, 14_000) for _ in range(100)]
    print("| rows in a group | MB on disk | rows scanned by pair_id | look-up, ms |\n|---|---|---|---|")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as connection:
            paths = rewrite(registry, Path(scratch), size)
            connection.execute("SET GLOBAL parquet_metadata_cache = true")
            connection.execute(f"CREATE VIEW items AS {table_sql(ITEMS, map(str, paths))}")
            seconds = []
            for pair_id in pair_ids:
                start = time.perf_counter()
                connection.execute("SELECT * FROM items WHERE pair_id = ?", [pair_id]).fetchall()
                seconds.append(time.perf_counter() - start)
            megabytes = sum(path.stat().st_size for path in paths) / 1e6
            median = 1000 * statistics.median(seconds)
            print(f"| {size} | {megabytes:.1f} | {rows_scanned(paths, pair_ids):,.0f} | {median:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
