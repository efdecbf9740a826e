"""Benchmark of corrections: what 100,000 of them add to the ingestion of a full-size train split.

Times whole processes in turn: ``df2 ingest`` of a synthetic zip (:mod:`benchmarks.corpus`) without corrections and
with them. Fields are corrected in turn, so a quarter of the lines are landmarks and polygons.

Run as ``python -m benchmarks.corrections [--dest DIR] [--scale 1.0] [--lines 100000] [--runs 3]``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import zipfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.corpus import annotations
from benchmarks.ingest import DF2, time_in_turn


def _new_value(field: str, old: Any) -> Any:
    if field == "style":
        return old + 1
    if field == "scale":
        return old % 3 + 1
    if field == "segmentation":
        return [[old[0][0] + 0.5, *old[0][1:]], *old[1:]]
    return [old[0] + 1, *old[1:]]


def write_lines(archive: Path, folder: Path, scale: float, num_lines: int) -> int:
    """Write the zip of a train split and corrections of its items; return the number of lines."""
    fields = cycle(("style", "bounding_box", "scale", "landmarks", "style", "bounding_box", "style", "segmentation"))

    def lines() -> Iterator[str]:
        with zipfile.ZipFile(archive, "w") as bundle:
            for name, data in annotations("train", 0, scale):
                bundle.writestr(f"train/annos/{name}", data)
                document = json.loads(data)
                for key in (key for key in document if key.startswith("item")):
                    field = next(fields)
                    old = document[key][field]
                    yield json.dumps(
                        {
                            "split": "train", "image_id": int(name[:6]), "item_no": int(key[4:]), "field": field,
                            "old": old, "new": _new_value(field, old), "who": "Ann", "why": "seen in the photo",
                        }
                    )  # fmt: skip

    folder.mkdir(exist_ok=True)
    number = 0
    with (folder / "train.jsonl").open("w") as file:
        for line in lines():
            if number < num_lines:
                file.write(f"{line}\n")
                number += 1
    return number


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the data (kept)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.dest.mkdir(parents=True, exist_ok=True)
    archive, folder = options.dest / "corrected-train.zip", options.dest / "corrections"
    number = write_lines(archive, folder, options.scale, options.lines)
    command = [DF2, "-q", "ingest", "--split", "train", "--no-image-sizes", str(archive)]
    commands = {
        "df2 ingest": [*command, str(options.dest / "registry-raw")],
        "df2 ingest --corrections": [*command, str(options.dest / "registry-corrected"), "--corrections", str(folder)],
    }
    timed = time_in_turn(commands, options.runs, lambda: None)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| command | seconds | largest process, MiB |\n|---|---|---|")
    for name, (seconds, peak) in timed.items():
        print(f"| {name} | {seconds:.2f} | {peak:.0f} |")
    more = timed["df2 ingest --corrections"][0] - timed["df2 ingest"][0]
    print(f"\n{number:,} corrections ({(folder / 'train.jsonl').stat().st_size >> 20} MiB) add {more:.2f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
