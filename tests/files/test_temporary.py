"""Files are replaced atomically and durably; unfinished files are removed."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from registry.errors import StorageError
from registry.files.temporary import ending, is_special, remove_temporary, replacing, temporary, write_text


def test_a_file_is_replaced_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_after_an_error_only_the_old_file_exists(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    for error in (ValueError("x"), KeyboardInterrupt(), OSError(28, "No space left on device")):
        kind = StorageError if isinstance(error, OSError) else type(error)
        with pytest.raises(kind), replacing(path) as partial:
            partial.write_text("half")
            raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from registry.errors import StorageError\n"
        "from registry.files.temporary import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try:\n"
        "    write_text(Path(sys.argv[1]), 'long text ' * 10)\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    path = tmp_path / "a.txt"
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout == f"Cannot write {path}: File too large\n"
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_file_name_of_maximum_length_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / ("n" * 251 + ".txt"), "x")
    assert os.listdir(tmp_path) == ["n" * 251 + ".txt"]


def test_a_file_is_synced_then_renamed_then_its_folder_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        calls.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def recorded_replace(old: Path, new: Path) -> None:
        calls.append(("replace", Path(new).name))
        replace(old, new)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    write_text(tmp_path / "a.txt", "x")
    (_, partial), *later_calls = calls
    assert partial.startswith(".a.txt.")
    assert partial.endswith(".partial")
    assert later_calls == [("replace", "a.txt"), ("fsync", tmp_path.name)]


@pytest.mark.parametrize("content", ["old", None], ids=["over an old file", "new"])
def test_a_rename_that_does_not_reach_the_disk_is_undone(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_text(content)
    fsync = os.fsync

    def fail_for_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    with pytest.raises(StorageError, match="Input/output error"):
        write_text(path, "new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == ({"a.txt": "old"} if content else {})


def test_only_registered_paths_are_removed(tmp_path: Path) -> None:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    for name in ("folder/sub/a", "folder/b", "file", "other"):
        (tmp_path / name).write_text("x")
    with temporary(tmp_path / "done"):
        pass
    (tmp_path / "done").write_text("x")
    with temporary(tmp_path / "folder"), temporary(tmp_path / "file"), temporary(tmp_path / "none"):
        remove_temporary()
    assert sorted(os.listdir(tmp_path)) == ["done", "other"]


def test_a_folder_that_is_being_removed_is_not_published(tmp_path: Path) -> None:
    removing, published = threading.Event(), threading.Event()

    def publish() -> None:
        with temporary(tmp_path / "unfinished"):
            removing.wait(10)
        published.set()

    thread = threading.Thread(target=publish)
    thread.start()
    with ending:
        removing.set()
        assert not published.wait(0.1)
    thread.join(10)
    assert published.is_set()


def test_devices_and_pipes_are_special_and_files_and_folders_are_not(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert is_special(tmp_path / "pipe")
    assert is_special(Path("/dev/null"))
    (tmp_path / "file").touch()
    assert not any(is_special(path) for path in (tmp_path, tmp_path / "file", tmp_path / "none"))
