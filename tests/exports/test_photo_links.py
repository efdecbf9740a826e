"""Photos of archives and remote places are kept once and linked; a photo in several places is stored once."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import StorageError, UsageError
from registry.exports.manifest import ExportManifest, verify_export
from registry.exports.run import Plan, export
from registry.ingest.build import ingest
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.sources import photo_cache
from registry.storage.place import Place
from tests.exports.releases import make_registry, run_export
from tests.sources.packing import files_in, write_tar, write_zip, write_zipcrypto

PASSWORD = "secret"


@pytest.fixture
def archives(release: Path, tmp_path: Path) -> Path:
    """Return the release as a zip of each split."""
    (tmp_path / "archives").mkdir()
    for split in ("train", "validation", "test"):
        files = {f"{split}/{path}": data for path, data in files_in(release / split).items()}
        write_zip(tmp_path / "archives" / f"{split}.zip", files)
    return tmp_path / "archives"


@pytest.fixture
def own_registry(release: Path, tmp_path: Path) -> Path:
    """Return a registry that holds no cache."""
    return make_registry(release, tmp_path / "registry")


def export_links(folder: Path, dest: Path, photos: Path | str, format: str = "coco", **options: Any) -> ExportManifest:
    """Export with links to photos."""
    return registry.export(registry.open(str(folder)), format, str(dest), images="link", photos=str(photos), **options)


def photos_in(folder: Path) -> dict[str, Path]:
    """Return path -> file of the photos below a folder."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.jpg"))}


def inodes(folder: Path) -> dict[str, int]:
    """Return path -> number of the file, without following links, of the photos below a folder."""
    return {name: path.lstat().st_ino for name, path in photos_in(folder).items()}


@pytest.mark.parametrize("kind", ["zip", "zipcrypto", "aes", "tar"])
def test_photos_of_archives_are_linked_through_the_cache_of_the_registry(
    kind: str, own_registry: Path, release: Path, tmp_path: Path
) -> None:
    archives = tmp_path / kind
    archives.mkdir()
    for split in ("train", "validation", "test"):
        files = {f"{split}/{path}": data for path, data in files_in(release / split).items()}
        if kind == "tar":
            write_tar(archives / f"{split}.tar", files)
        elif kind == "zipcrypto":
            write_zipcrypto(archives / f"{split}.zip", files, PASSWORD)
        else:
            write_zip(archives / f"{split}.zip", files, aes=PASSWORD if kind == "aes" else None)
    password = PASSWORD if kind in ("zipcrypto", "aes") else None
    manifest = export_links(own_registry, tmp_path / "out", archives, password=password)
    copied = run_export(own_registry, "coco", tmp_path / "copied", images="copy", photos=release)
    assert manifest.files == copied.files, "the content belongs to the export, with its sha256"
    assert manifest.left_out == []
    assert verify_export(Place(str(tmp_path / "out"))).is_whole
    cache = own_registry / ".df2" / "photos"
    assert set(inodes(tmp_path / "out").values()) == set(inodes(cache).values())
    export_links(own_registry, tmp_path / "again", archives, password=password)
    assert inodes(tmp_path / "again") == inodes(tmp_path / "out")
    assert files_in(tmp_path / "again") == files_in(tmp_path / "out")
    assert {path.stat().st_mode & 0o222 for path in photos_in(cache).values()} == {0}


def test_photos_of_a_bucket_are_fetched_once(
    bucket: dict[str, Any], own_registry: Path, release: Path, tmp_path: Path
) -> None:
    for path, data in files_in(release).items():
        Place("s3://df2/release", bucket).write(path, data)
    for name in ("first", "second"):
        export_links(own_registry, tmp_path / name, "s3://df2/release", storage_options=bucket)
    assert inodes(tmp_path / "first") == inodes(tmp_path / "second")
    assert (
        photos_in(tmp_path / "first")["images/train/000002.jpg"].read_bytes()
        == (release / "train/image/000002.jpg").read_bytes()
    )


def test_the_cache_is_no_part_of_the_registry(own_registry: Path, archives: Path, tmp_path: Path) -> None:
    export_links(own_registry, tmp_path / "out", archives)
    assert (own_registry / ".df2").exists()
    assert verify_registry(Place(str(own_registry))).extra == ()
    sync(Place(str(own_registry)), Place(str(tmp_path / "synced")), prune=True)
    assert not (tmp_path / "synced" / ".df2").exists()
    ingest("train", str(archives), str(own_registry), jobs=1)
    assert photos_in(own_registry / ".df2")
    subprocess.run(["git", "init", "-q", own_registry], check=True)
    status = subprocess.run(["git", "-C", own_registry, "status", "-s"], check=True, capture_output=True, text=True)
    assert ".df2" not in status.stdout


@pytest.mark.parametrize("kind", ["copy", "link from zips", "link through a cache"])
def test_a_photo_in_the_datasets_of_several_categories_is_stored_once(
    kind: str, own_registry: Path, release: Path, archives: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"task": "pose", "landmarks": "per-category", "photos": str(release)}
    options["images"] = "copy" if kind == "copy" else "link"
    if kind == "link from zips":
        options["photos"] = str(archives)
    elif kind == "link through a cache":
        options["photo_cache"] = str(tmp_path / "cache")
    manifest = registry.export(registry.open(str(own_registry)), "yolo", str(tmp_path / "out"), **options)
    places = defaultdict(set)
    for name, path in photos_in(tmp_path / "out").items():
        assert not path.is_symlink()
        places[name.partition("images/")[2]].add(path.stat().st_ino)
    assert len(photos_in(tmp_path / "out")) > len(places), "some photos are in several places"
    assert {len(files) for files in places.values()} == {1}
    assert all(file.sha256 for file in manifest.files)
    assert verify_export(Place(str(tmp_path / "out"))).is_whole


def test_a_photo_in_several_places_is_copied_to_a_remote_place(exportable: Path, release: Path, tmp_path: Path) -> None:
    options = {"images": "copy", "photos": release, "task": "pose", "landmarks": "per-category"}
    local = run_export(exportable, "yolo", tmp_path / "out", **options)  # type: ignore[arg-type]
    remote = run_export(exportable, "yolo", "memory://per-category", **options)  # type: ignore[arg-type]
    assert local == remote
    assert verify_export(Place("memory://per-category")).is_whole


def test_photos_of_a_folder_are_linked_symbolically_and_counted(
    exportable: Path, release: Path, tmp_path: Path
) -> None:
    manifest = export_links(exportable, tmp_path / "out", release)
    assert all(path.is_symlink() for path in photos_in(tmp_path / "out").values())
    assert [text.partition(" some")[0] for text in manifest.notices if "links" in text] == [
        "9 photos are symbolic links out of the export, which"
    ]


def test_with_a_cache_photos_of_a_folder_share_nothing_with_it(exportable: Path, release: Path, tmp_path: Path) -> None:
    for name in ("out", "again"):
        export_links(exportable, tmp_path / name, release, photo_cache=str(tmp_path / "cache"))
    assert inodes(tmp_path / "again") == inodes(tmp_path / "out")
    assert set(inodes(tmp_path / "out").values()) == set(inodes(tmp_path / "cache").values())
    assert not set(inodes(tmp_path / "out").values()) & set(inodes(release).values())


def test_the_cache_is_bounded_and_exports_keep_their_photos(
    own_registry: Path, archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [path.stat().st_size for path in photos_in(export_all(own_registry, archives, tmp_path / "whole")).values()]
    monkeypatch.setattr(photo_cache, "MAX_BYTES", sum(sizes) // 2)
    export_links(own_registry, tmp_path / "out", archives, photo_cache=str(tmp_path / "cache"))
    kept = [path.stat().st_size for path in photos_in(tmp_path / "cache").values()]
    assert 0 < sum(kept) <= sum(sizes) // 2
    assert files_in(tmp_path / "out") == files_in(tmp_path / "whole")


def export_all(folder: Path, photos: Path, dest: Path) -> Path:
    """Export all photos with links, and return the destination."""
    export_links(folder, dest, photos)
    return dest


def test_a_damaged_photo_in_the_cache_is_extracted_again(own_registry: Path, archives: Path, tmp_path: Path) -> None:
    export_links(own_registry, tmp_path / "first", archives)
    expected = files_in(tmp_path / "first")
    cached = list(photos_in(own_registry / ".df2").values())
    for path, data in zip(cached, (b"", b"x" * cached[1].stat().st_size), strict=False):
        path.unlink()
        path.write_bytes(data)
    export_links(own_registry, tmp_path / "second", archives)
    assert files_in(tmp_path / "second") == expected


def test_what_a_killed_export_left_in_the_cache_is_removed(
    own_registry: Path, archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    (cache / "train-000").mkdir(parents=True)
    left, mine = cache / "train-000" / "000001-5-00000001.jpg.00000001.partial", cache / "train-000" / "notes.txt"
    left.write_bytes(b"x")
    mine.write_bytes(b"x")
    export_links(own_registry, tmp_path / "out", archives, photo_cache=str(cache))
    assert left.exists(), "another export may be writing it"
    for path in photos_in(cache).values():
        path.unlink()
    monkeypatch.setattr(photo_cache, "_ABANDONED", -60)  # the time of a change of a file cannot be set
    export_links(own_registry, tmp_path / "again", archives, photo_cache=str(cache))
    assert (left.exists(), mine.exists(), list(cache.rglob("*.partial"))) == (False, True, [])


def test_exports_at_the_same_time_share_a_cache(own_registry: Path, archives: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        dests = list(pool.map(lambda k: export_all(own_registry, archives, tmp_path / f"out-{k}"), range(4)))
    first, *others = (files_in(dest) for dest in dests)
    assert all(other == first for other in others)
    assert not list((own_registry / ".df2").rglob("*.partial"))


def test_on_another_file_system_photos_are_copied_and_counted(
    own_registry: Path, archives: Path, tmp_path: Path
) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    cache = memory / f"df2-test-{os.getpid()}"
    try:
        plan = Plan.of("coco", images="link")
        opened = registry.open(str(own_registry))
        manifest = export(opened, plan, str(tmp_path / "out"), photos=str(archives), photo_cache=str(cache))
    finally:
        subprocess.run(["rm", "-rf", cache], check=True)
    assert "9 photos were copied, as no hard link could be made" in " ".join(manifest.notices)
    assert verify_export(Place(str(tmp_path / "out"))).is_whole


def test_a_cache_that_cannot_be_is_refused(
    bucket: dict[str, Any], own_registry: Path, archives: Path, tmp_path: Path
) -> None:
    def refused(error: type[Exception], text: str, **options: Any) -> None:
        with pytest.raises(error, match=text):
            registry.export(opened, "coco", str(tmp_path / "out"), photos=str(archives), **options)
        assert not (tmp_path / "out").exists()

    opened = registry.open(str(own_registry))
    refused(UsageError, "is for --images link|keeps photos for --images link", images="copy", photo_cache="x")
    refused(UsageError, "expected a local folder", images="link", photo_cache="s3://df2/cache")
    refused(UsageError, "lies in .*out, the export", images="link", photo_cache=str(tmp_path / "out" / "cache"))
    (tmp_path / "file").write_text("mine")
    text = "Cannot write to the photo cache .*: .* --photo-cache DIR names another folder"
    refused(StorageError, text, images="link", photo_cache=str(tmp_path / "file"))
    sync(Place(str(own_registry)), Place("s3://df2/registry", bucket))
    opened = registry.open("s3://df2/registry", bucket)
    text = r"photos of train in .*archives are no local files to link to, .* --photo-cache DIR, or use --images copy"
    refused(UsageError, text, images="link")
    opened = registry.open(str(own_registry))
    own_registry.with_name("registry.dvc").write_text("outs: []\n")
    refused(UsageError, text, images="link")
    own_registry.with_name("registry.dvc").rename(f"{tmp_path}.dvc")  # dvc add of a folder above
    refused(UsageError, text, images="link")
    Path(f"{tmp_path}.dvc").unlink()
    assert not (own_registry / ".df2").exists()


def test_progress_counts_the_photos_too(own_registry: Path, archives: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    opened = registry.open(str(own_registry))
    plan = Plan.of("coco", images="link")
    dest = str(tmp_path / "out")
    export(opened, plan, dest, photos=str(archives), progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (18, 18)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
