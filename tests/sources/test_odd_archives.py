"""Archives and folders as people have them: suffixes, nested folders, parts, backslashes, servers without ranges."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fsspec
import pytest

import registry
from registry.errors import SourceError
from registry.ingest.build import ingest
from registry.ingest.fingerprint import fingerprint_source
from registry.sources.photos import Photos
from tests.helpers import annotation, jpeg, to_bytes
from tests.sources.conftest import PHOTOS
from tests.sources.ingesting import ingested, refusal
from tests.sources.packing import files_in, packed, write_tar, write_zip, write_zipcrypto

SECRET = "marker-Geheimnis-7391"


def with_notices(source: object, tmp_path: Path, split: str = "train", **options: object) -> list[str]:
    """Ingest into ``tmp_path / "odd"`` and return the notices; no bad file is expected."""
    report = ingest(split, str(source), str(tmp_path / "odd"), jobs=1, **options)  # type: ignore[arg-type]
    assert report.bad_files == []
    return report.notices


def same_rows(photographed: Path, tmp_path: Path) -> bool:
    """Return whether the last ingestion gave the registry that the plain folder gives."""
    return {name: data for name, data in files_in(tmp_path / "odd").items() if name != ".lock"} == ingested(
        photographed, tmp_path / "plain"
    )


@pytest.mark.parametrize("folder", ["image", "images", "Image"])
@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_photos_at_another_place_in_an_archive_are_issues_whatever_the_name_of_their_folder(
    kind: str, folder: str, tmp_path: Path
) -> None:
    files = {"train/annos/000001.json": to_bytes(annotation()), f"other/{folder}/000001.jpg": jpeg(3, 2)}
    archive = packed(kind, files, tmp_path)
    assert refusal(archive, tmp_path) == [
        f"{archive.name} > other/{folder}: 1 file is not read: train is read from train/; expected all its files in "
        "one place"
    ]


# --- suffixes


@pytest.mark.parametrize("kind", [".ZIP", ".TAR", ".TAR.GZ", ".Tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".TAR.XZ"])
def test_archives_of_every_suffix_are_read_by_name_and_by_release(
    kind: str, photographed: Path, tmp_path: Path
) -> None:
    (tmp_path / "release").mkdir()
    archive = packed(kind, files_in(photographed), tmp_path)
    assert with_notices(archive, tmp_path) == []
    assert same_rows(photographed, tmp_path)
    archive.rename(tmp_path / "release" / f"train{kind}")
    assert with_notices(tmp_path / "release", tmp_path) == []
    assert same_rows(photographed, tmp_path)


@pytest.mark.parametrize("kind", [".tar.bz2", ".tar.xz"])
def test_a_compressed_tar_cut_short_is_a_clear_error(kind: str, photographed: Path, tmp_path: Path) -> None:
    archive = packed(kind, files_in(photographed), tmp_path)
    whole = archive.read_bytes()
    for end in range(0, len(whole), 211):
        archive.write_bytes(whole[:end])
        with pytest.raises(SourceError, match=r"is not a complete tar archive .* Fetch it again\."):
            ingest("train", str(archive), str(tmp_path / "r"))


@pytest.mark.parametrize("name", ["train.7z", "train.rar", "train.tar.zst", "train.zip.001"])
def test_other_archives_are_refused_with_what_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=rf"{name} is no archive that is read: expected \.zip, .* name the folder\."):
        ingest("train", str(tmp_path / name), str(tmp_path / "r"))


def test_several_archives_of_a_split_are_an_error_that_names_them(photographed: Path, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    write_zip(tmp_path / "release" / "train.zip", files_in(photographed))
    write_tar(tmp_path / "release" / "train.tar", files_in(photographed))
    with pytest.raises(SourceError, match=r"Several archives could be train: train\.tar, train\.zip in "):
        ingest("train", str(tmp_path / "release"), str(tmp_path / "r"))
    assert ingested(tmp_path / "release" / "train.zip", tmp_path / "a") == ingested(photographed, tmp_path / "b")


# --- nested folders


@pytest.mark.parametrize("place", ["local", "memory"])
@pytest.mark.parametrize("inside", ["train/train", "train/deep/train", "DeepFashion2/train", "unpacked"])
def test_a_split_in_a_deeper_folder_is_read_with_a_notice(
    inside: str, place: str, photographed: Path, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    for name, data in files_in(photographed).items():
        path = release / inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (release / "__MACOSX" / inside / "annos").mkdir(parents=True)
    (release / "validation" / "annos").mkdir(parents=True)
    (release / "validation" / "annos" / "000001.json").write_bytes(to_bytes(annotation()))
    url = str(release)
    if place == "memory":
        fs = fsspec.filesystem("memory")
        fs.store.clear()
        fs.pipe({f"/nested/{name}": data for name, data in files_in(release).items()})
        url = "memory://nested"
    assert with_notices(url, tmp_path) == [f"train is read from the folder {inside}/ in {url.rpartition('/')[2]}"]
    assert same_rows(photographed, tmp_path)
    photos = Photos(url)
    assert list(photos.read("train", [1, 2])) == [PHOTOS[1], PHOTOS[2]]
    assert photos.notices == [f"train is read from the folder {inside}/ in {url.rpartition('/')[2]}"]


def test_two_deeper_folders_that_could_be_meant_are_an_error(photographed: Path, tmp_path: Path) -> None:
    for folder in ("a/train", "b/train"):
        (tmp_path / "release" / folder).mkdir(parents=True)
        (tmp_path / "release" / folder / "annos").symlink_to(photographed / "annos")
    with pytest.raises(SourceError, match=r"holds several folders of train: a/train, b/train\. Name the one"):
        ingest("train", str(tmp_path / "release"), str(tmp_path / "r"))


def test_the_folder_of_another_split_is_never_taken(photographed: Path, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    photographed.rename(tmp_path / "release" / "validation")
    with pytest.raises(SourceError, match="Found no annotations or photos of train"):
        ingest("train", str(tmp_path / "release"), str(tmp_path / "r"))
    archive = write_zip(tmp_path / "x.zip", files_in(tmp_path / "release"))
    assert with_notices(archive, tmp_path) == ["x.zip: train is read from the folder validation/"]


# --- parts of a download


def parts(folder: Path, photographed: Path, names: list[str], **more: bytes) -> None:
    """Write the members into archives of these names in turn, as Google Drive packs them."""
    folder.mkdir()
    members = [(f"train/{name}", data) for name, data in files_in(photographed).items()]
    for number, name in enumerate(names):
        write_zip(folder / name, dict(members[number :: len(names)]) | dict(more.items() if not number else ()))


DRIVE = ["train-20240101T000000Z-001.zip", "train-20240101T000000Z-002.zip", "train-20240101T000000Z-003.zip"]


@pytest.mark.parametrize("names", [["train-001.zip", "train-002.zip"], DRIVE, ["train-001.ZIP", "train-002.ZIP"]])
def test_the_parts_of_a_download_are_read_as_one_split(names: list[str], photographed: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    parts(release, photographed, names)
    told = [f"train is read from {len(names)} archives, the parts of one download: {', '.join(names)}"]
    for source in (release, release / names[0], release / names[1]):
        assert with_notices(source, tmp_path) == told
        assert same_rows(photographed, tmp_path)
    report = ingest("train", str(release), str(tmp_path / "jobs"), jobs=2)
    assert (report.images, report.notices) == (len(PHOTOS), told)
    photos = Photos(str(release))
    assert list(photos.read("train", list(PHOTOS))) == list(PHOTOS.values())  # type: ignore[arg-type]
    whole = write_zip(tmp_path / "whole.zip", {f"train/{k}": v for k, v in files_in(photographed).items()})
    before = fingerprint_source(str(release), "train", output=tmp_path / "f.json")
    assert before == fingerprint_source(str(whole), "train")
    last = release / names[-1]
    last.unlink()
    write_zip(last, {"train/annos/000002.json": to_bytes(annotation())})
    assert fingerprint_source(str(release), "train", output=tmp_path / "f.json") != before


def test_the_parts_of_a_remote_and_protected_download_are_read(photographed: Path, tmp_path: Path) -> None:
    members = {f"train/{name}": data for name, data in files_in(photographed).items()}
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    for number, kind in ((1, "annos"), (2, "image")):
        some = {name: data for name, data in members.items() if kind in name}
        path = write_zipcrypto(tmp_path / f"train-00{number}.zip", some, SECRET)
        fs.pipe_file(f"/drive/{path.name}", path.read_bytes())
    notice = "train is read from 2 archives, the parts of one download: train-001.zip, train-002.zip"
    assert with_notices("memory://drive", tmp_path, password=SECRET) == [notice]
    assert same_rows(photographed, tmp_path)


@pytest.mark.parametrize("names", [["train-001.zip", "train-003.zip"], ["train-002.zip", "train-003.zip"]])
def test_a_missing_part_is_an_error_that_names_it(names: list[str], photographed: Path, tmp_path: Path) -> None:
    parts(tmp_path / "release", photographed, names)
    missing = "002" if names[0].endswith("001.zip") else "001"
    for source in (tmp_path / "release", tmp_path / "release" / names[-1]):
        with pytest.raises(SourceError, match=rf"{', '.join(names)}: .* more parts, and {missing} is not in"):
            ingest("train", str(source), str(tmp_path / "r"))


def test_a_whole_archive_beside_parts_is_in_doubt(photographed: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    parts(release, photographed, ["train-002.zip"])
    write_zip(release / "train.zip", files_in(photographed))
    with pytest.raises(SourceError, match=r"Several archives could be train: train-002\.zip, train\.zip"):
        ingest("train", str(release), str(tmp_path / "r"))
    assert with_notices(release / "train.zip", tmp_path) == [
        "train is read from train.zip alone, not from train-002.zip beside it"
    ]


@pytest.mark.parametrize("aes", [None, SECRET])
def test_a_file_in_two_parts_is_a_notice_or_an_issue(aes: str | None, photographed: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.mkdir()
    members = files_in(photographed)
    again = {"image/000001.jpg": members["image/000001.jpg"]}
    write_zip(release / "train-001.zip", members, aes=aes)
    write_zip(release / "train-002.zip", again, aes=aes)
    assert with_notices(release, tmp_path, password=aes) == [
        "train is read from 2 archives, the parts of one download: train-001.zip, train-002.zip",
        "train: 1 file in two of its archives, with the same bytes, counted once",
    ]
    assert same_rows(photographed, tmp_path)
    write_zip(release / "train-002.zip", {"image/000001.jpg": jpeg(41, 31)}, aes=aes)
    report = ingest("train", str(release), str(tmp_path / "r"), jobs=1, password=aes, on_error="quarantine")
    assert [str(issue) for issue in report.issues] == [
        "train/image/000001.jpg: differs between train-001.zip and train-002.zip; expected the same bytes, or one file"
    ]


def test_parts_that_hold_other_splits_are_not_taken_for_this_one(photographed: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.mkdir()
    write_zip(release / "all-001.zip", {f"all/train/{k}": v for k, v in files_in(photographed).items()})
    write_zip(release / "all-002.zip", {"all/validation/annos/000009.json": to_bytes(annotation())})
    assert len(with_notices(release / "all-001.zip", tmp_path)) == 1
    assert same_rows(photographed, tmp_path)


def test_a_first_part_alone_is_read_with_a_notice_that_others_may_be_missing(
    photographed: Path, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    release.mkdir()
    write_zip(release / "train-001.zip", {f"train/{name}": data for name, data in files_in(photographed).items()})
    assert with_notices(release, tmp_path)[0] == (
        "train is read from train-001.zip alone; if its download had more parts (002 and so on), they are missing"
    )
    assert same_rows(photographed, tmp_path)


# --- backslashes


@pytest.mark.parametrize("protection", ["", "ZipCrypto", "AES"])
def test_a_zip_with_backslashes_alone_is_read_with_a_notice(
    protection: str, photographed: Path, tmp_path: Path
) -> None:
    members = {f"train\\{name}".replace("/", "\\"): data for name, data in files_in(photographed).items()}
    path = tmp_path / "packed.zip"
    if protection == "ZipCrypto":
        write_zipcrypto(path, members, SECRET)
    else:
        write_zip(path, members, aes=SECRET if protection else None)
    told = [f"packed.zip: backslashes in the names of {len(members)} members were read as slashes"]
    assert with_notices(path, tmp_path, password=SECRET if protection else None) == told
    assert same_rows(photographed, tmp_path)


@pytest.mark.parametrize("name", ["..\\annos\\000009.json", "C:\\annos\\000009.json", "\\annos\\000009.json"])
def test_backslashes_lead_out_of_no_archive(name: str, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"train\\annos\\000001.json": to_bytes(annotation()), name: b"{}"})
    report = ingest("train", str(path), str(tmp_path / "r"), jobs=1, on_error="quarantine")
    [issue] = report.issues
    assert "is not read: expected a relative name without" in str(issue)
    assert registry.open(str(tmp_path / "r")).sql("SELECT image_id FROM images").fetchall() == [(1,)]


def test_lists_in_a_zip_with_backslashes_are_read(photographed: Path, tmp_path: Path) -> None:
    lists = write_zip(tmp_path / "lists.zip", {"json_for_train\\query.txt": b"000001.jpg\n"})
    assert with_notices(photographed, tmp_path, retrieval=[str(lists)]) == [
        "lists.zip: backslashes in the names of 1 member were read as slashes"
    ]


# --- a server without ranges


@pytest.fixture(params=["sizes", "no sizes"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Run Python's own web server, which knows no ranges, on the test's folder; also without sizes."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def send_header(self, keyword: str, value: str) -> None:
            if request.param == "sizes" or keyword != "Content-Length":
                super().send_header(keyword, value)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["train.zip", "train.tar"])
def test_an_archive_at_a_server_without_ranges_is_an_error_with_the_way_out(
    name: str, server: str, photographed: Path, tmp_path: Path
) -> None:
    packed(name.removeprefix("train"), {**files_in(photographed), "x": bytes(range(256)) * 40}, tmp_path).rename(
        tmp_path / name
    )
    with pytest.raises(SourceError) as caught:
        ingest("train", f"{server}/{name}", str(tmp_path / "r"), jobs=1)
    assert str(caught.value) == (
        f"Cannot read {server}/{name}: the server answers no HTTP ranges, and an archive is read in parts. "
        "Download it first, and name the local file; or use a server that answers ranges."
    )


def test_a_compressed_tar_at_a_server_without_ranges_is_read(server: str, photographed: Path, tmp_path: Path) -> None:
    packed(".tar.gz", files_in(photographed), tmp_path).rename(tmp_path / "t.tar.gz")
    assert with_notices(f"{server}/t.tar.gz", tmp_path) == []
    assert same_rows(photographed, tmp_path)


def test_a_link_to_itself_beside_the_folders_of_a_split_hides_none_of_them(photographed: Path, tmp_path: Path) -> None:
    (photographed / "annos").rename(photographed / "annotations")
    (photographed / "loop").symlink_to(photographed / "loop")
    assert with_notices(photographed, tmp_path) == [
        "train: the annotations are read from annotations/, as there is no annos/"
    ]
