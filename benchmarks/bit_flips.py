"""Number of single-bit flips in a local registry that silently change an answer; it has to be 0.

Draws a small release, ingests it with a file in quarantine, then many times flips a random bit in the files of a table,
opens the registry and reads the whole table. The outcome is an error, the same answer, or silently a different answer.
``--version-1`` uses a registry of schema version 1, whose manifest has no block digests.

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
    """Flip ``number`` random bits in the files of a table, a bit at a time, and yield each outcome.

    Outcomes are ``error``, ``same``, ``different``, and ``error that does not name the file``.
    """
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
    """Run the benchmark; the exit code is 1 if an answer was silently different or an error did not name its file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=250, help="number of flips per table")
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
