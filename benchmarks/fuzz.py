"""Fuzzers of input from others: manifests, DVC files, params.yaml and retrieval lists; and conditions (``--where``).

``manifests`` changes valid documents at random and reads them as the commands do. Reading has to succeed or to raise a
``RegistryError``, and must not access files outside the folder of the case, which an audit hook checks. ``where`` is in
:mod:`benchmarks.fuzz_conditions`.

Run as ``python -m benchmarks.fuzz manifests|where [--number 100000] [--seed 0] [--jobs 2]``. The exit code is 1 if
there are faults. The same seed gives the same cases for any number of jobs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import registry
from benchmarks.fuzz_conditions import fuzz_conditions
from registry.dataset.views import schemas_folder
from registry.errors import RegistryError
from registry.exports.manifest import ExportManifest, verify_export
from registry.exports.run import Plan
from registry.history.versions import _entries, _parse, _stages
from registry.ingest.retrieval_lists import read_retrieval
from registry.snapshot.manifest import DataFile, Manifest, read_manifest
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from registry.subset.options import Subset
from registry.subset.params import load_params, load_sources, load_subset

#: Cases per task of the process pool.
CHUNK = 500
#: Values of unexpected types, sizes and meanings.
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**31, 2**53, 2**63, 2**64, 10**30, -(10**30), "", ".", "..", "/", "a", "../victim",
    "../../victim/precious.txt", "/dev/zero", "/etc/hostname", "a/../../b", "a//b", "C:\\x", "c:x", "a\\b",
    "a\0b", "a\nb",
    "\x1b[2J", "%2e%2e/x", "~", "~/x", "a::b", "s3://b/x", "x" * 300, "a/" * 700, "0" * 64, "0" * 16, "=" * 4, "é" * 40,
    "\u202e", "\u2028", "9" * 5000, [], {}, [[]], [None], {"": ""}, ["a", 1, None], {"a": {"b": []}},
    "$(touch x)", "'; x",
)  # fmt: skip
#: Bytes that are invalid or unusual in JSON or YAML.
PIECES = (
    b"[" * 100_000, b"- " * 3_000, b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b"\xff\xfe", b"[" * 200, b"{" * 200,
    b'{"a":' * 200, b"\0", b"//", b"null", b"9" * 4400, b"-", b"}", b"]", b",", b'"', b"&a [*a]", b"*a",
    b"!!python/object:os.system x", b"<<: *a", b"- " * 300, b"\t",
)  # fmt: skip


class AccessMonitor:
    """Audit hook that records accesses outside a folder.

    Attributes:
        folder: real path of the allowed folder; "" turns the hook off.
        violations: accesses outside the folder.
    """

    def __init__(self) -> None:
        self.folder = ""
        self.violations: list[str] = []
        # Reading Python, installed packages and this package is allowed, since modules are imported lazily.
        code = (sys.prefix, sys.base_prefix, os.path.dirname(registry.__file__), schemas_folder())
        self._code = tuple({f"{os.path.realpath(path)}/" for path in code})

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Record the event if it is an access outside the folder."""
        if not self.folder:
            return
        if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"):
            self.violations.append(f"{event} {args!r}")
        elif event == "open":
            path, mode, flags = args
            reads = mode in ("r", "rb") or not (mode or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            if isinstance(path, str | bytes) and not self._is_allowed(os.fsdecode(path), reads):
                self.violations.append(f"{event} {path!r} {mode}")
        elif event.startswith(("os.", "shutil.")) and event not in ("os.putenv", "os.unsetenv"):
            reads = event in ("os.listdir", "os.scandir")
            if event == "os.listdir" and isinstance(args[0], str) and self._is_searched(args[0]):
                return
            for path in args:
                if isinstance(path, str | bytes | os.PathLike) and not self._is_allowed(os.fsdecode(path), reads):
                    self.violations.append(f"{event} {path!r}")

    @staticmethod
    def _is_searched(folder: str) -> bool:
        """Return whether an import looks for modules in a folder, which it lists once it has changed."""
        return os.path.realpath(folder) in map(os.path.realpath, sys.path)

    def _is_allowed(self, path: str, reads: bool) -> bool:
        # Opening a symbolic link is an access to its target.
        real = os.path.realpath(path)
        if f"{real}/".startswith(self._code):
            return reads or "/__pycache__/" in real
        return f"{real}/".startswith(f"{self.folder}/")


def change(rng: random.Random, document: Any) -> bytes:
    """Return a JSON document with some values, keys or entries changed, as text."""
    document = _copied(document)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        containers = list(_containers(document))
        container = rng.choice(containers)
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        action = rng.randrange(6)
        if action == 0 or not keys:
            value = _copied(rng.choice(ODD))
            if isinstance(container, dict):
                container[rng.choice(("a", "", "path", "files", "..", "x" * 90, "split"))] = value
            else:
                container.append(value)
        elif action == 1:
            container.pop(rng.choice(keys))
        elif action == 2:
            value = _copied(rng.choice(containers))
            container[rng.choice(keys)] = value
        elif action == 3 and isinstance(container, list):
            container.append(_copied(container[rng.choice(keys)]))
        else:
            key = rng.choice(keys)
            value = container[key]
            container[key] = _edited(rng, value) if isinstance(value, str) and action == 4 else _copied(rng.choice(ODD))
    return json.dumps(document).encode()


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _containers(document: Any) -> Iterator[Any]:
    """Yield the dictionaries and lists of a document."""
    if isinstance(document, dict | list):
        yield document
        for value in document.values() if isinstance(document, dict) else document:
            yield from _containers(value)


def _edited(rng: random.Random, text: str) -> str:
    position = rng.randrange(len(text) + 1)
    piece = rng.choice(("..", "/", "../", "\\", "\n", "\0", " ", "x", ":", "%2f", "=", text))
    return text[:position] + piece + text[position + rng.randrange(3) :]


def damage(rng: random.Random, data: bytes) -> bytes:
    """Return data with some bytes inserted, removed, repeated or replaced."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        start, size = rng.randrange(len(data) + 1), rng.randrange(1, 20)
        action = rng.randrange(4)
        if action == 0:
            data = data[:start] + rng.choice(PIECES) + data[start:]
        elif action == 1:
            data = data[:start] + data[start + size :]
        elif action == 2:
            data = data[:start] + data[start : start + size] * 2 + data[start + size :]
        else:
            data = data[:start] + bytes([rng.randrange(256)]) + data[start + 1 :]
    return data


def _sound_manifest() -> Any:
    files = [
        DataFile.of(f"{folder}".encode() * 3, folder, folder.partition("/")[0], split, 3)
        for folder, split in (
            ("categories", None),
            ("images/split=train", "train"),
            ("items/split=train/category_id=9", "train"),
        )
    ]
    return json.loads(Manifest(tuple(files), {"train": "0" * 64}).to_json())


#: Valid documents, which the cases change.
_EXPORT: Any = {
    "export_version": 1, "made_by": "x", "schema_version": 2, "format": "coco", "images": "none",
    "subset_digest": "0" * 64,
    "options": {"names": "dataset", "attributes": True, "area": "box"}, "revision": {"git": "ab" * 20},
    "subset": {"image_id": [1, "5-9"], "category": ["skirt"], "sample": "10%", "limit": 5,
    "where": "style > 0", "seed": 3},
    "resplit": {"fractions": "a=0.5,b=0.5", "seed": 0, "stratify": False, "balance": [{"part": "a", "fraction": 0.5}]},
    "registry": {"schema_version": 2, "manifest_sha256": "0" * 64, "sources": {"train": "x"}},
    "counts": {"train": {"images": 1, "items": 2}}, "left_out": [{"what": "a", "why": "b", "number": 1}],
    "files": [{"path": "a/b.json", "bytes": 1, "sha256": "0" * 64}, {"path": "c.jpg", "bytes": 1, "link": True}],
}  # fmt: skip
_LOCK: Any = {
    "schema": "2.0",
    "stages": {
        "ingest@train": {
            "cmd": "df2 ingest",
            "deps": [{"path": "data/f.json", "hash": "md5", "md5": "0" * 32, "size": 1}],
            "outs": [{"path": "data/registry/items/split=train", "hash": "md5", "md5": f"{'0' * 32}.dir", "nfiles": 3}],
        }
    },
}
_PARAMS: Any = {
    "splits": {"train": {"source": "data/train"}},
    "subsets": {
        "a": {"category": ["skirt", 9], "occlusion": 1, "style": "1-", "sample": "5%", "limit": 3, "min_box_area": 2.5},
        "b": {"split": "train", "pair_id": [1, "7-9"], "has_landmarks": True, "whole_images": False, "seed": 1},
    },
}
_QUERIES: Any = [{"query_image_id": k, "bbox": [1, 2.5, 3, 4], "style": 1, "pair_id": 7, "cls": 9} for k in (1, 2)]
_INFORMATION: Any = {"images": [{"file_name": "000001.jpg", "id": 1}, {"file_name": "000002.jpg", "id": 2}]}
_SOUND_MANIFEST = _sound_manifest()


def _registry_case(folder: Path, text: bytes) -> None:
    """Read a manifest as verify and sync do; the files that it lists do not exist."""
    (folder / "manifest.json").write_bytes(text)
    place = Place(str(folder))
    read_manifest(place)
    verify_registry(place)
    sync(place, Place(str(folder / "there")), dry_run=True, prune=True)


def _export_case(folder: Path, text: bytes) -> None:
    (folder / "export.json").write_bytes(text)
    manifest = ExportManifest.from_json(text, "export.json")
    verify_export(Place(str(folder)))
    Plan.of_manifest(manifest)


def _lock_case(folder: Path, text: bytes) -> None:
    for stage in _stages(_parse(text)):
        for kind in ("deps", "outs"):
            for path, digest in _entries(stage, kind, "dvc.lock"):
                assert isinstance(path, str) and isinstance(digest, str)


def _params_case(folder: Path, text: bytes) -> None:
    path = folder / "params.yaml"
    path.write_bytes(text)
    load_params(path)
    load_sources(path)
    for name in ("a", "b"):
        Subset.of_document(load_subset(name, path))


def _list_case(name: str, folder: Path, text: bytes) -> None:
    (folder / name).write_bytes(text)
    read_retrieval("validation", [str(folder / name)])


Case = Callable[[Path, bytes], None]
CASES: dict[str, tuple[Any, Case]] = {
    "manifest.json": (_SOUND_MANIFEST, _registry_case),
    "export.json": (_EXPORT, _export_case),
    "dvc.lock": (_LOCK, _lock_case),
    "params.yaml": (_PARAMS, _params_case),
    "val_query.json": (_QUERIES, partial(_list_case, "val_query.json")),
    "retrieval_val_consumer_information.json": (
        _INFORMATION,
        partial(_list_case, "retrieval_val_consumer_information.json"),
    ),
}
#: Relative frequency of the documents (others: 1); manifests are shared most.
_SHARES = {"manifest.json": 4, "export.json": 4, "dvc.lock": 2, "params.yaml": 1}


def run_document(name: str, text: bytes, folder: Path) -> tuple[str, str | None]:
    """Return the outcome of reading a document (accepted, refused, crashed), and a message if that is a fault."""
    try:
        CASES[name][1](folder, text)
    except RegistryError as error:
        message = str(error)
        return f"{name}: refused", None if message.isprintable() or "\n" in message else f"unprintable: {message!r}"
    except BaseException as error:  # noqa: BLE001
        return (
            f"{name}: crashed",
            f"{name}: {type(error).__name__} of {text[:2000]!r}\n{traceback.format_exc(limit=-4)}",
        )
    return f"{name}: accepted", None


def run_case(name: str, text: bytes, base: Path) -> tuple[str, list[str]]:
    """Read a document under the audit hook; return the outcome and a message for each fault.

    Args:
        name: name of the document, a key of ``CASES``.
        text: text of the document.
        base: folder for the case; it must not exist and is removed afterwards.
    """
    folder = base / "inside" / "case"
    victim = base / "victim" / "precious.txt"
    folder.mkdir(parents=True)
    victim.parent.mkdir()
    victim.write_bytes(b"precious")
    monitor = access_monitor()
    monitor.folder = os.path.realpath(folder)
    try:
        outcome, fault = run_document(name, text, folder)
    finally:
        monitor.folder = ""
    faults = [message for message in (fault, *monitor.violations) if message]
    monitor.violations.clear()
    if victim.read_bytes() != b"precious" or sorted(os.listdir(base)) != ["inside", "victim"]:
        faults.append("a file outside the folder was written")
    shutil.rmtree(base)
    return outcome, faults


def fuzz_documents(seed: int, first: int, number: int) -> tuple[Counter[str], list[str]]:
    """Read randomly changed documents under the audit hook.

    Args:
        seed: seed of the cases.
        first: number of the first case.
        number: number of cases.

    Returns:
        The number of cases by outcome, and a message for each fault.
    """
    counts: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="df2-fuzz-") as base:
        for k in range(first, first + number):
            rng = random.Random(f"{seed}-{k}")
            name = rng.choices(list(CASES), [_SHARES.get(name, 1) for name in CASES])[0]
            text = change(rng, CASES[name][0])
            text = damage(rng, text) if rng.random() < 0.3 else text
            outcome, case_faults = run_case(name, text, Path(base, "case"))
            counts[outcome] += 1
            faults += [f"case {k}: {fault}" for fault in case_faults]
    return counts, faults


@cache
def access_monitor() -> AccessMonitor:
    """Return the audit hook of this process; Python cannot remove it again."""
    monitor = AccessMonitor()
    sys.addaudithook(monitor)
    return monitor


FUZZERS = {"manifests": fuzz_documents, "where": fuzz_conditions}


def fuzz(name: str, number: int, seed: int, jobs: int) -> int:
    """Run a fuzzer in several processes, print the counts, and return the number of faults."""
    started = time.monotonic()
    counts: Counter[str] = Counter()
    faults: list[str] = []
    starts = range(0, number, CHUNK)
    sizes = [min(CHUNK, number - start) for start in starts]
    with ProcessPoolExecutor(jobs) as pool, contextlib.suppress(KeyboardInterrupt):
        for chunk_counts, chunk_faults in pool.map(partial(FUZZERS[name], seed), starts, sizes):
            counts += chunk_counts
            faults += chunk_faults
    for outcome, count in sorted(counts.items()):
        print(f"{count:>9,} {outcome}")
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    done = sum(counts.values())
    print(f"{name}: {done:,} cases, seed {seed}, {len(faults):,} faults, {time.monotonic() - started:,.0f} s")
    return len(faults)


def main() -> None:
    """Run the fuzzer that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=FUZZERS)
    parser.add_argument("--number", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    sys.exit(1 if fuzz(options.name, options.number, options.seed, options.jobs) else 0)


if __name__ == "__main__":
    main()
