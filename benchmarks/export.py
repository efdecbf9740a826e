"""Benchmark of ``df2 export``, as ratios within a run.

Ingests a synthetic release of full size (:mod:`benchmarks.corpus`) with photos for validation, then times whole
processes in turn: ``df2 export coco`` against a straightforward conversion (:mod:`benchmarks.naive_coco`), also for a
subset; ``yolo`` and ``deepfashion2`` against creating the same number of empty files; ``webdataset`` against copying
the photos.

Run as ``python -m benchmarks.export [--dest DIR] [--scale 1.0] [--runs 3] [--photo-kb 50]``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import random
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

from benchmarks.corpus import write_split
from benchmarks.ingest import DF2, time_in_turn

EMPTY_FILES = """
import os, sys
os.makedirs(sys.argv[1])
for number in range(int(sys.argv[2])):
    open(f"{sys.argv[1]}/{number:06d}.txt", "wb").close()
"""
COPY_FILES = """
import os, shutil, sys
os.makedirs(sys.argv[2])
for name in os.listdir(sys.argv[1]):
    shutil.copyfile(f"{sys.argv[1]}/{name}", f"{sys.argv[2]}/{name}")
"""


def write_photos(folder: Path, kilobytes: int) -> None:
    """Write a photo of about ``kilobytes`` for each annotation of a split, unless they exist; 8 images in rotation."""
    names = sorted(path.stem for path in (folder / "annos").iterdir())
    photos = folder / "image"
    if photos.exists() and len(list(photos.iterdir())) == len(names):
        return
    photos.mkdir(exist_ok=True)
    jpegs = []
    for seed in range(8):
        # The JPEG quality is raised until the file has the size.
        image = Image.frombytes("L", (468, 624), random.Random(seed).randbytes(468 * 624)).convert("RGB")
        for quality in range(5, 96, 3):
            out = io.BytesIO()
            image.save(out, "JPEG", quality=quality)
            if out.tell() > 1000 * kilobytes:
                break
        jpegs.append(out.getvalue())
    for number, name in enumerate(names):
        (photos / f"{name}.jpg").write_bytes(jpegs[number % len(jpegs)])


def make_registry(dest: Path) -> None:
    """Ingest both splits, unless the registry exists and is newer than the photos."""
    target = dest / "registry-with-photos"
    if (
        not (target / "manifest.json").exists()
        or target.stat().st_mtime < (dest / "validation" / "image").stat().st_mtime
    ):
        for split in ("train", "validation"):
            command = [DF2, "ingest", "--split", split, str(dest / split), str(target)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the release (kept)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--photo-kb", type=int, default=50, help="size of a photo")
    options = parser.parse_args()
    dest = options.dest
    for split in ("train", "validation"):
        write_split(dest, split, scale=options.scale)
    write_photos(dest / "validation", options.photo_kb)
    make_registry(dest)
    out = dest / "exports"
    number = len(list((dest / "validation" / "annos").iterdir()))
    photos = str(dest / "validation" / "image")

    def export(format: str, name: str, *more: str) -> list[str]:
        target = str(dest / "registry-with-photos")
        return [DF2, "-r", target, "export", format, str(out / name), "--split", "validation", *more]

    skirts = ["--category", "skirt", "--occlusion", "1"]
    naive = [sys.executable, "-m", "benchmarks.naive_coco", str(dest / "validation")]
    train = [DF2, "-r", str(dest / "registry-with-photos"), "export", "coco", str(out / "train"), "--split", "train"]
    commands = {
        "naive conversion": [*naive, str(out / "naive.json")],
        "df2 export coco": export("coco", "coco"),
        "naive conversion, then a filter for skirts": [*naive, str(out / "naive-skirts.json"), "--skirts"],
        "df2 export coco, skirts": export("coco", "skirts", *skirts),
        "df2 export coco, train": train,
        "empty files": [sys.executable, "-c", EMPTY_FILES, str(out / "empty"), str(number)],
        "df2 export deepfashion2": export("deepfashion2", "deepfashion2"),
        "df2 export yolo (detect)": export("yolo", "yolo"),
        "df2 export yolo (segment)": export("yolo", "segment", "--task", "segment"),
        "df2 export yolo (pose)": export("yolo", "pose", "--task", "pose"),
        "copy of the photos": [sys.executable, "-c", COPY_FILES, photos, str(out / "copy")],
        "df2 export webdataset": export("webdataset", "wds", "--images", "copy", "--photos", str(dest)),
    }
    against = {
        "df2 export coco": "naive conversion",
        "df2 export coco, skirts": "naive conversion, then a filter for skirts",
        "df2 export webdataset": "copy of the photos",
    } | dict.fromkeys([name for name in commands if "yolo" in name or "deepfashion2" in name], "empty files")

    def prepare() -> None:
        """Remove the exports of the last round, and flush writes."""
        if len(list(out.iterdir()) if out.exists() else []) >= len(commands):
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        os.sync()

    shutil.rmtree(out, ignore_errors=True)
    timed = time_in_turn(commands, options.runs, prepare)
    with open(out / "naive.json", encoding="ascii") as first, open(out / "coco/annotations/validation.json") as second:
        same = json.load(first) == json.load(second)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {number:,} annotations\n")
    print("| command | seconds | largest process, MiB | against | ratio |\n|---|---|---|---|---|")
    for name, (seconds, peak) in timed.items():
        base = against.get(name)
        ratio = f"{timed[base][0] / seconds:.1f} x as fast" if base and timed[base][0] > seconds else ""
        ratio = ratio or (f"{seconds / timed[base][0]:.2f} x the time" if base else "")
        print(f"| {name} | {seconds:.2f} | {peak:.0f} | {base or ''} | {ratio} |")
    print(f"\nBoth conversions give the same values: {same}.")
    shutil.rmtree(out)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
