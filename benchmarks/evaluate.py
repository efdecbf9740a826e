"""Benchmark of ``df2 evaluate`` beside pycocotools, as ratios within a run.

Ingests a synthetic validation split of full size (:mod:`benchmarks.corpus`), and a twentieth of it for landmarks, for
which pycocotools needs some 35 GB at full size. Generates predictions: 20 and 100 boxes an image, 20 an image with
landmarks in 294 slots. Then times whole processes in turn: ``df2 evaluate``, and pycocotools with ground truth that
``df2 export coco`` wrote. Both print the same AP, which is compared.

Run as ``python -m benchmarks.evaluate [--dest DIR] [--scale 1.0] [--runs 1] [--only TEXT]``. The predictions of full
size take 2.5 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import registry
from benchmarks.corpus import annotations
from benchmarks.ingest import DF2, run
from registry.dataset.deepfashion2 import CATEGORIES, LANDMARK_SLOTS, NUM_LANDMARK_SLOTS

#: The official protocol by pycocotools: ground truth, predictions, kind; prints the AP.
OFFICIAL = f"""
import contextlib, io, json, sys
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
truth, predictions, kind = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO(truth)
    evaluation = COCOeval(coco, coco.loadRes(predictions), kind)
    if kind == "keypoints":
        evaluation.params.kpt_oks_sigmas = np.array({[slot.oks_sigma for slot in LANDMARK_SLOTS]})
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
print(json.dumps(float(np.mean(precision[precision > -1]))))
"""
#: Part of the images that pycocotools can evaluate landmarks of.
PART = 0.05


def make_validation(dest: Path, scale: float) -> Path:
    """Return a registry of validation; ingest it unless it exists."""
    target = dest / f"registry-validation-{scale}"
    if not (target / "manifest.json").exists():
        archive = dest / "validation.zip"
        with zipfile.ZipFile(archive, "w") as bundle:
            for file, data in annotations("validation", 0, scale):
                bundle.writestr(f"validation/annos/{file}", data)
        subprocess.run(
            [DF2, "ingest", "--split", "validation", str(archive), str(target)], check=True, stdout=subprocess.DEVNULL
        )
        archive.unlink()
    return target


def make_truth(folder: Path, *, landmarks: bool) -> Path:
    """Return the ground truth of a registry as COCO; export it unless it exists."""
    export = folder.with_name(f"{folder.name}-coco-{'landmarks' if landmarks else 'boxes'}")
    if not export.exists():
        command = [DF2, "-r", str(folder), "export", "coco", str(export)]
        command += [] if landmarks else ["--landmarks", "none"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return export / "annotations" / "validation.json"


def make_predictions(folder: Path, number: int, *, landmarks: bool) -> Path:
    """Return random predictions, so many an image; write them unless they exist."""
    path = folder.with_name(f"{folder.name}-{'landmarks' if landmarks else 'boxes'}-{number}.json")
    if not path.exists():
        partial = path.with_suffix(".partial")
        with open(partial, "w", encoding="ascii") as file:
            separator = "["
            for record in _records(folder, number, landmarks=landmarks):
                file.write(f"{separator}{record}")
                separator = ",\n"
            file.write("]\n")
        os.replace(partial, path)
    return path


def _records(folder: Path, number: int, *, landmarks: bool) -> Iterator[str]:
    """Yield predictions as JSON: near an item of their image, nearer with a higher score, most in its category."""
    rng = np.random.default_rng(5)
    query = "SELECT image_id, category_id, x1, y1, x2, y2, landmarks FROM items ORDER BY image_id, item_no"
    of_image: dict[int, list[tuple[int, ...]]] = {}
    for image_id, *item in registry.open(str(folder)).sql(query).fetchall():
        of_image.setdefault(image_id, []).append(tuple(item))
    for image_id, items in of_image.items():
        scores = rng.random(number)
        jitter = rng.normal(0, 1, (number, 4)) * (30 * (1 - scores) ** 2)[:, None]
        chosen, is_wrong = rng.integers(len(items), size=number), rng.random(number) < 0.1
        wrong = rng.integers(1, len(CATEGORIES) + 1, number)
        for k in range(number):
            category_id, x1, y1, x2, y2, points = items[chosen[k]]
            predicted = int(wrong[k]) if is_wrong[k] else category_id
            dx, dy, dw, dh = jitter[k]
            box = f"[{x1 + dx:.2f},{y1 + dy:.2f},{max(x2 - x1 + dw, 1):.2f},{max(y2 - y1 + dh, 1):.2f}]"
            more = ""
            if landmarks:
                more = f',"keypoints":[{_slots(rng, predicted, points, float(jitter[k, 0]))}]'
            yield (f'{{"image_id":{image_id},"category_id":{predicted},"score":{scores[k]:.8f},"bbox":{box}{more}}}')


def _slots(rng: np.random.Generator, category_id: int, points: list[int], spread: float) -> str:
    """Return the 294 slots of a prediction, zeros for other categories."""
    category = CATEGORIES[category_id - 1]
    near = np.resize(np.array(points, float).reshape(-1, 3)[:, :2], (category.num_landmarks, 2))
    near = near + rng.normal(0, abs(spread) / 4, near.shape)
    own = ",".join(f"{x:.2f},{y:.2f},1" for x, y in near.tolist())
    before = "0,0,0," * category.landmark_offset
    after = ",0,0,0" * (NUM_LANDMARK_SLOTS - category.landmark_offset - category.num_landmarks)
    return f"{before}{own}{after}"


def measure(name: str, commands: dict[str, list[str]], runs: int) -> None:
    """Run commands in turn and print a row: seconds and MiB of each, and the first's shares of the second's."""
    rows = {key: [run(command) for _ in range(runs)] for key, command in commands.items()}
    cost = {key: (min(seconds for seconds, _ in value), max(peak for _, peak in value)) for key, value in rows.items()}
    seconds, peak = cost["df2"]
    cells = [name, f"{seconds:.1f}", f"{peak:.0f}"]
    if "pycocotools" in cost:
        theirs, their_peak = cost["pycocotools"]
        cells += [f"{theirs:.1f}", f"{their_peak:.0f}", f"1/{theirs / seconds:.1f}", f"{peak / their_peak:.2f}"]
    print(f"| {' | '.join(cells + [''] * (7 - len(cells)))} |", flush=True)


def check_equal(ours: list[str], theirs: list[str]) -> None:
    """Compare the AP of both.

    Raises:
        SystemExit: they differ.
    """
    records = json.loads(subprocess.run(ours, check=True, capture_output=True).stdout)
    official = json.loads(subprocess.run(theirs, check=True, capture_output=True).stdout)
    if abs(records[0]["value"] - official) > 1e-12:
        raise SystemExit(f"AP {records[0]['value']} differs from that of pycocotools, {official}")
    print(f"AP {official:.6f}, the same to 1e-12", file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, default=Path("build/bench"), help="folder of the files (kept)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose name has this text")
    parser.add_argument("--resamples", default="0", help="of the intervals")
    options = parser.parse_args()
    options.dest.mkdir(parents=True, exist_ok=True)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| predictions | df2, s | df2, MiB | pycocotools, s | pycocotools, MiB | time | memory |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for number, task, share, has_official in (
        (20, "boxes", 1.0, True),
        (100, "boxes", 1.0, False),
        (20, "landmarks", PART, True),
        (20, "landmarks", 1.0, False),
    ):
        name = f"{task}, {number} an image" + (f", {share:.0%} of the images" if share < 1 else "")
        if options.only not in name:
            continue
        folder = make_validation(options.dest, options.scale * share)
        predictions = make_predictions(folder, number, landmarks=task == "landmarks")
        command = [DF2, "-r", str(folder), "evaluate", task, str(predictions)]
        commands = {"df2": [*command, "--resamples", options.resamples, "--format", "json"]}
        if has_official:
            truth = make_truth(folder, landmarks=task == "landmarks")
            kind = "keypoints" if task == "landmarks" else "bbox"
            commands["pycocotools"] = [sys.executable, "-c", OFFICIAL, str(truth), str(predictions), kind]
            if options.scale < 1:
                check_equal(*commands.values())
        measure(name, commands, options.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
