"""Killed processes, full disks, vanished files: the old or the new registry remains, never a part, never litter."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import NotFoundError, SourceError, StorageError
from registry.ingest.build import ingest
from registry.sources.folders import LocalFolder
from tests.forks import Forks
from tests.helpers import SMALL_SPLIT, annotation, item, write_split
from tests.sources.packing import files_in
from tests.waiting import until_empty

pytestmark = pytest.mark.system

INGEST = [sys.executable, "-c", "from registry.cli.main import main; main()", "ingest"]


def glance(folder: Path) -> Any:
    """Return the sources and a sum over all rows, which identify a registry's version; None without a registry."""
    try:
        df2 = registry.open(str(folder))
    except NotFoundError:
        return None
    return df2.manifest.sources, df2.sql("SELECT count(*), sum(list_sum(landmarks)) FROM items").fetchall()


def named_files(folder: Path) -> set[str]:
    return {file.path for file in registry.open(str(folder)).manifest.files} | {"manifest.json"}


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Return a source that differs from SMALL_SPLIT."""
    documents = {**SMALL_SPLIT, 1: annotation([item(3, 9)]), 99: annotation([item(12)], "shop")}
    return write_split(tmp_path / "changed" / "train", documents)


@pytest.mark.parametrize("first", [True, False], ids=["first ingestion", "over an old registry"])
def test_a_kill_between_any_two_steps_of_publishing_leaves_the_old_or_the_new_registry(
    first: bool, small_source: Path, changed: Path, tmp_path: Path
) -> None:
    target = tmp_path / "r"
    ingest("train", str(changed), str(tmp_path / "new"), jobs=1)
    new, clean = glance(tmp_path / "new"), files_in(tmp_path / "new")
    if not first:
        ingest("train", str(small_source), str(target), jobs=1)
    old = glance(target)
    steps = len(clean)
    seen = []
    with Forks("tests.ingest.killed") as forks:
        for position in [1, steps - 1, steps]:
            for when in ("before", "after"):
                status = forks.call("ingest_until_killed", str(changed), str(target), position, when)
                assert status == signal.SIGKILL
                state = glance(target)
                seen.append(state == new)
                assert state in (old, new)
    assert seen == [False] * 5 + [True]  # the registry changes when the manifest is replaced
    ingest("train", str(changed), str(target), jobs=1)
    assert files_in(target) == clean


def test_a_kill_at_any_moment_leaves_no_partial_registry_and_no_litter(small_source: Path, tmp_path: Path) -> None:
    documents = {k: SMALL_SPLIT[1 + k % 4] for k in range(1, 2100)}
    big = write_split(tmp_path / "big" / "train", documents)
    ingest("train", str(big), str(tmp_path / "new"), jobs=1)
    new, clean = glance(tmp_path / "new"), files_in(tmp_path / "new")
    target = tmp_path / "r"
    ingest("train", str(small_source), str(target), jobs=1)
    old = glance(target)
    command = [*INGEST, str(big), str(target), "--split", "train", "-j", "2"]
    started = time.monotonic()
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    duration = time.monotonic() - started
    ingest("train", str(small_source), str(target), jobs=1)
    chance = random.Random(0)
    moments = [0.2 + 0.9 * (number + chance.random()) / 6 for number in range(6)]
    for moment in chance.sample(moments, len(moments)):
        running = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        time.sleep(duration * moment)
        running.kill()
        assert running.stderr is not None
        running.stderr.read()  # to its end: when every process that holds it, workers too, has ended
        running.stderr.close()
        assert running.wait() in (0, -signal.SIGKILL)
        state = glance(target)
        assert state in (old, new)
        if state == new:
            ingest("train", str(small_source), str(target), jobs=1)
            assert set(files_in(target)) == named_files(target)
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert files_in(target) == clean


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# An ingestion whose workers stop in the middle of their work.
STUCK = """
import time
from registry.cli.main import main
from registry.ingest import shard as chunks
decode = chunks.decode_annotations
def decode_and_wait(files):
    time.sleep(600 if files[-1].image_id > 3000 else 0)
    return decode(files)
chunks.decode_annotations = decode_and_wait
main()
"""


@pytest.fixture
def slow_source(tmp_path: Path) -> Path:
    """Return a source of several chunks."""
    return write_split(tmp_path / "slow" / "train", dict.fromkeys(range(1, 4200), SMALL_SPLIT[1]))


@pytest.fixture
def working(slow_source: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """Start an ingestion that does not end; yield it and its workers."""
    command = [sys.executable, "-c", STUCK, "ingest", str(slow_source), str(tmp_path / "r"), "--split", "train"]
    command += ["-j", "2"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 30
    while len(children(running.pid)) < 2:
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    workers = children(running.pid)
    yield running, workers
    for pid in [running.pid, *filter(alive, workers)]:
        if pid != running.pid or running.poll() is None:
            os.kill(pid, signal.SIGKILL)
    running.communicate()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_workers_end_when_the_command_is_killed(working: tuple[subprocess.Popen[bytes], list[int]]) -> None:
    running, workers = working
    assert all(map(alive, workers))
    running.kill()
    assert until_empty(lambda: [worker for worker in workers if alive(worker)], 10) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_killed_worker_is_a_clear_error(working: tuple[subprocess.Popen[bytes], list[int]], tmp_path: Path) -> None:
    running, workers = working
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    output = running.communicate(timeout=30)[0].decode()
    assert running.returncode == 3
    assert output == (
        "Error: A worker process ended before its work was done (out of memory, or killed). The registry is as it "
        "was; try fewer processes with --jobs.\n"
    )
    assert not (tmp_path / "r").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_workers_killed_at_any_time_are_a_clear_error(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", dict.fromkeys(range(1, 2000), SMALL_SPLIT[1]))
    chance = random.Random(0)
    for number in range(6):
        command = [*INGEST, str(source), str(tmp_path / f"r{number}"), "--split", "train", "-j", "2"]
        running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while len(children(running.pid)) < 2 and running.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.2))
        for pid in children(running.pid) if running.poll() is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        output = running.communicate(timeout=60)[0].decode()
        assert running.returncode in (0, 3), output
        assert (tmp_path / f"r{number}" / "manifest.json").exists() == (running.returncode == 0)


def test_concurrent_ingestions_take_turns(small_source: Path, changed: Path, tmp_path: Path) -> None:
    other = write_split(tmp_path / "validation", {1: annotation()})
    commands = [(small_source, "train"), (changed, "train"), (other, "validation"), (other, "validation")]
    running = [
        subprocess.Popen(
            [*INGEST, str(source), str(tmp_path / "r"), "--split", split, "--issues", str(tmp_path / f"{k}.txt")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for k, (source, split) in enumerate(commands)
    ]  # fmt: skip
    for process in running:
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 0, output
    assert registry.open(str(tmp_path / "r")).manifest.splits == ["train", "validation"]
    assert set(files_in(tmp_path / "r")) == named_files(tmp_path / "r")


# A limit on the size of files is a disk that is full, for every process that has it.
LIMITED = """
import resource, sys
sys.dont_write_bytecode = True  # Python would keep a module that the limit cut off
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from registry.cli.main import main
main()
"""


@pytest.mark.parametrize("limit", [0, 100, 1500, 2500])
def test_a_limit_on_file_sizes_is_a_clear_error_and_nothing_is_lost(
    limit: int, changed: Path, small_registry: Path, tmp_path: Path
) -> None:
    before = glance(small_registry)
    command = [
        sys.executable,
        "-c",
        LIMITED,
        str(limit),
        "ingest",
        str(changed),
        str(small_registry),
        "--split",
        "train",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True)
    assert done.returncode == 4, done.stderr
    assert (
        done.stderr
        == f"Error: Cannot write the registry at {small_registry}: File too large. It is as it was before.\n"
    )
    assert glance(small_registry) == before
    ingest("train", str(changed), str(small_registry), jobs=1)
    assert set(files_in(small_registry)) == named_files(small_registry)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], capture_output=True, check=False, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_a_clear_error_and_nothing_is_lost(small_disk: Path, small_source: Path, tmp_path: Path) -> None:
    target = small_disk / "r"
    ingest("train", str(small_source), str(target), jobs=1)
    before = glance(target)
    chance = random.Random(0)
    documents = {k: annotation([item(segmentation=[[chance.random() for _ in range(100)]])]) for k in range(1, 1500)}
    too_large = write_split(tmp_path / "large" / "train", documents)
    done = subprocess.run(
        [*INGEST, str(too_large), str(target), "--split", "train", "-j", "1"],
        cwd=tmp_path, capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert done.stderr == (
        f"Error: Cannot write the registry at {target}: No space left on device. It is as it was before.\n"
    )
    assert glance(target) == before
    assert set(files_in(target)) == named_files(target)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_without_permission_is_a_clear_error(small_source: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        ingest("train", str(small_source), str(tmp_path / "closed" / "r"))


def test_a_file_in_the_place_of_the_registry_is_a_clear_error(small_source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    for target in ("file", "file/r"):
        with pytest.raises(StorageError, match="Cannot write to"):
            ingest("train", str(small_source), str(tmp_path / target))
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_source_that_vanishes_while_it_is_read_is_an_error_of_the_source(
    kind: str, small_source: Path, small_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from registry.sources import tars, zips
    from tests.sources.packing import write_tar, write_zip

    (small_source / "image").mkdir()
    source = small_source
    owner: type = LocalFolder
    if kind == "zip":
        source, owner = write_zip(tmp_path / "x.zip", files_in(small_source)), zips.ZipSource
    elif kind == "tar":
        source, owner = write_tar(tmp_path / "x.tar", files_in(small_source)), tars.TarSource
    list_files = owner.list_files  # type: ignore[attr-defined]

    def list_and_remove(*args: Any, **options: Any) -> Any:
        listing = list_files(*args, **options)
        shutil.rmtree(source / "annos") if source.is_dir() else source.unlink()
        return listing

    before = files_in(small_registry)
    monkeypatch.setattr(owner, "list_files", list_and_remove)
    with pytest.raises(SourceError, match="Cannot read"):
        ingest("train", str(source), str(small_registry), jobs=1)
    assert files_in(small_registry) == before
