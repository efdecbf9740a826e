"""Ctrl-C, SIGTERM and SIGHUP: every command ends within two seconds with a line and leaves no partial file."""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from registry.ingest.build import ingest
from registry.snapshot.manifest import BLOCK_BYTES, BLOCK_DIGEST_BYTES
from registry.storage.replacement import recover
from tests.cli.processes import SLOW, Started, environment, run_shell
from tests.helpers import annotation, item, jpeg, to_bytes, write_split
from tests.sources.packing import files_in, write_zip

pytestmark = pytest.mark.system

#: Seconds for the end of a process. The machine of the tests is busy with other tests.
SECONDS = 2.0 + 8.0

LONG_QUERY = "SELECT max(md5(range::varchar)) FROM range(10000000000)"


def shown(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(os.listdir(folder)) if folder.is_dir() else []


@pytest.fixture(scope="module")
def large_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a split of many annotations, which are links to one file: its ingestion takes seconds."""
    split = tmp_path_factory.mktemp("large") / "train"
    document = to_bytes(annotation([item(1, number) for number in range(1, 40)]))
    write_split(split, {1: document})
    for number in range(2, 15_000):
        os.link(split / "annos" / "000001.json", split / "annos" / f"{number:06d}.json")
    return split


@pytest.fixture(scope="module")
def large_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of some ten thousand items, which :data:`SLOW` takes minutes for."""
    folder = tmp_path_factory.mktemp("large-registry")
    document = to_bytes(annotation([item(1, number) for number in range(1, 40)]))
    split = write_split(folder / "train", dict.fromkeys(range(1, 301), document))
    ingest("train", str(split), str(folder / "registry"), jobs=1)
    return folder / "registry"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_a_long_query_ends(three_splits: Path, number: int, code: int) -> None:
    df2 = Started("-r", three_splits, "sql", LONG_QUERY)
    seconds = df2.seconds_to_end(number)
    assert (df2.process.returncode, df2.stdout, df2.stderr) == (code, "", "Interrupted.\n")
    assert seconds < SECONDS


def test_a_signal_during_an_import_raises_nothing_in_it(tmp_path: Path) -> None:
    """DuckDB's module aborts the process on an exception while it is imported."""
    (tmp_path / "slow_module.py").write_text(
        "import os, signal, time\n"
        "try:\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(60)\n"
        "except BaseException:\n    print('raised')\n"
    )
    script = "from registry.cli import interruption\ninterruption.start()\nimport slow_module\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment(), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "Interrupted.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sql", LONG_QUERY, "-o", "dest/rows.csv"),
        ("sql", "SELECT range FROM range(300000000)", "-o", "dest/rows.csv"),
        ("export", "csv", "dest/export", "--where", SLOW),
        ("subset", "--where", SLOW, "-o", "dest/subset.json"),
        ("diff", "REGISTRY", "REGISTRY", "--where", SLOW),
        ("sample", "dest/sample", "--images", "500"),
    ],
    ids=["sql", "rows", "export", "subset", "diff", "sample"],
)
def test_a_command_at_work_ends_and_leaves_nothing(
    large_registry: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    words = [str(large_registry) if word == "REGISTRY" else word for word in arguments]
    df2 = Started("-r", large_registry, *words, cwd=tmp_path)
    df2.let_work(0.5)
    seconds = df2.seconds_to_end(signal.SIGINT)
    assert (df2.process.returncode, df2.stdout, df2.stderr) == (130, "", "Interrupted.\n")
    assert seconds < SECONDS
    assert shown(dest) == []
    assert df2.remaining() == []


@pytest.mark.parametrize(("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=["all", "one"])
def test_an_ingestion_ends_with_its_workers(large_source: Path, tmp_path: Path, number: int, group: bool) -> None:
    df2 = Started("ingest", large_source, tmp_path / "registry", "--split", "train", "-j", 2, cwd=tmp_path)
    staging = tmp_path / "registry" / ".staging"
    while not staging.exists() and df2.process.poll() is None:
        pass
    seconds = df2.seconds_to_end(number, group=group)
    assert (df2.process.returncode, df2.stdout, df2.stderr) == (128 + number, "", "Interrupted.\n")
    assert seconds < SECONDS
    assert df2.remaining() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"] == []
    assert not staging.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
def test_a_sync_ends_while_a_large_file_is_read(three_splits: Path, tmp_path: Path, number: int, code: int) -> None:
    source = tmp_path / "source"
    shutil.copytree(three_splits, source)
    manifest = json.loads((source / "manifest.json").read_text())
    entry = next(entry for entry in manifest["files"] if entry["table"] == "items")
    entry["bytes"] = 40 << 30
    blocks = entry["bytes"] // BLOCK_BYTES
    entry["blocks"] = base64.b64encode(bytes(BLOCK_DIGEST_BYTES * blocks)).decode()
    (source / "manifest.json").write_text(json.dumps(manifest))
    os.truncate(source / entry["path"], 40 << 30)  # sparse: it takes no place
    df2 = Started("sync", source, tmp_path / "dest")
    while not (tmp_path / "dest").exists() and df2.process.poll() is None:
        pass
    seconds = df2.seconds_to_end(number)
    assert (df2.process.returncode, df2.stdout, df2.stderr) == (code, "", "Interrupted.\n")
    assert seconds < SECONDS
    assert not (tmp_path / "dest" / "manifest.json").exists()
    assert list((tmp_path / "dest").rglob("*.partial")) == []


@pytest.mark.parametrize("milliseconds", [0, 50, 150, 250])
def test_a_catalog_is_there_or_not_at_any_moment(three_splits: Path, tmp_path: Path, milliseconds: int) -> None:
    df2 = Started("-r", three_splits, "catalog", tmp_path / "df2.duckdb", "--copy")
    df2.let_work(milliseconds / 1000)
    assert df2.seconds_to_end(signal.SIGINT) < SECONDS if df2.process.poll() is None else df2.process.communicate()
    assert df2.process.returncode in (0, 130)
    assert shown(tmp_path) in ([], ["df2.duckdb"])
    assert df2.process.returncode == 130 or shown(tmp_path)


@pytest.mark.parametrize("milliseconds", [0, 50, 150])
def test_a_look_up_is_printed_or_ends_with_one_line(three_splits: Path, milliseconds: int) -> None:
    df2 = Started("-r", three_splits, "image", "train", "1")
    df2.let_work(milliseconds / 1000)
    assert df2.seconds_to_end(signal.SIGINT) < SECONDS if df2.process.poll() is None else df2.process.communicate()
    if df2.process.returncode != 0:
        assert (df2.process.returncode, df2.stderr) == (130, "Interrupted.\n")


@pytest.fixture(scope="module")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a zip of 300 photos and its registry; no test changes it."""
    folder = tmp_path_factory.mktemp("photographed")
    document = to_bytes(annotation([item(1, 1)]))
    numbers: list[int | str] = list(range(1, 301))
    split = write_split(folder / "train", dict.fromkeys(numbers, document), dict.fromkeys(numbers, jpeg(200, 300)))
    write_zip(folder / "train.zip", files_in(split))
    ingest("train", str(split), str(folder / "registry"), jobs=1)
    return folder


@pytest.mark.parametrize("milliseconds", [0, 200, 400, 600])
def test_an_export_with_photos_is_there_or_not_at_any_moment(
    photographed: Path, tmp_path: Path, milliseconds: int
) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    words = ("export", "yolo", dest / "out", "--images", "link", "--photos", photographed / "train.zip")
    df2 = Started("-r", photographed / "registry", *words)
    df2.let_work(milliseconds / 1000)
    assert df2.seconds_to_end(signal.SIGINT) < SECONDS if df2.process.poll() is None else df2.process.communicate()
    assert df2.process.returncode in (0, 130)
    assert "Traceback" not in (df2.stderr if df2.process.returncode else "")
    recover(dest / "out")  # the next command removes a staging folder for which a slow machine had no time
    assert shown(dest) in ([], ["out"])
    assert df2.process.returncode == 130 or shown(dest)
    assert list((photographed / "registry").rglob("*.partial")) == []


@pytest.mark.parametrize("milliseconds", [0, 100, 300])
def test_a_fingerprint_is_there_or_not_at_any_moment(large_source: Path, tmp_path: Path, milliseconds: int) -> None:
    df2 = Started("fingerprint", large_source, "--split", "train", "-o", tmp_path / "print.json")
    df2.let_work(milliseconds / 1000)
    assert df2.seconds_to_end(signal.SIGTERM) < SECONDS if df2.process.poll() is None else df2.process.communicate()
    assert df2.process.returncode in (0, 143)
    assert set(shown(tmp_path)) <= {"print.json", ".print.json.seen"}
    assert df2.process.returncode == 143 or len(shown(tmp_path)) == 2


def seconds_after_two_signals(registry: Path) -> float:
    df2 = Started("-r", registry, "subset", "--where", SLOW)
    df2.let_work(1)
    df2.process.send_signal(signal.SIGINT)
    df2.let_work(0.2)
    try:
        seconds = df2.seconds_to_end(signal.SIGINT)
    except ProcessLookupError:  # on a busy machine it may have ended before the second signal
        return math.inf
    assert (df2.process.returncode, df2.stderr) == (130, "Interrupted.\n")
    return seconds


def test_a_second_signal_ends_at_once(large_registry: Path) -> None:
    # A single signal leaves a second for the cleanup. On a busy machine a try may take longer.
    assert any(seconds_after_two_signals(large_registry) < 0.9 for _ in range(4))


def test_a_signal_that_is_ignored_stays_ignored(three_splits: Path) -> None:
    query = "SELECT max(md5(range::varchar)) FROM range(12000000)"
    result = run_shell(f"trap '' INT; df2 sql '{query}' & sleep 0.8; kill -INT $!; wait $!", "-r", three_splits)
    assert (result.returncode, result.stderr) == (0, "")
