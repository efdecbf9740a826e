"""How many single-bit flips in a local registry change an answer in silence: none may.

Draws a small release, ingests it with one file in quarantine, then flips one random bit of a random file of each table,
many times, opens the registry and reads the whole table. The answer is an error, the same, or different in silence.
``--version-1`` does so with a registry of schema version 1, whose manifest has no digests of blocks.

Run as ``python -m benchmarks.bit_flips [--flips 250] [--seed 0] [--version-1]``.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import registry
from registry.dataset.tables import TABLES
from registry.errors import RegistryError
from registry.ingest.build import ingest
from registry.sample import write_sample
from registry.snapshot.manifest import read_manifest
from registry.storage.place import Place
from registry.store.connection import duckdb_errors
from tests.helpers import make_version_1


def make_registry(folder: Path, images: int = 24) -> Path:
    """Return a new registry below a folder with files of every table."""
    write_sample(folder / "release", images)
    target = folder / "registry"
    for split in ("train", "validation", "test"):
        source = folder / "release" / split
        if split == "train":
            next((source / "annos").iterdir()).write_bytes(b"{")
        if source.exists():
            ingest(split, str(source), str(target), on_error="quarantine", jobs=1)
    return target


def flips(folder: Path, table: str, number: int, seed: int) -> Iterator[str]:
    """Yield ``error``, ``same`` or ``different`` for each of some flips of one bit in the files of a table."""
    query = f"SELECT * FROM {table} ORDER BY ALL"
    expected = registry.open(str(folder)).sql(query).fetchall()
    rng = random.Random(f"{seed} {table}")
    files = read_manifest(Place(str(folder))).of_table(table)
    for _ in range(number if files else 0):
        path = folder / rng.choices(files, [file.bytes for file in files])[0].path
        data = path.read_bytes()
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            with duckdb_errors():
                rows = registry.open(str(folder)).sql(query).fetchall()
            yield "same" if rows == expected else "different"
        except RegistryError as error:
            yield "error" if path.name in str(error) else "error that does not name the file"
        finally:
            path.write_bytes(data)


def main() -> int:
    """Run the benchmark; the exit code is 1 if an answer was different in silence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=250, help="in the files of each table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--version-1", action="store_true", help="with a registry of schema version 1")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    print("| table | flips | error | same answer | different in silence |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_registry(Path(scratch))
        if options.version_1:
            make_version_1(folder)
        for table in TABLES:
            counts = Counter(flips(folder, table, options.flips, options.seed))
            total += counts
            print(
                f"| {table} | {counts.total()} | {counts['error']} | {counts['same']} | {counts['different']} |",
                flush=True,
            )
    if set(total) - {"error", "same", "different"}:
        print(f"\nAn error did not name its file: {total}")
    return 1 if set(total) - {"error", "same"} else 0


if __name__ == "__main__":
    sys.exit(main())
