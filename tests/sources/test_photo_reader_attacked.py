"""Photos out of places that are damaged, false, or changed while a reader lives: the right bytes or an error."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from registry.errors import PasswordError, SourceError, StorageError, UnreadableSourceError, UsageError
from registry.files import private_folder
from registry.files.positions import read_at
from registry.sources import photo_ranges
from registry.sources.photo_ranges import RangeReader
from registry.sources.photo_reader import PhotoReader
from tests.helpers import jpeg
from tests.sources.packing import write_tar, write_zip, write_zipcrypto

#: Photos of the same size and other bytes: only their place tells them apart.
PHOTOS = {f"train/image/{number:06d}.jpg": bytes([number]) * 700 for number in range(1, 6)}
MEMBERS = {"train/annos/000001.json": b"{}", **PHOTOS}
REVERSED = {"train/annos/000001.json": b"{}", **dict(reversed(PHOTOS.items()))}


def replaced(path: Path, write: Callable[[Path, Any], Path]) -> PhotoReader:
    """Return a reader, as another process gets it, of an archive that was replaced after it was listed."""
    reader = PhotoReader({"train": str(write(path, MEMBERS))})
    reader.prepare(["train"])
    copy: PhotoReader = pickle.loads(pickle.dumps(reader))
    copy._kept = reader  # type: ignore[attr-defined]  # it removes the listing
    path.unlink()
    write(path, REVERSED)
    return copy


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_an_archive_with_another_order_never_gives_another_photo(write: Any, tmp_path: Path) -> None:
    reader = replaced(tmp_path / ("train.tar" if write is write_tar else "train.zip"), write)
    for number in (1, 2, 4, 5):
        with pytest.raises(SourceError, match=rf"^Cannot read train/image/{number:06d}\.jpg in "):
            reader.read("train", number)
    assert reader.read("train", 3) == PHOTOS["train/image/000003.jpg"]  # where it was


def test_a_remote_tar_with_another_order_never_gives_another_photo(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/swapped/train.tar", write_tar(tmp_path / "a.tar", MEMBERS).read_bytes())
    reader = PhotoReader({"train": "memory://swapped/train.tar"})
    reader.prepare(["train"])
    memory.pipe("/swapped/train.tar", write_tar(tmp_path / "b.tar", REVERSED).read_bytes())
    with pytest.raises(SourceError, match="the archive was changed after its photos were listed"):
        reader.read("train", 1)


@pytest.mark.parametrize("folder", ["", "a/" * 45, "long" * 20 + "/" + "other" * 20])
@pytest.mark.parametrize("format", ["USTAR", "GNU", "PAX"])
def test_members_of_tars_with_long_names_are_read(folder: str, format: str, tmp_path: Path) -> None:
    import io
    import tarfile

    path = tmp_path / "train.tar"
    with tarfile.open(path, "w", format=getattr(tarfile, f"{format}_FORMAT")) as archive:
        for name, data in MEMBERS.items():
            info = tarfile.TarInfo(f"{folder}/{name}".lstrip("/"))
            info.size = len(data)
            try:
                archive.addfile(info, io.BytesIO(data))
            except ValueError:
                pytest.skip("USTAR has no room for such a name")
    assert PhotoReader({"train": str(path)}).read("train", 2) == PHOTOS["train/image/000002.jpg"]


@pytest.mark.parametrize("offset", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_an_offset_beyond_all_files_is_a_fault_of_the_photo(offset: int, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "train.zip", MEMBERS)
    data = bytearray(path.read_bytes())
    name = b"train/image/000001.jpg"
    at = data.rindex(name) - 46
    extra = struct.pack("<HHQ", 1, 8, offset)
    struct.pack_into("<H", data, at + 30, len(extra))
    struct.pack_into("<I", data, at + 42, 0xFFFFFFFF)
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, struct.unpack_from("<I", data, end + 12)[0] + len(extra))
    data[at + 46 + len(name) : at + 46 + len(name)] = extra
    path.write_bytes(data)
    reader = PhotoReader({"train": str(path)})
    with pytest.raises(
        SourceError, match=r"^Cannot read train/image/000001\.jpg in .*there is no local header"
    ) as caught:
        reader.read("train", 1)
    assert not isinstance(caught.value, UnreadableSourceError)
    assert reader.read("train", 2) == PHOTOS["train/image/000002.jpg"]


@pytest.mark.parametrize("second", ["train/image/000001.jpg", "train/image/000001.png"])
def test_a_number_of_two_photos_is_an_error(second: str, tmp_path: Path) -> None:
    path = tmp_path / "train.zip"
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w") as archive:
        for name, data in MEMBERS.items():
            archive.writestr(name, data)
        archive.writestr(second, b"another photo")
    reader = PhotoReader({"train": str(path)})
    with pytest.raises(SourceError, match=r"^Cannot read train/image/000001\.jpg in .*several files have this number"):
        reader.read("train", 1)
    assert reader.read("train", 2) == PHOTOS["train/image/000002.jpg"]


def test_a_photo_that_differs_between_two_archives_is_an_error(tmp_path: Path) -> None:
    write_zip(tmp_path / "train-001.zip", MEMBERS)
    write_zip(tmp_path / "train-002.zip", {**MEMBERS, "train/image/000001.jpg": b"another"})
    reader = PhotoReader(str(tmp_path))
    with pytest.raises(SourceError, match="several files have this number"):
        reader.read("train", 1)


def test_the_folder_of_the_listing_is_made_again_where_it_was_removed(tmp_path: Path) -> None:
    reader = PhotoReader({"train": str(write_zip(tmp_path / "train.zip", MEMBERS))})
    reader.prepare(["train"])
    assert reader._folder is not None
    shutil.rmtree(reader._folder)
    assert reader.read("train", 1) == PHOTOS["train/image/000001.jpg"]


def test_a_cut_listing_is_made_again(tmp_path: Path) -> None:
    reader = PhotoReader({"train": str(write_tar(tmp_path / "train.tar", MEMBERS))})
    reader.prepare(["train"])
    assert reader._folder is not None
    for path in reader._folder.rglob("photos.*"):
        os.truncate(path, 40)
    assert reader.read("train", 1) == PHOTOS["train/image/000001.jpg"]


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_a_listing_of_another_user_is_not_read(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the listing was removed, another user could put a file under its name: a pickle runs code."""
    reader = PhotoReader({"train": str(write(tmp_path / ("t.tar" if write is write_tar else "t.zip"), MEMBERS))})
    reader.prepare(["train"])
    place = reader._listed["train"][1]
    assert place is not None
    user = os.getuid()
    answers = iter([user + 1])
    monkeypatch.setattr(os, "getuid", lambda: next(answers, user))
    assert reader.read("train", 1) == PHOTOS["train/image/000001.jpg"]
    assert reader._listed["train"][1] != place


def test_a_temporary_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = PhotoReader({"train": str(write_tar(tmp_path / "train.tar", MEMBERS))})
    monkeypatch.setattr(private_folder, "_folders", {})
    monkeypatch.setenv("DF2_TMPDIR", str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match=r"Cannot write temporary files to .*nowhere"):
        reader.prepare(["train"])


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = PhotoReader({"train": str(write_tar(tmp_path / "train.tar", MEMBERS))})

    def refuse(**_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(StorageError, match=r"Cannot write the listing of the photos to .*: No space left on device"):
        reader.prepare(["train"])


def test_a_reader_of_a_folder_leaves_no_file_open(tmp_path: Path) -> None:
    (tmp_path / "train" / "image").mkdir(parents=True)
    (tmp_path / "train" / "image" / "000001.jpg").write_bytes(jpeg())
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    if not before:
        pytest.skip("this system does not list open files")
    for _ in range(5):
        assert PhotoReader(str(tmp_path)).read("train", 1) == jpeg()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_photos_without_a_checksum_are_not_written_to_the_cache(tmp_path: Path) -> None:
    """A tar has no checksums: a kept photo could never be found again."""
    data = write_tar(tmp_path / "train.tar", MEMBERS).read_bytes()
    fsspec.filesystem("memory").pipe("/uncached/train.tar", data)
    reader = PhotoReader({"train": "memory://uncached/train.tar"}, cache=tmp_path / "cache")
    assert reader.read("train", 1) == PHOTOS["train/image/000001.jpg"]
    assert not list(tmp_path.glob("cache/*/*.jpg"))


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/kept/train.zip", write_zip(tmp_path / "train.zip", MEMBERS).read_bytes())
    (tmp_path / "file").write_text("no folder")
    reader = PhotoReader({"train": "memory://kept/train.zip"}, cache=tmp_path / "file")
    with pytest.raises(StorageError, match=r"Cannot keep photos in .*file: File exists\. cache= names another folder"):
        reader.read("train", 1)


def test_a_remote_photo_that_was_removed_is_a_fault_of_this_photo() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/removed/{name}": data for name, data in PHOTOS.items()})
    reader = PhotoReader("memory://removed")
    reader.prepare(["train"])
    memory.rm("/removed/train/image/000001.jpg")
    with pytest.raises(SourceError, match=r"^Cannot read train/image/000001\.jpg in .*is no longer there") as caught:
        reader.read("train", 1)
    assert not isinstance(caught.value, UnreadableSourceError)


def test_a_server_that_sends_more_than_was_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/ranges/train.tar", b"0123456789")
    monkeypatch.setattr(type(memory), "cat_file", lambda fs, path, **_: b"0123456789")
    with pytest.raises(UnreadableSourceError, match="sent 10 bytes where 2 were asked for"):
        RangeReader("memory://ranges/train.tar", {}).read(3, 2)


@pytest.mark.parametrize("arguments", [({"train": 5}, None), ({"train": "x"}, b"bytes")])
def test_places_and_passwords_are_texts(arguments: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError, match="expected texts"):
        PhotoReader(arguments[0], password=arguments[1])


@pytest.mark.parametrize("password", [None, ""])
def test_a_loader_says_how_python_gives_the_password(password: str | None, tmp_path: Path) -> None:
    from registry.loaders.photo_pixels import PhotoPixels

    path = write_zipcrypto(tmp_path / "train.zip", MEMBERS, "a secret")
    with pytest.raises(PasswordError, match=r"is protected: .* In Python, password= gives it\.$"):
        PhotoPixels({"train": str(path)}, ["train"], password)


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_photos_are_read_where_the_system_has_no_pread(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.delattr(os, "pread")
    if kind == "folder":
        for name, data in PHOTOS.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
    place = (
        tmp_path if kind == "folder" else {"tar": write_tar, "zip": write_zip}[kind](tmp_path / f"t.{kind}", MEMBERS)
    )
    reader = PhotoReader({"train": str(place)})
    reader.prepare(["train"])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: reader.read("train", number), [1, 2, 3, 4, 5] * 40))
    assert found == list(PHOTOS.values()) * 40


def test_a_read_at_a_position_goes_on_where_the_system_gave_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: pread(descriptor, min(size, 3), offset))
    with open(tmp_path / "file", "rb") as file:
        assert read_at(file.fileno(), 7, 2) == b"2345678"
        assert read_at(file.fileno(), 7, 8) == b"89"
    assert photo_ranges.read_at is read_at
