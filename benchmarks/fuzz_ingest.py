"""Fuzzers of ingestion with malformed input, seeded, in two processes.

``decoder`` mutates annotations. The fast decoder and the checker have to accept the same files, with the values that
json reads, and must not crash. ``archives`` mutates zip, tar and tar.gz files and ingests them with both values of
``on_error``. An ingestion has to end with a registry or a ``RegistryError``, within limits of memory and time.

Run as ``python -m benchmarks.fuzz_ingest decoder|archives [--count N] [--seed S]``.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import multiprocessing
import random
import resource
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from registry.dataset.deepfashion2 import CATEGORIES
from registry.errors import RegistryError
from registry.ingest.build import ingest
from registry.ingest.decode import RawFile, decode_annotations
from registry.ingest.diagnose import check_annotation

COUNTS = {"decoder": 1_000_000, "archives": 20_000}
#: Address space in bytes that ingestions may add to that of the process.
MEMORY = 1 << 30
#: Bytes that mutations insert into JSON.
WORDS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"null", b"true", b"NaN", b"-Infinity", b"1e400", b"-0", b"-1", b"1.0",
    b"0.5", b"9007199254740992", b"2147483648", b"123456789012345678901234567890", b"\\u0000", b"\\ud800", b"\xff",
    b"\xef\xbb\xbf", b"item1", b"item2", b'"source"', b'"user"', b'"pair_id": 1, ', b'"style": 1, ', b" ", b"\n", b"\0",
    b"[" * 300, b"{}",
)  # fmt: skip
#: Wrong values of fields in tar headers, and of numbers in zip headers.
FIELDS = (b"\x80" + b"\xff" * 11, b"\xff" * 12, b"77777777777\0", b"x", b"L", b"S", b"g", b"K", b"2")
NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


def annotation(rng: random.Random) -> bytes:
    """Return a valid annotation."""
    document: dict[str, object] = {"source": rng.choice(["user", "shop"]), "pair_id": rng.randrange(9)}
    for number in range(1, rng.randint(2, 3)):
        category = rng.choice(CATEGORIES)
        document[f"item{number}"] = {
            "segmentation": [[rng.choice([rng.randrange(500), rng.random() * 500]) for _ in range(6)]],
            "scale": 1, "viewpoint": 2, "zoom_in": 3, "landmarks": [1, 2, rng.randrange(3)] * category.num_landmarks,
            "style": rng.randrange(5), "bounding_box": [1, 2.5, 30, 40], "category_id": category.id, "occlusion": 1,
            "category_name": category.name,
        }  # fmt: skip
    return json.dumps(document).encode()


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Return data with up to three ranges replaced, removed, repeated or inserted."""
    out = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        start, end = sorted(rng.choices(range(len(out) + 1), k=2))
        end = min(end, start + rng.choice([1, 2, 4, 40]))
        change = rng.randrange(5)
        if change == 0:
            out[start:end] = rng.choice(WORDS)
        elif change == 1:
            del out[start:end]
        elif change == 2:
            out[start:start] = out[start:end]
        elif change == 3 and start < len(out):
            out[start] = rng.randrange(256)
        else:
            out[start:start] = rng.choice(WORDS)
    return bytes(out)


def fuzz_decoder(seed: int, count: int) -> collections.Counter[str]:
    """Return the numbers of mutated annotations that were accepted and refused.

    Raises:
        SystemExit: the decoder disagrees with the checker or with json.
    """
    rng = random.Random(f"decoder {seed}")
    counts: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        data = mutated(rng, annotation(rng))
        columns, issues = decode_annotations([RawFile(1, "x", data)])
        checked = check_annotation(data, "x")
        if bool(issues) != bool(checked) or any("decoder refused" in str(issue) for issue in issues.get(0, [])):
            raise SystemExit(f"The decoder and check_annotation disagree on {data!r}: {issues}, {checked}")
        if not issues:
            document = json.loads(data)
            items = [document[key] for key in columns.item_keys]
            same = columns.sources == [document["source"]] and columns.pair_ids == [document["pair_id"]]
            for item, read in zip(columns.items, items, strict=True):
                values = {name: getattr(item, name) for name in read}
                same = same and {**values, "bounding_box": list(item.bounding_box)} == read
            if not same:
                raise SystemExit(f"The decoder and json disagree on {data!r}")
        counts["refused" if issues else "accepted"] += 1
    return counts


def archive(rng: random.Random) -> tuple[str, bytes]:
    """Return the suffix and the bytes of a valid archive."""
    members = {f"train/annos/{k:06d}.json": annotation(rng) for k in range(1, rng.randint(2, 4))}
    members["train/image/000001.jpg"] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x05\0\0\0\x06" + bytes(30)
    suffix, out = rng.choice([".zip", ".tar", ".tar.gz"]), io.BytesIO()
    if suffix == ".zip":
        method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
        with zipfile.ZipFile(out, "w", method) as packed:
            for name, data in members.items():
                with packed.open(zipfile.ZipInfo(name), "w", force_zip64=rng.random() < 0.3) as file:
                    file.write(data)
        return suffix, out.getvalue()
    form = rng.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(fileobj=out, mode="w", format=form) as packed_tar:
        for name, data in members.items():
            info = tarfile.TarInfo(rng.choice(["", "", "d" * 120 + "/"]) + name)
            info.size = len(data)
            if form == tarfile.PAX_FORMAT and rng.random() < 0.5:
                info.pax_headers = {rng.choice(["size", "path", "GNU.sparse.major", "GNU.sparse.map"]): rng.choice(
                    ["1", "-1", "x", str(2**70), "../x", "1,2,3"]
                )}  # fmt: skip
            packed_tar.addfile(info, io.BytesIO(data))
    return suffix, out.getvalue()


def corrupted(rng: random.Random, suffix: str, data: bytes) -> bytes:
    """Return an archive with wrong values in its headers, sometimes truncated or with a flipped bit."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        if suffix == ".zip":
            signatures = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
            headers = [position for signature in signatures for position in _positions(out, signature)]
            start = rng.choice(headers or [0]) + rng.randrange(50)
            size = rng.choice([1, 2, 4, 8])
            out[start : start + size] = (rng.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        else:
            start = 512 * rng.randrange(max(1, len(out) // 512))
            offset, size = rng.choice([(0, 100), (100, 8), (124, 12), (156, 1), (257, 8), (345, 155)])
            value = rng.choice(FIELDS)[:size]
            out[start + offset : start + offset + len(value)] = value
            header = out[start : start + 512]
            if len(header) == 512 and rng.random() < 0.8:
                # A correct checksum, so that readers use the header.
                header[148:156] = b" " * 8
                out[start + 148 : start + 156] = f"{sum(header):06o}\0 ".encode()
    if rng.random() < 0.2:
        del out[rng.randrange(len(out)) :]
    if rng.random() < 0.2 and out:
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _positions(data: bytearray, signature: bytes) -> list[int]:
    """Return all positions of a signature."""
    positions, position = [], data.find(signature)
    while position >= 0:
        positions.append(position)
        position = data.find(signature, position + 1)
    return positions


def fuzz_archives(seed: int, count: int) -> collections.Counter[str]:
    """Return the numbers of ingestions that ended with a registry and with each class of ``RegistryError``.

    Any other exception is raised, after writing the archive to the working directory.

    Raises:
        SystemExit: an ingestion took over 20 s.
    """
    rng = random.Random(f"archives {seed}")
    counts: collections.Counter[str] = collections.Counter()
    folder = Path(tempfile.mkdtemp(prefix="df2-fuzz-"))
    try:
        for number in range(count):
            suffix, data = archive(rng)
            data = corrupted(rng, suffix, data)
            if suffix == ".tar.gz":
                data = zlib.compress(data, 1, wbits=31)
                data = corrupted(rng, ".zip", data) if rng.random() < 0.1 else data
            path = folder / f"train{suffix}"
            path.write_bytes(data)
            for on_error in ("fail", "quarantine"):
                started = time.monotonic()
                try:
                    ingest("train", str(path), str(folder / "r"), jobs=1, on_error=on_error)  # type: ignore[arg-type]
                    counts["a registry"] += 1
                except RegistryError as error:
                    counts[type(error).__name__] += 1
                except BaseException:
                    Path(f"fuzz-crash-{seed}-{number}{suffix}").write_bytes(data)
                    raise
                if time.monotonic() - started > 20:
                    raise SystemExit(f"An ingestion took over 20 s: seed {seed}, number {number}")
            path.unlink()
            if number == 0:
                _limit_memory()  # after all libraries are loaded
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return counts


def _limit_memory() -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():
        limit = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


FUZZERS: dict[str, Callable[[int, int], collections.Counter[str]]] = {
    "decoder": fuzz_decoder,
    "archives": fuzz_archives,
}


def main() -> int:
    """Run the fuzzer that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(FUZZERS))
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    count = options.count or COUNTS[options.name]
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        halves = [(2 * options.seed + k, (count + 1 - k) // 2) for k in range(2)]
        counts = sum(pool.starmap(FUZZERS[options.name], halves), collections.Counter[str]())
    outcomes = ", ".join(f"{outcome} {number:,}" for outcome, number in sorted(counts.items()))
    print(f"{options.name}: {count:,} inputs, seed {options.seed}: {outcomes}; {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
