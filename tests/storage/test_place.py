"""Places: the same operations on a local folder and on a remote file system."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from registry.errors import NotFoundError, StorageError
from registry.files import lock as locking
from registry.storage.filesystems import filesystem, local_path
from registry.storage.place import Place


@pytest.fixture(params=["local", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "memory":
        fs = fsspec.filesystem("memory")
        fs.store.clear()
        yield Place("memory://some/place/")
        fs.store.clear()
    else:
        yield Place(f"file://{tmp_path}/place" if request.param == "file" else str(tmp_path / "place"))


def test_written_files_are_read_and_listed(place: Place) -> None:
    assert place.list("") == place.list("a") == []
    place.write("b.json", b"1")
    place.write("a/x=1/c.json", b"2")
    place.write("b.json", b"3")
    assert place.read("b.json") == b"3"
    assert place.read("a/x=1/c.json") == b"2"
    assert place.list("a") == ["a/x=1/c.json"]
    assert place.list("") == ["a/x=1/c.json", "b.json"]


def test_put_moves_a_local_file_into_the_place(place: Place, tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        (tmp_path / "made").write_bytes(content)
        place.put(tmp_path / "made", "a/b/c.parquet")
        assert place.read("a/b/c.parquet") == content
        assert not (tmp_path / "made").exists()


def test_removing_a_file_removes_only_the_folders_that_become_empty(place: Place) -> None:
    for name in ("a/b/1", "a/b/2", "a/c/3"):
        place.write(name, b"")
    place.remove("a/b/1")
    assert place.list("") == ["a/b/2", "a/c/3"]
    place.remove("a/b/2")
    place.remove("a/c/3")
    place.remove("a/c/3")
    assert place.list("") == []
    if place.path is not None:
        assert list(place.path.iterdir()) == []


def test_a_missing_file_is_named(place: Place) -> None:
    with pytest.raises(NotFoundError, match=r"/place/a/b\.json does not exist"):
        place.read("a/b.json")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    place.write("a", b"mine")
    with pytest.raises(StorageError, match=r"Cannot write .*/a/b"):
        place.write("a/b", b"")
    (tmp_path / "made").write_bytes(b"")
    with pytest.raises(StorageError, match=r"Cannot write .*/a/b"):
        place.put(tmp_path / "made", "a/b")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"Cannot read .*/folder: Is a directory"):
        place.read("folder")
    assert place.read("a") == b"mine"


def test_writing_removes_the_partial_file_of_a_killed_writer(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_bytes(b"of a killed writer")
    Place(str(tmp_path)).write("a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_reader_sees_the_old_or_the_new_bytes(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    versions = [bytes([k]) * 100_000 for k in range(2)]
    place.write("a", versions[0])
    done = threading.Event()
    seen = set()

    def read() -> None:
        while not done.is_set():
            seen.add(place.read("a"))

    reader = threading.Thread(target=read)
    reader.start()
    for k in range(60):
        place.write("a", versions[k % 2])
    done.set()
    reader.join()
    assert seen <= set(versions)


def test_writers_of_the_same_place_take_turns(tmp_path: Path) -> None:
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(15):
            # Nothing is written, so each writer removes the folder that the next writer waits for.
            with Place(str(tmp_path / "place")).lock():
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most == 1
    assert not (tmp_path / "place").exists()


def test_a_written_place_has_no_lock_file_afterwards(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "place"))
    with place.lock():
        place.write("a", b"")
    assert sorted(path.name for path in (tmp_path / "place").iterdir()) == ["a"]


def test_an_error_releases_the_lock(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "place"))
    with pytest.raises(ZeroDivisionError), place.lock():
        _ = 1 / 0
    with place.lock():
        pass


def test_paths_and_urls_are_distinguished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert local_path("a/b") == tmp_path / "a" / "b"
    assert local_path("file:///a/b") == Path("/a/b")
    assert local_path("~/a") == Path("/home/someone/a")
    assert local_path("s3://bucket/a") is None
    assert local_path("zip::memory://a.zip") is None
    assert Place("a").absolute_url == str(tmp_path / "a")
    assert Place("memory://a/b/").absolute_url == "memory://a/b"
    assert str(Place("a/b/")) == "a/b"
    assert (Place("a").is_local, Place("memory://a").is_local) == (True, False)


def test_an_unknown_protocol_is_a_clear_error() -> None:
    with pytest.raises(StorageError, match=r"Cannot use nothing://x"):
        filesystem("nothing://x")


def test_a_folder_behind_a_broken_link_is_an_error_after_a_short_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "_RETRY_SECONDS", 0.05)
    (tmp_path / "share").symlink_to(tmp_path / "not-mounted")
    place = Place(str(tmp_path / "share" / "registry"))
    with pytest.raises(StorageError, match=r"Cannot write to .*share/registry"), place.lock():
        pass
