"""Writing the files of an export: paths in errors, removal at a remote place, the commit in the manifest."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from registry.errors import SourceError, StorageError
from registry.exports.local_files import LocalFiles
from registry.exports.remote_files import RemoteFiles
from registry.sources.photos import Photos
from registry.storage.place import Place
from tests.exports.releases import make_registry, make_release, run_export
from tests.sources.packing import files_in


@pytest.mark.parametrize("kind", ["folder", "pipe", "broken link"])
def test_a_photo_that_is_no_file_is_not_linked_and_is_named(kind: str, exportable: Path, tmp_path: Path) -> None:
    photo = make_release(tmp_path / "release") / "train" / "image" / "000002.jpg"
    photo.unlink()
    if kind == "folder":
        photo.mkdir()
    elif kind == "pipe":
        os.mkfifo(photo)
    else:
        photo.symlink_to("nowhere")
    with pytest.raises(SourceError, match=rf"{photo}"):
        run_export(exportable, "yolo", tmp_path / "out", images="link", photos=tmp_path / "release")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dest", ["out", "memory://blame-of-photos"])
def test_an_error_of_a_photo_is_not_reported_for_the_destination(
    dest: str, exportable: Path, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Photos, split: str, image_ids: Any) -> Iterator[bytes]:
        raise OSError(errno.EIO, "Input/output error", "/photos/000001.jpg")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Photos, "read", fail)
    with pytest.raises(
        StorageError, match=r"^Cannot export to .*: /photos/000001\.jpg: Input/output error\. (Nothing|It)"
    ):
        run_export(exportable, "yolo", dest, images="copy", photos=release)


def test_an_error_of_the_destination_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def fail(descriptor: int, data: bytes) -> int:
        if bytes(data) == b"second":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", fail)
    files = LocalFiles(tmp_path / "out")
    expected = rf"^Cannot write {tmp_path}/out/a/2\.txt: No space left on device\. Nothing was changed there\.$"
    with pytest.raises(StorageError, match=expected), files.hold():
        files.write_all([("a/1.txt", b"first"), ("a/2.txt", b"second")])
        files.wait()
    assert os.listdir(tmp_path) == []


_LIMITED = """
import resource, signal, sys
sys.dont_write_bytecode = True  # Python would keep a module that the limit cut off
from pathlib import Path
from registry.exports.local_files import LocalFiles
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
files = LocalFiles(Path(sys.argv[1]))
with files.hold():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with files.open("a.bin") as file:
        file.write(b"x" * 1500)
    files.finish(b"new")
"""


def test_a_short_write_is_noticed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _LIMITED, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"StorageError: Cannot write {tmp_path}/out/a.bin: File too large" in done.stderr
    assert os.listdir(tmp_path) == []


def test_at_a_remote_place_only_existing_files_of_the_old_export_are_removed() -> None:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    for path in ("/place/out/export.json", "/place/out/a", "/place/out/mine", "/place/victim"):
        fs.pipe_file(path, b"x")
    files = RemoteFiles(Place("memory://place/out"), lambda paths: {"export.json", "a", "../victim", "/place/victim"})
    with files.hold():
        assert fs.find("/place") == ["/place/out/mine", "/place/victim"]
    fs.store.clear()


def test_the_commit_of_another_repository_is_never_named(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = {}
    for name in ("data", "other"):
        (tmp_path / name).mkdir()
        git = ["git", "-C", str(tmp_path / name), "-c", "user.name=a", "-c", "user.email=a@b"]
        for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", name]):
            subprocess.run([*git, *command], check=True)
        head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        commits[name] = head.stdout.strip()
    folder = make_registry(release, tmp_path / "data" / "registry")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert run_export(folder, "csv", tmp_path / "out").revision == {"git": commits["data"], "dvc_lock": "as committed"}
    assert commits["data"] != commits["other"]
    assert set(files_in(tmp_path / "out")) == {
        "export.json",
        "data/train-00000-of-00001.csv",
        "data/validation-00000-of-00001.csv",
    }


def test_an_export_that_fails_leaves_no_new_folders_above_it(exportable: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        run_export(exportable, "yolo", tmp_path / "a" / "b" / "out", images="copy", photos=tmp_path / "none")
    assert os.listdir(tmp_path) == []
