"""Benchmark of ``df2 ingest`` from a COCO file, against ``json.load`` of the same file.

Writes the train split of :mod:`benchmarks.corpus` as the official converter writes it, with 882 numbers an annotation,
then times whole processes in turn: ``json.load``, and ``df2 ingest``. The memory of the latter is the sum of the
proportional set sizes (PSS) of all its processes, read twice a second. The file is removed at the end.

Run as ``python -m benchmarks.coco [--dest DIR] [--scale 1.0] [--runs 1]``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.corpus import annotations
from benchmarks.ingest import DF2, run
from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, NUM_LANDMARK_SLOTS

LOAD = "import json, sys; json.load(open(sys.argv[1]))"


@cache
def converted(text: str) -> tuple[str, str]:
    """Return the beginning and the end of the COCO annotation of an item, as JSON around its ids."""
    item = json.loads(text)
    x1, y1, x2, y2 = map(float, item["bounding_box"])
    keypoints = [0.0] * (3 * NUM_LANDMARK_SLOTS)
    first = 3 * CATEGORY_BY_ID[item["category_id"]].landmark_offset
    keypoints[first : first + len(item["landmarks"])] = map(float, item["landmarks"])
    begin = {"area": (x2 - x1) * (y2 - y1), "bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": item["category_id"]}
    num_labelled = sum(v > 0 for v in item["landmarks"][2::3])
    end = {"num_keypoints": num_labelled, "keypoints": keypoints, "segmentation": item["segmentation"]}
    return json.dumps(begin)[:-1], json.dumps(end)[1:]


def write_coco(path: Path, scale: float) -> int:
    """Write the file; return its number of bytes."""
    images = []
    number = 0
    with open(path, "w", encoding="ascii") as file:
        file.write('{"info": {}, "licenses": [], "annotations": [')
        for name, data in annotations("train", 0, scale):
            document = json.loads(data)
            image_id = int(name[:6])
            photo = {"coco_url": "", "date_captured": "", "file_name": f"{name[:6]}.jpg", "flickr_url": ""}
            images.append(photo | {"id": image_id, "license": 0, "width": 468, "height": 624})
            for key, item in document.items():
                if key.startswith("item"):
                    style = item.pop("style")
                    begin, end = converted(json.dumps(item))
                    number += 1
                    ids = f'"id": {number}, "pair_id": {document["pair_id"]}, "image_id": {image_id}, "iscrowd": 0'
                    file.write(f'{", " if number > 1 else ""}{begin}, {ids}, "style": {style}, {end}')
        file.write('], "images": ' + json.dumps(images) + ', "categories": ')
        categories: list[dict[str, Any]] = [{"id": c.id, "name": c.coco_name} for c in CATEGORIES]
        file.write(json.dumps(categories) + "}")
    return path.stat().st_size


def proportional_bytes(pid: int) -> int:
    """Return the proportional set size of a process and its children."""
    total = 0
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(proportional_bytes(int(child)) for child in children.read_text(encoding="ascii").split())
    return total


def run_watched(command: list[str]) -> tuple[float, float]:
    """Run a command; return (wall seconds, peak MiB of all its processes).

    Reading the PSS stops a process, for as long as it has memory: only small ones are measured so.
    """
    start = time.perf_counter()
    peak = 0
    done = threading.Event()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.5):
                peak = max(peak, proportional_bytes(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, errors = process.communicate()
        done.set()
        watcher.join()
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}: {errors[-2000:]}")
    return time.perf_counter() - start, peak / 2**20


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench-coco"), help="folder for the file; removed")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    options.dest.mkdir(parents=True)
    try:
        path = options.dest / "instances.json"
        size = write_coco(path, options.scale)
        print(f"{size / 1e9:.2f} GB\n\n| process | seconds | MiB of all processes |\n|---|---|---|", flush=True)
        issues = str(options.dest / "issues.txt")
        ingest = [DF2, "ingest", "--split", "train", "--issues", issues, str(path), str(options.dest / "registry")]
        for _ in range(options.runs):
            load_seconds, load_peak = run([sys.executable, "-c", LOAD, str(path)])
            print(f"| json.load | {load_seconds:.1f} | {load_peak:.0f} |", flush=True)
            seconds, peak = run_watched(ingest)
            print(f"| df2 ingest | {seconds:.1f} ({seconds / load_seconds:.2f} x) | {peak:.0f} |", flush=True)
    finally:
        shutil.rmtree(options.dest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
