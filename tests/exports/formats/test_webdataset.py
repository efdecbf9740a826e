"""WebDataset: the bytes of the shards, and the samples that the webdataset library reads from them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.dataset.tables import IMAGE_COLUMNS, ITEM_COLUMNS
from registry.errors import PasswordError
from registry.exports.formats.webdataset import tar_header
from registry.exports.run import Plan, export
from registry.subset.options import Subset
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.sources.packing import files_in, write_zipcrypto

SAMPLE = (
    '{"split": "validation", "image_id": 1, "file_name": "000001.jpg", "source": "user", "pair_id": 1, "width": 200, '
    '"height": 300, "num_items": 1, "items": [{"split": "validation", "image_id": 1, "item_no": 1, "item_order": 1, '
    '"source": "user", "pair_id": 1, "style": 1, "category_id": 7, "category_name": "shorts", '
    '"x1": 10.0, "y1": 20.0, "x2": 110.0, "y2": 220.0, "scale": 2, "occlusion": 1, "zoom_in": 1, "viewpoint": 2, '
    '"landmarks": [11,21,2,12,22,2,13,23,2,14,24,2,15,25,2,16,26,2,17,27,2,18,28,2,19,29,2,20,30,2], '
    '"num_landmarks_labelled": 10, "segmentation": [[10.5,20.25,110.0,20.0,110.0,220.125]]}]}'
)


def members(path: Path) -> dict[str, bytes]:
    """Return name -> content of the members of a tar, in order."""
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def names(folder: Path) -> dict[str, list[str]]:
    """Return the names in each tar of a folder."""
    return {path.name: list(members(path)) for path in sorted(folder.glob("*.tar"))}


def test_a_shard_holds_photo_and_json_of_every_image(exportable: Path, release: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "webdataset", tmp_path / "out", subset={"split": "validation"}, photos=release)
    assert [file.path for file in manifest.files] == ["README.md", "validation-000000.tar"]
    assert manifest.counts == {"validation": {"images": 2, "items": 2, "shards": 1}}
    actual = members(tmp_path / "out" / "validation-000000.tar")
    assert list(actual) == [
        "validation_000001.jpg", "validation_000001.json", "validation_000002.jpg", "validation_000002.json",
    ]  # fmt: skip
    assert actual["validation_000001.json"].decode() == SAMPLE
    assert actual["validation_000002.jpg"] == (release / "validation" / "image" / "000002.jpg").read_bytes()


def test_json_has_every_column_of_images_and_items(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "webdataset", tmp_path / "out", images="none")
    for path in (tmp_path / "out").glob("*.tar"):
        for text in members(path).values():
            sample = json.loads(text)
            assert list(sample) == [*IMAGE_COLUMNS, "items"]
            for actual in sample["items"]:
                assert tuple(actual) == ITEM_COLUMNS


def test_a_photo_without_annotations_is_a_sample_without_items(exportable: Path, release: Path, tmp_path: Path) -> None:
    run_export(exportable, "webdataset", tmp_path / "out", subset={"split": "test"}, photos=release)
    assert members(tmp_path / "out" / "test-000000.tar")["test_000002.json"] == (
        b'{"split": "test", "image_id": 2, "file_name": "000002.jpg", "source": null, "pair_id": null, "width": 40, '
        b'"height": 30, "num_items": null, "items": []}'
    )


def test_only_json_is_written_without_photos(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "webdataset", tmp_path / "out", subset={"split": "train"}, images="none")
    expected = [f"train_00000{image_id}.json" for image_id in (1, 2, 3, 4, 7)]
    assert names(tmp_path / "out") == {"train-000000.tar": expected}


def test_shards_have_the_requested_number_of_images(exportable: Path, release: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "webdataset", tmp_path / "out", photos=release, shard_size=2)
    assert {
        shard: [name for name in actual if name.endswith("jpg")] for shard, actual in names(tmp_path / "out").items()
    } == {
        "test-000000.tar": ["test_000001.jpg", "test_000002.jpg"],
        "train-000000.tar": ["train_000001.jpg", "train_000002.jpg"],
        "train-000001.tar": ["train_000003.jpg", "train_000004.jpg"],
        "train-000002.tar": ["train_000007.jpg"],
        "validation-000000.tar": ["validation_000001.jpg", "validation_000002.jpg"],
    }
    assert manifest.counts["train"] == {"images": 5, "items": 8, "shards": 3}
    assert manifest.counts["validation"]["shards"] == 1


def test_no_two_samples_of_a_part_have_the_same_key(exportable: Path, tmp_path: Path) -> None:
    resplit = Resplit.parse("fit=0.5,held=0.5", 1)
    run_export(exportable, "webdataset", tmp_path / "out", resplit=resplit, images="none", shard_size=2)
    actual = [name for inside in names(tmp_path / "out").values() for name in inside]
    assert len(actual) == len(set(actual)) == 7
    for path in (tmp_path / "out").glob("*.tar"):
        for name, text in members(path).items():
            assert name == "{split}_{image_id:06d}.json".format(**json.loads(text))


def test_a_part_without_images_is_an_empty_tar(exportable: Path, release: Path, tmp_path: Path) -> None:
    subset = {"split": ["train", "validation"], "category": "shorts"}
    manifest = run_export(exportable, "webdataset", tmp_path / "out", subset=subset, photos=release)
    assert (tmp_path / "out" / "train-000000.tar").read_bytes() == bytes(10240)
    assert names(tmp_path / "out")["train-000000.tar"] == []
    assert manifest.counts["train"] == {"images": 0, "items": 0, "shards": 1}


def test_shards_equal_those_of_the_standard_library(exportable: Path, release: Path, tmp_path: Path) -> None:
    run_export(exportable, "webdataset", tmp_path / "out", photos=release)
    for path in (tmp_path / "out").glob("*.tar"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in members(path).items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        assert path.read_bytes() == buffer.getvalue()


@pytest.mark.parametrize("size", [0, 1, 511, 512, 8**11 - 1])
def test_a_header_holds_neither_owner_nor_time(size: int) -> None:
    info = tarfile.TarInfo.frombuf(tar_header("train_000001.jpg", size), "ascii", "strict")
    assert (info.name, info.size, info.mode) == ("train_000001.jpg", size, 0o644)
    assert (info.uid, info.gid, info.uname, info.gname, info.mtime) == (0, 0, "", "", 0)
    assert info.isreg()


def test_bytes_do_not_depend_on_chunk_boundaries(
    exportable: Path, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_export(exportable, "webdataset", tmp_path / "first", photos=release)
    monkeypatch.setattr("registry.store.chunks.CHUNK_IMAGES", 2)
    run_export(exportable, "webdataset", tmp_path / "second", photos=release)
    assert files_in(tmp_path / "first") == files_in(tmp_path / "second")


def test_photos_are_read_from_a_protected_zip(exportable: Path, release: Path, tmp_path: Path) -> None:
    photos = files_in(release / "validation")
    (tmp_path / "zips").mkdir()
    packed = {f"validation/{path}": data for path, data in photos.items()}
    write_zipcrypto(tmp_path / "zips" / "validation.zip", packed, "secret")
    plan = Plan.of("webdataset", Subset.of(split="validation"))
    opened = registry.open(str(exportable))
    with pytest.raises(PasswordError):
        export(opened, plan, str(tmp_path / "none"), photos=str(tmp_path / "zips"))
    export(opened, plan, str(tmp_path / "out"), photos=str(tmp_path / "zips"), password="secret")
    actual = members(tmp_path / "out" / "validation-000000.tar")
    assert actual["validation_000001.jpg"] == photos["image/000001.jpg"]


def test_the_webdataset_library_reads_the_same_samples(exportable: Path, release: Path, tmp_path: Path) -> None:
    import webdataset

    run_export(exportable, "webdataset", tmp_path / "out", photos=release, shard_size=2)
    shards = str(tmp_path / "out" / "train-{000000..000002}.tar")
    read: list[dict[str, Any]] = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert [sample["__key__"] for sample in read] == [f"train_00000{image_id}" for image_id in (1, 2, 3, 4, 7)]
    decoded = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("jpg", "json")
    for sample, (photo, document) in zip(read, decoded, strict=True):
        assert sample["jpg"] == (release / "train" / "image" / document["file_name"]).read_bytes()
        assert photo.size == (document["width"], document["height"]) == (200, 300)
        released = json.loads((release / "train" / "annos" / f"{document['image_id']:06d}.json").read_bytes())
        assert (document["source"], document["pair_id"]) == (released["source"], released["pair_id"])
        for actual in document["items"]:
            item = released[f"item{actual['item_no']}"]
            assert [actual[name] for name in ("x1", "y1", "x2", "y2")] == item.pop("bounding_box")
            assert item == {name: actual[name] for name in item}
        assert len(document["items"]) == document["num_items"] == len(released) - 2
