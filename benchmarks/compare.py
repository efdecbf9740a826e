"""Benchmark of one checkout against another: ratios of the time of ``df2 ingest`` and ``df2 export``.

Both checkouts read the same synthetic release (:mod:`benchmarks.corpus`): train without photos, validation with them.
Each ingests into a registry of its own, as tables may differ, and exports from it. Whole processes run in turn, and
every other round in the opposite order, so that noise affects both. A row has the median of the wall time with the
median of the rounds' ratios, and the least processor time, to which other work on the machine can only add. A DEST in
memory (/dev/shm) takes the disk out of it.

Run as ``python -m benchmarks.compare BASE [CHANGED] [--dest DIR] [--scale 0.15] [--runs 5] [--only TEXT]``, where BASE
and CHANGED are folders of checkouts, such as one made by ``git worktree add --detach BASE COMMIT``. Both run with the
Python and the packages of this environment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.corpus import write_split
from benchmarks.export import write_photos

#: Runs the command of the checkout that is the working directory.
DF2 = [sys.executable, "-c", "import sys; from registry.cli.main import main; sys.exit(main())"]


class Cost(NamedTuple):
    """What a process cost, with its children: seconds of wall time and of processor time."""

    wall: float
    processor: float


def write_release(dest: Path, scale: float, kilobytes: int) -> None:
    """Write both splits, the photos of validation, and validation as a zip with photos, unless they exist."""
    for split in ("train", "validation"):
        write_split(dest, split, scale=scale)
    write_photos(dest / "validation", kilobytes)
    archive = dest / "photos" / "validation.zip"
    if not archive.exists():
        archive.parent.mkdir(exist_ok=True)
        partial = archive.with_suffix(".partial")
        with zipfile.ZipFile(partial, "w") as bundle:
            for path in sorted((dest / "validation").rglob("*.*")):
                bundle.write(path, f"validation/{path.relative_to(dest / 'validation')}")
        os.replace(partial, archive)


def commands(dest: Path, out: Path) -> dict[str, list[str]]:
    """Return the arguments of df2 by name, in an order in which a registry exists before it is exported.

    Args:
        dest: folder of the release.
        out: folder of the checkout's registry and exports.
    """
    target = str(out / "registry")

    def ingest(split: str, source: Path) -> list[str]:
        return ["ingest", "--split", split, str(source), target]

    def export(format: str, *more: str) -> list[str]:
        return ["-r", target, "export", format, str(out / "export"), *more]

    photos = ["--split", "validation", "--photos", str(dest), "--images"]
    return {
        "ingest train, folder": ingest("train", dest / "train"),
        "ingest train, zip": ingest("train", dest / "train.zip"),
        "ingest validation, zip with photos": ingest("validation", dest / "photos" / "validation.zip"),
        "ingest validation, folder with photos": ingest("validation", dest / "validation"),
        "export coco": export("coco"),
        "export coco-per-category": export("coco-per-category"),
        "export jsonl": export("jsonl"),
        "export yolo, linked photos": export("yolo", *photos, "link"),
        "export webdataset": export("webdataset", *photos, "copy"),
    }


def run(arguments: list[str], checkout: Path, bytecode: Path) -> Cost:
    """Run df2 of a checkout and return its cost.

    Args:
        arguments: arguments of df2.
        checkout: working directory, whose code runs.
        bytecode: folder of Python's bytecode. Without it a checkout that has some would start earlier than the other.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    start = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*DF2, *arguments], cwd=checkout, env=environment, stdout=subprocess.DEVNULL, stderr=errors
        ) as process,
    ):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{checkout}: df2 {' '.join(arguments)} ended with {process.returncode}: {errors.read()}")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)


def compare(checkouts: dict[str, Path], dest: Path, runs: int, only: str) -> None:
    """Print a row for each command."""
    outs = {name: dest / f"compare-{name}" for name in checkouts}
    for out in outs.values():
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
    by_checkout = {name: commands(dest, outs[name]) for name in checkouts}
    print("| df2 | base, s | changed, s | ratio | base, least processor s | changed | ratio |")
    print("|---|---|---|---|---|---|---|")
    for command in by_checkout["base"]:
        is_timed = only in command
        # Exports need the registry, so every ingestion runs at least once; a first round is not counted.
        rounds = 1 + runs if is_timed else int(command.startswith("ingest"))
        costs: dict[str, list[Cost]] = {name: [] for name in checkouts}
        for number in range(rounds):
            for name in sorted(checkouts, reverse=bool(number % 2)):
                shutil.rmtree(outs[name] / "export", ignore_errors=True)
                os.sync()
                cost = run(by_checkout[name][command], checkouts[name], dest / "bytecode")
                if number:
                    costs[name].append(cost)
        if is_timed:
            print(_row(command, costs["base"], costs["changed"]), flush=True)
    for out in outs.values():
        shutil.rmtree(out)


def _row(command: str, base: list[Cost], changed: list[Cost]) -> str:
    wall = [statistics.median(cost.wall for cost in costs) for costs in (base, changed)]
    ratio = statistics.median(new.wall / old.wall for old, new in zip(base, changed, strict=True))
    least = [min(cost.processor for cost in costs) for costs in (base, changed)]
    cells = [*(f"{seconds:.2f}" for seconds in wall), f"{ratio:.3f}"]
    cells += [*(f"{seconds:.2f}" for seconds in least), f"{least[1] / least[0]:.3f}"]
    return f"| {' | '.join([command, *cells])} |"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=Path, help="folder of the checkout to compare against")
    parser.add_argument(
        "changed", type=Path, nargs="?", default=Path(), help="folder of the other; by default this one"
    )
    parser.add_argument("--dest", type=Path, default=Path("build/bench-compare"), help="folder of the release (kept)")
    parser.add_argument(
        "--scale", type=float, default=0.15, help="share of the full size; another one needs another DIR"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--photo-kb", type=int, default=20, help="size of a photo")
    parser.add_argument("--only", default="", help="time only commands whose name has this text in it")
    options = parser.parse_args()
    checkouts = {"base": options.base.resolve(), "changed": options.changed.resolve()}
    for folder in checkouts.values():
        if not (folder / "registry" / "cli" / "main.py").is_file():
            parser.error(f"{folder} is no checkout: it has no registry/cli/main.py")
    dest = options.dest.resolve()
    dest.mkdir(parents=True, exist_ok=True)
    write_release(dest, options.scale, options.photo_kb)
    compare(checkouts, dest, options.runs, options.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
