"""Hostile sources: links that lead out, files that are not regular, huge sizes. Issues or errors follow, no hang."""

from __future__ import annotations

import io
import lzma
import os
import socket
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import registry
from registry.errors import PasswordError, SourceError, UsageError
from registry.ingest import chunks, split_writer
from registry.ingest.build import ingest
from registry.ingest.diagnose import check_annotation
from registry.sources import build_listing, faults
from registry.sources.photo_headers import image_size
from tests.helpers import SMALL_SPLIT, annotation, jpeg, to_bytes, write_split
from tests.sources.ingesting import open_source
from tests.sources.packing import files_in, packed, write_zip

KINDS = (".zip", ".tar", ".tar.gz")
SOUND = to_bytes(annotation())
ZEROS = 300 << 20
METHODS = (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def issues(source: object, target: Path, **options: object) -> list[str]:
    """Ingest all valid files; return the issues of the others."""
    report = ingest("train", str(source), str(target), jobs=1, on_error="quarantine", **options)  # type: ignore[arg-type]
    return [str(issue) for issue in report.issues]


def test_a_link_out_of_the_source_is_an_issue_that_names_its_target(small_source: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (outside / "1.json").write_bytes(SOUND)
    (outside / "photo.jpg").write_bytes(jpeg(50, 60))
    (small_source / "image").mkdir()
    (small_source / "annos" / "000008.json").symlink_to(outside / "secret.txt")
    (small_source / "annos" / "000009.json").symlink_to(outside / "1.json")
    (small_source / "annos" / "000010.json").symlink_to("000001.json")
    (small_source / "annos" / "000011.json").symlink_to("../../outside/nothing")
    (small_source / "image" / "000001.jpg").symlink_to(outside / "photo.jpg")
    text = f"is a link that leads out of the source, to {outside}/%s: expected a file of the source; --follow-links"
    assert [line.replace(" reads it", "") for line in issues(small_source, tmp_path / "r")] == [
        f"train/annos/000008.json: {text % 'secret.txt'}",
        f"train/annos/000009.json: {text % '1.json'}",
        f"train/annos/000011.json: {text % 'nothing'}",
        f"train/image/000001.jpg: {text % 'photo.jpg'}",
    ]
    df2 = registry.open(str(tmp_path / "r"))
    assert df2.sql("SELECT count(*) FROM quarantine WHERE raw IS NOT NULL").fetchall() == [(0,)]
    assert [line.partition(": ")[0] for line in issues(small_source, tmp_path / "r", follow_links=True)] == [
        "train/annos/000008.json", "train/annos/000011.json",
    ]  # fmt: skip
    assert registry.open(str(tmp_path / "r")).sql(
        "SELECT image_id, width FROM images WHERE image_id IN (1, 9, 10) ORDER BY ALL"
    ).fetchall() == [(1, 50), (9, None), (10, None)]


def test_folders_of_a_source_may_be_links(tmp_path: Path) -> None:
    real = write_split(tmp_path / "disk" / "x", SMALL_SPLIT, {1: jpeg()})
    (tmp_path / "train").mkdir()
    (tmp_path / "named").symlink_to(tmp_path / "train")
    for kind in ("annos", "image"):
        (tmp_path / "train" / kind).symlink_to(real / kind)
    (real / "annos" / "000008.json").symlink_to("000001.json")
    assert issues(tmp_path / "named", tmp_path / "r") == []


def test_an_export_refuses_photos_that_are_links_out_of_the_source(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation()}, {1: jpeg()})
    ingest("train", str(source), str(tmp_path / "r"), jobs=1)
    (source / "image" / "000001.jpg").rename(tmp_path / "outside.jpg")
    (source / "image" / "000001.jpg").symlink_to(tmp_path / "outside.jpg")
    opened = registry.open(str(tmp_path / "r"))
    for images in ("copy", "link"):
        with pytest.raises(SourceError, match=r"is a link that leads out of the source, to .*outside\.jpg"):
            registry.export(opened, "yolo", str(tmp_path / images), images=images, photos=str(source))
        registry.export(opened, "yolo", str(tmp_path / images), images=images, photos=str(source), follow_links=True)
        [photo] = (tmp_path / images).rglob("*.jpg")
        assert photo.read_bytes() == (tmp_path / "outside.jpg").read_bytes()


def test_a_file_that_is_not_regular_is_an_issue_and_blocks_nothing(small_source: Path, tmp_path: Path) -> None:
    (small_source / "image").mkdir()
    os.mkfifo(small_source / "annos" / "000008.json")
    os.mkfifo(small_source / "image" / "000001.jpg")
    (small_source / "annos" / "000009.json").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(small_source / "annos" / "000010.json"))
    expected = [
        "train/annos/000008.json: expected a regular file, found a pipe (FIFO)",
        "train/annos/000009.json: is a link that leads out of the source, to /dev/zero: "
        "expected a file of the source; --follow-links reads it",
        "train/annos/000010.json: expected a regular file, found a socket",
        "train/image/000001.jpg: expected a regular file, found a pipe (FIFO)",
    ]
    assert issues(small_source, tmp_path / "r") == expected
    expected[1] = "train/annos/000009.json: expected a regular file, found a device"
    assert issues(small_source, tmp_path / "r", follow_links=True) == expected


@pytest.mark.parametrize("name", ["train.zip", "train.tar", "train.tar.gz"])
def test_an_archive_that_is_not_a_regular_file_is_refused(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match=r"expected a regular file, found a pipe \(FIFO\)\."):
        ingest("train", str(tmp_path / name), str(tmp_path / "r"))


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_an_annotation_above_the_size_limit_is_an_issue_without_its_bytes(
    kind: str, small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("folders", "zips", "tars"):
        monkeypatch.setattr(f"registry.sources.{module}.MAX_ANNOTATION", 10_000)
    (small_source / "annos" / "000008.json").write_bytes(b" " * 10_001)
    (small_source / "annos" / "000009.json").write_bytes(SOUND.ljust(10_000))
    source = packed(kind, files_in(small_source), tmp_path) if kind else small_source
    assert issues(source, tmp_path / "r") == ["train/annos/000008.json: expected at most 10,000 bytes, found 10,001"]
    rows = registry.open(str(tmp_path / "r")).sql("SELECT raw FROM quarantine").fetchall()
    assert rows == [(None,)]


# Ingests with a limit on memory; the libraries alone take some hundred MB of addresses.
LIMITED = """
import resource, sys
from registry.cli.main import main
import duckdb, pyarrow.parquet, registry.ingest.build, registry.snapshot.publish
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (350 << 20),) * 2)
main()
"""


def limited(source: Path, tmp_path: Path) -> tuple[int, str]:
    command = ["ingest", str(source), str(tmp_path / "r"), "--split", "train", "-j", "1", "--on-error", "quarantine"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def zip_bomb() -> bytes:
    """Return a zip with three members of 300 MB of zeros, each compressed with another method."""
    out = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch, zipfile.ZipFile(out, "w") as archive:
        # zipfile has no levels of LZMA; the fastest one for zeros.
        fast = {"id": lzma.FILTER_LZMA1, "preset": 0, "nice_len": 273, "depth": 1}
        patch.setattr(lzma, "_decode_filter_properties", lambda *_: fast)
        archive.writestr("train/annos/000001.json", SOUND)
        for number, method in enumerate(METHODS, 2):
            archive.compression, archive.compresslevel = method, 1
            with archive.open(f"train/annos/{number:06d}.json", "w") as file:
                for _ in range(ZEROS >> 20):
                    file.write(bytes(1 << 20))
    return out.getvalue()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits addresses")
@pytest.mark.parametrize("size", [ZEROS, 2000])
def test_a_zip_bomb_takes_little_memory(size: int, zip_bomb: bytes, tmp_path: Path) -> None:
    """``size`` is the size of each member by its headers; the true one is ``ZEROS``."""
    (tmp_path / "train.zip").write_bytes(zip_bomb.replace(struct.pack("<I", ZEROS), struct.pack("<I", size)))
    code, text = limited(tmp_path / "train.zip", tmp_path)
    expected = (
        f"expected at most {faults.MAX_ANNOTATION:,} bytes, found {ZEROS:,}" if size == ZEROS else "cannot be read: "
    )
    for number, _ in enumerate(METHODS, 2):
        assert f"  train/annos/{number:06d}.json: {expected}" in text
    assert code == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits addresses")
def test_a_tar_gz_bomb_takes_little_memory(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train.tar.gz", "w:gz", compresslevel=1) as archive:
        for name in ("annos/000002.json", "image/000001.jpg"):
            info = tarfile.TarInfo(f"train/{name}")
            info.size = ZEROS
            archive.addfile(info, io.BytesIO(bytes(ZEROS)))
        info = tarfile.TarInfo("train/annos/000001.json")
        info.size = len(SOUND)
        archive.addfile(info, io.BytesIO(SOUND))
    code, text = limited(tmp_path / "train.tar.gz", tmp_path)
    assert f"  train/annos/000002.json: expected at most {faults.MAX_ANNOTATION:,} bytes, found {ZEROS:,}" in text
    assert f"  train/image/000001.jpg: expected at most {faults.MAX_PHOTO:,} bytes, found {ZEROS:,}" in text
    assert code == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits addresses")
def test_a_large_bad_file_takes_little_memory_and_few_issues(tmp_path: Path) -> None:
    bad = annotation()
    bad["item1"]["landmarks"] = ["x"] * 3_000_000
    write_split(tmp_path / "train", {1: annotation(), 2: bad, 3: b" " * (51 << 20)})
    code, text = limited(tmp_path / "train", tmp_path)
    assert code == 0
    assert "102 issues:" in text
    told = (tmp_path / "df2-issues-train.txt").read_text().splitlines()
    assert "train/annos/000002.json: has 10,000 or more issues more than the 100 that are told" in told
    assert "train/annos/000003.json: expected at most 16,777,216 bytes, found 53,477,376" in told


def test_the_total_of_issues_is_limited_and_every_bad_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_writer, "MAX_ISSUES", 150)
    monkeypatch.setattr(split_writer, "_MAX_RAW", 3000)
    bad = annotation()
    bad["item1"]["landmarks"] = ["x"] * 75
    lines = issues(write_split(tmp_path / "train", dict.fromkeys(range(1, 6), bad)), tmp_path / "r")
    by_file = {f"train/annos/{k:06d}.json": 0 for k in range(1, 6)}
    for line in lines:
        by_file[line.partition(":")[0].partition(" ")[0]] += 1
    assert list(by_file.values()) == [75, 75 + 0, 75 + 0, 3, 3][:2] + list(by_file.values())[2:]
    assert all(count <= 77 for count in by_file.values())
    assert sum(by_file.values()) < 300
    assert any("its bytes are not kept: the bad files have more than 3,000 bytes" in line for line in lines)
    assert any("has 74 issues more" in line for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_has_a_maximum_of_files_and_bytes(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 5000)
    monkeypatch.setattr(chunks, "CHUNK_FILES", 3)
    monkeypatch.setattr(chunks, "MAX_ANNOTATION", 10_000)
    sizes = [2000, 2000, 2000, 9000, 1, 1, 1, 1, 10_001, 4000]
    source = packed(kind, {f"annos/{k:06d}.json": b" " * size for k, size in enumerate(sizes, 1)}, tmp_path)
    files = open_source(str(source), "train").list_files("train", photos=False)
    sizes_by_chunk = [
        [entry.size for entry in chunk.annotations] for chunk in chunks.make_chunks("train", files, False, {})
    ]
    assert sizes_by_chunk == [[2000, 2000], [2000], [9000], [1, 1, 1], [1, 10_001, 4000]]


def test_the_limit_on_kept_bytes_covers_lists_and_other_bad_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_writer, "_MAX_RAW", 10)
    source = write_split(tmp_path / "train", {1: annotation()})
    (tmp_path / "query.json").write_text("{" * 11)
    lines = issues(source, tmp_path / "r", retrieval=[str(tmp_path / "query.json")])
    assert lines[-1] == "query.json: its bytes are not kept: the bad files have more than 10 bytes"


def test_issues_about_wrong_names_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_listing, "MAX_NAME_ISSUES", 2)
    source = write_split(tmp_path / "train", {1: annotation(), **{f"x{k}": b"" for k in range(5)}})
    assert issues(source, tmp_path / "r")[0] == "train/annos: 3 more files whose names are not like NNNNNN.json"


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(40)


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_a_photo_whose_header_says_more_than_32_bits_is_an_issue(kind: str, tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation(), 2: annotation()}, {1: png(2**32 - 1, 5), 2: png(7, 5)})
    source = packed(kind, files_in(source), tmp_path) if kind else source
    assert issues(source, tmp_path / "r") == [
        "train/image/000001.jpg: expected width and height of at most 32 bits, found 4294967295 x 5"
    ]


def test_a_photo_that_is_text_is_not_parsed() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaa">]><svg width="&a;" height="1"/>'
    for start in (b"", b"\xef\xbb\xbf", b"\n  "):
        assert image_size(start + bomb) == "expected the header of a JPEG, PNG or WebP, found text"


def test_a_header_beyond_the_first_bytes_of_a_photo_is_found(tmp_path: Path) -> None:
    profile = b"\xff\xe2" + struct.pack(">H", 60_000) + bytes(59_998)
    photo = jpeg(31, 17)
    photo = photo[:2] + profile * 3 + photo[2:]
    for kind in ("", *KINDS):
        source = write_split(tmp_path / "train", {1: annotation()}, {1: photo})
        source = packed(kind, files_in(source), tmp_path) if kind else source
        assert issues(source, tmp_path / "r") == []
        assert registry.open(str(tmp_path / "r")).sql("SELECT width, height FROM images").fetchall() == [(31, 17)]


def test_a_password_that_cannot_be_encoded_is_a_clear_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "train.zip", {"train/annos/000001.json": SOUND}, aes="secret")
    with pytest.raises(PasswordError, match="The password in DF2_ZIP_PASSWORD is no UTF-8 text"):
        ingest("train", str(path), str(tmp_path / "r"), password="\udcff")


@pytest.mark.parametrize("path", ["x" * 300, "x" * 300 + ".zip", "x" * 300 + ".tar"])
def test_a_path_that_is_too_long_is_a_clear_error(path: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Cannot read"):
        ingest("train", f"{tmp_path}/{path}", str(tmp_path / "r"))
    with pytest.raises(SourceError, match=r"Cannot read|is no retrieval list"):
        ingest("train", str(write_split(tmp_path / "train", SMALL_SPLIT)), str(tmp_path / "r"), retrieval=[path])


@pytest.mark.parametrize(
    ("path", "reason"), [("a\0b", "a zero byte"), ("a\0b.zip", "a zero byte"), ("\udcff", "not UTF-8")]
)
def test_a_path_with_invalid_characters_is_refused_before_anything_is_read(
    path: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        ingest("train", f"{tmp_path}/{path}", str(tmp_path / "r"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may go everywhere")
def test_a_folder_that_cannot_be_entered_is_a_clear_error(small_source: Path, tmp_path: Path) -> None:
    small_source.chmod(0)
    try:
        with pytest.raises(SourceError, match=r"Cannot read .*: Permission denied"):
            ingest("train", str(small_source), str(tmp_path / "r"))
    finally:
        small_source.chmod(0o755)


@pytest.mark.parametrize("name", ["a[1]*?", "back\\slash", "quote'\"", "new\nline", "$(x);y"])
def test_a_source_may_have_any_name(name: str, tmp_path: Path) -> None:
    source = write_split(tmp_path / name / "train", SMALL_SPLIT, {1: jpeg()})
    (tmp_path / name / "json_for_train").mkdir()
    (tmp_path / name / "json_for_train" / "query.txt").write_text("000001.jpg\n")
    assert issues(tmp_path / name, tmp_path / "a") == []
    for kind in KINDS:
        packed(kind, files_in(source), tmp_path).rename(tmp_path / f"{name}{kind}")
        assert issues(tmp_path / f"{name}{kind}", tmp_path / "b") == []


def test_issues_of_a_file_beyond_the_maximum_are_counted() -> None:
    bad = annotation()
    bad["item1"]["landmarks"] = ["x"] * 150
    reported = check_annotation(to_bytes(bad), "x.json")
    assert len(reported) == 101
    assert str(reported[0]) == "x.json: has 51 issues more than the 100 that are told"
