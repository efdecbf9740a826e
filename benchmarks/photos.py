"""Benchmark of the table photos: processor time a photo, and the pairs of similar photos at full size.

Draws noisy photos of 468 x 624 px and some 55 KB into a folder, times reading and measuring them in one process, and
what 'df2 photos describe' takes in all with its processes, first and again. Then finds the near duplicates among
hashes as many as the release has photos: half of smooth pictures, half of shapes on a plain background, a twentieth
copied with up to six bits changed, and thousands with the same hash.

Run as ``python -m benchmarks.photos [--photos 2000] [--hashes 224114]``.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from PIL import Image

from registry.dataset.views import load_views
from registry.ingest.photo_measures import measure_photo


def noisy_photo(rng: np.random.Generator) -> bytes:
    """Return a JPEG of 468 x 624 px with coarse shapes and noise, of some 55 KB."""
    coarse = Image.fromarray(rng.integers(0, 256, (10, 8, 3), dtype=np.uint8)).resize(
        (468, 624), Image.Resampling.BICUBIC
    )
    pixels = np.asarray(coarse).astype(int) + rng.normal(0, 5, (624, 468, 1)).astype(int)
    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=84)
    return out.getvalue()


def hashes(rng: np.random.Generator, number: int) -> np.ndarray:
    """Return difference hashes as int64: of smooth pictures and of shapes on a plain background, with many alike."""
    y, x = np.mgrid[0:8, 0:9]
    waves = [(i, j) for i in range(4) for j in range(4) if i or j]
    values = rng.normal(128, 3, (number, 8, 9))
    for i, j in waves:
        size = rng.normal(0, 40, (number, 1, 1)) / (i * i + j * j) ** 0.75
        values += size * np.cos(np.pi * i * (y + 0.5) / 8) * np.cos(np.pi * j * (x + 0.5) / 9)
    half = number // 2
    radius_x, radius_y = rng.uniform(1.2, 3.2, (half, 1, 1)), rng.uniform(2.2, 4.2, (half, 1, 1))
    inside = ((y - 3.5) / radius_y) ** 2 + ((x - 4) / radius_x) ** 2 < 1
    values[:half] = np.where(inside, values[:half].clip(0, 250), 255)
    values = np.round(values)
    bits = (values[:, :, 1:] > values[:, :, :-1]).reshape(number, 64)
    for row in rng.permutation(number)[: number // 20]:
        bits[row] = bits[rng.integers(number)]
        bits[row, rng.permutation(64)[: rng.integers(7)]] ^= True
    bits[rng.permutation(number)[: number // 75]] = False
    packed: np.ndarray = np.packbits(bits, axis=1).view(">i8").ravel().astype(np.int64)
    return packed


def time_describe(folder: Path) -> None:
    """Ingest photos with annotations of nothing, and print what describing them takes."""
    df2 = str(Path(sys.executable).with_name("df2"))
    target = str(folder / "registry")
    subprocess.run([df2, "ingest", "--split", "test", str(folder / "test"), target], check=True, cwd=folder)
    for title in ("all photos", "no photo changed"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        command = [df2, "-r", target, "photos", "describe", "--photos", str(folder / "test")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"df2 photos describe, {title}: {time.perf_counter() - start:.1f} s, processor {processor:.1f} s")


def time_pairs(number: int) -> None:
    """Print what finding the similar photos among many hashes takes."""
    rng = np.random.default_rng(0)
    image_ids = np.arange(1, number + 1)
    splits = np.array(["train", "train", "train", "train", "train", "validation", "test"])[image_ids % 7]
    rows = {"split": splits, "image_id": image_ids, "sha256": image_ids.astype(str), "dhash": hashes(rng, number)}
    photos = pa.table(rows)
    images = photos.select(["split", "image_id"])
    images = images.append_column("source", pa.array([("user", "shop")[k % 2] for k in range(number)]))
    images = images.append_column("pair_id", pa.array(image_ids // 12))
    with duckdb.connect() as connection:
        connection.register("photos", photos)
        connection.register("images", images)
        start, processor = time.perf_counter(), time.process_time()
        query = f"SELECT kind, count(*) FROM ({load_views()['similar_photos'].sql}) GROUP BY kind ORDER BY kind"
        counts = dict(connection.execute(query).fetchall())
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{number:,} hashes: {seconds:.1f} s, processor {processor:.1f} s, peak {peak:,} MiB, pairs {counts}")


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=2_000)
    parser.add_argument("--hashes", type=int, default=224_114)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test" / "image").mkdir(parents=True)
        photos = [noisy_photo(rng) for _ in range(min(arguments.photos, 200))]
        for number in range(arguments.photos):
            (folder / "test" / "image" / f"{number + 1:06d}.jpg").write_bytes(photos[number % len(photos)])
        measure_photo(photos[0])
        start = time.process_time()
        for photo in photos:
            measure_photo(photo)
        milliseconds = (time.process_time() - start) / len(photos) * 1e3
        size = sum(map(len, photos)) / len(photos)
        print(f"{os.cpu_count()} cores; measuring a photo of {size:,.0f} bytes: processor {milliseconds:.2f} ms")
        time_describe(folder)
    time_pairs(arguments.hashes)


if __name__ == "__main__":
    main()
