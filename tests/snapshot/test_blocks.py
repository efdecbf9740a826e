"""Blocks of remote files: read once, checked, kept."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import NotFoundError, RegistryFormatError, StorageError
from registry.snapshot import blocks
from registry.snapshot.blocks import Blocks
from registry.snapshot.manifest import BLOCK_BYTES, DataFile
from registry.storage.place import Place

#: Without an x, so that an x put anywhere is a damage.
DATA = random.Random(0).randbytes(5 * BLOCK_BYTES + 1_000).replace(b"x", b"y")
FILE = replace(DataFile.of(DATA, "items", "items", "train", 1), path="items/a.parquet")


class Counted(Place):
    """A place that remembers which ranges were read."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.ranges: list[tuple[int, int]] = []

    def read_range(self, name: str, start: int, end: int) -> bytes:
        self.ranges.append((start, end))
        return super().read_range(name, start, end)


@pytest.fixture
def place() -> Iterator[Counted]:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    made = Counted("memory://registry")
    made.write(FILE.path, DATA)
    yield made
    fs.store.clear()


@given(st.integers(0, len(DATA)), st.integers(0, len(DATA) + 10))
def test_any_range_has_the_bytes_of_the_file(start: int, length: int) -> None:
    fsspec.filesystem("memory").store.clear()
    place = Place("memory://registry")
    place.write(FILE.path, DATA)
    assert Blocks(place).read(FILE, start, start + length) == DATA[start : start + length]


def test_cached_blocks_are_not_read_again_and_neighbours_share_a_request(place: Counted) -> None:
    actual = Blocks(place)
    actual.read(FILE, 10, 20)
    actual.read(FILE, 0, BLOCK_BYTES)
    assert place.ranges == [(0, BLOCK_BYTES)]
    actual.read(FILE, 0, 3 * BLOCK_BYTES + 1)
    assert place.ranges[1:] == [(BLOCK_BYTES, 4 * BLOCK_BYTES)]


def test_a_file_that_is_read_on_is_read_ahead(place: Counted) -> None:
    actual = Blocks(place)
    actual.read(FILE, 0, 2 * BLOCK_BYTES)
    actual.read(FILE, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 1)
    actual.read(FILE, 3 * BLOCK_BYTES, len(DATA))
    assert place.ranges == [(0, 2 * BLOCK_BYTES), (2 * BLOCK_BYTES, len(DATA))]


def test_threads_that_ask_for_the_same_read_it_once(place: Counted) -> None:
    actual = Blocks(place)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: actual.read(FILE, 0, len(DATA)), range(50)))
    assert set(answers) == {DATA}
    assert place.ranges == [(0, len(DATA))]


def test_memory_is_bounded(place: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MEMORY_BYTES", 2 * BLOCK_BYTES)
    actual = Blocks(place)
    assert actual.read(FILE, 0, len(DATA)) == DATA
    assert len(actual._memory) == 2
    actual.read(FILE, 0, 1)
    assert place.ranges == [(0, len(DATA)), (0, BLOCK_BYTES)]


@pytest.mark.parametrize("damage", [lambda d: b"x" + d[1:], lambda d: d[:-1] + b"x", lambda d: d[: len(d) // 2]])
def test_a_changed_or_cut_file_is_an_error_and_never_an_answer(place: Counted, damage: Any) -> None:
    place.write(FILE.path, damage(DATA))
    for _ in range(2):  # nothing of it is kept
        with pytest.raises(StorageError, match=r"items/a\.parquet .*(is not the file|was cut or changed)"):
            Blocks(place).read(FILE, 0, len(DATA))


def test_a_single_wrong_answer_is_requested_again(place: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([b"x" * BLOCK_BYTES, DATA[:BLOCK_BYTES]])
    monkeypatch.setattr(place._folder, "_read_range", lambda *_: next(answers))
    assert Blocks(place).read(FILE, 0, 9) == DATA[:9]


def test_a_missing_file_is_named_to_all_who_wait_for_it_and_found_when_it_is_back(place: Counted) -> None:
    actual = Blocks(place)
    place.remove(FILE.path)
    for _ in range(2):
        with pytest.raises(NotFoundError, match=r"items/a\.parquet does not exist"):
            actual.read(FILE, 0, 9)
    place.write(FILE.path, DATA)
    assert actual.read(FILE, 0, 9) == DATA[:9]


def test_files_of_schema_version_1_are_compared_as_a_whole(place: Counted, tmp_path: Path) -> None:
    old = replace(FILE, blocks="", schema_version=1)
    assert Blocks(place, str(tmp_path)).read(old, 5, len(DATA)) == DATA[5:]
    assert list(tmp_path.iterdir()) == []  # another session would have to read the whole file again all the same
    place.write(FILE.path, DATA[:-1] + b"x")
    with pytest.raises(StorageError, match=r"items/a\.parquet is not the file that the manifest names"):
        Blocks(place).read(old, 0, 9)


def test_the_cache_serves_another_session_without_a_request(place: Counted, tmp_path: Path) -> None:
    assert Blocks(place, str(tmp_path / "cache")).read(FILE, 0, len(DATA)) == DATA
    place.ranges.clear()
    place.remove(FILE.path)
    assert Blocks(place, str(tmp_path / "cache")).read(FILE, 0, len(DATA)) == DATA
    assert place.ranges == []


def test_damage_in_the_cache_is_noticed_and_read_anew(place: Counted, tmp_path: Path) -> None:
    Blocks(place, str(tmp_path)).read(FILE, 0, len(DATA))
    kept = sorted(tmp_path.rglob("*"))[-1]
    for damaged in (b"", kept.read_bytes()[:-1], b"x" + kept.read_bytes()[1:]):
        kept.write_bytes(damaged)
        place.ranges.clear()
        assert Blocks(place, str(tmp_path)).read(FILE, 0, len(DATA)) == DATA
        assert len(place.ranges) == 1


def test_the_cache_is_bounded_and_keeps_recently_used_blocks(
    place: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "DISK_BYTES", 3 * BLOCK_BYTES)
    actual = Blocks(place, str(tmp_path))
    for number in (0, 2, 4):
        actual.read(FILE, number * BLOCK_BYTES, number * BLOCK_BYTES + 1)
        kept = next(path for path in tmp_path.rglob("*") if path.name == str(number))
        os.utime(kept, (number, number))
    Blocks(place, str(tmp_path)).read(FILE, 0, 1)  # used now
    actual.read(FILE, 5 * BLOCK_BYTES, len(DATA))
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["0", "4", "5"]


def test_two_caches_in_one_folder_agree(place: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "DISK_BYTES", 2 * BLOCK_BYTES)  # each clears away what the other just wrote
    both = [Blocks(place, str(tmp_path)) for _ in range(2)]
    monkeypatch.setattr(blocks, "MEMORY_BYTES", BLOCK_BYTES)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda k: both[k % 2].read(FILE, 0, len(DATA)), range(40)))
    assert set(answers) == {DATA}


@pytest.mark.parametrize("folder", ["file", "file/x"])
def test_an_unwritable_cache_gives_a_warning_and_reading_goes_on(
    place: Counted, tmp_path: Path, caplog: pytest.LogCaptureFixture, folder: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    actual = Blocks(place, str(tmp_path / folder))
    assert actual.read(FILE, 0, 9) == DATA[:9]
    assert actual.read(FILE, 3 * BLOCK_BYTES, len(DATA)) == DATA[3 * BLOCK_BYTES :]
    (message,) = caplog.messages
    assert re.fullmatch(r"Cannot write to the cache .*: .*\. Reading goes on without it\.", message)


def test_a_full_cache_gives_a_warning_and_reading_goes_on(
    place: Counted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    actual = Blocks(place, str(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
        assert actual.read(FILE, 0, len(DATA)) == DATA
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [message.rpartition(": ")[2] for message in caplog.messages] == [
        "File too large. Reading goes on without it."
    ]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_fifo_in_the_cache_is_no_block(place: Counted, tmp_path: Path) -> None:
    Blocks(place, str(tmp_path)).read(FILE, 0, 9)
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    kept.unlink()
    os.mkfifo(kept)
    assert Blocks(place, str(tmp_path)).read(FILE, 0, 9) == DATA[:9]


def test_a_digest_that_is_none_never_becomes_a_path_of_the_cache(place: Counted, tmp_path: Path) -> None:
    bad = replace(FILE, sha256="../../victim")
    with pytest.raises(RegistryFormatError, match=r"items/a\.parquet the SHA-256 '\.\./\.\./victim': expected 64 hex"):
        Blocks(place, str(tmp_path / "a" / "b")).read(bad, 0, 9)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b"]


def test_a_full_cache_removes_only_files_of_its_own(
    place: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "1").write_bytes(bytes(5 * BLOCK_BYTES))
    (tmp_path / "diary.txt").write_bytes(bytes(5 * BLOCK_BYTES))
    monkeypatch.setattr(blocks, "DISK_BYTES", 2 * BLOCK_BYTES)
    Blocks(place, str(tmp_path)).read(FILE, 0, len(DATA))
    assert (tmp_path / "notes" / "1").exists() and (tmp_path / "diary.txt").exists()


@pytest.mark.parametrize("version", [1, 2])
def test_a_damaged_local_file_is_an_error_too(tmp_path: Path, version: int) -> None:
    local = Place(str(tmp_path))
    local.write(FILE.path, DATA)
    file = FILE if version == 2 else replace(FILE, blocks="", schema_version=1)
    assert Blocks(local).read(file, 7, len(DATA)) == DATA[7:]
    local.write(FILE.path, DATA[:-3] + b"x" + DATA[-2:])
    with pytest.raises(StorageError, match=r"items/a\.parquet is not the file that the manifest names.*dvc checkout"):
        Blocks(local).read(file, len(DATA) - 10, len(DATA))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (os.mkfifo, "expected a regular file, found a FIFO"),
        (os.mkdir, "Is a directory"),
        (lambda path: os.symlink("/dev/zero", path), "expected a regular file, found a device"),
        (lambda path: os.symlink("/etc/hostname", path), "it was cut or changed"),
        (lambda path: None, "does not exist"),
    ],
)
def test_a_missing_local_file_is_an_error_with_a_remedy(tmp_path: Path, make: Any, text: str) -> None:
    (tmp_path / "items").mkdir()
    make(tmp_path / FILE.path)
    with pytest.raises((StorageError, NotFoundError), match=f"items/a.parquet.*{text}.*'df2 verify .*'dvc checkout'"):
        Blocks(Place(str(tmp_path))).read(FILE, 0, len(DATA))
