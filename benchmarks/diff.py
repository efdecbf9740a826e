"""Benchmark of ``df2 diff`` against pandas, as ratios within a run.

Ingests three synthetic releases of full size (:mod:`benchmarks.corpus`): the original, a release with some thousand
changes, and a release in which all items are changed. Then times whole processes in turn: ``df2 diff``, and a pandas
script that reads all items of both registries and compares them column by column.

Run as ``python -m benchmarks.diff [--dest DIR] [--scale 1.0] [--runs 3]``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.corpus import SPLITS, annotations
from benchmarks.ingest import DF2, time_in_turn

#: The pandas script: counts added, removed and changed items, but not images and pairs.
NAIVE = """
import json, sys
import pandas as pd
key = ["split", "image_id", "item_no"]
old, new = (pd.read_parquet(f"{folder}/items").astype({"split": str, "category_id": int}) for folder in sys.argv[1:3])
both = old.merge(new, on=key, how="outer", suffixes=("_old", "_new"), indicator=True)
common = both[both["_merge"] == "both"]
changed = pd.Series(False, index=common.index)
for name in set(old.columns) - {*key, "item_order", "content_hash"}:
    a, b = common[f"{name}_old"], common[f"{name}_new"]
    if name == "landmarks":
        a, b = a.map(tuple), b.map(tuple)
    elif name == "segmentation":
        a, b = (side.map(lambda polygons: [polygon.tolist() for polygon in polygons]) for side in (a, b))
    changed |= a != b
counts = both["_merge"].value_counts()
print(json.dumps({
    "added": int(counts["right_only"]), "removed": int(counts["left_only"]), "changed": int(changed.sum()),
}))
"""
#: Every EDITED-th file is edited. Every REMOVED-th file is removed and added again at the end under a new name.
EDITED = 100
REMOVED = 750

Edit = Callable[[dict[str, Any]], None]


def _move_box(item: dict[str, Any]) -> None:
    item["bounding_box"][0] += 1


def _see_landmark(item: dict[str, Any]) -> None:
    item["landmarks"][:3] = [7, 7, 2]


def _change_style(item: dict[str, Any]) -> None:
    item["style"] += 1


def _move_point(item: dict[str, Any]) -> None:
    item["segmentation"][0][0] += 0.5


def edited(data: bytes, edit: Edit) -> bytes:
    """Return an annotation file with all items edited."""
    document = json.loads(data)
    for value in document.values():
        if isinstance(value, dict):
            edit(value)
    return json.dumps(document).encode("ascii")


def some_changed(split: str, scale: float) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a split with some files edited, removed or added."""
    edits = cycle((_move_box, _see_landmark, _change_style, _move_point))
    removed: list[bytes] = []
    number = 0
    for number, (name, data) in enumerate(annotations(split, 0, scale), start=1):
        if number % REMOVED == 0:
            removed.append(data)
        else:
            yield name, edited(data, next(edits)) if number % EDITED == 1 else data
    for added, data in enumerate(removed, start=number + 1):
        yield f"{added:06d}.json", data


def all_changed(split: str, scale: float) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a split with all items edited."""
    for name, data in annotations(split, 0, scale):
        yield name, edited(data, _move_box)


def make_registry(
    dest: Path, name: str, files: Callable[[str, float], Iterator[tuple[str, bytes]]], scale: float
) -> str:
    """Return the path of a registry of both splits; ingest it unless it exists.

    Args:
        dest: parent folder of the registry.
        name: name of the release.
        files: yields (file name, bytes) of a split at a scale.
        scale: share of the full size.
    """
    target = dest / f"registry-{name}"
    if not (target / "manifest.json").exists():
        for split in SPLITS:
            archive = dest / f"{name}-{split}.zip"
            with zipfile.ZipFile(archive, "w") as bundle:
                for file, data in files(split, scale):
                    bundle.writestr(f"{split}/annos/{file}", data)
            command = [DF2, "ingest", "--split", split, str(archive), str(target)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            archive.unlink()
    return str(target)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the registries (kept)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.dest.mkdir(parents=True, exist_ok=True)
    releases = {"as-it-is": lambda split, scale: annotations(split, 0, scale), "some": some_changed, "all": all_changed}
    base, some, every = (make_registry(options.dest, name, files, options.scale) for name, files in releases.items())

    def diff(*arguments: str) -> list[str]:
        # df2 diff exits with 1 if there are differences.
        return ["sh", "-c", f"{shlex.join([DF2, 'diff', base, *arguments])} || test $? = 1"]

    naive = [sys.executable, "-c", NAIVE, base]
    commands = {
        "pandas": [*naive, some],
        "df2 diff": diff(some),
        "df2 diff --rows": diff(some, "--rows"),
        "df2 diff --category skirt --paired": diff(some, "--category", "skirt", "--paired"),
        "df2 diff, nothing changed": diff(base),
        "pandas, all items changed": [*naive, every],
        "df2 diff, all items changed": diff(every),
        "df2 diff --rows, all items changed": diff(every, "--rows"),
    }
    against = {
        "df2 diff": "pandas",
        "df2 diff --rows": "pandas",
        "df2 diff, all items changed": "pandas, all items changed",
    }
    timed = time_in_turn(commands, options.runs, lambda: None)
    by_pandas, by_df2 = (json.loads(subprocess.check_output(commands[name])) for name in ("pandas", "df2 diff"))
    same = by_pandas == by_df2["items"]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| command | seconds | largest process, MiB | against | ratio |\n|---|---|---|---|---|")
    for name, (seconds, peak) in timed.items():
        baseline = against.get(name)
        ratio = f"{timed[baseline][0] / seconds:.1f} x as fast" if baseline else ""
        print(f"| {name} | {seconds:.2f} | {peak:.0f} | {baseline or ''} | {ratio} |")
    print(f"\n{json.dumps(by_df2)}; both count the same items: {same}.")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
