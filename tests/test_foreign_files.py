"""Writers remove and replace only files of a registry, and their errors name the file that failed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner

from registry.cli.main import main
from registry.dataset.tables import IMAGES
from registry.errors import RegistryError, StorageError, UsageError
from registry.files import staging
from registry.ingest.build import ingest
from registry.snapshot.manifest import read_manifest, rebuild_manifest
from registry.snapshot.publish import data_files, is_data_path, publication
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from tests.helpers import annotation, item, write_split
from tests.sources.packing import files_in

DIGEST = "0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"items/split=train/category_id=13/{DIGEST}.parquet", True),
        (f"images/split=validation/{DIGEST}.parquet", True),
        (f"categories/{DIGEST}.parquet", True),
        (f"items/split=train/category_id=14/{DIGEST}.parquet", False),
        (f"items/split=train/category_id=01/{DIGEST}.parquet", False),
        (f"items/split=mine/category_id=1/{DIGEST}.parquet", False),
        (f"items/category_id=1/split=train/{DIGEST}.parquet", False),
        (f"items/split=train/{DIGEST}.parquet", False),
        (f"items/{DIGEST}.parquet", False),
        (f"images/split=train/more/{DIGEST}.parquet", False),
        (f"mine/split=train/{DIGEST}.parquet", False),
        (f"images/split=train/{DIGEST.upper()}.parquet", False),
        (f"images/split=train/{DIGEST}0.parquet", False),
        (f"images/split=train/{DIGEST}.parquet\n", False),
        (f"../items/split=train/category_id=1/{DIGEST}.parquet", False),
        (f"/categories/{DIGEST}.parquet", False),
        ("images/split=train/mine.parquet", False),
        ("items", False),
        ("", False),
    ],
)
def test_only_paths_that_a_registry_writes_are_data_paths(path: str, expected: bool) -> None:
    assert is_data_path(path) is expected
    folder, slash, name = path.rpartition("/")
    partials = [f"{folder}{slash}.{name}.partial", f"{folder}{slash}.{name}.12ab34cd.partial"]
    assert data_files([path, *partials]) == sorted([path, *partials] if expected else [])


def test_partial_manifests_are_the_only_data_files_at_the_top_of_a_registry() -> None:
    partials = [".manifest.json.12ab34cd.partial", ".manifest.json.partial"]
    foreign = ["manifest.json", ".notes.txt.partial", "items/.manifest.json.partial"]
    assert data_files([*partials, *foreign]) == partials


def test_all_files_of_a_manifest_have_data_paths(small_registry: Path) -> None:
    files = read_manifest(Place(str(small_registry))).files
    assert {file.table for file in files} >= {"categories", "images", "items", "landmark_slots"}
    assert all(is_data_path(file.path) for file in files)


#: Files that make a folder something other than a registry.
FOREIGN = [
    "notes.txt",
    "images/split=train/mine.parquet",
    f"items/split=train/{DIGEST}.parquet",
    "items/notes.txt",
    "ex/export.json",
    ".staging/notes.txt",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_ingest_refuses_a_folder_with_foreign_files_and_keeps_them(
    name: str, small_source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "mine"
    (target / name).parent.mkdir(parents=True)
    (target / name).write_bytes(b"mine")
    expected = r"in the way: df2 keeps unfinished work" if "staging" in name else r"is not empty and holds no registry"
    with pytest.raises(RegistryError, match=expected) as caught:
        ingest("train", str(small_source), str(target), jobs=1)
    assert isinstance(caught.value, StorageError if "staging" in name else UsageError)
    assert files_in(target) == {name: b"mine"}


@pytest.mark.parametrize("name", [name for name in FOREIGN if not name.startswith(".")])
@pytest.mark.parametrize("dry_run", [False, True])
def test_sync_refuses_a_folder_with_foreign_files_with_the_message_of_ingest(
    name: str, dry_run: bool, small_registry: Path, small_source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "mine"
    (target / name).parent.mkdir(parents=True)
    (target / name).write_bytes(b"mine")
    with pytest.raises(UsageError) as of_ingest:
        ingest("train", str(small_source), str(target), jobs=1)
    with pytest.raises(UsageError, match="is not empty and holds no registry") as of_sync:
        sync(Place(str(small_registry)), Place(str(target)), dry_run=dry_run)
    assert str(of_sync.value) == str(of_ingest.value)
    assert files_in(target) == {name: b"mine"}


def test_sync_continues_in_a_folder_with_partial_files_and_files_of_the_system(
    small_registry: Path, tmp_path: Path
) -> None:
    target = tmp_path / "dest"
    file = read_manifest(Place(str(small_registry))).files[0]
    folder, _, name = file.path.rpartition("/")
    for path in (file.path, f"{folder}/.{name}.12ab34cd.partial", ".manifest.json.partial", ".lock", ".DS_Store"):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(b"half")
    (target / "lost+found").mkdir()
    sync(Place(str(small_registry)), Place(str(target)), prune=True)
    assert files_in(target) == {**files_in(small_registry), ".DS_Store": b"half"}


@pytest.mark.parametrize("link", ["items", "items/split=train", "items/split=train/category_id=1", "categories"])
def test_writers_refuse_a_registry_with_a_symbolic_link_to_a_folder(
    link: str, small_registry: Path, small_source: Path, tmp_path: Path
) -> None:
    changed = write_split(tmp_path / "other" / "train", {1: annotation([item(1), item(2)])})
    ingest("train", str(changed), str(tmp_path / "newer"), jobs=1)
    elsewhere = tmp_path / "elsewhere"
    (small_registry / link).rename(elsewhere)
    (small_registry / link).symlink_to(elsewhere)
    place = Place(str(small_registry))
    contents = {file.path: place.read(file.path) for file in read_manifest(place).files}  # reading works
    behind = next(path for path in contents if path.startswith(link))
    assert verify_registry(place).is_whole
    before = (files_in(elsewhere), files_in(small_registry))

    def put() -> None:
        (tmp_path / "local").write_bytes(b"new")
        place.put(tmp_path / "local", behind)

    attempts: dict[str, Callable[[], object]] = {
        "ingest": lambda: ingest("train", str(changed), str(small_registry), jobs=1),
        "sync": lambda: sync(Place(str(tmp_path / "newer")), place),
        "prune": lambda: sync(place, place, prune=True),
        "manifest": lambda: rebuild_manifest(place),
        "write": lambda: place.write(behind, b"new"),
        "put": put,
        "remove": lambda: place.remove(behind),
        "folder": lambda: place.make_folder(link),
        "folder below": lambda: place.make_folder(f"{link}/more"),
    }
    for attempt in attempts.values():
        with pytest.raises(StorageError, match=f"{link} is a link, and df2 writes and removes nothing behind links"):
            attempt()
    assert (files_in(elsewhere), files_in(small_registry)) == before
    sync(place, Place(str(tmp_path / "copy")))  # reading through the link works
    assert not (tmp_path / "copy" / link).is_symlink()


def test_symbolic_links_to_files_in_a_dvc_cache_are_replaced_and_the_cache_stays(
    small_registry: Path, small_source: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for number, path in enumerate([*small_registry.rglob("*.parquet"), small_registry / "manifest.json"]):
        path.rename(cache / str(number))
        path.symlink_to(cache / str(number))
    before = files_in(cache)
    (tmp_path / "link").symlink_to(small_registry)
    changed = write_split(tmp_path / "other" / "train", {1: annotation([item(1), item(2)])})
    ingest("train", str(changed), str(tmp_path / "link"), jobs=1)
    assert verify_registry(Place(str(small_registry))).is_whole
    assert sum(file.rows for file in read_manifest(Place(str(small_registry))).files if file.table == "items") == 2
    assert files_in(cache) == before


def test_df2_manifest_refuses_folders_that_are_no_registry(tmp_path: Path) -> None:
    for name, code, message in (
        ("notes.txt", 2, "is not empty and holds no registry"),
        ("manifest.json", 1, "is not a manifest of a registry"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b'{"name": "mine"}')
        result = CliRunner().invoke(main, ["manifest", str(tmp_path / name)])
        assert result.exit_code == code
        assert message in result.stderr
        assert files_in(tmp_path / name) == {name: b'{"name": "mine"}'}
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        assert CliRunner().invoke(main, ["manifest", str(tmp_path / "empty")]).exit_code == 0


def test_ingest_accepts_a_folder_with_hidden_files_and_lost_found(small_source: Path, tmp_path: Path) -> None:
    target = tmp_path / "registry"
    (target / "items").mkdir(parents=True)
    (target / "lost+found").mkdir()
    for name in (".DS_Store", "items/.gitignore"):
        (target / name).write_bytes(b"mine")
    ingest("train", str(small_source), str(target), jobs=1)
    assert (target / ".DS_Store").read_bytes() == (target / "items" / ".gitignore").read_bytes() == b"mine"
    assert (target / "lost+found").is_dir()


def test_ingest_keeps_foreign_files_in_a_registry(small_registry: Path, small_source: Path) -> None:
    foreign = [
        "images/split=train/mine.parquet",
        "items/ex/items/split=train/category_id=1/x.parquet",
        "items/.x.partial",
    ]
    foreign += [f"ex/items/split=train/category_id=1/{DIGEST}.parquet", "ex/export.json", "items/.x.partial"]
    for name in foreign:
        (small_registry / name).parent.mkdir(parents=True, exist_ok=True)
        (small_registry / name).write_bytes(b"mine")
    before = files_in(small_registry)
    ingest("train", str(small_source), str(small_registry), jobs=1)
    assert files_in(small_registry) == before


def test_paths_in_a_remote_manifest_cannot_delete_files_outside_the_registry(small_source: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pipe_file("/victim/precious.txt", b"mine")
    fs.pipe_file("/r/README.md", b"mine")
    ingest("train", str(small_source), "memory://r", jobs=1)
    document = json.loads(fs.cat_file("/r/manifest.json"))
    for path in ("../victim/precious.txt", "README.md", "/victim/precious.txt"):
        document["files"].append({**document["files"][0], "path": path, "split": "train"})
    fs.pipe_file("/r/manifest.json", json.dumps(document).encode())
    with suppress(RegistryError):  # ingest may also refuse such a manifest
        ingest("train", str(small_source), "memory://r", jobs=1)
    assert fs.cat_file("/victim/precious.txt") == fs.cat_file("/r/README.md") == b"mine"
    fs.store.clear()


def test_a_read_error_of_the_source_names_the_source_file(small_registry: Path) -> None:
    before = files_in(small_registry)
    raises = pytest.raises(
        StorageError, match=r"^The ingest into .* failed: /photos/1\.jpg: Input/output error\. It is as"
    )
    with raises, publication(Place(str(small_registry)), "train"):
        raise OSError(errno.EIO, "Input/output error", "/photos/1.jpg")
    assert files_in(small_registry) == before


def test_copying_reports_read_errors_and_write_errors_with_their_files(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "place"))
    (tmp_path / "folder").mkdir()
    for keep in (True, False):
        with pytest.raises(StorageError, match=f"^Cannot read {tmp_path}/missing: No such file"):
            place.put(tmp_path / "missing", "a", keep=keep)
    with pytest.raises(StorageError, match=f"^Cannot read {tmp_path}/folder: Is a directory"):
        place.put(tmp_path / "folder", "a", keep=True)
    place.write("a", b"x")
    with pytest.raises(StorageError, match=f"^Cannot write {tmp_path}/none/a: No such file"):
        place.fetch("a", tmp_path / "none" / "a")
    remote = Place("memory://blame")
    remote.write("a", b"x")
    with pytest.raises(StorageError, match=r"^Cannot write /dev/full: No space left on device"):
        place.fetch("a", Path("/dev/full"))
    with pytest.raises(StorageError, match=r"^Cannot write /dev/full: No space left on device"):
        remote.fetch("a", Path("/dev/full"))
    with pytest.raises(StorageError, match=f"^Cannot read {tmp_path}/missing: No such file"):
        remote.put(tmp_path / "missing", "a", keep=True)


def test_listing_skips_a_file_that_is_deleted_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(str(tmp_path))
    place.write("a/b", b"")
    walk = os.walk

    def walk_then_remove(*args: Any, **options: Any) -> Any:
        folders = list(walk(*args, **options))
        place.remove("a/b")
        return iter(folders)

    monkeypatch.setattr(os, "walk", walk_then_remove)
    assert place.list("") == []


#: Writes a temporary file and waits to be killed.
_WAIT = """
import sys, time
from registry.files.staging import temporary_folder
with temporary_folder() as folder:
    (folder / "part").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_next_run_removes_temporary_files_of_a_killed_run_but_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    (tmp_path / "df2-run-mine").mkdir()
    (tmp_path / "df2-run-mine" / "notes.txt").write_bytes(b"mine")
    (tmp_path / "df2-run-link").symlink_to(tmp_path / "df2-run-mine")
    folders = []
    processes = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", _WAIT], env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        folders.append(Path(process.stdout.readline().strip()))
        processes.append(process)
    try:
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        assert folders[0].stat().st_mode & 0o777 == 0o700
        with staging.temporary_folder() as folder:
            assert sorted(tmp_path.iterdir()) == sorted(
                [folder, folders[1], tmp_path / "df2-run-mine", tmp_path / "df2-run-link"]
            )
    finally:
        processes[1].kill()
        for process in processes:
            process.communicate()
    assert not folder.exists()
    assert (tmp_path / "df2-run-mine" / "notes.txt").read_bytes() == b"mine"


#: Kills itself when sync sends the first file.
_KILLED = """
import os, sys
from registry.snapshot import sync
sync._send_file = lambda *args: os.kill(os.getpid(), 9)
from registry.storage.place import Place
sync.sync(Place(sys.argv[1]), Place(sys.argv[2]))
"""


def test_the_next_sync_or_ingest_empties_tmpdir_after_a_kill(
    small_registry: Path, small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-c", _KILLED, str(small_registry), "memory://x"]
    done = subprocess.run(command, env=os.environ | {"TMPDIR": str(temporary)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(temporary.iterdir())) == 1
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    ingest("train", str(small_source), "memory://x", jobs=1)
    assert list(temporary.iterdir()) == []
    sync(Place("memory://x"), Place(str(tmp_path / "back")))
    assert list(temporary.iterdir()) == []
    fsspec.filesystem("memory").store.clear()


def test_an_unwritable_temporary_folder_is_an_error_that_names_tmpdir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/none")
    raises = pytest.raises(StorageError, match=r"Cannot write temporary files to /proc/none.*TMPDIR")
    with raises, staging.temporary_folder():
        pass


def test_a_refused_ingest_leaves_no_lock_file(small_source: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(UsageError, match="holds no registry"):
        ingest("train", str(small_source), str(tmp_path), jobs=1)
    assert not (tmp_path / ".lock").exists()
    with pytest.raises(UsageError, match=r"^/ is not empty and holds no registry"):
        ingest("train", str(small_source), "/", jobs=1)
    assert not Path("/.lock").exists()


def test_an_error_in_writing_rows_names_the_registry(small_registry: Path) -> None:
    def write() -> None:
        with publication(Place(str(small_registry)), "train") as new_version:
            (small_registry / ".staging" / "images").write_bytes(b"")  # a file at the path of the folder
            new_version.writer(IMAGES, split="train")

    with pytest.raises(StorageError, match=r"^Cannot write the registry at .*: (Not a directory|File exists)"):
        write()
