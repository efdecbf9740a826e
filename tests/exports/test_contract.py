"""The contract of every format."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import NotFoundError, SourceError, StorageError, UnknownNameError, UsageError
from registry.exports.builtin import FORMATS
from registry.exports.find import find_format
from registry.exports.local_files import LocalFiles
from registry.exports.manifest import MANIFEST_NAME, read_export, verify_export
from registry.exports.remote_files import RemoteFiles
from registry.exports.run import Plan, export_again
from registry.files.staging import claim
from registry.snapshot.manifest import read_manifest
from registry.storage.place import Place
from registry.subset.options import Subset
from registry.subset.resplit import Resplit
from tests.exports.releases import Exported, run_export
from tests.sources.packing import files_in


def modes(name: str) -> list[str]:
    """Return the modes of photos of a format."""
    return list(find_format(name).images)


EVERY_MODE = [(name, images) for name in FORMATS for images in modes(name)]


@pytest.mark.parametrize(("name", "images"), EVERY_MODE)
def test_the_same_rows_give_the_same_bytes_and_stay_as_they_were(
    name: str, images: str, exported: Exported, exportable: Path, release: Path, tmp_path: Path
) -> None:
    first = exported(name, images)
    before = files_in(exportable)
    second = run_export(exportable, name, tmp_path / "b" / "second", images=images, photos=release)
    assert files_in(exportable) == before
    assert files_in(first) == files_in(tmp_path / "b" / "second")
    assert verify_export(Place(str(first))).is_whole
    assert read_export(Place(str(first))) == second


@pytest.mark.parametrize("name", FORMATS)
def test_no_clock_host_or_path_of_this_machine_is_in_the_files(name: str, exported: Exported, release: Path) -> None:
    folder = exported(name, modes(name)[-1])
    for path, data in files_in(folder).items():
        for trace in (str(folder.parent), str(release), os.uname().nodename, os.path.expanduser("~") + "/"):
            assert trace.encode() not in data, path
        assert not re.search(rb"20[2-9]\d-[01]\d-[0-3]\d", data), path


@pytest.mark.parametrize("name", FORMATS)
def test_counts_agree_with_the_manifest_and_its_registry(name: str, exported: Exported, exportable: Path) -> None:
    folder = exported(name, modes(name)[-1])
    manifest = read_export(Place(str(folder)))
    counts = {part: (actual["images"], actual["items"]) for part, actual in manifest.counts.items()}
    assert counts == {"train": (5, 8), "validation": (2, 2), "test": (2, 0)}
    assert manifest.registry["sources"] == read_manifest(Place(str(exportable))).sources
    listed = {file.path: file.size for file in manifest.files}
    expected = {path: len(data) for path, data in files_in(folder).items() if path != MANIFEST_NAME}
    assert listed == expected


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_subset_gives_an_empty_export(name: str, exportable: Path, release: Path, tmp_path: Path) -> None:
    subset = {"category": "sling", "split": ["train", "validation"]}
    manifest = run_export(exportable, name, tmp_path / "out", subset=subset, images=modes(name)[-1], photos=release)
    assert {part: actual["items"] for part, actual in manifest.counts.items()} == {"train": 0, "validation": 0}
    assert verify_export(Place(str(tmp_path / "out"))).is_whole


@pytest.mark.parametrize("name", FORMATS)
def test_parts_of_a_resplit_never_overwrite_each_other(
    name: str, exportable: Path, release: Path, tmp_path: Path
) -> None:
    resplit = Resplit.parse("fit=0.5,held=0.5", 1)
    images = modes(name)[-1]
    manifest = run_export(exportable, name, tmp_path / "out", resplit=resplit, images=images, photos=release)
    assert set(manifest.counts) == {"fit", "held"}
    assert sum(actual["images"] for actual in manifest.counts.values()) == 7  # not the two of test
    assert sum(actual["items"] for actual in manifest.counts.values()) == 10
    assert manifest.resplit is not None
    balance = manifest.resplit["balance"]
    assert manifest.resplit == {"fractions": "fit=0.5,held=0.5", "seed": 1, "stratify": False, "balance": balance}
    assert [row["part"] for row in balance] == ["fit", "held"]
    assert sum(row["images_share"] for row in balance) == pytest.approx(1)
    assert len({file.path for file in manifest.files}) == len(manifest.files)


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_is_repeated_from_its_manifest(name: str, exportable: Path, release: Path, tmp_path: Path) -> None:
    subset = {"split": "train", "source": "user", "sample": "90%", "seed": 2}
    old = run_export(exportable, name, tmp_path / "out", subset=subset, images=modes(name)[-1], photos=release)
    opened = registry.open(str(exportable))
    new, different = export_again(opened, old, str(tmp_path / "again"), photos=str(release))
    assert (new, different) == (old, [])


@pytest.mark.parametrize("name", FORMATS)
def test_an_unknown_option_or_mode_is_wrong_usage(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Unknown option of the format {name} 'colour'"):
        Plan.of(name, options={"colour": 1})
    with pytest.raises(UsageError, match="takes --images"):
        Plan.of(name, images="steal")


@pytest.mark.parametrize("name", FORMATS)
def test_needed_photos_must_be_given(name: str, exportable: Path, tmp_path: Path) -> None:
    for images in set(modes(name)) & {"link", "copy"}:
        with pytest.raises(UsageError, match="--photos RELEASE"):
            run_export(exportable, name, tmp_path / "out", images=images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in FORMATS if "copy" in modes(name)])
def test_a_missing_photo_leaves_no_files(name: str, exportable: Path, release: Path, tmp_path: Path) -> None:
    (tmp_path / "release" / "train" / "image").mkdir(parents=True)
    (tmp_path / "release" / "train" / "image" / "000001.jpg").write_bytes(b"")
    photos = tmp_path / "release"
    with pytest.raises(SourceError, match=r"lacks photos that the subset needs: train/image/000002\.jpg"):
        run_export(exportable, name, tmp_path / "out", subset={"split": "train"}, images="copy", photos=photos)
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_works_at_a_remote_place(name: str, exported: Exported, exportable: Path, release: Path) -> None:
    images = "copy" if "copy" in modes(name) else modes(name)[0]
    local = exported(name, images)
    place = Place(f"memory://{name}")
    remote = run_export(exportable, name, place.url, images=images, photos=release)
    assert remote == read_export(Place(str(local)))
    assert verify_export(place).is_whole
    assert {path: place.read(path) for path in place.list("")} == files_in(local)


# The limit is of a whole process, and would hit pytest's own files; a process a format would cost a second each.
_FULL = """
import resource, signal, sys
from registry.errors import StorageError
from tests.exports.releases import Exported, run_export
sys.dont_write_bytecode = True  # Python would keep a module that the limit cut off
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
registry, release, folder, *formats = sys.argv[1:]
for name, images in zip(formats[::2], formats[1::2], strict=True):
    try:
        run_export(registry, name, f"{folder}/{name}", images=images, photos=release)
    except StorageError as error:
        print(name, str(error).splitlines()[0])
"""


def test_an_export_to_a_full_disk_leaves_no_files(exportable: Path, release: Path, tmp_path: Path) -> None:
    run_export(exportable, "csv", tmp_path / "out")
    before = files_in(tmp_path)
    formats = [text for name in FORMATS for text in (name, modes(name)[-1])]
    command = [sys.executable, "-c", _FULL, str(exportable), str(release), str(tmp_path), *formats]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    for name, line in zip(FORMATS, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"{name} Cannot write "), line
    assert files_in(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_unwritable_destination_is_an_error(exportable: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(StorageError, match="Cannot write"):
        run_export(exportable, "coco", blocked / "out")
    with pytest.raises(UsageError, match="is a file; expected a folder"):
        run_export(exportable, "coco", blocked)


def test_a_failure_in_the_middle_leaves_no_files(
    exportable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    run_export(exportable, "csv", tmp_path / "out")
    before = files_in(tmp_path)
    monkeypatch.setattr(LocalFiles, "finish", fail)
    monkeypatch.setattr(RemoteFiles, "finish", fail)
    with pytest.raises(StorageError, match=r"No space left on device\. Nothing was changed there\."):
        run_export(exportable, "csv", tmp_path / "out", overwrite=True)
    assert files_in(tmp_path) == before
    with pytest.raises(StorageError, match=r"It holds no export\."):
        run_export(exportable, "csv", "memory://broken")
    assert Place("memory://broken").list("") == []


@pytest.mark.parametrize("where", ["local", "memory"])
def test_only_an_earlier_export_is_replaced(where: str, exportable: Path, tmp_path: Path) -> None:
    dest = str(tmp_path / "out") if where == "local" else "memory://replaced"
    place = Place(dest)
    run_export(exportable, "coco", dest)
    with pytest.raises(UsageError, match=r"is not empty\. --overwrite replaces it\."):
        run_export(exportable, "csv", dest)
    run_export(exportable, "csv", dest, overwrite=True)
    assert place.list("") == ["data/train-00000-of-00001.csv", "data/validation-00000-of-00001.csv", MANIFEST_NAME]
    place.write("notes.txt", b"mine")
    with pytest.raises(UsageError, match=r"holds notes\.txt, which no export wrote: move or remove it first\."):
        run_export(exportable, "coco", dest, overwrite=True)
    place.remove(MANIFEST_NAME)
    with pytest.raises(UsageError, match=r"and no export; --overwrite replaces nothing but exports\."):
        run_export(exportable, "coco", dest, overwrite=True)
    assert place.read("notes.txt") == b"mine"


def test_an_empty_folder_and_leftovers_of_a_killed_export_are_no_obstacle(exportable: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    claim(tmp_path / ".out.df2-export")
    (tmp_path / ".out.df2-export" / "new" / "annotations").mkdir(parents=True)
    (tmp_path / ".out.df2-export" / "new" / "annotations" / "train.json").write_bytes(b"half")
    run_export(exportable, "coco", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert verify_export(Place(str(tmp_path / "out"))).is_whole


def test_two_exports_to_the_same_place_do_not_mix(exportable: Path, tmp_path: Path) -> None:
    held = LocalFiles(tmp_path / "out").hold()
    with held, pytest.raises(StorageError, match="Another df2 command writes to"):
        run_export(exportable, "coco", tmp_path / "out")


def test_a_changed_export_is_noticed(exportable: Path, release: Path, tmp_path: Path) -> None:
    run_export(exportable, "coco", tmp_path / "out", images="link", photos=release)
    place = Place(str(tmp_path / "out"))
    (tmp_path / "out" / "annotations" / "train.json").write_bytes(b"{}")
    (tmp_path / "out" / "annotations" / "test.json").unlink()
    (tmp_path / "out" / "images" / "train" / "000001.jpg").unlink()
    (tmp_path / "out" / "mine.txt").write_bytes(b"")
    actual = verify_export(place)
    assert actual.missing == ("annotations/test.json", "images/train/000001.jpg")
    assert actual.changed == ("annotations/train.json",)
    assert actual.extra == ("mine.txt",)
    assert not actual.is_whole
    with pytest.raises(NotFoundError, match="There is no export at"):
        verify_export(Place(str(tmp_path)))


def test_an_export_is_not_repeated_from_other_data(exportable: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "coco", tmp_path / "out")
    document = json.loads((tmp_path / "out" / MANIFEST_NAME).read_text())
    document["registry"]["manifest_sha256"] = "0" * 64
    document["revision"] = {"git": "abc"}
    other = type(manifest).from_json(json.dumps(document).encode(), "other")
    with pytest.raises(UsageError, match=r"made from other data.*'git checkout abc' and 'dvc checkout'"):
        export_again(registry.open(str(exportable)), other, str(tmp_path / "again"))


def test_the_manifest_names_the_commit_of_the_data(exportable: Path, tmp_path: Path) -> None:
    assert run_export(exportable, "csv", tmp_path / "out").revision == {}
    work = tmp_path / "work"
    work.mkdir()
    shutil.copytree(exportable, work / "registry")
    git = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    revision = run_export(work / "registry", "csv", tmp_path / "second").revision
    assert re.fullmatch(r"[0-9a-f]{40}", revision["git"])
    assert revision["dvc_lock"] == "as committed"
    (work / "dvc.lock").write_text("x")
    assert run_export(work / "registry", "csv", tmp_path / "third").revision["dvc_lock"] == "differs"


def test_the_canonical_subset_is_in_the_manifest(exportable: Path, tmp_path: Path) -> None:
    subset = Subset.of(category=["shorts", "skirt"], occlusion="slight or none")
    manifest = run_export(exportable, "csv", tmp_path / "out", subset=subset.to_dict())
    assert manifest.subset == {"category": ["shorts", "skirt"], "occlusion": [1]}
    assert manifest.subset_digest == subset.digest
