"""Benchmark of ``df2 evaluate retrieval`` and ``df2 evaluate embeddings`` at the size of validation.

Ingests a synthetic validation split (:mod:`benchmarks.corpus`), draws a submission with 20 answers for each consumer
item, right ones among them, and embeddings of 512 half floats. Then times whole processes in turn: the commands, and a
plain port of the official script, which must print the same numbers.

Run as ``python -m benchmarks.evaluate_retrieval [--dest DIR] [--scale 1.0] [--runs 3]``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import registry
from benchmarks.corpus import write_split
from benchmarks.ingest import DF2, time_in_turn
from registry.store.registry import Registry
from tests.evaluation.official_retrieval import official_accuracy

_COLUMNS = "image_id, item_no, source, pair_id, style, category_id, [x1, y1, x2, y2] AS bbox"
_SIZE = 512


def make_registry(dest: Path, scale: float) -> Path:
    """Return a registry of a synthetic validation split; ingest it unless it is there."""
    folder = dest / f"retrieval-{scale}"
    if not (folder / "registry" / "manifest.json").exists():
        write_split(folder, "validation", scale=scale)
        command = [DF2, "ingest", "--split", "validation", str(folder / "validation"), str(folder / "registry")]
        subprocess.run(command, check=True)
    return folder / "registry"


def write_files(opened: Registry, folder: Path) -> None:
    """Write the lists, a submission and embeddings to a folder."""
    items = opened.sql(f"SELECT {_COLUMNS} FROM items ORDER BY image_id, item_order").to_arrow_table().to_pylist()
    users = [item for item in items if item["source"] == "user"]
    shops = [item for item in items if item["source"] == "shop"]
    answered = {(item["pair_id"], item["style"]) for item in shops}
    for item in users:  # the script stops at a query without a right answer; df2 counts it as wrong
        item["style"] *= (item["pair_id"], item["style"]) in answered
    draw = np.random.default_rng(0)
    lists: dict[str, list[dict[str, Any]]] = {"queries": [], "gallery": [], "submission": []}
    for role, name, members in (("query", "queries", users), ("gallery", "gallery", shops)):
        for item in members:
            entry = {name: item[name] for name in ("bbox", "style", "pair_id")}
            lists[name].append({f"{role}_image_id": item["image_id"], **entry, "cls": item["category_id"]})
    right: dict[tuple[int, int], list[int]] = {}
    for k, item in enumerate(shops):
        right.setdefault((item["pair_id"], item["style"]), []).append(k)
    for item in users:
        answers = draw.integers(0, len(shops), 20)
        identity = (item["pair_id"], item["style"])
        if identity in right and draw.random() < 0.6:
            answers[draw.integers(0, 20)] = draw.choice(right[identity])
        lists["submission"].append(
            {
                "query_image_id": item["image_id"],
                "query_bbox": [round(value + draw.normal(0, 5), 2) for value in item["bbox"]],
                "query_cls": item["category_id"],
                "query_score": round(float(draw.random()), 4),
                "gallery_image_id": [shops[k]["image_id"] for k in answers.tolist()],
                "gallery_bbox": [
                    [round(value + draw.normal(0, 3), 2) for value in shops[k]["bbox"]] for k in answers.tolist()
                ],
            }
        )
    for name, records in lists.items():
        (folder / f"{name}.json").write_text(json.dumps(records))
    keys = {name: pa.array([item[name] for item in items], pa.int32()) for name in ("image_id", "item_no")}
    vectors = draw.normal(size=(len(items), _SIZE)).astype(np.float16)
    table = pa.table(
        {
            "split": ["validation"] * len(items),
            **keys,
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), _SIZE),
        }
    )
    pq.write_table(table, folder / "embeddings.parquet", row_group_size=8192)


def official(queries: str, gallery: str, submission: str) -> None:
    """Print the numbers of the plain port."""
    asked, shown, results = (json.loads(Path(path).read_text()) for path in (queries, gallery, submission))
    num_queries = sum(query["style"] > 0 for query in asked)
    print(json.dumps(official_accuracy(asked, shown, results) | {"num_queries": num_queries}))


def main() -> int:
    """Run the benchmark."""
    if sys.argv[1:2] == ["official"]:
        official(*sys.argv[2:])
        return 0
    if sys.argv[1:2] == ["draw"]:
        write_files(registry.open(sys.argv[2]), Path(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the registry (kept)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    folder = make_registry(options.dest, options.scale)
    module = [sys.executable, "-m", "benchmarks.evaluate_retrieval"]
    # In a process of its own, as the peak of a command is at least the memory of its parent.
    subprocess.run([*module, "draw", str(folder), str(folder.parent)], check=True)
    df2 = [DF2, "-q", "-r", str(folder), "evaluate"]
    lists = [str(folder.parent / f"{name}.json") for name in ("queries", "gallery", "submission")]
    commands = {
        "df2 evaluate retrieval": [*df2, "retrieval", lists[2]],
        "df2 evaluate embeddings": [*df2, "embeddings", str(folder.parent / "embeddings.parquet")],
        "plain port of the script": [*module, "official", *lists],
    }
    numbers = {name: subprocess.run(command, check=True, capture_output=True) for name, command in commands.items()}
    scores = json.loads(numbers["df2 evaluate retrieval"].stdout)
    found = {score["metric"]: score["value"] for score in scores if score["slice"] == "all"}
    expected = json.loads(numbers["plain port of the script"].stdout)
    number, num_answerable = scores[0]["num_items"], expected.pop("num_queries")
    hits = {name: (round(found[name] * number), round(expected[name] * num_answerable)) for name in expected}
    assert all(own == others for own, others in hits.values()), hits
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    shown = ", ".join(f"{name} {own:,}" for name, (own, _) in hits.items())
    print(f"{num_answerable:,} queries with a right answer; right by both: {shown}\n")
    print("| command | seconds | peak, MiB |\n|---|---|---|")
    for name, (seconds, peak) in time_in_turn(commands, options.runs, lambda: None).items():
        print(f"| {name} | {seconds:.1f} | {peak:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
