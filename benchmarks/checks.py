"""Benchmark of ``df2 check``: all checks over a release of full size.

Ingests a synthetic release of full size (:mod:`benchmarks.corpus`) and gives every image a size of 468 x 624, as if its
photo had been read. Then times the whole process, and each check alone in another process.

Run as ``python -m benchmarks.checks [--dest DIR] [--scale 1.0] [--runs 3]``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import registry
from benchmarks.corpus import annotations
from benchmarks.diff import make_registry
from benchmarks.ingest import DF2, time_in_turn
from registry.dataset.checks import load_checks
from registry.snapshot.manifest import rebuild_manifest
from registry.storage.place import Place

SIZE = {"width": 468, "height": 624}


def add_sizes(folder: Path) -> None:
    """Set the size of every image of a registry, unless it has one."""
    for path in sorted((folder / "images").rglob("*.parquet")):
        with pq.ParquetFile(path) as file:
            rows, metadata = file.read(), dict(file.metadata.metadata)
        if not rows["width"].null_count:
            continue
        for name, value in SIZE.items():
            position = rows.schema.get_field_index(name)
            field = rows.schema.field(position)
            rows = rows.set_column(position, field, pa.array([value] * rows.num_rows, field.type))
        with pq.ParquetWriter(path, rows.schema, store_schema=False) as writer:
            writer.write_table(rows)
            writer.add_key_value_metadata(metadata)
        path.rename(path.with_name(f"{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.parquet"))
    (folder / "manifest.json").write_bytes(rebuild_manifest(Place(str(folder))).to_json())


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the registry (kept)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.dest.mkdir(parents=True, exist_ok=True)
    folder = make_registry(options.dest, "sized", lambda split, scale: annotations(split, 0, scale), options.scale)
    add_sizes(Path(folder))
    timed = time_in_turn({"df2 check": [DF2, "-r", folder, "check"]}, options.runs, lambda: None)
    ((seconds, peak),) = timed.values()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(f"df2 check: {seconds:.1f} s, {peak:.0f} MiB\n")
    print("| check | seconds | rows |\n|---|---|---|")
    opened = registry.open(folder)
    for name in load_checks():
        begin = time.perf_counter()
        (result,) = registry.check(opened, only=name)
        print(f"| {name} | {time.perf_counter() - begin:.2f} | {result.count if result.count is not None else ''} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
