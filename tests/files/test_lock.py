"""Locks of local folders, also on systems that cannot lock folders, and on file systems without locks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest

from registry.errors import ConflictError, StorageError
from registry.files import lock as module
from registry.files import staging
from registry.files.lock import lock_descriptor, locked
from registry.files.staging import claim, discard, is_marked, lock_folder, temporary_folder

HOLD = """
import sys
from pathlib import Path
from registry.files.lock import locked
with locked(Path(sys.argv[1]), "place", wait=True):
    print("locked", flush=True)
    sys.stdin.read()
"""
#: Adds 1 to a number in a file a hundred times; two processes that do so at a time lose some.
COUNT = """
import sys
from pathlib import Path
from registry.files.lock import locked
folder = Path(sys.argv[1])
for _ in range(100):
    with locked(folder, "place", wait=True):
        number = int((folder / "number").read_text())
        (folder / "number").write_text(str(number + 1))
"""


@pytest.fixture(params=["folder", "file"])
def lock_of_folders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lock folders by themselves, or as on Windows by a file in them; return how."""
    if request.param == "file":
        monkeypatch.setattr(staging, "CAN_OPEN_FOLDERS", False)
    return str(request.param)


def test_a_second_writer_is_refused_or_waits_until_the_first_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdin is not None and first.stdout is not None
        assert first.stdout.readline() == "locked\n"
        with (
            pytest.raises(ConflictError, match=r"^Another writer is at work at place; run this again"),
            locked(tmp_path / "a", "place", wait=False),
        ):
            pass
        entered = threading.Event()

        def wait() -> None:
            with locked(tmp_path / "a", "place", wait=True):
                entered.set()

        second = threading.Thread(target=wait)
        second.start()
        assert not entered.wait(0.2)
        first.kill()
        second.join(10)
    assert entered.is_set()
    assert not (tmp_path / "a").exists()


def test_nothing_of_a_lock_stays_in_a_folder_that_many_processes_write_to(tmp_path: Path) -> None:
    number = tmp_path / "a" / "number"
    number.parent.mkdir()
    number.write_text("0")
    command = [sys.executable, "-c", COUNT, str(number.parent)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert number.read_text() == "400"
    assert os.listdir(number.parent) == ["number"]


def test_a_file_system_that_cannot_lock_is_an_error_and_leaves_no_descriptor_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors: list[int] = []

    def refuse(descriptor: int, **_: object) -> bool:
        descriptors.append(descriptor)
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock, "lock_descriptor", refuse)
    with (
        pytest.raises(StorageError, match=r"^Cannot lock place: No locks available$"),
        locked(tmp_path / "a", "place", wait=True),
    ):
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptors[0])


def test_a_python_without_file_locks_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filelock, "has_fcntl", False)
    with locked(tmp_path / "a", "place", wait=False), locked(tmp_path / "a", "place", wait=False):
        pass


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"^Cannot write to place: "), locked(tmp_path / "a", "place", wait=True):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_of_unfinished_work_is_locked_once_and_removed_with_its_lock(
    lock_of_folders: str, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    claim(folder)
    first = lock_folder(folder)
    assert first is not None
    assert lock_folder(folder) is None
    (folder / "sub").mkdir()
    (folder / "sub" / "part").write_bytes(b"half")
    staging.clear(folder)
    assert is_marked(folder)
    assert lock_folder(folder) is None
    discard(folder, first)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first)


def test_leftovers_of_killed_runs_are_removed_and_held_folders_stay(
    lock_of_folders: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DF2_TMPDIR", str(tmp_path))
    claim(tmp_path / "df2-run-killed")
    (tmp_path / "df2-run-empty").mkdir()
    with temporary_folder() as first, temporary_folder() as second:
        assert sorted(tmp_path.iterdir()) == sorted([first, second])
    assert list(tmp_path.iterdir()) == []


def test_waiting_for_a_lock_polls_the_native_lock(tmp_path: Path) -> None:
    with open(tmp_path / "a", "w") as first, open(tmp_path / "a", "w") as second:
        assert lock_descriptor(first.fileno(), wait=False)
        assert not lock_descriptor(second.fileno(), wait=False)
        threading.Timer(0.1, first.close).start()
        assert lock_descriptor(second.fileno(), wait=True)
    assert module._POLL_SECONDS < 0.1
