"""Benchmark of similar items: ``df2 similar`` (cold) and ``registry.similar`` (warm), beside a flat index of faiss.

Draws 512 half floats for each item of a registry (``python -m benchmarks.corpus`` and ``df2 ingest`` make one of full
size). Each case runs in a process of its own; seconds are wall time, with the processor time beside them, which other
programs on the machine change less.

Run as ``python -m benchmarks.similar REGISTRY [--runs 5]``; faiss is measured where it is installed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import registry

_SIZE = 512
_NUMBER = 20
_BLOCK = 8192
_DF2 = "from registry.cli.main import main; main()"


def write_vectors(url: str, path: Path) -> int:
    """Write a vector of length 1 for each item to a Parquet file; return their number."""
    query = "SELECT split, image_id, item_no FROM items ORDER BY split, image_id, item_no"
    keys = registry.open(url).sql(query).to_arrow_table()
    vectors = np.empty((keys.num_rows, _SIZE), np.float16)
    draw = np.random.default_rng(0)
    for start in range(0, keys.num_rows, _BLOCK):
        block = draw.normal(size=(min(_BLOCK, keys.num_rows - start), _SIZE)).astype(np.float32)
        vectors[start : start + _BLOCK] = block / np.linalg.norm(block, axis=1)[:, None]
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), _SIZE)
    encoding = {"vector.list.element": "BYTE_STREAM_SPLIT"}
    table = keys.append_column("vector", lists)
    pq.write_table(
        table, path, row_group_size=_BLOCK, use_dictionary=["split"], column_encoding=encoding, compression="zstd"
    )
    return keys.num_rows


def time_warm(url: str, path: str, runs: int) -> dict[str, Any]:
    """Return the seconds of ``registry.similar``: the first call, and the median of the next, also in a subset."""
    opened = registry.open(url)
    results: dict[str, Any] = {}
    for name, subset in (("all", {}), ("category skirt", {"category": "skirt"})):
        seconds = []
        for _ in range(runs + 1):
            start, cpu = time.perf_counter(), time.process_time()
            registry.similar(opened, "train", 1, 1, _NUMBER, subset=subset, embeddings=path)
            seconds.append((time.perf_counter() - start, time.process_time() - cpu))
        results[f"registry.similar, {name}: first call"] = seconds[0]
        results[f"registry.similar, {name}: later calls"] = _medians(seconds[1:])
    return results


def time_faiss(path: str, runs: int) -> dict[str, Any]:
    """Return the seconds of faiss: a flat index of float16 and of float32, made, and asked for one vector."""
    faiss = importlib.import_module("faiss")
    vectors = pq.read_table(path, columns=["vector"]).column(0).combine_chunks().flatten()
    array = vectors.to_numpy(zero_copy_only=False).reshape(-1, _SIZE)
    results: dict[str, Any] = {}
    for name in ("float16", "float32"):
        start, cpu = time.perf_counter(), time.process_time()
        if name == "float32":
            index = faiss.IndexFlatIP(_SIZE)
        else:
            index = faiss.IndexScalarQuantizer(_SIZE, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for begin in range(0, len(array), _BLOCK):
            block = np.ascontiguousarray(array[begin : begin + _BLOCK], np.float32)
            if not index.is_trained:
                index.train(block)
            index.add(block)
        results[f"faiss, flat {name}: making the index"] = (time.perf_counter() - start, time.process_time() - cpu)
        seconds = []
        for number in range(runs):
            start, cpu = time.perf_counter(), time.process_time()
            index.search(array[number : number + 1].astype(np.float32), _NUMBER)
            seconds.append((time.perf_counter() - start, time.process_time() - cpu))
        results[f"faiss, flat {name}: one query"] = _medians(seconds)
        del index
    return results


def time_cold(url: str, path: str, runs: int, *options: str) -> tuple[float, float, int]:
    """Return the median wall and processor seconds of ``df2 similar``, and its most memory in KiB."""
    words = [sys.executable, "-c", _DF2, "-r", url, "similar", "train", "1", "1", "--embeddings", path]
    seconds, most = [], 0
    for _ in range(runs):
        start, before = time.perf_counter(), os.times()
        process = subprocess.Popen([*words, *options], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit("df2 similar failed")
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        seconds.append((time.perf_counter() - start, cpu))
        most = max(most, usage.ru_maxrss)
    return (*_medians(seconds), most)


def _medians(seconds: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(wall for wall, _ in seconds), statistics.median(cpu for _, cpu in seconds)


def _apart(case: str, url: str, path: str, runs: int) -> dict[str, Any]:
    """Return the results of a case that runs in a process of its own, with its most memory."""
    words = [sys.executable, "-m", "benchmarks.similar", url, "--case", case, "--vectors", path, "--runs", str(runs)]
    results: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return results


def main() -> None:
    """Print a table of seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("registry")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--case", choices=["write", "warm", "faiss"], help=argparse.SUPPRESS)
    parser.add_argument("--vectors", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case == "write":
        print(json.dumps({"number": [write_vectors(options.registry, Path(options.vectors))]}))
        return
    if options.case:
        made = (
            time_warm(options.registry, options.vectors, options.runs)
            if options.case == "warm"
            else time_faiss(options.vectors, options.runs)
        )
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({name: (*seconds, most) for name, seconds in made.items()}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "vectors.parquet"))
        # A process's most memory counts that of the process that began it: this one stays small.
        (number, *_) = _apart("write", options.registry, path, options.runs)["number"]
        rows = {"df2 similar": time_cold(options.registry, path, options.runs)}
        rows["df2 similar --category skirt"] = time_cold(options.registry, path, options.runs, "--category", "skirt")
        rows |= _apart("warm", options.registry, path, options.runs)
        if importlib.util.find_spec("faiss"):
            rows |= _apart("faiss", options.registry, path, options.runs)
        print(f"{number:,} vectors of {_SIZE} half floats, {os.path.getsize(path) / 1e6:,.0f} MB\n")
        print("| case | s | processor, s | MiB |\n|---|---|---|---|")
        for name, (wall, cpu, most) in rows.items():
            print(f"| {name} | {wall:.2f} | {cpu:.2f} | {most / 1024:,.0f} |")


if __name__ == "__main__":
    main()
