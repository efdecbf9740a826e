"""Syncing registries between places: the files that are sent and stay, the view of readers, concurrent writers."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import registry
from registry.errors import ConflictError, NotFoundError, RegistryFormatError, StorageError
from registry.ingest.build import ingest
from registry.snapshot import sync as syncing
from registry.snapshot.manifest import MANIFEST_NAME, Manifest, read_manifest
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from tests.helpers import write_split
from tests.made_once import made_once
from tests.registries import FEW


@pytest.fixture(params=["local", "memory", "s3", pytest.param("ssh", marks=pytest.mark.xdist_group("ssh")), "webdav"])
def dest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Yield an empty place of each kind that can be written."""
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        yield Place("memory://dest")
        fsspec.filesystem("memory").store.clear()
    elif request.param == "s3":
        yield Place("s3://df2/dest", request.getfixturevalue("bucket"))
    elif request.param == "ssh":
        server = request.getfixturevalue("ssh_server")
        yield Place(server.url(f"{tmp_path.name}/dest"), server.storage_options)
    elif request.param == "webdav":
        server = request.getfixturevalue("webdav_server")
        url = server.base_url.replace("http", "webdav") + f"/{tmp_path.name}/dest"
        yield Place(url, {"auth": [server.user, server.password]})
    else:
        yield Place(str(tmp_path / "dest"))


@pytest.fixture
def source(few_registry: Path) -> Place:
    return Place(str(few_registry))


@pytest.fixture(scope="session")
def made_newer(tmp_path_factory: pytest.TempPathFactory, made_few: Path) -> Path:
    """Return the next version of that registry with a validation split; no test changes it."""

    def make(folder: Path) -> None:
        shutil.copytree(made_few / "new", folder / "registry")
        ingest("validation", str(write_split(folder / "validation", FEW)), str(folder / "registry"), jobs=1)

    return made_once(tmp_path_factory, "newer-few", make) / "registry"


@pytest.fixture
def newer(made_newer: Path, tmp_path: Path) -> Place:
    """Return the registry with another item of category 8, and with a validation split."""
    return Place(shutil.copytree(made_newer, str(tmp_path / "newer")))


def content(place: Place) -> dict[str, bytes]:
    return {path: place.read(path) for path in place.list("") if path != ".lock"}


def test_a_synced_registry_is_equal_and_opens_and_a_second_time_nothing_is_sent(
    source: Place, dest: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    report = sync(source, dest, progress=lambda done, total: seen.append((done, total)))
    assert content(dest) == content(source)
    assert (len(report.sent), report.kept, report.removed, report.is_new) == (
        len(read_manifest(source).files),
        (),
        (),
        True,
    )
    total = sum(file.bytes for file in read_manifest(source).files)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert verify_registry(dest).is_whole
    back = Place(str(tmp_path / "back"))
    sync(dest, back)
    assert content(back) == content(source)
    assert registry.open(str(back)).stats() == registry.open(str(source)).stats()
    for name in ("put", "replace", "write", "remove", "fetch"):
        monkeypatch.setattr(Place, name, None)
    report = sync(source, dest)
    assert (report.sent, report.removed, report.is_new) == ((), (), False)


def test_only_different_files_are_sent_and_old_files_stay_until_pruned_as_a_dry_run_tells(
    source: Place, newer: Place, dest: Place
) -> None:
    assert len(sync(source, dest, dry_run=True).sent) == len(read_manifest(source).files)
    assert dest.list("") == []
    sync(source, dest)
    old, new = (set(read_manifest(place).files) for place in (source, newer))
    mine = {"notes.txt": b"mine", "items/readme.md": b"mine"}
    for path, data in mine.items():
        dest.write(path, data)
    told = sync(newer, dest, prune=True, dry_run=True)
    assert content(dest) == content(source) | mine
    done = sync(newer, dest)
    assert set(done.sent) == new - old
    assert (told.sent, told.kept, told.is_new) == (done.sent, done.kept, done.is_new)
    assert content(dest) == content(newer) | {file.path: source.read(file.path) for file in old} | mine
    assert verify_registry(dest).is_whole
    report = sync(newer, dest, prune=True)
    assert report.removed == told.removed == tuple(sorted(file.path for file in old - new))
    assert content(dest) == content(newer) | mine


def test_complete_files_of_a_killed_sync_are_kept(source: Place, dest: Place) -> None:
    whole, damaged, cut, *_ = files = read_manifest(source).files
    dest.write(whole.path, source.read(whole.path))
    dest.write(damaged.path, bytes(damaged.bytes))
    dest.write(cut.path, source.read(cut.path)[:-1])
    report = sync(source, dest)
    assert report.kept == (whole,)
    assert set(report.sent) == set(files) - {whole}
    assert verify_registry(dest).is_whole


def test_parts_of_killed_writers_are_pruned_and_damage_is_mended_if_it_is_looked_for(
    source: Place, dest: Place
) -> None:
    sync(source, dest)
    dest.write("items/split=train/category_id=1/.0123456789abcdef.parquet.ab12cd34.partial", b"half")
    dest.write(".manifest.json.ab12cd34.partial", b"half")
    assert len(sync(source, dest, prune=True).removed) == 2
    dest.write("items/split=train/category_id=1/0123456789abcdef.parquet", b"old")
    report = sync(dest, dest, prune=True)  # a place can be pruned by itself
    assert (report.sent, len(report.removed)) == ((), 1)
    assert content(dest) == content(source)
    changed, missing, *_ = read_manifest(source).files
    dest.write(changed.path, bytes(changed.bytes))
    dest.remove(missing.path)
    assert sync(source, dest).sent == (missing,)  # by name and size the other one is there
    assert sync(source, dest, check=True, dry_run=True).sent == (changed,)
    assert sync(source, dest, check=True).sent == (changed,)
    assert content(dest) == content(source)


def test_a_source_that_is_not_whole_is_told_and_the_old_registry_stays(
    source: Place, newer: Place, dest: Place
) -> None:
    sync(source, dest)
    file = next(file for file in read_manifest(newer).files if file.table == "items" and file.split == "validation")
    data = newer.read(file.path)
    for damaged in (bytes(len(data)), data[:-1], None):
        if damaged is None:
            newer.remove(file.path)
        else:
            newer.write(file.path, damaged)
        with pytest.raises((StorageError, NotFoundError), match=rf"{file.path} .*df2 verify"):
            sync(newer, dest)
        assert dest.read(MANIFEST_NAME) == source.read(MANIFEST_NAME)
        assert verify_registry(dest).is_whole
        assert file.path not in dest.list("items")


def test_the_source_must_have_a_registry_and_the_destination_nothing_else(
    source: Place, dest: Place, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="There is no registry at"):
        sync(Place(str(tmp_path / "nothing")), dest)
    assert dest.list("") == []
    dest.write(MANIFEST_NAME, b'{"name": "another manifest"}')
    with pytest.raises(RegistryFormatError, match=r"dest/manifest\.json is not a manifest of a registry"):
        sync(source, dest)
    dest.write(MANIFEST_NAME, b'{"schema_version": 99, "files": [], "sources": {}}')
    with pytest.raises(RegistryFormatError, match="schema version 99"):
        sync(source, dest)
    assert dest.list("") == [MANIFEST_NAME]


def test_of_two_writers_the_first_wins_and_the_second_gets_an_error(
    source: Place, newer: Place, dest: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second sync begins and ends after the first has sent its files and before it replaces the manifest."""
    replace = Place.replace

    def late(self: Place, name: str, data: bytes, version: str) -> None:
        monkeypatch.setattr(Place, "replace", replace)
        if not dest.is_local:
            sync(newer, dest)
        else:
            with pytest.raises(ConflictError, match="Another writer is at work at"):
                sync(newer, dest)
        replace(self, name, data, version)

    monkeypatch.setattr(Place, "replace", late)
    if dest.is_local:
        sync(source, dest)
        winner = source
    else:
        with pytest.raises(ConflictError, match=r"Somebody else changed .*manifest\.json"):
            sync(source, dest)
        winner = newer
    assert dest.read(MANIFEST_NAME) == winner.read(MANIFEST_NAME)
    assert verify_registry(dest).is_whole


# The others have neither locks nor conditional writes: nothing keeps writers of the same moment apart.
@pytest.mark.parametrize("dest", ["local", "memory", "s3"], indirect=True)
def test_many_writers_at_once_leave_the_registry_of_one_of_them(source: Place, newer: Place, dest: Place) -> None:
    outcomes: list[Any] = []

    def write(place: Place) -> None:
        try:
            outcomes.append(sync(place, dest, prune=True))
        except ConflictError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=write, args=(place,)) for place in (source, newer) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 4
    assert any(not isinstance(outcome, ConflictError) for outcome in outcomes)
    assert dest.read(MANIFEST_NAME) in (source.read(MANIFEST_NAME), newer.read(MANIFEST_NAME))
    assert verify_registry(dest).is_whole


def test_a_source_that_is_replaced_meanwhile_is_told(
    source: Place, newer: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    middle, dest = Place("memory://middle"), Place("memory://dest")
    sync(source, middle)
    send = syncing._send

    def late(*args: Any) -> None:
        monkeypatch.setattr(syncing, "_send", send)
        sync(newer, middle, prune=True)
        send(*args)

    monkeypatch.setattr(syncing, "_send", late)
    with pytest.raises(ConflictError, match="memory://middle was replaced while it was read"):
        sync(middle, dest)
    assert MANIFEST_NAME not in dest.list("")
    assert sync(middle, dest).is_new
    fs.store.clear()


def test_a_registry_of_schema_version_1_is_sent_as_it_is(source: Place, dest: Place) -> None:
    document = json.loads(source.read(MANIFEST_NAME))
    document["schema_version"] = 1
    for entry in document["files"]:
        del entry["blocks"], entry["schema_version"]
    source.write(MANIFEST_NAME, json.dumps(document).encode())
    sync(source, dest)
    assert content(dest) == content(source)
    assert read_manifest(dest).schema_version == 1
    assert Manifest.from_json(dest.read(MANIFEST_NAME), "x").files[0].blocks == ""


@pytest.mark.parametrize("kind", ["FIFO", "device", "longer file"])
def test_a_source_that_would_never_end_is_refused(small_registry: Path, tmp_path: Path, kind: str) -> None:
    file = next((small_registry / "items").rglob("*.parquet"))
    data = file.read_bytes()
    file.unlink()
    if kind == "FIFO":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.write_bytes(data + b"x")
    with pytest.raises(StorageError, match=file.name):
        sync(Place(str(small_registry)), Place(str(tmp_path / "dest")))


def test_a_remote_source_that_sends_more_than_it_should_is_refused(source: Place, tmp_path: Path) -> None:
    fsspec.filesystem("memory").store.clear()
    sync(source, Place("memory://more"))
    path = next(path for path in Place("memory://more").list("items") if path.endswith(".parquet"))
    fsspec.filesystem("memory").pipe(f"/more/{path}", bytes(5 << 20))
    with pytest.raises(StorageError, match=r"it has more than the [0-9,]+ bytes that the manifest names"):
        sync(Place("memory://more"), Place(str(tmp_path / "dest")))
    assert verify_registry(Place("memory://more")).changed == (path,)
    fsspec.filesystem("memory").store.clear()
