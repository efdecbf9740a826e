"""The fingerprint of a source changes with its content and with nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

import registry
from registry.errors import SourceError, StorageError
from registry.ingest import fingerprint
from registry.ingest.build import ingest
from registry.ingest.content_digest import ContentDigest, annotation_record
from registry.ingest.fingerprint import fingerprint_source
from registry.sources import stat_digests
from registry.sources.local_reader import LocalReader
from tests.helpers import SMALL_SPLIT, annotation, item, jpeg, to_bytes, write_split
from tests.sources.packing import files_in, write_tar, write_zip, write_zipcrypto


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_split(tmp_path / "train", SMALL_SPLIT, {k: jpeg(40 + int(k)) for k in SMALL_SPLIT})


def test_it_has_the_number_of_files(source: Path) -> None:
    document = json.loads(fingerprint_source(str(source), "train"))
    assert document["split"] == "train"
    assert document["annotations"]["files"] == document["photos"]["files"] == len(SMALL_SPLIT)
    assert json.loads(fingerprint_source(str(source), "train", photos=False))["photos"]["files"] == 0


def test_it_is_the_same_for_a_folder_an_archive_and_a_url(source: Path, tmp_path: Path) -> None:
    expected = fingerprint_source(str(source), "train")
    members = {f"deep/train/{name}": data for name, data in files_in(source).items()}
    fs = fsspec.filesystem("memory")
    fs.pipe({f"/fingerprint/{name}": data for name, data in members.items()})
    for place in (
        tmp_path,
        f"file://{source}",
        write_tar(tmp_path / "a.tar", members),
        write_tar(tmp_path / "a.tar.gz", members),
        "memory://fingerprint/deep",
    ):
        assert fingerprint_source(str(place), "train", password="secret") == expected
    # The directory of a zip has the CRC of every photo, so that no photo is unpacked.
    zips = [
        json.loads(fingerprint_source(str(place), "train", password="secret"))
        for place in (write_zip(tmp_path / "a.zip", members), write_zipcrypto(tmp_path / "b.zip", members, "secret"))
    ]
    assert zips[0] == zips[1]
    assert zips[0]["annotations"] == json.loads(expected)["annotations"]
    assert zips[0]["photos"]["files"] == len(SMALL_SPLIT)


def test_it_does_not_depend_on_time_stamps_or_the_place(source: Path, tmp_path: Path) -> None:
    expected = fingerprint_source(str(source), "train")
    for path in (source / "annos").iterdir():
        os.utime(path, (1, 1))
    assert fingerprint_source(str(source), "train") == expected
    shutil.move(source, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "annos" / ".DS_Store").write_bytes(b"\0")
    assert fingerprint_source(str(tmp_path / "elsewhere"), "train") == expected


def _edit(source: Path) -> None:
    path = source / "annos" / "000001.json"
    path.write_bytes(path.read_bytes().replace(b'"style": 1', b'"style": 2'))  # of the same size


def _add(source: Path) -> None:
    write_split(source, {8: annotation()})


def _remove(source: Path) -> None:
    (source / "annos" / "000001.json").unlink()


def _rename(source: Path) -> None:
    (source / "annos" / "000001.json").rename(source / "annos" / "000005.json")


def _add_photo(source: Path) -> None:
    (source / "image" / "000008.jpg").write_bytes(jpeg())


def _edit_keeping_size_and_time(source: Path) -> None:
    path = source / "annos" / "000001.json"
    status = path.stat()
    _edit(source)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def _copy_photo_over_another(source: Path) -> None:
    shutil.copyfile(source / "image" / "000002.jpg", source / "image" / "000001.jpg")  # cp 2.jpg 1.jpg


def _empty_photo(source: Path) -> None:
    (source / "image" / "000003.jpg").write_bytes(b"")  # : > 3.jpg


def _edit_photo_keeping_size_and_time(source: Path) -> None:
    path = source / "image" / "000004.jpg"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace_photo(source: Path) -> None:
    (source / "new.jpg").write_bytes(jpeg(400, 300))
    (source / "new.jpg").replace(source / "image" / "000001.jpg")


def _remove_photo(source: Path) -> None:
    (source / "image" / "000001.jpg").unlink()


def _misname(source: Path) -> None:
    (source / "annos" / "notes.json").write_bytes(b"")


CHANGES = [
    _edit, _edit_keeping_size_and_time, _add, _remove, _rename, _misname,
    _add_photo, _replace_photo, _remove_photo,
    _copy_photo_over_another, _empty_photo, _edit_photo_keeping_size_and_time,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("with_note", [False, True])
def test_it_changes_with_every_change_of_a_file(
    change: Callable[[Path], None], with_note: bool, source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "seen.json" if with_note else None
    before = fingerprint_source(str(source), "train", output=output)
    change(source)
    after = fingerprint_source(str(source), "train", output=output)
    assert after != before
    assert fingerprint_source(str(source), "train") == after


def test_it_changes_with_an_edited_list(source: Path, tmp_path: Path) -> None:
    query = tmp_path / "query.txt"
    seen = []
    for text in ("000001.jpg", "000002.jpg"):
        query.write_text(text)
        seen.append(fingerprint_source(str(source), "train", [str(query)], output=tmp_path / "seen.json"))
    seen.append(fingerprint_source(str(source), "train", output=tmp_path / "seen.json"))
    assert len(set(seen)) == 3


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shift the clock step, so that file details count as a minute old and no file is recent."""
    monkeypatch.setattr(stat_digests, "_CLOCK_STEP", -60_000_000_000)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that the names of read files are appended to."""
    names: list[str] = []
    read, read_ends = LocalReader.read, LocalReader.read_ends
    monkeypatch.setattr(LocalReader, "read", lambda self, name, most: names.append(name) or read(self, name, most))
    monkeypatch.setattr(
        LocalReader, "read_ends", lambda self, name, *sizes: names.append(name) or read_ends(self, name, *sizes)
    )
    return names


@pytest.mark.usefixtures("later")
def test_files_with_unchanged_details_are_not_read_again(source: Path, tmp_path: Path, reads: list[str]) -> None:
    output = tmp_path / "made" / "seen.json"
    before = fingerprint_source(str(source), "train", output=output)
    assert output.read_text() == before
    assert sorted(path.name for path in output.parent.iterdir()) == [".seen.json.seen", "seen.json"]
    assert len(reads) == 2 * len(SMALL_SPLIT)
    output.unlink()
    reads.clear()
    assert fingerprint_source(str(source), "train", output=output) == before
    assert output.read_text() == before
    assert reads == []
    os.utime(source / "annos" / "000001.json", ns=(1, 1))
    assert fingerprint_source(str(source), "train", output=output) == before
    assert sorted(reads) == [f"{k:06d}.json" for k in SMALL_SPLIT], "photos are as they were"


def test_recent_files_are_compared_by_content(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "seen.json"
    before = fingerprint_source(str(source), "train", output=output)
    # As if the file system's clock stood still: changes do not show in the file details.
    unchanged = stat_digests.stat_digests(str(source), True)
    assert all(digest.recent for digest in unchanged.values())
    monkeypatch.setattr(fingerprint, "stat_digests", lambda *_: unchanged)
    assert fingerprint_source(str(source), "train", output=output) == before
    for change in (_edit, _copy_photo_over_another):
        old = output.read_text()
        change(source)
        assert fingerprint_source(str(source), "train", output=output) not in (before, old)
        assert fingerprint_source(str(source), "train", output=output) == fingerprint_source(str(source), "train")


def test_with_too_many_recent_files_all_are_read(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stat_digests, "_MAX_RECENT", 2)
    output = tmp_path / "seen.json"
    fingerprint_source(str(source), "train", output=output)
    unchanged = stat_digests.stat_digests(str(source), True)
    assert [digest.recent for digest in unchanged.values()] == [None, None]
    monkeypatch.setattr(fingerprint, "stat_digests", lambda *_: unchanged)
    _edit(source)
    assert fingerprint_source(str(source), "train", output=output) == fingerprint_source(str(source), "train")


def test_two_processes_compute_the_same_digests_of_large_folders(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = stat_digests.stat_digests(str(source), True)
    monkeypatch.setattr(stat_digests, "_LARGE_DIRECTORY", 1)
    assert stat_digests.stat_digests(str(source), True) == expected


def test_a_link_counts_with_the_content_of_its_target(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    target.write_bytes(to_bytes(annotation()))
    (source / "annos" / "000008.json").symlink_to(target)
    output = tmp_path / "seen.json"
    before = fingerprint_source(str(source), "train", output=output)
    target.write_bytes(to_bytes(annotation([item(2)])))
    assert fingerprint_source(str(source), "train", output=output) != before


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"null", b'{"seen": 1}', b"\xff"])
def test_a_damaged_cache_is_replaced(note: bytes, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "seen.json"
    expected = fingerprint_source(str(source), "train", output=output)
    good = (tmp_path / ".seen.json.seen").read_bytes()
    (tmp_path / ".seen.json.seen").write_bytes(note)
    assert fingerprint_source(str(source), "train", output=output) == expected
    assert (tmp_path / ".seen.json.seen").read_bytes() == good


def test_a_cache_of_other_arguments_is_not_used(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "seen.json"
    assert fingerprint_source(str(source), "train", output=output) != fingerprint_source(
        str(source), "train", photos=False, output=output
    )


def test_the_fingerprint_of_the_test_split_covers_its_photos(tmp_path: Path) -> None:
    source = write_split(tmp_path / "test", {}, {1: jpeg(), 2: jpeg()})
    document = json.loads(fingerprint_source(str(source), "test", photos=False))
    assert (document["annotations"]["files"], document["photos"]["files"]) == (0, 2)


def test_unreadable_files_are_part_of_the_fingerprint(source: Path, tmp_path: Path) -> None:
    before = fingerprint_source(str(source), "train")
    (source / "annos" / "000009.json").symlink_to("nowhere.json")
    (source / "image" / "000009.jpg").symlink_to("nowhere.jpg")
    (source / "annos" / os.fsdecode(b"\xff.json")).write_bytes(b"")
    after = fingerprint_source(str(source), "train", output=tmp_path / "seen.json")
    assert after != before
    assert fingerprint_source(str(source), "train", output=tmp_path / "seen.json") == after


def test_a_missing_source_and_an_unwritable_output_are_clear_errors(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Found no annotations or photos of train"):
        fingerprint_source(str(tmp_path / "nothing"), "train")
    with pytest.raises(SourceError, match=r"missing\.zip"):
        fingerprint_source(str(tmp_path / "missing.zip"), "train")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Cannot write"):
        fingerprint_source(str(source), "train", output=tmp_path / "file" / "seen.json")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_fingerprint_and_manifest_have_the_same_digest_of_annotations(kind: str, source: Path, tmp_path: Path) -> None:
    path = source if kind == "folder" else write_zip(tmp_path / "train.zip", files_in(source))
    ingest("train", str(path), str(tmp_path / "r"), jobs=1)
    document = json.loads(fingerprint_source(str(path), "train"))
    assert registry.open(str(tmp_path / "r")).manifest.sources["train"] == document["annotations"]["digest"]


def test_digests_that_are_committed_never_change() -> None:
    records = [annotation_record("000001.json", b"{}"), ("000002.json", "cannot be read"), "000003.jpg"]
    digest = ContentDigest(records[:1])
    digest.update(records[1:])
    expected = b"('000001.json', 2, 2745614147)('000002.json', 'cannot be read')'000003.jpg'"
    assert digest.hexdigest() == hashlib.sha256(expected).hexdigest()
