"""Photos of ordinary zip archives, listed from arrays: the same as zipfile lists, or left to it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import PasswordError, RegistryError, SourceError
from registry.sources.listing import Entry
from registry.sources.photo_reader import PhotoReader
from registry.sources.zip_directory import Member, read_directory
from registry.sources.zip_parts import open_zips
from registry.sources.zip_photos import ZipPhotoIndex, list_zip_photos
from registry.sources.zip_records import read_records
from tests.helpers import jpeg
from tests.sources.packing import write_zip, write_zipcrypto

ORDINARY = {
    "README.txt": b"of the release",
    "train/": b"",
    "train/image/": b"",
    "train/image/000002.jpg": jpeg(3, 2),
    "train/image/000001.jpg": jpeg(2, 2),
    "train/annos/000001.json": b"{}",
    "validation/image/000001.jpg": jpeg(4, 2),
}
#: An extra field that Info-ZIP writes: the time of the file.
_TIME_FIELD = b"UT\x05\x00\x03\x00\x00\x00\x00"


def photos_of(path: Path, password: str | None = None) -> dict[int, Entry] | None:
    """Return the photos of train from arrays; None where they are left to zipfile."""
    photos = list_zip_photos(str(path), "train", None, password)
    if photos is None:
        return None
    index = path.with_suffix(".npy")
    photos.write_index(index)
    found = ZipPhotoIndex(index, photos.source)
    return {int(image_id): entry for image_id in photos.image_ids if (entry := found.find(int(image_id)))}


def zipfile_photos_of(path: Path, password: str | None = None) -> dict[int, Entry]:
    """Return the photos of train as zipfile lists them."""
    return open_zips([str(path)], "train", None, password).list_files("train", photos=True).photos


def archive(members: Mapping[str, bytes], *, limit: int = zipfile.ZIP64_LIMIT, extra: bytes = b"") -> bytes:
    """Return a zip archive; numbers above a limit are zip64 in its directory."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for number, (name, data) in enumerate(members.items()):
            info = zipfile.ZipInfo(name, (2019, 5, 1, 12, number % 60, 0))
            info.extra = extra
            packed.writestr(info, data, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED)
        with patch("zipfile.ZIP64_LIMIT", limit):
            packed.close()
    return file.getvalue()


def has_same_members(path: Path) -> bool:
    """Compare the members with those of zipfile; return False where they are left to it."""
    records = read_records(str(path), None)
    if records is None:
        return False
    infos = read_directory(str(path), None)
    assert len(infos) == len(records.members)
    for number, info in enumerate(infos):
        raw_time = info._raw_time  # type: ignore[attr-defined]
        numbers = (info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type, info.flag_bits)
        assert records.member(number) == Member(*numbers, raw_time)
        encoding = "utf-8" if info.flag_bits & 0x800 else "cp437"
        assert records.name(number) == info.orig_filename.encode(encoding)
    return True


@pytest.mark.parametrize("extra", [b"", _TIME_FIELD, _TIME_FIELD + b"\x00"])
@pytest.mark.parametrize("limit", [zipfile.ZIP64_LIMIT, 0, 100])
def test_an_ordinary_archive_is_listed_from_arrays_as_by_zipfile(tmp_path: Path, limit: int, extra: bytes) -> None:
    path = tmp_path / "release.zip"
    path.write_bytes(archive(ORDINARY, limit=limit, extra=extra))
    assert has_same_members(path)
    assert photos_of(path) == zipfile_photos_of(path)
    assert [*zipfile_photos_of(path)] == [1, 2]
    reader = PhotoReader(str(path))
    assert [reader.read("train", 1), reader.read("validation", 1)] == [jpeg(2, 2), jpeg(4, 2)]
    with pytest.raises(SourceError, match=r"train/image/000003\.jpg is not among the photos"):
        reader.read("train", 3)


@pytest.mark.parametrize("names", [["image/000001.jpg"], ["a/b/image/000001.jpg", "a/b/annos/000001.json"]])
def test_the_split_may_lie_at_the_top_or_deeper(tmp_path: Path, names: list[str]) -> None:
    path = write_zip(tmp_path / "train.zip", dict.fromkeys(names, b"data"))
    assert photos_of(path) == zipfile_photos_of(path) != {}


def test_a_protected_archive_is_listed_from_arrays_after_the_password_was_tried(tmp_path: Path) -> None:
    members = {name: data for name, data in ORDINARY.items() if not name.endswith("/")}
    path = write_zipcrypto(tmp_path / "train.zip", members, "a secret")
    assert photos_of(path, "a secret") == zipfile_photos_of(path, "a secret")
    assert PhotoReader(str(path), password="a secret").read("train", 2) == jpeg(3, 2)
    for password in ("wrong", None):
        with pytest.raises(PasswordError):
            list_zip_photos(str(path), "train", None, password)


@pytest.mark.parametrize(
    "names",
    [
        ["train/image/1.jpg"],
        ["train/image/000001.JPG"],
        ["train/image/000001.png"],
        ["train/image/000001.jpg", "train/image/000001.png"],
        ["train/images/000001.jpg"],
        ["train/image/000001.jpg", "train/Image/"],
        ["train/image/000001.jpg", "train/image/more/000001.jpg"],
        ["train/image/000001.jpg", "../x"],
        ["train/image/000001.jpg", "ü"],
        ["../image/000001.jpg"],
        ["ü/image/000001.jpg"],
        ["C:/image/000001.jpg"],
        ["train\\image\\000001.jpg"],
        ["train/image/000001.jpg", "__MACOSX/train/image/._000001.jpg"],
        ["__MACOSX/image/000001.jpg"],
        ["train/annos/000001.json"],
        ["x"],
        [],
    ],
)
def test_unusual_names_are_left_to_zipfile(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "train.zip"
    path.write_bytes(archive(dict.fromkeys(names, b"data")))
    assert photos_of(path) is None


def test_two_members_of_a_number_are_left_to_zipfile(tmp_path: Path) -> None:
    path = tmp_path / "train.zip"
    data = archive({"train/image/000001.jpg": b"a", "train/image/000002.jpg": b"b"})
    path.write_bytes(data.replace(b"000002.jpg", b"000001.jpg"))
    assert photos_of(path) is None


def test_several_folders_that_could_be_the_split_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "train.zip", {"a/image/000001.jpg": b"", "b/image/000001.jpg": b""})
    with pytest.raises(SourceError, match="holds several folders, and none is train: a, b"):
        list_zip_photos(str(path), "train", None, None)


def test_other_bytes_around_an_archive_are_left_to_zipfile(tmp_path: Path) -> None:
    path = tmp_path / "train.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.comment = b"of the release"
        packed.writestr("train/image/000001.jpg", b"data")
    assert read_records(str(path), None) is None
    path.write_bytes(b"before" + archive(ORDINARY))
    assert read_records(str(path), None) is None
    path.write_bytes(b"no archive")
    assert read_records(str(path), None) is None
    assert read_records(str(tmp_path / "missing.zip"), None) is None


_NAMES = st.one_of(
    st.sampled_from(list(ORDINARY)),
    st.from_regex(r"\A(train/|test/)?(image|annos|Images)/[0-9]{5,6}\.(jpg|json|png)\Z"),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
)


@given(
    names=st.lists(_NAMES, unique=True, max_size=8),
    limit=st.sampled_from([zipfile.ZIP64_LIMIT, 0, 60]),
    extra=st.sampled_from([b"", _TIME_FIELD]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2),
)
def test_any_archive_is_listed_as_by_zipfile_or_left_to_it(
    tmp_path_factory: pytest.TempPathFactory,
    names: list[str],
    limit: int,
    extra: bytes,
    changes: list[tuple[int, int]],
) -> None:
    data = bytearray(archive(dict.fromkeys(names, b"some data"), limit=limit, extra=extra))
    for from_end, value in changes:
        if from_end < len(data):
            data[-1 - from_end] = value
    path = tmp_path_factory.mktemp("any") / "train.zip"
    path.write_bytes(data)
    has_same_members(path)
    try:
        photos = photos_of(path)
    except RegistryError as error:
        with pytest.raises(type(error)):
            zipfile_photos_of(path)
        return
    assert photos is None or photos == zipfile_photos_of(path)
