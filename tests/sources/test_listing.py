"""Folders, archives and URLs: a split gives the same registry in every form and place."""

from __future__ import annotations

import os
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import registry
from registry.errors import MissingDependencyError, SourceError, StorageError
from registry.ingest import build
from registry.ingest.build import ingest
from registry.sources.locate import locate_source
from registry.sources.photo_headers import image_size
from tests.helpers import annotation, item, jpeg, to_bytes, write_split
from tests.sources.ingesting import ingested, refusal
from tests.sources.packing import files_in, packed, write_tar, write_zip

KINDS = (".zip", ".tar", ".tar.gz", ".tgz")


@pytest.mark.parametrize("lead", ["", "train/", "deep/er/train/", "./"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_gives_the_same_bytes_as_the_folder(
    kind: str, lead: str, photographed: Path, tmp_path: Path
) -> None:
    members = {lead + name: data for name, data in files_in(photographed).items()}
    archive = packed(kind, members, tmp_path)
    assert ingested(archive, tmp_path / "b") == ingested(photographed, tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", archive.name, "train"]  # nothing unpacked


@pytest.mark.parametrize("form", ["{}/", "file://{}", "{}/..", "{}.zip", "file://{}.tar"])
def test_a_split_is_found_by_its_folder_its_archive_or_its_release(
    form: str, photographed: Path, tmp_path: Path
) -> None:
    expected = ingested(photographed, tmp_path / "a")
    members = files_in(photographed)
    write_zip(photographed.with_suffix(".zip"), members)
    write_tar(photographed.with_suffix(".tar"), members)
    assert ingested(form.format(photographed), tmp_path / "b") == expected


def test_a_release_of_downloaded_archives_is_read_by_split(photographed: Path, tmp_path: Path) -> None:
    expected = ingested(photographed, tmp_path / "a")
    (tmp_path / "downloads").mkdir()
    write_zip(tmp_path / "downloads" / "train.zip", {f"train/{k}": v for k, v in files_in(photographed).items()})
    assert ingested(tmp_path / "downloads", tmp_path / "b") == expected


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_requested_split_of_an_archive_with_all_splits_is_read(
    kind: str, photographed: Path, tmp_path: Path
) -> None:
    other = write_split(tmp_path / "validation", {1: annotation()})
    members = {f"df2/train/{name}": data for name, data in files_in(photographed).items()}
    members |= {f"df2/validation/{name}": data for name, data in files_in(other).items()}
    archive = packed(kind, members, tmp_path)
    assert ingested(archive, tmp_path / "b") == ingested(photographed, tmp_path / "a")
    assert ingested(archive, tmp_path / "d", "validation") == ingested(other, tmp_path / "c", "validation")
    with pytest.raises(SourceError, match="several folders, and none is test: df2/train, df2/validation"):
        ingest("test", str(archive), str(tmp_path / "e"))


@pytest.fixture
def memory() -> Iterator[Any]:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_a_source_on_a_remote_file_system_gives_the_same_bytes(
    kind: str, photographed: Path, tmp_path: Path, memory: Any
) -> None:
    if kind:
        memory.pipe(f"/raw/train{kind}", packed(kind, files_in(photographed), tmp_path).read_bytes())
    else:
        memory.pipe({f"/raw/train/{name}": data for name, data in files_in(photographed).items()})
    expected = ingested(photographed, tmp_path / "a")
    assert ingested(f"memory://raw/train{kind}", tmp_path / "b") == expected
    assert ingested("memory://raw", tmp_path / "c") == expected


def test_a_registry_on_a_remote_file_system_holds_the_same_bytes(
    photographed: Path, tmp_path: Path, memory: Any
) -> None:
    ingest("train", str(photographed), "memory://made/registry", jobs=1)
    ingest("train", str(photographed), "memory://made/registry", jobs=1)
    contents = {name.removeprefix("/made/registry/"): memory.cat_file(name) for name in memory.find("/made")}
    assert contents == ingested(photographed, tmp_path / "a")


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """Run an S3 server on 127.0.0.1; yield the storage options for it."""
    server_module = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {"key": "test", "secret": "test", "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
    server.stop()


# Of botocore and the server, not of this project.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_s3_bucket_can_be_source_and_registry(photographed: Path, tmp_path: Path, s3: dict[str, Any]) -> None:
    fs = fsspec.filesystem("s3", **s3)
    fs.mkdir("raw")
    fs.mkdir("made")
    fs.pipe({f"raw/folder/train/{name}": data for name, data in files_in(photographed).items()})
    fs.pipe_file("raw/train.zip", packed(".zip", files_in(photographed), tmp_path).read_bytes())
    fs.pipe_file("raw/train.tar", packed(".tar", files_in(photographed), tmp_path).read_bytes())
    expected = ingested(photographed, tmp_path / "a")
    for number, source in enumerate(
        ["s3://raw/folder", "s3://raw/folder/train", "s3://raw/train.zip", "s3://raw/train.tar"]
    ):
        assert ingested(source, tmp_path / f"b{number}", storage_options=s3) == expected
    with pytest.raises(SourceError, match="Found no annotations or photos of train at s3://nowhere/x"):
        ingest("train", "s3://nowhere/x", str(tmp_path / "c"), storage_options=s3)
    ingest("train", "s3://raw/train.zip", "s3://made/registry", jobs=2, storage_options=s3)
    fs.invalidate_cache()
    assert {name.removeprefix("made/registry/"): fs.cat_file(name) for name in fs.find("made")} == expected


def test_a_missing_source_is_an_error_that_names_the_expected_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        ingest("train", str(tmp_path / "nothing"), str(tmp_path / "r"))
    assert str(caught.value) == (
        f"Found no annotations or photos of train at {tmp_path}/nothing: expected a folder with annos/ or image/, a "
        "folder with train/ or train.zip, an archive (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tbz2, .tar.xz, .txz), or a "
        "COCO file."
    )
    for names, text in (((), "It is empty."), (("train.rar", "train-1.zip"), "It holds train-1.zip, train.rar.")):
        (tmp_path / "there").mkdir(exist_ok=True)
        for name in names:
            (tmp_path / "there" / name).touch()
        with pytest.raises(SourceError) as caught:
            ingest("train", str(tmp_path / "there"), str(tmp_path / "r"))
        assert str(caught.value).endswith(f"or a COCO file. {text}")
    for name in ("x.zip", "x.tar", "x.tar.gz"):
        with pytest.raises(SourceError, match=f"{name} does not exist"):
            ingest("train", str(tmp_path / name), str(tmp_path / "r"))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", ["annos", "image", "Images"])
def test_the_folder_of_the_files_themselves_is_an_error_that_names_the_one_above(name: str, tmp_path: Path) -> None:
    (tmp_path / "train" / name).mkdir(parents=True)
    with pytest.raises(SourceError) as caught:
        locate_source(f"{tmp_path}/train/{name}", "train")
    above = f"{tmp_path}/train"
    assert (
        str(caught.value) == f"{above}/{name} is the folder of the files themselves: name the folder above it, {above}."
    )


def test_an_unknown_or_uninstalled_protocol_is_an_error_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="Cannot use nonsense://x"):
        ingest("train", "nonsense://x", str(tmp_path / "r"))

    def missing(*args: object, **kwargs: object) -> None:
        raise ImportError("Install s3fs")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'deepfashion2-registry\[s3\]'"):
        ingest("train", "s3://x/y", str(tmp_path / "r"))


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_an_empty_source_is_refused(kind: str, tmp_path: Path) -> None:
    source = tmp_path / f"train{kind}"
    if kind:
        packed(kind, {"readme.txt": b"x"}, tmp_path).rename(source)
    else:
        (source / "annos").mkdir(parents=True)
    with pytest.raises(
        SourceError, match=r"holds no (file of train: expected annos/NNNNNN\.json|annos/ and no image/)"
    ):
        ingest("train", str(source), str(tmp_path / "r"))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_hidden_files_are_ignored_and_wrong_names_reported(kind: str, small_source: Path, tmp_path: Path) -> None:
    expected = ingested(small_source, tmp_path / "a")
    annos = small_source / "annos"
    (annos / ".DS_Store").write_bytes(b"\0")
    (annos / "._000001.json").write_bytes(b"\0")
    junk = tmp_path / "__MACOSX" / "train" / "annos"
    junk.mkdir(parents=True)
    (junk / "._000001.json").write_bytes(b"\0")

    def source() -> Path:
        if not kind:
            return small_source
        members = {f"train/{name}": data for name, data in files_in(small_source).items()}
        members |= {f"__MACOSX/{name}": data for name, data in files_in(tmp_path / "__MACOSX").items()}
        return packed(kind, members, tmp_path)

    assert ingested(source(), tmp_path / "b") == expected
    write_split(
        small_source,
        {"1.json": annotation(), "notes.txt": b"", "000009.jsn": b"", "0000000008.json": b"", "٣.json": b""},
    )
    (small_source / "image").mkdir()
    for name in ("000001.gif", "000002.jpeg2", "image (1).jpg"):
        (small_source / "image" / name).write_bytes(jpeg())
    assert refusal(source(), tmp_path) == [
        "train/annos/0000000008.json: expected a name like NNNNNN.json",
        "train/annos/000009.jsn: expected a name like NNNNNN.json",
        "train/annos/1.json: has the same number as 000001.json",
        "train/annos/٣.json: expected a name like NNNNNN.json",
        "train/image/000001.gif: expected a name like NNNNNN with .jpg, .jpeg, .png or .webp",
        "train/image/000002.jpeg2: expected a name like NNNNNN with .jpg, .jpeg, .png or .webp",
        "train/image/image (1).jpg: expected a name like NNNNNN with .jpg, .jpeg, .png or .webp",
    ]


def test_the_choice_between_files_with_the_same_number_does_not_depend_on_their_order(tmp_path: Path) -> None:
    names = ["train/annos/1.json", "train/annos/01.json", "train/annos/000001.json"]
    contents = [to_bytes(annotation([item(style=k)])) for k in range(3)]
    registries = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        archive = write_zip(tmp_path / "train.zip", {names[k]: contents[k] for k in order})
        report = ingest("train", str(archive), str(tmp_path / "r"), on_error="quarantine")
        assert [str(issue) for issue in report.issues] == [
            "train/annos/01.json: has the same number as 000001.json",
            "train/annos/1.json: has the same number as 000001.json",
        ]
        registries.append(files_in(tmp_path / "r"))
    assert registries[0] == registries[1] == registries[2]


def test_an_unprintable_file_name_is_reported_escaped(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation(), "a\nb.json": b""})
    (source / "annos" / os.fsdecode(b"\xff.json")).write_bytes(b"")
    report = ingest("train", str(source), str(tmp_path / "r"), on_error="quarantine")
    rows = registry.open(str(tmp_path / "r")).sql("SELECT file, issues FROM quarantine ORDER BY file").fetchall()
    assert rows == [(issue.file, [str(issue)]) for issue in report.issues]
    assert [row[0] for row in rows] == ["train/annos/\\udcff.json", "train/annos/a\\nb.json"]


def test_a_file_that_cannot_be_read_is_an_issue(small_source: Path, tmp_path: Path) -> None:
    (small_source / "annos" / "000008.json").symlink_to("nowhere.json")
    (small_source / "annos" / "000009.json").mkdir()
    (small_source / "image").mkdir()
    (small_source / "image" / "000001.jpg").write_bytes(jpeg(44, 33))
    (small_source / "image" / "000002.jpg").symlink_to("nowhere.jpg")
    assert refusal(small_source, tmp_path) == [
        "train/annos/000008.json: cannot be read: No such file or directory",
        "train/annos/000009.json: cannot be read: Is a directory",
        "train/image/000002.jpg: cannot be read: No such file or directory",
    ]
    ingest("train", str(small_source), str(tmp_path / "r"), jobs=1, on_error="quarantine")
    df2 = registry.open(str(tmp_path / "r"))
    assert df2.sql("SELECT image_id, width FROM images ORDER BY ALL").fetchall() == [
        (1, 44), (2, None), (3, None), (4, None), (7, None),
    ]  # fmt: skip
    assert df2.sql("SELECT file, raw FROM quarantine ORDER BY file").fetchall() == [
        ("train/annos/000008.json", None),
        ("train/annos/000009.json", None),
        ("train/image/000002.jpg", None),
    ]


@pytest.mark.parametrize("kind", [".tar", ".tar.gz"])
def test_links_and_folders_instead_of_files_in_a_tar_are_issues(kind: str, small_source: Path, tmp_path: Path) -> None:
    link, folder, hidden = (tarfile.TarInfo(f"train/annos/{name}") for name in ("000008.json", "000009.json", ".x"))
    link.type, link.linkname = tarfile.LNKTYPE, "train/annos/000001.json"
    folder.type = hidden.type = tarfile.DIRTYPE
    members = {f"train/{name}": data for name, data in files_in(small_source).items()}
    archive = write_tar(tmp_path / f"x{kind}", members, [link, folder, hidden])
    assert refusal(archive, tmp_path) == [
        "train/annos/000008.json: expected a file, found a link or device",
        "train/annos/000009.json: expected a file, found a folder",
    ]


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_width_and_height_come_from_the_photos_headers(kind: str, photographed: Path, tmp_path: Path) -> None:
    source = packed(kind, files_in(photographed), tmp_path) if kind else photographed
    ingest("train", str(source), str(tmp_path / "r"))
    sizes = "SELECT image_id, width, height, file_name FROM images ORDER BY image_id"
    assert registry.open(str(tmp_path / "r")).sql(sizes).fetchall() == [
        (k, 40 + k, 30, f"{k:06d}.jpg") for k in (1, 2, 3, 4, 7)
    ]
    report = ingest("train", str(source), str(tmp_path / "r"), image_sizes=False)
    assert report.notices == []
    assert registry.open(str(tmp_path / "r")).sql(sizes).fetchall() == [
        (k, None, None, f"{k:06d}.jpg") for k in (1, 2, 3, 4, 7)
    ]


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_a_photo_without_a_header_is_an_issue(kind: str, photographed: Path, tmp_path: Path) -> None:
    broken = {1: b"", 2: b"not a photo", 3: jpeg()[:10], 4: jpeg()[:2] + bytes(400)}
    for image_id, data in broken.items():
        (photographed / "image" / f"{image_id:06d}.jpg").write_bytes(data)
    source = packed(kind, files_in(photographed), tmp_path) if kind else photographed
    lines = refusal(source, tmp_path)
    assert [line.partition(":")[0] for line in lines] == [f"train/image/{k:06d}.jpg" for k in broken]
    for line in lines:
        assert ": expected the header of a JPEG, PNG or WebP" in line


def test_a_damaged_photo_header_is_reported_or_read(tmp_path: Path) -> None:
    whole = jpeg(123, 45)
    assert image_size(whole) == (123, 45, None)
    chance = random.Random(0)
    told = 0
    for _ in range(500):
        data = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(3):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        size = image_size(bytes(data))
        told += isinstance(size, str)
        assert isinstance(size, str) or (size[0] > 0 and size[1] > 0)
    assert told > 100


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_photos_without_annotation_and_annotations_without_photo_are_notices(
    kind: str, photographed: Path, tmp_path: Path
) -> None:
    (photographed / "image" / "000003.jpg").rename(photographed / "image" / "000005.jpg")
    source = packed(kind, files_in(photographed), tmp_path) if kind else photographed
    report = ingest("train", str(source), str(tmp_path / "r"))
    assert report.notices == [
        "train/annos/000003.json: the annotation has no photo; width and height are NULL",
        "train/image/000005.jpg: the photo has no annotation and was not registered",
    ]
    df2 = registry.open(str(tmp_path / "r"))
    assert df2.sql("SELECT image_id FROM images WHERE width IS NULL").fetchall() == [(3,)]
    assert df2.sql("SELECT count(*) FROM images WHERE image_id = 5").fetchall() == [(0,)]


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_the_test_split_is_registered_from_its_photos_alone(kind: str, tmp_path: Path) -> None:
    source = write_split(tmp_path / "test", {}, {1: jpeg(10, 20), 30: jpeg(30, 40)})
    if kind:
        source = packed(kind, {f"test/{name}": data for name, data in files_in(source).items()}, tmp_path)
    assert ingested(source, tmp_path / "r", "test").keys() >= {"manifest.json"}
    df2 = registry.open(str(tmp_path / "r"))
    columns = "split, image_id, file_name, source, pair_id, width, height, num_items"
    assert df2.sql(f"SELECT {columns} FROM images ORDER BY image_id").fetchall() == [
        ("test", 1, "000001.jpg", None, None, 10, 20, None),
        ("test", 30, "000030.jpg", None, None, 30, 40, None),
    ]
    assert df2.sql("SELECT count(*) FROM items").fetchall() == [(0,)]


def test_photos_alone_are_refused_as_a_train_split(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {}, {1: jpeg()})
    with pytest.raises(SourceError, match=r"holds no file of train: expected annos/NNNNNN\.json"):
        ingest("train", str(source), str(tmp_path / "r"))


def test_notices_about_photos_without_annotation_are_limited(
    photographed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MAX_NAME_ISSUES", 2)
    for number in range(10, 15):
        (photographed / "image" / f"0000{number}.jpg").write_bytes(jpeg(2, 2))
    assert ingest("train", str(photographed), str(tmp_path / "r")).notices == [
        "train/image/000010.jpg: the photo has no annotation and was not registered",
        "train/image/000011.jpg: the photo has no annotation and was not registered",
        "train/image: 3 more photos without annotation",
    ]
