"""Long fuzzers of what others may have written: manifests, DVC files, parameters and lists; and of ``--where``.

``manifests`` changes sound documents at random and reads them the way the commands do. Each has to be taken, or refused
with one error of this package; nothing beside the folder of the case may be opened, made, moved or removed, which an
audit hook watches. ``where`` makes texts out of pieces of SQL: what ``check_condition`` takes has to be one SELECT over
``items`` alone that DuckDB runs.

Run as ``python -m benchmarks.fuzz manifests|where [--number 100000] [--seed 0] [--jobs 2]``. Ends with 1 if anything
was found. The same seed gives the same cases, whatever the number of jobs.
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
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

import registry
from registry.dataset.tables import ITEMS
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
from registry.store import conditions
from registry.store.conditions import FUNCTIONS, check_condition
from registry.store.sql import table_sql
from registry.subset.options import Subset
from registry.subset.params import load_params, load_sources, load_subset

#: Cases of one task of a process.
CHUNK = 500
#: Values that stand where something else is expected.
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**31, 2**53, 2**63, 2**64, 10**30, -(10**30), "", ".", "..", "/", "a", "../victim",
    "../../victim/precious.txt", "/dev/zero", "/etc/hostname", "a/../../b", "a//b", "C:\\x", "c:x", "a\\b",
    "a\0b", "a\nb",
    "\x1b[2J", "%2e%2e/x", "~", "~/x", "a::b", "s3://b/x", "x" * 300, "a/" * 700, "0" * 64, "0" * 16, "=" * 4, "é" * 40,
    "\u202e", "\u2028", "9" * 5000, [], {}, [[]], [None], {"": ""}, ["a", 1, None], {"a": {"b": []}},
    "$(touch x)", "'; x",
)  # fmt: skip
#: Pieces of text that stand in JSON or YAML where they should not.
PIECES = (
    b"[" * 100_000, b"- " * 3_000, b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b"\xff\xfe", b"[" * 200, b"{" * 200,
    b'{"a":' * 200, b"\0", b"//", b"null", b"9" * 4400, b"-", b"}", b"]", b",", b'"', b"&a [*a]", b"*a",
    b"!!python/object:os.system x", b"<<: *a", b"- " * 300, b"\t",
)  # fmt: skip


class Watch:
    """What the audit hook sees while a case runs.

    Attributes:
        folder: of the case, or "" when nothing is watched.
        seen: accesses beside it.
    """

    def __init__(self) -> None:
        self.folder = ""
        self.seen: list[str] = []
        # Python, its packages and the package's own files may be read: modules are loaded when they are needed.
        code = (sys.prefix, sys.base_prefix, os.path.dirname(registry.__file__), schemas_folder())
        self._code = tuple({f"{os.path.realpath(path)}/" for path in code})

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Note an access beside the folder."""
        if not self.folder:
            return
        if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"):
            self.seen.append(f"{event} {args!r}")
        elif event == "open":
            path, mode, flags = args
            reads = mode in ("r", "rb") or not (mode or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            if isinstance(path, str | bytes) and not self._may(os.fsdecode(path), reads):
                self.seen.append(f"{event} {path!r} {mode}")
        elif event.startswith(("os.", "shutil.")) and event not in ("os.putenv", "os.unsetenv"):
            reads = event in ("os.listdir", "os.scandir")
            for path in args:
                if isinstance(path, str | bytes | os.PathLike) and not self._may(os.fsdecode(path), reads):
                    self.seen.append(f"{event} {path!r}")

    def _may(self, path: str, reads: bool) -> bool:
        # Symbolic links are resolved first: opening one counts as opening its target.
        real = os.path.realpath(path)
        if f"{real}/".startswith(self._code):
            return reads or "/__pycache__/" in real
        return f"{real}/".startswith(f"{self.folder}/")


def change(rng: random.Random, document: Any) -> bytes:
    """Return the text of a document of JSON with some values, keys or entries changed."""
    document = _copied(document)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        holders = list(_holders(document))
        holder = rng.choice(holders)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        action = rng.randrange(6)
        if action == 0 or not keys:
            odd = _copied(rng.choice(ODD))
            if isinstance(holder, dict):
                holder[rng.choice(("a", "", "path", "files", "..", "x" * 90, "split"))] = odd
            else:
                holder.append(odd)
        elif action == 1:
            holder.pop(rng.choice(keys))
        elif action == 2:
            other = rng.choice(holders)
            holder[rng.choice(keys)] = _copied(other)
        elif action == 3 and isinstance(holder, list):
            holder.append(_copied(holder[rng.choice(keys)]))
        else:
            key = rng.choice(keys)
            value = holder[key]
            holder[key] = _edited(rng, value) if isinstance(value, str) and action == 4 else _copied(rng.choice(ODD))
    return json.dumps(document).encode()


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _holders(document: Any) -> Iterator[Any]:
    if isinstance(document, dict | list):
        yield document
        for value in document.values() if isinstance(document, dict) else document:
            yield from _holders(value)


def _edited(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    piece = rng.choice(("..", "/", "../", "\\", "\n", "\0", " ", "x", ":", "%2f", "=", text))
    return text[:at] + piece + text[at + rng.randrange(3) :]


def damage(rng: random.Random, data: bytes) -> bytes:
    """Return a text with some bytes changed."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, size = rng.randrange(len(data) + 1), rng.randrange(1, 20)
        action = rng.randrange(4)
        if action == 0:
            data = data[:at] + rng.choice(PIECES) + data[at:]
        elif action == 1:
            data = data[:at] + data[at + size :]
        elif action == 2:
            data = data[:at] + data[at : at + size] * 2 + data[at + size :]
        else:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
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
    """Read a manifest as verify and sync do; its files are not there."""
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
            for path, known in _entries(stage, kind, "dvc.lock"):
                assert isinstance(path, str) and isinstance(known, str)


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
#: Manifests are what others hand out most.
_SHARES = {"manifest.json": 4, "export.json": 4, "dvc.lock": 2, "params.yaml": 1}


def run_document(name: str, text: bytes, folder: Path) -> tuple[str, str | None]:
    """Return the outcome of reading a document (taken, refused, crashed), and the fault found, if any."""
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
    return f"{name}: taken", None


def run_case(name: str, text: bytes, base: Path) -> tuple[str, list[str]]:
    """Return the outcome of reading a document under the audit hook, and the faults found.

    Args:
        name: of the document, a key of ``CASES``.
        text: of the document.
        base: folder for the case; it must not exist and is removed afterwards.
    """
    folder = base / "inside" / "case"
    victim = base / "victim" / "precious.txt"
    folder.mkdir(parents=True)
    victim.parent.mkdir()
    victim.write_bytes(b"precious")
    watch = the_watch()
    watch.folder = os.path.realpath(folder)
    try:
        end, fault = run_document(name, text, folder)
    finally:
        watch.folder = ""
    faults = [found for found in (fault, *watch.seen) if found]
    watch.seen.clear()
    if victim.read_bytes() != b"precious" or sorted(os.listdir(base)) != ["inside", "victim"]:
        faults.append("something was written beside the folder")
    shutil.rmtree(base)
    return end, faults


def manifests(seed: int, first: int, number: int) -> tuple[Counter[str], list[str]]:
    """Run cases with the audit hook; return the counts of their ends, and what was found."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="df2-fuzz-") as base:
        for k in range(first, first + number):
            rng = random.Random(f"{seed}-{k}")
            name = rng.choices(list(CASES), [_SHARES.get(name, 1) for name in CASES])[0]
            text = change(rng, CASES[name][0])
            end, found = run_case(name, damage(rng, text) if rng.random() < 0.3 else text, Path(base, "case"))
            counts[end] += 1
            faults += [f"case {k}: {fault}" for fault in found]
    return counts, faults


_installed: list[Watch] = []


def the_watch() -> Watch:
    """Return the audit hook of this process; it stays for good."""
    if not _installed:
        _installed.append(Watch())
        sys.addaudithook(_installed[0])
    return _installed[0]


_COLUMNS = [column.name for column in ITEMS.columns]
_NUMBERS = [column.name for column in ITEMS.columns if column.field.type[:3] in ("int", "flo")]
_VALUES = (
    "0", "1", "9", "-1", "1.5", "1e10", "2147483647", "9223372036854775808", "'user'", "'skirt'", "''", "NULL",
    "true", "$a",
    "?", "#1", "[1, 2]", "{'a': 1}", "(1, 2)", "'x'::INTEGER", "DATE '2020-01-01'", "INTERVAL 1 DAY", "E'\\n'",
    "*", "x'00'",
)  # fmt: skip
_OTHERS = (
    "read_text('/etc/passwd')", "read_csv('/etc/passwd')", "glob('*')", "getenv('HOME')",
    "current_setting('home_directory')",
    "query('SELECT 1')", "nextval('s')", "random()", "now()", "version()", "(SELECT 1)",
    "(SELECT count(*) FROM images)",
    "EXISTS (FROM images)", "row_number() OVER ()", "sum(style)", "unnest(landmarks)", "COLUMNS('x.')",
    "main.items.style",
    "items.style", "'/etc/passwd'", "getvariable('a')", "repeat('a', 1000000000)", "range(1000000000)", "pg_sleep(1)",
)  # fmt: skip
_OPERATORS = (
    "AND", "OR", "=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "||", "LIKE", "ILIKE", "SIMILAR TO",
    "IN", "NOT IN",
    "IS", "IS NOT", "BETWEEN", "~", "->", "->>", "::", ".", ",", "COLLATE", "AT TIME ZONE", "**", "//", "<<",
    "&", "|", "@>",
)  # fmt: skip
_BREAKS = (
    ";", ") OR (1 = 1", "--", "/*", "*/", ")", "(", "'",
    '"', "\0", "\n", "; DROP TABLE items", ") UNION SELECT 1 FROM items (",
    "ORDER BY 1", "LIMIT 1", "GROUP BY ALL", "HAVING true", ") FROM images WHERE (true", "$$", "\\", "\u2028",
    "\xa0", "\ud800",
    "QUALIFY true", "WINDOW w AS ()", "USING SAMPLE 1", ", (SELECT 1)", "INTO x", "; COPY items TO '/tmp/x'",
    "[", "]", "{",
)  # fmt: skip


def condition(rng: random.Random, depth: int = 0) -> str:  # noqa: PLR0911
    """Return a text in the shape of a condition; most are sound at a glance."""
    kind = rng.random()
    if depth > 3 or kind < 0.2:
        numbers = (*_NUMBERS, "1", "-1", "2.5", "x2 - x1", "landmarks[1]", "len(segmentation)", "abs(x1)", "1e10")
        return f"{rng.choice(numbers)} {rng.choice(('=', '<>', '<', '>', '<=', '>='))} {rng.choice(numbers)}"
    if kind < 0.3:
        left, right = (rng.choice(_COLUMNS) if rng.random() < 0.7 else rng.choice(_VALUES) for _ in range(2))
        if rng.random() < 0.08:
            left = rng.choice(_OTHERS)
        return f"{left} {rng.choice(_OPERATORS)} {right}"
    if kind < 0.5:
        return f"({condition(rng, depth + 1)}) {rng.choice(('AND', 'OR'))} {condition(rng, depth + 1)}"
    if kind < 0.6:
        return f"NOT ({condition(rng, depth + 1)})"
    if kind < 0.8:
        name = rng.choice(sorted(FUNCTIONS))
        arguments = [rng.choice((*_COLUMNS, *_VALUES)) for _ in range(rng.randrange(1, 4))]
        return f"{name}({', '.join(arguments)}) {rng.choice(_OPERATORS)} {rng.choice(_VALUES)}"
    if kind < 0.85:
        return f"list_filter(landmarks, lambda n: {rng.choice(('n > 1', 'n', condition(rng, depth + 1)))}) IS NOT NULL"
    if kind < 0.9:
        when = condition(rng, depth + 1)
        return f"CASE WHEN {when} THEN {rng.choice(_VALUES)} ELSE {rng.choice(_COLUMNS)} END = {rng.choice(_VALUES)}"
    return f"{rng.choice(_COLUMNS)} IN ({', '.join(rng.choice(_VALUES) for _ in range(rng.randrange(1, 4)))})"


def where_text(rng: random.Random) -> str:
    """Return a condition that somebody may have broken, or a heap of pieces."""
    if rng.random() < 0.1:
        pieces = (*_COLUMNS, *_VALUES, *_OTHERS, *_OPERATORS, *_BREAKS)
        return rng.choice(("", " ", "\n")).join(rng.choice(pieces) for _ in range(rng.randrange(1, 12)))
    text = condition(rng)
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice((*_BREAKS, *_OPERATORS, *_OTHERS))
        text = f"{text[:at]}{piece}{text[at + rng.randrange(4) :]}"
    return text


class _Reused:
    """Stands for ``duckdb`` in the check: one connection for all cases, as opening one takes most of the time."""

    Error = duckdb.Error

    def __init__(self) -> None:
        self._connection: Any = None

    def connect(self, config: dict[str, str]) -> _Reused:
        """Return itself, with a connection of this configuration."""
        self._connection = self._connection or duckdb.connect(config=config)
        return self

    def execute(self, *arguments: Any) -> Any:
        """Run a statement."""
        return self._connection.execute(*arguments)

    def __enter__(self) -> _Reused:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.execute("DROP TABLE IF EXISTS items")


_REUSED = _Reused()


def where(seed: int, first: int, number: int) -> tuple[Counter[str], list[str]]:
    """Check conditions, and run those that are taken; return the counts of their ends, and what was found."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    conditions.duckdb = _REUSED  # type: ignore[attr-defined]
    connection = duckdb.connect(config={"memory_limit": "500MB", "threads": "1", "enable_external_access": "false"})
    connection.execute(f"CREATE TABLE items AS {table_sql(ITEMS, ())}")
    connection.execute("CREATE TABLE images AS SELECT 42 AS secret")
    connection.execute(
        f"INSERT INTO items ({', '.join(_ROW)}) SELECT {', '.join(_ROW.values())} FROM range(20) AS r(n)"
    )
    for k in range(first, first + number):
        text = where_text(random.Random(f"{seed}-{k}"))
        try:
            check_condition(text)
        except RegistryError:
            counts["where: refused"] += 1
            continue
        except BaseException as error:  # noqa: BLE001
            counts["where: crashed"] += 1
            faults.append(f"case {k}: {type(error).__name__} of {text!r}: {error}")
            continue
        end, fault = _run_condition(connection, text)
        counts[f"where: taken, {end}"] += 1
        if fault:
            faults.append(f"case {k}: {fault} of {text!r}")
    return counts, faults


_ROW = {
    "split": "'train'", "image_id": "n", "item_no": "1", "item_order": "1", "source": "if(n % 2 = 0, 'user', 'shop')",
    "pair_id": "n // 3", "style": "n % 3", "category_id": "9", "category_name": "'skirt'", "x1": "n", "y1": "n + 0.5",
    "x2": "n * 10", "y2": "n * 20", "scale": "1", "occlusion": "2", "zoom_in": "3", "viewpoint": "1",
    "landmarks": "[n, 2, 2]",
    "num_landmarks_labelled": "1", "segmentation": "[[n, 1, 2, 3, 4, 5.5]]", "content_hash": "hash(n) // 2",
}  # fmt: skip


def _run_condition(connection: duckdb.DuckDBPyConnection, text: str) -> tuple[str, str | None]:
    sql = f"SELECT image_id FROM items WHERE (\n{text}\n)"
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        return "not one SELECT", f"{len(statements)} statements"
    tables = connection.get_table_names(sql)
    if tables != {"items"}:
        return "reads more", f"reads {tables}"
    timer = threading.Timer(5, connection.interrupt)
    timer.start()
    try:
        rows = connection.execute(sql).fetchall()
    except (duckdb.FatalException, duckdb.InternalException) as error:
        return "crashed", f"{type(error).__name__}: {error}"
    except duckdb.InterruptException:
        return "interrupted", None
    except duckdb.Error:
        return "an error of values", None
    finally:
        timer.cancel()
    return "run", None if len(rows) <= 20 else f"{len(rows)} rows"


FUZZERS = {"manifests": manifests, "where": where}


def fuzz(name: str, number: int, seed: int, jobs: int) -> int:
    """Run cases in several processes, print the counts, and return how much was found."""
    started = time.monotonic()
    counts: Counter[str] = Counter()
    faults: list[str] = []
    starts = range(0, number, CHUNK)
    sizes = [min(CHUNK, number - start) for start in starts]
    with ProcessPoolExecutor(jobs) as pool, contextlib.suppress(KeyboardInterrupt):
        for found, wrong in pool.map(partial(FUZZERS[name], seed), starts, sizes):
            counts += found
            faults += wrong
    for end, count in sorted(counts.items()):
        print(f"{count:>9,} {end}")
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    done = sum(counts.values())
    print(f"{name}: {done:,} cases, seed {seed}, {len(faults):,} faults, {time.monotonic() - started:,.0f} s")
    return len(faults)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=FUZZERS)
    parser.add_argument("--number", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    sys.exit(1 if fuzz(options.name, options.number, options.seed, options.jobs) else 0)


if __name__ == "__main__":
    main()
