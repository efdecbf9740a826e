"""How the size of a row group changes what a look-up by pair_id reads; this is how the size in tables.py was chosen.

Rewrites the items of a registry with several sizes and reports, for the train split: bytes on disk, rows in the row
groups whose statistics admit a pair_id (they are what is scanned), and the median time of a look-up.

Run as ``python -m benchmarks.row_groups REGISTRY``, on the registry that ``benchmarks.ingest`` leaves behind.
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
    """Write the train items of a registry again with row groups of another size."""
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
    """Return the mean number of rows in the row groups that statistics do not rule out."""
    column = [c.name for c in ITEMS.stored_columns].index("pair_id")
    groups = []
    for path in paths:
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            found = group.column(column).statistics
            groups.append((found.min, found.max, group.num_rows))
    return statistics.mean(sum(rows for low, high, rows in groups if low <= wanted <= high) for wanted in pair_ids)


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
