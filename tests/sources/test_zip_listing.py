"""Ordinary zip archives, listed from arrays: the same files as zipfile lists, or left to it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry.errors import PasswordError, RegistryError, SourceError
from registry.sources import zip_directory, zip_records
from registry.sources.entries import Entry
from registry.sources.issues import Issue
from registry.sources.listing import Listing
from registry.sources.photo_reader import PhotoReader
from registry.sources.zip_directory import Member, read_directory
from registry.sources.zip_parts import open_zips
from registry.sources.zip_records import UnusualZipError, read_records
from registry.sources.zips import ZipSource
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


Listed = tuple[list[Entry], list[Entry], list[Issue], list[str]]


def listed(path: Path, password: str | None = None) -> Listed | None:
    """Return the files of train from arrays, with issues and notices; None where they are left to zipfile."""
    source = ZipSource.open_ordinary(str(path), "train", None, password)
    return None if source is None else parts_of(source.list_files("train", photos=True))


def listed_by_zipfile(path: Path, password: str | None = None) -> Listed:
    """Return the files of train as zipfile lists them, with issues and notices."""
    with patch.object(ZipSource, "open_ordinary", return_value=None):
        return parts_of(open_zips([str(path)], "train", None, password).list_files("train", photos=True))


def parts_of(listing: Listing) -> Listed:
    """Return the parts of a listing as lists, to compare them."""
    return list(listing.annotations), list(listing.photos), listing.issues, listing.notices


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
    try:
        blocks = list(read_records(str(path), None))
    except UnusualZipError:
        return False
    infos = read_directory(str(path), None)
    places = [(records, number) for records in blocks for number in range(len(records.members))]
    for info, (records, number) in zip(infos, places, strict=True):
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
    assert listed(path) == listed_by_zipfile(path)
    assert [entry.name for entry in listed_by_zipfile(path)[1]] == ["000001.jpg", "000002.jpg"]
    reader = PhotoReader(str(path))
    assert [reader.read("train", 1), reader.read("validation", 1)] == [jpeg(2, 2), jpeg(4, 2)]
    with pytest.raises(SourceError, match=r"train/image/000003\.jpg is not among the photos"):
        reader.read("train", 3)


def test_the_directory_of_an_ordinary_archive_may_be_larger_than_zipfile_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zip(tmp_path / "train.zip", {"train/annos/000001.json": b"{}", "train/image/000001.jpg": b""})
    expected = listed_by_zipfile(path)
    monkeypatch.setattr(zip_directory, "MAX_DIRECTORY", 100)
    assert listed(path) == expected
    with pytest.raises(SourceError, match="expected at most 100"):
        listed_by_zipfile(path)


@pytest.mark.parametrize("names", [["image/000001.jpg"], ["a/b/image/000001.jpg", "a/b/annos/000001.json"]])
def test_the_split_may_lie_at_the_top_or_deeper(tmp_path: Path, names: list[str]) -> None:
    path = write_zip(tmp_path / "train.zip", dict.fromkeys(names, b"data"))
    assert listed(path) == listed_by_zipfile(path)


def test_numbers_above_six_digits_have_no_zeros_in_front(tmp_path: Path) -> None:
    names = ["train/annos/1000000.json", "train/annos/999999.json", "train/image/123456789.jpg"]
    path = write_zip(tmp_path / "train.zip", dict.fromkeys(names, b"data"))
    assert listed(path) == listed_by_zipfile(path)
    write_zip(path, {"train/annos/0000001.json": b"data"})
    assert listed(path) is None


def test_files_in_other_folders_are_counted(tmp_path: Path) -> None:
    names = [f"{lead}/annos/00000{number}.json" for lead in ("train", "b", "test") for number in (1, 2)]
    path = write_zip(tmp_path / "train.zip", dict.fromkeys([*names, "train/image/000001.jpg"], b"data"))
    files = listed(path)
    assert files == listed_by_zipfile(path)
    assert files


def test_a_directory_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "train.zip", {f"train/annos/{k:06d}.json": b"%d" % k for k in range(50, 0, -1)})
    whole = listed(path)
    monkeypatch.setattr(zip_records, "_BLOCK", 100)
    assert listed(path) == whole == listed_by_zipfile(path)


def test_a_protected_archive_is_listed_from_arrays_after_the_password_was_tried(tmp_path: Path) -> None:
    members = {name: data for name, data in ORDINARY.items() if not name.endswith("/")}
    path = write_zipcrypto(tmp_path / "train.zip", members, "a secret")
    assert listed(path, "a secret") == listed_by_zipfile(path, "a secret")
    assert PhotoReader(str(path), password="a secret").read("train", 2) == jpeg(3, 2)
    for password in ("wrong", None):
        with pytest.raises(PasswordError):
            listed(path, password)


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
        ["x"],
        [],
    ],
)
def test_unusual_names_are_left_to_zipfile(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "train.zip"
    path.write_bytes(archive(dict.fromkeys(names, b"data")))
    assert listed(path) is None


def test_two_members_of_a_number_are_left_to_zipfile(tmp_path: Path) -> None:
    path = tmp_path / "train.zip"
    data = archive({"train/image/000001.jpg": b"a", "train/image/000002.jpg": b"b"})
    path.write_bytes(data.replace(b"000002.jpg", b"000001.jpg"))
    assert listed(path) is None


def test_several_folders_that_could_be_the_split_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "train.zip", {"a/image/000001.jpg": b"", "b/image/000001.jpg": b""})
    with pytest.raises(SourceError, match="holds several folders, and none is train: a, b"):
        listed(path)


def test_other_bytes_around_an_archive_are_left_to_zipfile(tmp_path: Path) -> None:
    path = tmp_path / "train.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.comment = b"of the release"
        packed.writestr("train/image/000001.jpg", b"data")
    assert listed(path) is None
    path.write_bytes(b"before" + archive(ORDINARY))
    assert listed(path) is None
    path.write_bytes(b"no archive")
    assert listed(path) is None
    assert listed(tmp_path / "missing.zip") is None


_NAMES = st.one_of(
    st.sampled_from(list(ORDINARY)),
    st.from_regex(r"\A(train/|test/)?(image|annos|Images)/[0-9]{5,6}\.(jpg|json|png)\Z"),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
)


@example(names=["README.txt", "train/", "\x80", ""], limit=60, extra=b"", changes=[(168, 0)])  # a damaged name
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
        files = listed(path)
    except RegistryError as error:
        with pytest.raises(type(error)):
            listed_by_zipfile(path)
        return
    assert files is None or files == listed_by_zipfile(path)
