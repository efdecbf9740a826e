"""Replacing a folder leaves the old or the new content, also after a kill, interrupt or error at any step."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.errors import StorageError, UsageError
from registry.exports.destination import open_destination
from registry.exports.local_files import LocalFiles
from registry.exports.manifest import verify_export
from registry.files import durability
from registry.files.staging import claim
from registry.files.temporary import remove_temporary
from registry.storage import replacement as module
from registry.storage.place import Place
from tests.exports.releases import run_export
from tests.forks import Forks
from tests.sources.packing import files_in
from tests.storage.replacing import NEW, NOT_REACHED, choose, replace

pytestmark = pytest.mark.system

OLD = {"export.json": b"old", "a.txt": b"old", "sub/b.txt": b"old", "only-old/c.txt": b"old"}


def write(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture(params=["exchange", "no exchange", "inside"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make Replacement use each of its ways."""
    choose(request.param, monkeypatch.setattr)
    if request.param == "exchange" and not durability.exchange(*_two_folders(request.getfixturevalue("tmp_path"))):
        pytest.skip("this file system cannot exchange names")
    return str(request.param)


def _two_folders(folder: Path) -> tuple[Path, Path]:
    (folder / "x" / "1").mkdir(parents=True)
    (folder / "x" / "2").mkdir()
    return folder / "x" / "1", folder / "x" / "2"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks("tests.storage.replacing") as forks:
        yield forks


@pytest.mark.parametrize("content", [{}, OLD], ids=["new", "over an old one"])
def test_after_a_kill_at_any_step_the_old_or_the_new_export_is_complete(
    content: dict[str, bytes], way: str, forks: Forks, tmp_path: Path
) -> None:
    seen = []
    for number in range(1, 1000):
        parent = tmp_path / str(number)
        folder = parent / "out"
        write(folder, content)
        parent.mkdir(exist_ok=True)
        if not content and way == "inside":
            folder.mkdir()
        status = forks.call("replace_and_stop", str(folder), way, number, "kill")
        if way == "exchange":
            assert (files_in(folder) if folder.exists() else {}) in (content, NEW)
        with LocalFiles(folder).hold():  # the next run recovers, whatever it does then
            pass
        files = files_in(folder) if folder.exists() else {}
        assert files in (content, NEW)
        assert [path.name for path in parent.iterdir()] in ([], ["out"])
        seen.append(files == NEW)
        if status == 0:
            break
        assert status == signal.SIGKILL
    assert seen == sorted(seen)
    assert seen[0] is False
    assert seen[-1] is True
    assert len(seen) > 20


@pytest.mark.parametrize("content", [{}, OLD], ids=["new", "over an old one"])
@pytest.mark.parametrize("how", ["interrupt", "error"])
def test_an_interrupt_or_error_at_any_step_loses_nothing_and_leaves_no_partial_files(
    how: str, content: dict[str, bytes], way: str, forks: Forks, tmp_path: Path
) -> None:
    for number in itertools.count(1):
        parent = tmp_path / str(number)
        folder = parent / "out"
        write(folder, content)
        parent.mkdir(exist_ok=True)
        if not content and way == "inside":
            folder.mkdir()
        status = forks.call("replace_and_stop", str(folder), way, number, how)
        with LocalFiles(folder).hold():
            pass
        files = files_in(folder) if folder.exists() else {}
        assert files in (content, NEW)
        assert [path.name for path in parent.iterdir()] in ([], ["out"])
        if status == NOT_REACHED << 8:
            break
        assert status in (0, 1 << 8)  # an error in tidying up stops nothing
    assert number > 20


def test_where_the_exchange_cannot_be_undone_the_message_says_where_the_old_export_is(tmp_path: Path) -> None:
    staging = tmp_path / ".out.df2-export"
    claim(staging)
    write(staging / "old", OLD)
    write(staging / "new", NEW)
    write(tmp_path / "out", {"mine.txt": b"mine"})
    with pytest.raises(StorageError, match=r"The export that was at .*/out lies in .*\.out\.df2-export/old since"):
        replace(tmp_path / "out")
    assert files_in(tmp_path / "out") == {"mine.txt": b"mine"}
    assert files_in(staging / "old") == OLD


def test_user_folders_named_like_staging_folders_stay(exportable: Path, tmp_path: Path) -> None:
    for name in (".skirts.old", ".skirts.partial", ".other.df2-export"):
        write(tmp_path / name, {"notes.txt": b"mine"})
    before = files_in(tmp_path)
    for overwrite in (False, True):
        run_export(exportable, "csv", tmp_path / "skirts", overwrite=overwrite)
    assert {name: data for name, data in files_in(tmp_path).items() if not name.startswith("skirts/")} == before
    write(tmp_path / ".more.df2-export", {"notes.txt": b"mine"})
    with pytest.raises(StorageError, match=r"\.more\.df2-export is in the way: .* Move it elsewhere"):
        run_export(exportable, "csv", tmp_path / "more")
    (tmp_path / ".link.df2-export").symlink_to(tmp_path / ".skirts.old")
    with pytest.raises(StorageError, match="is in the way"):
        run_export(exportable, "csv", tmp_path / "link")
    assert files_in(tmp_path / ".skirts.old") == files_in(tmp_path / ".more.df2-export") == {"notes.txt": b"mine"}


@pytest.mark.parametrize("names", ['["../../victim"]', '[".."]', '["/etc"]', "5", '[{"a": 1}]'])
def test_a_forged_list_of_moves_moves_nothing(names: str, tmp_path: Path) -> None:
    write(tmp_path / "victim", {"precious.txt": b"mine"})
    write(tmp_path / "out", {"export.json": b"old"})
    claim(tmp_path / "out" / ".df2-export")
    write(tmp_path / "out" / ".df2-export" / "new", {"x": b""})
    (tmp_path / "out" / ".df2-export" / "moves.json").write_text(f'{{"old": {names}, "new": []}}')
    with pytest.raises(StorageError, match=r"moves\.json is not a list that df2 wrote"):
        replace(tmp_path / "out")
    assert (tmp_path / "victim" / "precious.txt").read_bytes() == b"mine"
    assert (tmp_path / "out" / "export.json").read_bytes() == b"old"


@pytest.mark.parametrize("kind", ["empty folder", "link to a folder", "file"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "meanwhile"])
def test_files_that_no_export_wrote_are_not_removed_with_an_old_export(
    kind: str, late: bool, exportable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run_export(exportable, "yolo", out, images="none")

    def put(*_: Any) -> None:
        if kind == "empty folder":
            (out / "labels" / "mine").mkdir()
        elif kind == "file":
            (out / "labels" / "mine").write_bytes(b"")
        else:
            (out / "labels" / "mine").symlink_to(tmp_path)

    if late:
        finish = LocalFiles.finish
        monkeypatch.setattr(LocalFiles, "finish", lambda *args: (put(), finish(*args)))
    else:
        put()
    with pytest.raises(UsageError, match=r"holds labels/mine/?, which no export wrote: move or remove it first"):
        run_export(exportable, "csv", out, overwrite=True)
    assert os.path.lexists(out / "labels" / "mine")
    assert verify_export(Place(str(out))).is_whole
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_into_the_working_directory_stays_visible_there(
    exportable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    for format, overwrite in (("csv", False), ("coco", True)):
        run_export(exportable, format, ".", overwrite=overwrite)
        assert verify_export(Place(str(tmp_path / "out"))).is_whole
        assert sorted(os.listdir(".")) == sorted(os.listdir(tmp_path / "out"))
    assert sorted(os.listdir(".")) == ["annotations", "export.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_root_folder_is_refused_without_walking_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Iterator[Any]:
        raise AssertionError("the whole file system is walked")

    monkeypatch.setattr(os, "walk", refuse)
    with pytest.raises(UsageError, match="/ is not empty"):
        open_destination("/", None, _refuse)


def _refuse(place: Place, paths: list[str]) -> set[str]:
    raise UsageError(f"{place} is not empty")


def test_the_staging_folder_of_a_long_name_has_a_short_name(exportable: Path, tmp_path: Path) -> None:
    for overwrite in (False, True):
        run_export(exportable, "csv", tmp_path / ("x" * 255), overwrite=overwrite)
    assert len(os.listdir(tmp_path)) == 1
    with pytest.raises(StorageError, match=r"Cannot write .*: File name too long"):
        run_export(exportable, "csv", tmp_path / ("x" * 256))


_MOUNTED_SAMPLE = """
mount --bind "$1" "$2" || mount -t tmpfs tmpfs "$2" || exit 77
shift 2
"$@" || exit 1
ls -A "$OUT"
"$@"
test $? = 2
"""
_MOUNTED = """
mount --bind "$1" "$2" || mount -t tmpfs tmpfs "$2" || exit 77
shift 2
for option in "" --overwrite; do
    "$@" $option || exit 1
    "$PYTHON" -m registry.cli.main verify "$OUT" || exit 1
done
ls -A "$OUT"
"""


def run_mounted(script: str, volume: Path, out: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run df2 in a script that mounts a volume at a folder."""
    program = [sys.executable, "-m", "registry.cli.main", *arguments]
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(volume), str(out), *program]
    environment = os.environ | {"PYTHON": sys.executable, "OUT": str(out)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if "unshare failed" in done.stderr or done.returncode == 77:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_an_export_into_a_mounted_empty_volume_works(kind: str, exportable: Path, tmp_path: Path) -> None:
    volume, out = tmp_path / "volume", tmp_path / "out"
    out.mkdir()
    if kind == "bind":
        volume.mkdir()
        (volume / "lost+found").mkdir()  # as in a new file system
    arguments = ["-r", str(exportable), "export", "csv", str(out)]
    done = run_mounted(_MOUNTED, volume, out, arguments)
    *_, first, second = done.stdout.split()
    assert (first, second) == (("export.json", "lost+found") if kind == "bind" else ("data", "export.json"))
    assert os.listdir(out) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == (["out", "volume"] if kind == "bind" else ["out"])


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_a_sample_into_a_mounted_empty_volume_works(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    volume, out = tmp_path / "volume", tmp_path / "out"
    out.mkdir()
    if kind == "bind":
        (volume / "lost+found").mkdir(parents=True)
    done = run_mounted(_MOUNTED_SAMPLE, volume, out, ["sample", str(out), "--images", "6"])
    names = done.stdout.splitlines()[1:]
    assert set(names) - {"lost+found"} == {"json_for_test", "json_for_validation", "test", "train", "validation"}
    assert "a sample never overwrites anything" in done.stderr
    assert os.listdir(out) == []


@pytest.mark.parametrize("is_marked", [False, True], ids=["killed before its mark", "marked"])
@pytest.mark.parametrize("where", ["beside", "inside"])
def test_an_empty_staging_folder_of_a_killed_export_is_removed_by_the_next_export(
    where: str, is_marked: bool, exportable: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    staging = out / ".df2-export" if where == "inside" else tmp_path / ".out.df2-export"

    def leave() -> None:
        staging.mkdir()
        if is_marked:
            claim(staging)

    leave()
    run_export(exportable, "csv", tmp_path / "other")
    assert staging.is_dir()
    run_export(exportable, "csv", out)
    assert not staging.exists()
    leave()
    assert verify_export(Place(str(out))).is_whole
    run_export(exportable, "coco", out, overwrite=True)
    assert not staging.exists()
    assert sorted(os.listdir(tmp_path)) == ["other", "out"]
    assert verify_export(Place(str(out))).extra == ()


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV, errno.EPERM])
def test_a_folder_that_cannot_be_renamed_gets_the_new_entries_moved_in(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(first: Path, second: Path) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "exchange", refuse)
    write(tmp_path / "out", OLD)
    identity = (tmp_path / "out").stat().st_ino
    replace(tmp_path / "out")
    assert files_in(tmp_path / "out") == NEW
    assert (tmp_path / "out").stat().st_ino == identity
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "over an old one"])
def test_the_next_export_recovers_the_work_of_a_killed_export(
    is_new: bool, exportable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_mount", lambda folder: folder)  # as if each folder were a mount point
    wanted = files_in_export(exportable, tmp_path / "wanted")
    for number in range(1, 30):
        folder = tmp_path / str(number)
        folder.mkdir()
        if not is_new:
            run_export(exportable, "coco", folder, subset={"category": "skirt"})
        steps = iter(range(1, 10_000))

        def kill_at_rename(event: str, _: object, steps: Any = steps, number: int = number) -> None:
            if event == "os.rename" and next(steps) == number:
                os.kill(os.getpid(), 9)

        def work(folder: Path = folder, hook: Any = kill_at_rename) -> None:
            sys.addaudithook(hook)
            run_export(exportable, "coco", folder, overwrite=True)

        status = in_child(work)
        run_export(exportable, "coco", folder, overwrite=True)
        assert files_in(folder) == wanted
        if status == 0:
            break
    assert number > 3


def in_child(run: Callable[[], None]) -> int:
    """Run a function in a child process; return the exit status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        run()
        os._exit(0)
    except BaseException:  # noqa: BLE001 (the parent checks the files)
        os._exit(1)


def files_in_export(registry: Path, folder: Path) -> dict[str, bytes]:
    run_export(registry, "coco", folder)
    return files_in(folder)


@pytest.mark.parametrize("name", ["old", "new"])
def test_links_in_a_forged_staging_folder_are_refused(exportable: Path, tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    write(home, {".bashrc": b"own", "id": b"own"})
    folder = tmp_path / "out"
    run_export(exportable, "coco", folder)
    (folder / ".bashrc").write_bytes(b"theirs")
    staging = folder / ".df2-export"
    claim(staging)
    (staging / name).symlink_to(home)
    moves = {"old": [".bashrc"], "new": ["zzz"]} if name == "old" else {"old": [], "new": ["id"]}
    (staging / "moves.json").write_text(json.dumps(moves))
    before = {path: files_in(path) for path in (home, folder)}
    with pytest.raises(StorageError, match=f"{name} is no folder, so df2 did not make it: look into "):
        run_export(exportable, "coco", folder, overwrite=True)
    assert {path: files_in(path) for path in (home, folder)} == before


def test_a_signal_while_the_staging_folder_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Path.mkdir

    def interrupted(path: Path, *args: Any, **kwargs: Any) -> None:
        make(path, *args, **kwargs)
        if path.name.endswith(".df2-export"):
            raise KeyboardInterrupt  # Python runs a signal's handler when the system's call is done

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_ends_while_it_tidies_up_leaves_no_staging_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(staging: Path, lock: int) -> None:
        assert staging.is_dir()
        remove_temporary()  # as the end of the process does, before this could remove it
        assert not staging.exists()
        os.close(lock)

    monkeypatch.setattr(module, "discard", ended)
    with pytest.raises(KeyboardInterrupt), module.replacement(tmp_path / "out", "export.json") as replaced:
        (replaced.unfinished / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
