"""Members of an archive: unsafe names are refused, and every skipped file of a split is reported."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import registry
from registry.errors import SourceError
from registry.ingest.build import ingest
from registry.ingest.fingerprint import fingerprint_source
from registry.ingest.retrieval_lists import read_retrieval
from tests.helpers import annotation, jpeg, to_bytes
from tests.sources.packing import packed, write_zip

KINDS = (".zip", ".tar", ".tar.gz")
SOUND = to_bytes(annotation())
EXPECTED = "expected a relative name without '..', drive letters, backslashes and control characters"


def issues(source: Path, tmp_path: Path, split: str = "train", **options: bool) -> list[str]:
    """Ingest all valid files; return the issues of the others."""
    report = ingest(split, str(source), str(tmp_path / "r"), jobs=1, on_error="quarantine", **options)  # type: ignore[arg-type]
    return [str(issue) for issue in report.issues]


def image_ids(tmp_path: Path) -> list[int]:
    rows = registry.open(str(tmp_path / "r")).sql("SELECT image_id FROM images ORDER BY image_id").fetchall()
    return [row[0] for row in rows]


REFUSED = {
    "x/../annos/000001.json": "x/../annos/000001.json",
    "../train/annos/000002.json": "../train/annos/000002.json",
    "train/annos/x/../000002.json": "train/annos/x/../000002.json",
    "train/annos/..": "train/annos/..",
    "/train/annos/000002.json": "/train/annos/000002.json",
    "//train/annos/000002.json": "//train/annos/000002.json",
    "C:/train/annos/000002.json": "C:/train/annos/000002.json",
    "c:annos/000002.json": "c:annos/000002.json",
    "train/d:/annos/000002.json": "train/d:/annos/000002.json",
    "train\\annos\\000002.json": "train\\annos\\000002.json",
    "..\\train/annos/000002.json": "..\\train/annos/000002.json",
    "train/annos/\x1b[2J000002.json": "train/annos/\\x1b[2J000002.json",
    "train\n/annos/000002.json": "train\\n/annos/000002.json",
    "train/annos/000002.json\x85": "train/annos/000002.json\\x85",
    "x/../image/000001.jpg": "x/../image/000001.jpg",
    "train\\image\\000001.jpg": "train\\image\\000001.jpg",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFUSED)
def test_a_member_with_an_unsafe_name_is_an_issue_and_is_not_read(kind: str, name: str, tmp_path: Path) -> None:
    sound = {"train/annos/000001.json": SOUND, "train/image/000001.jpg": jpeg(50, 60)}
    for members in ({**sound, name: b"hostile"}, {name: b"hostile", **sound}):
        source = packed(kind, members, tmp_path)
        assert issues(source, tmp_path) == [f"packed{kind} > {REFUSED[name]}: is not read: {EXPECTED}"]
        rows = registry.open(str(tmp_path / "r")).sql("SELECT image_id, width FROM images").fetchall()
        assert rows == [(1, 50)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_with_only_unsafe_names_is_an_error_that_names_them(kind: str, tmp_path: Path) -> None:
    source = packed(kind, {"/annos/000001.json": SOUND, "x/../annos/000002.json": SOUND, "readme": b""}, tmp_path)
    with pytest.raises(SourceError) as caught:
        issues(source, tmp_path)
    assert str(caught.value) == (
        f"{source} holds no file of train that is read: {EXPECTED}, found /annos/000001.json, x/../annos/000002.json."
    )
    assert not (tmp_path / "r").exists()


def test_a_name_with_a_zero_byte_is_refused_but_not_the_same_name_without_it(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "train.zip", {"annos/000001.json": SOUND, "annos/000001.json_x": b"{}"})
    source.write_bytes(source.read_bytes().replace(b"000001.json_x", b"000001.json\0x"))
    assert issues(source, tmp_path) == [f"train.zip > annos/000001.json\\x00x: is not read: {EXPECTED}"]
    assert image_ids(tmp_path) == [1]


@pytest.mark.parametrize("kind", KINDS)
def test_unsafe_names_of_files_that_are_not_data_are_ignored(kind: str, tmp_path: Path) -> None:
    odd = {"Icon\r": b"", "__MACOSX/train/annos/\r.json": b"", "../readme.txt": b"", "train/depth/000001.jpg": b""}
    folders = {"train/annos/000001.json": SOUND, "docs/image/logo.jpg": b"", "__MACOSX/annos/000009.json": b""}
    assert issues(packed(kind, {**folders, **odd}, tmp_path), tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_files_in_a_second_folder_are_an_issue(kind: str, tmp_path: Path) -> None:
    members = {
        "train/annos/000001.json": SOUND,
        "train/annos/more/000005.json": SOUND,
        "annos/000002.json": SOUND,
        "annos/.DS_Store": b"",
        "extra/annos/000003.json": SOUND,
        "extra/annos/000004.json": SOUND,
        "extra/image/000001.jpg": jpeg(),
        "validation/annos/000001.json": SOUND,
        "validation/annos/more/000001.json": SOUND,
    }
    source = packed(kind, members, tmp_path)
    rest = "train is read from train/; expected all its files in one place"
    expected = [
        f"packed{kind} > annos: 1 file is not read: {rest}",
        f"packed{kind} > extra/annos: 2 files are not read: {rest}",
        f"packed{kind} > extra/image: 1 file is not read: {rest}",
        f"packed{kind} > train/annos/more: 1 file is not read: {rest}",
    ]
    assert issues(source, tmp_path) == expected
    assert issues(source, tmp_path, image_sizes=False) == [line for line in expected if "image" not in line]
    assert image_ids(tmp_path) == [1]
    assert issues(source, tmp_path, "validation")[-1] == (
        f"packed{kind} > validation/annos/more: 1 file is not read: "
        "validation is read from validation/; expected all its files in one place"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_two_folders_of_the_same_split_are_refused(kind: str, tmp_path: Path) -> None:
    source = packed(kind, {f"{lead}/train/annos/000001.json": SOUND for lead in "ab"}, tmp_path)
    with pytest.raises(SourceError, match="holds several folders of train: a/train, b/train"):
        issues(source, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fingerprint_changes_with_members_that_are_not_read(kind: str, tmp_path: Path) -> None:
    texts = set()
    for more in ({}, {"x/../annos/000002.json": SOUND}, {"annos/000002.json": SOUND}):
        source = packed(kind, {"train/annos/000001.json": SOUND, **more}, tmp_path)
        texts.add(fingerprint_source(str(source), "train"))
    assert len(texts) == 3


@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_a_photo_with_an_unsafe_name_is_not_exported(kind: str, tmp_path: Path) -> None:
    source = packed(kind, {"train/annos/000001.json": SOUND, "x/../image/000001.jpg": jpeg()}, tmp_path)
    issues(source, tmp_path)
    opened = registry.open(str(tmp_path / "r"))
    with pytest.raises(SourceError, match=r"lacks photos that the subset needs: train/image/000001\.jpg"):
        registry.export(opened, "coco", str(tmp_path / "e"), images="copy", photos=str(source))


@pytest.mark.parametrize("name", ["x/../val_query.json", "/val_query.json", "..\\val_query.json", "a\x1bquery.txt"])
def test_a_list_with_an_unsafe_name_is_an_issue(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "lists.zip", "w") as archive:
        archive.writestr(name, "[]")
        archive.writestr("json_for_validation/val_gallery.json", "[]")
    lists = read_retrieval("validation", [str(tmp_path / "lists.zip")])
    [bad] = lists.bad_files
    shown = name.replace("\x1b", "\\x1b")
    assert [str(issue) for issue in bad.issues] == [f"{shown}: is not read from lists.zip: {EXPECTED}"]
