"""Finished work is synced to the disk: no rename of unsynced bytes, and a failed sync is an error."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.cli.main import main
from registry.errors import RegistryError, StorageError
from registry.exports.local_files import LocalFiles
from registry.files import durability
from registry.ingest.build import ingest
from registry.snapshot.manifest import read_manifest
from registry.snapshot.sync import sync
from registry.storage.place import Place
from tests.helpers import annotation, item, write_split
from tests.sources.packing import files_in

pytestmark = pytest.mark.system

_RUN = "import sys; from registry.cli.main import main; main(sys.argv[1:])"
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r" *<\.\.\. \w+ resumed>")
_NAME = re.compile(r'"([^"]*)"')
_OF_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")


class Disk:
    """The unsynced files and folders after a trace of system calls.

    A file is unsynced from its first write, a folder from the first change of its names.
    """

    def __init__(self, below: Path) -> None:
        self.below = below
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.too_early: list[str] = []
        self.renamed: list[str] = []

    def read(self, trace: str) -> None:
        begun: dict[str, str] = {}
        for line in trace.splitlines():
            thread, _, call = line.partition(" ")
            if call.endswith(_UNFINISHED):
                begun[thread] = call.removesuffix(_UNFINISHED)
                continue
            if resumed := _RESUMED.match(call):
                call = begun.pop(thread) + call[resumed.end() :]
            match = _CALL.match(call.strip())
            if match and int(match[3]) >= 0:
                self._note(match[1], match[2])

    def _note(self, call: str, arguments: str) -> None:
        is_by_name = call.startswith(("open", "rename", "mkdir", "symlink"))
        paths = (_NAME if is_by_name else _OF_DESCRIPTOR).findall(arguments)
        paths = [path for path in paths if path.startswith(f"{self.below}/") or path == str(self.below)]
        if call == "syncfs":
            self.files.clear()
            self.folders.clear()
        elif not paths:
            return
        elif call in ("fsync", "fdatasync"):
            self.files.discard(paths[0])
            self.folders.discard(paths[0])
        elif call in ("write", "pwrite64"):
            self.files.add(paths[0])
        elif call in ("mkdir", "mkdirat", "symlink", "symlinkat"):
            self.folders.add(os.path.dirname(paths[-1]))
        elif call in ("openat", "open") and "O_CREAT" in arguments:
            self.folders.add(os.path.dirname(paths[0]))
        elif call.startswith("rename"):
            self._rename(paths[-2], paths[-1])

    def _rename(self, old: str, new: str) -> None:
        dirty = {path for path in self.files if path == old or path.startswith(f"{old}/")}
        inside = {path for path in self.folders if path == old or path.startswith(f"{old}/")}
        self.too_early += sorted(dirty | inside)
        self.files -= dirty
        self.folders |= {os.path.dirname(old), os.path.dirname(new)}
        self.renamed.append(new)


def traced(*arguments: str, below: Path) -> Disk:
    """Run df2 under strace; return the state of the disk."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace here")
    trace = below / "trace"
    calls = "trace=write,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2,mkdir,mkdirat,openat,symlink"
    command = [
        *("strace", "--seccomp-bpf", "-f", "-y", "-qq", "-o", str(trace), "-e", calls),
        *(sys.executable, "-c", _RUN, *arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=below)
    if "PTRACE" in done.stderr:
        pytest.skip(f"processes cannot be traced here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    disk = Disk(below)
    disk.read(trace.read_text(errors="replace"))
    return disk


def test_a_registry_is_synced_before_its_manifest_and_when_the_command_ends(
    small_registry: Path, small_source: Path, tmp_path: Path
) -> None:
    for name, arguments in {
        "made": ["ingest", "--split", "train", str(small_source), f"{tmp_path}/a/b/made"],
        "synced": ["sync", str(small_registry), f"{tmp_path}/c/synced"],
    }.items():
        disk = traced(*arguments, below=tmp_path)
        assert disk.too_early == []
        registry = next(path for path in disk.renamed if f"/{name}/" in path).partition(f"/{name}/")[0] + f"/{name}"
        data_files = [f"{registry}/{file.path}" for file in read_manifest(Place(registry)).files]
        assert disk.renamed[-1] == f"{registry}/manifest.json"
        assert {path for path in disk.renamed if path.endswith(".parquet")} == set(data_files)
        assert disk.files.isdisjoint({*data_files, f"{registry}/manifest.json"})
        folders = {
            str(parent) for path in data_files for parent in Path(path).parents if parent.is_relative_to(tmp_path)
        }
        assert disk.folders.isdisjoint(folders - {registry})  # the lock and the staging folder change it


@pytest.mark.parametrize("many", [False, True], ids=["few files", "many files"])
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "over an old one"])
def test_an_export_is_synced_before_it_is_renamed(many: bool, overwrite: bool, tmp_path: Path) -> None:
    source = {k: annotation([item(2)]) for k in range(1, 120 if many else 5)}
    ingest("train", str(write_split(tmp_path / "train", source)), str(tmp_path / "registry"), jobs=1)
    command = ["-r", f"{tmp_path}/registry", "export", "deepfashion2", f"{tmp_path}/x/out", "--images", "none"]
    if overwrite:
        assert CliRunner().invoke(main, command).exit_code == 0
    disk = traced(*command, *(["--overwrite"] if overwrite else []), below=tmp_path)
    assert disk.too_early == []
    assert [path for path in disk.renamed if ".lock" not in path][-1] == f"{tmp_path}/x/out"
    assert not [path for path in disk.files | disk.folders if path.startswith(f"{tmp_path}/x/out")]
    assert str(tmp_path) not in disk.folders


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "empty"])
def test_a_sample_is_synced_before_it_is_renamed(is_there: bool, tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    folder = tmp_path / "x" / "out"
    if is_there:
        folder.mkdir(parents=True)
    disk = traced("sample", str(folder), "--images", "6", below=tmp_path)
    assert disk.too_early == []
    assert disk.renamed[-1] == str(folder)
    assert not [path for path in disk.files | disk.folders if path.startswith(f"{folder}/")]
    assert str(tmp_path) not in disk.folders


WRITTEN = {
    "fingerprint": ["fingerprint", "SOURCE", "--split", "train", "-o", "n/m/x.json"],
    "metrics": ["stats", "--metrics", "n/m/x.json"],
    "plots": ["stats", "--plots", "n/m"],
    "issues": ["ingest", "BAD", "MADE", "--split", "train", "-j", "1", "--on-error", "quarantine", "--issues", "n/m/x"],
    "sql": ["sql", "SELECT 1 AS a", "-o", "there/x.json"],
    "subset": ["subset", "-o", "there/x.parquet"],
    "catalog": ["catalog", "there/x.duckdb"],
}


@pytest.mark.parametrize("arguments", WRITTEN.values(), ids=WRITTEN)
def test_an_output_file_and_its_new_folders_are_synced(
    arguments: list[str], small_registry: Path, small_source: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    bad = write_split(tmp_path / "bad" / "train", {1: b"", 2: annotation()})
    paths = {"SOURCE": str(small_source), "BAD": str(bad), "MADE": f"{tmp_path}/made", arguments[-1]: ""}
    words = [paths.get(word, word) or f"{tmp_path}/{word}" for word in arguments]
    disk = traced("-r", str(small_registry), *words, below=tmp_path)
    top = tmp_path / arguments[-1].partition("/")[0]
    written = [path for path in disk.renamed if path.startswith(f"{top}/")]
    assert written
    assert not [path for path in disk.too_early if path.startswith(f"{top}/")]
    assert not [path for path in disk.files | disk.folders if path == str(top) or path.startswith(f"{top}/")]
    assert str(tmp_path) not in disk.folders or "MADE" in arguments


def failing(number: int, name: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Make call ``number`` of os.fsync fail; return a function that counts the calls."""
    calls = 0
    fsync = os.fsync

    def call(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, name, call)
    return lambda: calls


@pytest.mark.parametrize("write", ["ingest", "sync", "write", "replace", "put", "keep", "export"])
def test_a_failed_fsync_is_an_error_and_the_old_state_stays(
    write: str, small_registry: Path, small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small_registry, tmp_path / "old")
    changed = write_split(tmp_path / "other" / "train", {1: annotation([item(2), item(3)])})
    ingest("train", str(changed), str(tmp_path / "newer"), jobs=1)
    place = Place(str(small_registry))
    place.write("x.txt", b"old")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "export.json").write_bytes(b"old")

    def run() -> None:
        if write == "ingest":
            ingest("train", str(changed), str(small_registry), jobs=1)
        elif write == "sync":
            sync(Place(str(tmp_path / "newer")), place)
        elif write == "write":
            place.write("x.txt", b"new")
        elif write == "replace":
            place.replace("x.txt", b"new", place.read_version("x.txt")[1])
        elif write in ("put", "keep"):
            (tmp_path / "new").write_bytes(b"new")
            place.put(tmp_path / "new", "y.txt", keep=write == "keep")
        else:
            files = LocalFiles(tmp_path / "out")
            with files.hold():
                files.write("a.txt", b"new")
                files.wait()
                files.finish(b"new")

    manifest, x, out = place.read("manifest.json"), place.read("x.txt"), files_in(tmp_path / "out")
    for number in range(1, 200):
        count = failing(number, "fsync", monkeypatch)
        try:
            run()
        except RegistryError as error:
            assert isinstance(error, StorageError)
            assert "Input/output error" in str(error)
            assert place.read("manifest.json") == manifest
            assert place.read("x.txt") == x
            assert files_in(tmp_path / "out") == out
        monkeypatch.undo()
        if count() < number:
            break
    assert number > 1
    assert not [path for path in files_in(small_registry) if path.endswith(".partial")]


def test_a_failed_syncfs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        @staticmethod
        def syncfs(_: int) -> int:
            import ctypes

            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(durability, "_libc", lambda: Failing)
    files = LocalFiles(tmp_path / "out")
    with pytest.raises(StorageError, match=r"Cannot write .*/out: Input/output error"), files.hold():
        files.write_all((f"{k}.txt", b"new") for k in range(100))
        files.wait()
        files.finish(b"new")
    assert os.listdir(tmp_path) == []


def test_a_file_system_that_cannot_sync_folders_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    Place(str(tmp_path / "a" / "b")).write("x.txt", b"new")
    assert (tmp_path / "a" / "b" / "x.txt").read_bytes() == b"new"
