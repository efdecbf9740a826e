"""Benchmark of the loaders: images a second of ``registry.loaders`` beside torchvision's ImageFolder and WebDataset.

Draws a few dozen JPEGs of 468 x 624 px and writes them under many names, with generated annotations, as a folder, a
stored zip, a protected zip (ZipCrypto) and a WebDataset export. Every case decodes whole photos, shuffles, and gives
batches of 32 uint8 tensors to the process that would train. ``Detection`` and ``Shards`` give the items' boxes, too.
The cases take turns in the same run, so that their ratios count: images a second, processor time an image (of the
process and its workers; other programs change it less) and the seconds from the start of an epoch, workers included,
to its first batch; of each the best of the rounds.

Then the memory of one and of eight workers after an epoch, with their parent, as the proportional set size of Linux.

Run as ``python -m benchmarks.loaders [--photos 20000] [--workers 0 2 4] [--rounds 2]`` where torch, torchvision,
simplejpeg and webdataset are installed (``make bench-torch``). Ends with 1 where a case failed or missed photos.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import simplejpeg
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2.functional import pil_to_tensor

from benchmarks.corpus import SPLITS, annotations
from benchmarks.photos import noisy_photo
from registry.loaders import Detection, Shards, collate
from tests.sources.packing import write_zipcrypto

_PASSWORD: Final = "benchmark"
_BATCH: Final = 32
_KINDS: Final = 40
_DF2: Final = "from registry.cli.main import main; main()"
_MEMORY_WORKERS: Final = (1, 8)

#: Returns the loader of a case for a number of workers.
Case = Callable[[int], Any]


def write_releases(folder: Path, num_photos: int) -> None:
    """Write the photos with annotations as a folder, zips and a WebDataset export, and a registry of them."""
    rng = np.random.default_rng(0)
    kinds = [noisy_photo(rng) for _ in range(min(_KINDS, num_photos))]
    members: dict[str, bytes] = {}
    scale = num_photos / SPLITS["train"]["images"]
    for name, data in annotations("train", 0, scale):
        members[f"train/annos/{name}"] = data
        members[f"train/image/{name[:6]}.jpg"] = kinds[int(name[:6]) % len(kinds)]
    for part in ("train/annos", "train/image", "stored", "protected"):
        (folder / part).mkdir(parents=True)
    with zipfile.ZipFile(folder / "stored" / "train.zip", "w") as archive:
        for name, data in members.items():
            (folder / name).write_bytes(data)
            archive.writestr(name, data)
    write_zipcrypto(folder / "protected" / "train.zip", members, _PASSWORD)
    _df2("ingest", "--split", "train", str(folder / "train"), str(folder / "registry"))
    export = ("export", "webdataset", "--shard-size", "512", "--photos", str(folder), str(folder / "shards"))
    _df2("-r", str(folder / "registry"), *export)


def _df2(*words: str) -> None:
    subprocess.run([sys.executable, "-c", _DF2, *words], check=True, capture_output=True)


def load_by_simplejpeg(path: str) -> torch.Tensor:
    """Return the photo of a path as ImageFolder's loader, decoded as ours are."""
    with open(path, "rb") as file:
        return decoded(file.read())


def decoded(data: bytes) -> torch.Tensor:
    """Return a photo's pixels, uint8 (3, height, width)."""
    return torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB")).permute(2, 0, 1)


def first_of(sample: tuple[Any, ...]) -> Any:
    """Return the photo of a sample of WebDataset."""
    return decoded(sample[0])


def tensors_of(sample: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return photo and boxes of a sample of our shards."""
    boxes = [[item[name] for name in ("x1", "y1", "x2", "y2")] for item in sample["items"]]
    return torch.from_numpy(sample["photo"]).permute(2, 0, 1), torch.tensor(boxes)


def cases(folder: Path) -> dict[str, Case]:
    """Return the loader of each case by its name."""
    made: dict[str, Case] = {}
    for name, place in (("folder", ""), ("stored zip", "stored"), ("protected zip", "protected")):
        ours = detection(folder, place)
        made[f"`Detection`, {name}"] = _map_style(ours, collate)
    pillow = ImageFolder(str(folder / "train"), transform=pil_to_tensor, allow_empty=True)
    fast = ImageFolder(str(folder / "train"), loader=load_by_simplejpeg, allow_empty=True)
    made["ImageFolder, Pillow (its own loader)"] = _map_style(pillow, None)
    made["ImageFolder, simplejpeg"] = _map_style(fast, None)
    shards = Shards(str(folder / "shards"), "train", transform=tensors_of)
    made["`Shards`, WebDataset export"] = lambda workers: DataLoader(
        shards, batch_size=_BATCH, num_workers=workers, collate_fn=collate
    )
    if importlib.util.find_spec("webdataset"):
        made["WebDataset, simplejpeg, the same export"] = lambda workers: _webdataset(folder / "shards", workers)
    return made


def detection(folder: Path, place: str) -> Detection:
    """Return our dataset with the photos of a place."""
    return Detection(str(folder / "registry"), photos=str(folder / place), password=_PASSWORD)


def _map_style(dataset: Any, collate_fn: Any) -> Case:
    return lambda workers: DataLoader(
        dataset, batch_size=_BATCH, shuffle=True, num_workers=workers, collate_fn=collate_fn
    )


def _webdataset(folder: Path, workers: int) -> Any:
    webdataset = importlib.import_module("webdataset")
    paths = [str(path) for path in sorted(folder.glob("**/*.tar"))]
    dataset = webdataset.WebDataset(paths, shardshuffle=len(paths), empty_check=False).shuffle(1_000)
    return DataLoader(dataset.to_tuple("jpg").map(first_of), batch_size=_BATCH, num_workers=workers)


def time_epoch(loader: Any) -> tuple[int, float, float, float]:
    """Return the number of images of an epoch, its seconds, those until its first batch, and processor seconds."""
    start, before = time.perf_counter(), sum(os.times()[:4])
    number, first = 0, 0.0
    for batch in loader:
        first = first or time.perf_counter() - start
        number += len(batch if isinstance(batch, torch.Tensor) else batch[0])
    # The workers have ended here, so that their time counts.
    return number, time.perf_counter() - start, first, sum(os.times()[:4]) - before


def time_cases(folder: Path, num_photos: int, workers: list[int], rounds: int) -> bool:
    """Print a table of images a second; return whether every case gave all photos."""
    chosen = cases(folder)
    titles = " | ".join(f"{number} workers" for number in workers)
    print(f"| images a second; processor ms an image; s to the first batch | {titles} |")
    print("|---|" + "---|" * len(workers))
    best: dict[tuple[str, int], tuple[float, float, float]] = {}
    failed: set[tuple[str, int]] = set()
    for number in workers:
        for _ in range(rounds):
            for name, make_loader in chosen.items():
                try:
                    images, seconds, first, processor = time_epoch(make_loader(number))
                except Exception as error:  # noqa: BLE001  # another case may work
                    print(f"{name}, {number} workers: {error!r}", file=sys.stderr)
                    images, seconds, first, processor = 0, 1.0, 0.0, 0.0
                if images != num_photos:
                    failed.add((name, number))
                milliseconds = processor / max(images, 1) * 1e3
                speed, least, soonest = best.get((name, number), (0.0, milliseconds, first))
                best[name, number] = max(speed, images / seconds), min(least, milliseconds), min(soonest, first)
    for name in chosen:
        cells = [
            "failed" if (name, number) in failed else "{:,.0f}; {:.1f}; {:.2f}".format(*best[name, number])
            for number in workers
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    return not failed


def proportional_size(pid: int) -> int:
    """Return the memory of a process in KiB; of pages that several processes share, its part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def print_memory(folder: Path, workers: int) -> None:
    """Print the memory of workers and their parent after an epoch of the stored zip, in MiB."""
    loader = DataLoader(
        detection(folder, "stored"),
        batch_size=1,  # batches on their way are not counted
        shuffle=True,
        num_workers=workers,
        collate_fn=len,
        persistent_workers=True,
    )
    number = sum(loader)
    pids = [worker.pid for worker in loader._iterator._workers]  # type: ignore[union-attr]
    parent, *others = (proportional_size(pid) / 1024 for pid in [os.getpid(), *pids])
    rest = sum(others)
    print(f"| {workers} | {number:,} | {parent:,.0f} | {rest:,.0f} | {parent + rest:,.0f} |")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where a folder for the photos is made and removed again")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    if options.memory:
        print_memory(options.folder, options.memory)
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_releases(folder, options.photos)
        loads = "/".join(f"{load:.1f}" for load in os.getloadavg())
        print(f"{options.photos:,} photos, {os.cpu_count()} cores, load {loads}\n", flush=True)
        succeeded = time_cases(folder, options.photos, options.workers, options.rounds)
        print("\n| workers | photos | parent, MiB | workers, MiB | all, MiB |\n|---|---|---|---|---|", flush=True)
        for workers in _MEMORY_WORKERS:
            words = [sys.executable, "-m", "benchmarks.loaders", "--folder", name, "--memory", str(workers)]
            succeeded = subprocess.run(words, check=False).returncode == 0 and succeeded
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
