"""Unlocking a protected zip: the same files, checked, resumed after a kill, and nothing half-written."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import fsspec
import pytest

from registry.errors import ConflictError, PasswordError, SourceError, StorageError, UsageError
from registry.sources.photos import Photos
from registry.sources.unlock import unlock
from tests.sources.conftest import PHOTOS
from tests.sources.ingesting import ingested
from tests.sources.packing import files_in, write_zip, write_zipcrypto

SECRET = "marker-Geheimnis-7391"


@pytest.fixture
def members(photographed: Path) -> dict[str, bytes]:
    return {f"train/{name}": data for name, data in files_in(photographed).items()}


@pytest.fixture(params=["ZipCrypto", "AES"])
def protected(request: pytest.FixtureRequest, members: dict[str, bytes], tmp_path: Path) -> Path:
    """Return a protected zip of either kind."""
    if request.param == "AES":
        return write_zip(tmp_path / "locked.zip", members, aes=SECRET)
    return write_zipcrypto(tmp_path / "locked.zip", members, SECRET)


def contents(path: Path) -> dict[str, bytes]:
    """Return path -> bytes of the files in a zip, each stored and not protected, or in a folder."""
    if path.is_dir():
        return files_in(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {(info.compress_type, info.flag_bits & 1) for info in archive.infolist()} == {(zipfile.ZIP_STORED, 0)}
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("form", ["open.zip", "open"])
def test_an_unlocked_archive_holds_the_same_files_and_gives_the_same_registry(
    form: str, protected: Path, members: dict[str, bytes], photographed: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "new" / form
    report = unlock(str(protected), dest, password=SECRET)
    assert (report.members, report.resumed, report.was_protected) == (len(members), 0, True)
    assert contents(dest) == members
    assert [path.name for path in dest.parent.iterdir()] == [form]
    source = dest if form == "open.zip" else dest / "train"
    assert ingested(source, tmp_path / "a") == ingested(photographed, tmp_path / "b")
    assert list(Photos(str(source)).read("train", [1, 2])) == [PHOTOS[1], PHOTOS[2]]


def test_the_same_archive_gives_the_same_bytes_with_any_number_of_processes(tmp_path: Path) -> None:
    many = {f"train/image/{k:06d}.jpg": os.urandom(50) for k in range(300)}
    source = write_zipcrypto(tmp_path / "locked.zip", many, SECRET)
    done: list[tuple[int, int]] = []
    unlock(str(source), tmp_path / "1.zip", password=SECRET, jobs=1, progress=lambda *counts: done.append(counts))
    unlock(str(source), tmp_path / "2.zip", password=SECRET, jobs=3)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert done == [(k, 300) for k in range(1, 301)]


@pytest.mark.parametrize("form", ["open.zip", "open"])
def test_a_killed_run_goes_on_where_it_stopped(
    form: str, protected: Path, members: dict[str, bytes], tmp_path: Path
) -> None:
    dest, partial = tmp_path / form, tmp_path / f".{form}.df2-unlock"

    class Killed(BaseException):
        pass

    def kill(done: int, _: int) -> None:
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        unlock(str(protected), dest, password=SECRET, jobs=1, progress=kill)
    assert not dest.exists()
    assert partial.exists()
    report = unlock(str(protected), dest, password=SECRET, jobs=1)
    assert report.resumed == 4
    assert contents(dest) == members
    assert not partial.exists()


def test_a_zip_is_resumed_from_any_cut_and_after_any_damage(protected: Path, tmp_path: Path) -> None:
    whole, partial = tmp_path / "whole.zip", tmp_path / ".open.zip.df2-unlock"
    unlock(str(protected), whole, password=SECRET, jobs=1)
    expected = whole.read_bytes()
    chance = random.Random(0)
    for case in range(25):
        data = bytearray(expected[: chance.randrange(1, len(expected) + 1)])
        if case % 2 and len(data) > 3000:  # behind the first record
            data[chance.randrange(2900, len(data))] ^= 8
        partial.write_bytes(data)
        unlock(str(protected), tmp_path / "open.zip", password=SECRET, jobs=1)
        assert (tmp_path / "open.zip").read_bytes() == expected
        (tmp_path / "open.zip").unlink()


def test_a_process_ended_by_kill_9_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    many = {f"train/image/{k:06d}.jpg": os.urandom(20_000) for k in range(60)}
    source = write_zipcrypto(tmp_path / "locked.zip", many, SECRET)
    command = [sys.executable, "-m", "registry.cli.main", "photos", "unlock", str(source), str(tmp_path / "o.zip")]
    environment = {**os.environ, "DF2_ZIP_PASSWORD": SECRET}
    unlock(str(source), tmp_path / "expected.zip", password=SECRET, jobs=1)
    for _ in range(4):
        with subprocess.Popen([*command, "-j", "1"], env=environment, stdout=subprocess.DEVNULL) as process:
            until = time.monotonic() + 20
            while not (tmp_path / ".o.zip.df2-unlock").exists() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        if (tmp_path / "o.zip").exists():
            break
    else:
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "o.zip").read_bytes() == (tmp_path / "expected.zip").read_bytes()


@pytest.mark.parametrize("form", ["open.zip", "open"])
def test_all_bad_members_are_named_together(form: str, members: dict[str, bytes], tmp_path: Path) -> None:
    source = write_zipcrypto(tmp_path / "locked.zip", members, SECRET)
    with zipfile.ZipFile(source) as archive:
        infos = [archive.getinfo(f"train/image/00000{k}.jpg") for k in (2, 4)]
    data = bytearray(source.read_bytes())
    for info in infos:
        data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 255
    source.write_bytes(data)
    with pytest.raises(SourceError) as caught:
        unlock(str(source), tmp_path / form, password=SECRET, jobs=1)
    text = str(caught.value)
    assert text.startswith(
        f"{source} was not unlocked: 2 issues:\n  locked.zip > train/image/000002.jpg: cannot be read"
    )
    assert "\n  locked.zip > train/image/000004.jpg: cannot be read: the archive is damaged here" in text
    assert not (tmp_path / form).exists()


@pytest.mark.parametrize("form", ["open.zip", "open"])
def test_no_member_leads_out_and_none_stands_twice(form: str, members: dict[str, bytes], tmp_path: Path) -> None:
    source = tmp_path / "x.zip"
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(source, "w") as archive:
        for name in ("../out.jpg", "/abs.jpg", "a/b.jpg", "a/b.jpg", "c\\d.jpg"):
            archive.writestr(name, b"x")
    with pytest.raises(SourceError) as caught:
        unlock(str(source), tmp_path / "d" / form)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{source} was not unlocked: 4 issues:"
    assert [line.partition(": ")[0].strip() for line in lines[1:]] == [
        "x.zip > ../out.jpg", "x.zip > /abs.jpg", "x.zip > a/b.jpg", "x.zip > c\\d.jpg",
    ]  # fmt: skip
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("form", ["open.zip", "open"])
def test_a_file_that_is_also_a_folder_is_refused_and_nothing_stays(form: str, tmp_path: Path) -> None:
    source = write_zip(tmp_path / "x.zip", {"a/b": b"1", "a/b/c/d": b"2"})
    with pytest.raises(SourceError) as caught:
        unlock(str(source), tmp_path / "d" / form)
    assert str(caught.value).endswith("x.zip > a/b: is a folder of other files too; expected one or the other")
    assert not (tmp_path / "d").exists()


def test_a_link_becomes_a_plain_file_with_a_notice(tmp_path: Path) -> None:
    source = tmp_path / "x.zip"
    link = zipfile.ZipInfo("train/image/000001.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr(link, "../000002.jpg")
    assert unlock(str(source), tmp_path / "open.zip").notices == (
        "x.zip: 1 member is a symbolic link and becomes a plain file with the path of the target as text: "
        "train/image/000001.jpg",
    )


def test_a_part_of_a_download_is_unlocked_with_a_notice_that_names_the_others(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    files = list(members.items())
    for number in (1, 2, 3):
        write_zipcrypto(tmp_path / f"train-00{number}.zip", dict(files[number::3]), SECRET)
    assert unlock(str(tmp_path / "train-002.zip"), tmp_path / "open-002.zip", password=SECRET).notices == (
        "train-002.zip is a part of a download: unlock train-001.zip, train-003.zip too, and keep the numbers at the "
        "end of the names, so that df2 ingest reads the parts together",
    )
    assert unlock(str(tmp_path / "train-001.zip"), tmp_path / "open", password=SECRET).notices == (
        "train-001.zip is a part of a download: unlock train-002.zip, train-003.zip too; df2 ingest reads parts "
        "together only as zips, NAME-001.zip and so on",
    )


def test_a_destination_that_is_named_like_another_archive_is_refused(protected: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"open\.TAR is named like another archive: expected a name that ends in \.zip"
    ):
        unlock(str(protected), tmp_path / "open.TAR", password=SECRET)
    assert not (tmp_path / "open.TAR").exists()


def test_an_existing_destination_and_a_foreign_file_are_not_touched(
    protected: Path, members: dict[str, bytes], tmp_path: Path
) -> None:
    for form in ("open.zip", "open"):
        (tmp_path / form).write_text("mine")
        with pytest.raises(UsageError, match="exists and is not replaced"):
            unlock(str(protected), tmp_path / form, password=SECRET)
        assert (tmp_path / form).read_text() == "mine"
        (tmp_path / form).unlink()
        partial = tmp_path / f".{form}.df2-unlock"
        for content in ("mine", "PK\3\4" * 5000):
            partial.write_text(content)
            with pytest.raises(StorageError, match="is in the way"):
                unlock(str(protected), tmp_path / form, password=SECRET)
            assert partial.read_text() == content
        partial.unlink()
    other = write_zip(tmp_path / "other.zip", dict(reversed(members.items())))
    unlock(str(other), tmp_path / "a.zip")
    (tmp_path / "a.zip").rename(tmp_path / ".open.zip.df2-unlock")
    with pytest.raises(StorageError, match="this is not the beginning of it"):
        unlock(str(protected), tmp_path / "open.zip", password=SECRET)
    with pytest.raises(UsageError, match=r"is no zip archive"):
        unlock(str(tmp_path / "train"), tmp_path / "x")


@pytest.mark.parametrize("form", ["open.zip", "open"])
def test_two_runs_at_once_do_not_meet(form: str, protected: Path, tmp_path: Path) -> None:
    def again(*_: int) -> None:
        with pytest.raises(ConflictError, match="Another process unlocks"):
            unlock(str(protected), tmp_path / form, password=SECRET, jobs=1)

    unlock(str(protected), tmp_path / form, password=SECRET, jobs=1, progress=again)
    assert (tmp_path / form).exists()


def test_a_full_disk_is_an_error_before(protected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(9, 9, 100))
    with pytest.raises(StorageError, match=r"bytes are to be written, and its disk has 100 free\. Make room"):
        unlock(str(protected), tmp_path / "open.zip", password=SECRET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locked.zip", "train"]


def test_a_remote_zip_is_unlocked_and_a_wrong_password_leaves_nothing(
    protected: Path, members: dict[str, bytes], tmp_path: Path
) -> None:
    fsspec.filesystem("memory").pipe_file("/unlock/locked.zip", protected.read_bytes())
    for password in (None, "wrong"):
        with pytest.raises(PasswordError):
            unlock("memory://unlock/locked.zip", tmp_path / "d" / "open.zip", password=password)
        assert not (tmp_path / "d").exists()
    unlock("memory://unlock/locked.zip", tmp_path / "d" / "open.zip", password=SECRET)
    assert contents(tmp_path / "d" / "open.zip") == members
