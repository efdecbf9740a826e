"""Names and numbers from outside are parsed once, and what cannot be is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.dataset.names import is_data_path, is_relative_path, leading_out
from registry.dataset.tables import SCHEMA_VERSION
from registry.errors import RegistryFormatError, UsageError
from registry.exports.manifest import ExportManifest, verify_export
from registry.exports.run import Plan
from registry.ingest.build import ingest
from registry.snapshot.manifest import MANIFEST_NAME, DataFile, Manifest, read_manifest, rebuild_manifest
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from registry.subset.options import Subset
from tests.sources.packing import files_in

INSIDE = ["a", "a/b.json", "a/.hidden", "a b/c", "é/ü.jpg", "100%.txt", "...", "a..b/c", "x=1/y=2", "a/C:x", "a" * 255]
OUTSIDE = [
    "", ".", "..", "/", "/a", "a/", "a//b", "./a", "../a", "a/../b", "a/..", "a/.", "~\n", "a\0b", "a\x7f", "a\x85b",
    "a\u2028b", "a\\b", "..\\a", "C:a", "c:/a", "a\ud800", "%2e%2e/a", "a/%2F", "a" * 256, "a/" * 600 + "a",
]  # fmt: skip


@pytest.mark.parametrize("path", INSIDE)
def test_a_path_below_a_folder_is_taken(path: str) -> None:
    assert is_relative_path(path)
    assert leading_out(["a", path, "b"]) == []


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_out_is_not(path: str) -> None:
    assert not is_relative_path(path)
    assert leading_out(["a", path, "b"]) == [path]


def test_a_data_path_is_the_folder_of_a_table_its_partitions_and_a_digest() -> None:
    assert is_data_path("items/split=train/category_id=13/0123456789abcdef.parquet")
    assert is_data_path("images/split=test/0123456789abcdef.parquet")
    assert is_data_path("categories/0123456789abcdef.parquet")
    for path in (
        "items/split=train/category_id=14/0123456789abcdef.parquet",
        "items/split=train/category_id=01/0123456789abcdef.parquet",
        "items/category_id=1/split=train/0123456789abcdef.parquet",
        "items/split=train/0123456789abcdef.parquet",
        "items/split=dev/category_id=1/0123456789abcdef.parquet",
        "images/split=train/0123456789ABCDEF.parquet",
        "images/split=train/old.parquet",
        "images/split=train/.0123456789abcdef.parquet",
        "mine/0123456789abcdef.parquet",
        "/categories/0123456789abcdef.parquet",
        "categories/../categories/0123456789abcdef.parquet",
        "categories/0123456789abcdef.parquet\n",
    ):
        assert not is_data_path(path), path


@pytest.fixture
def entry(small_registry: Path) -> dict[str, Any]:
    """Return the entry of a file of items."""
    document = json.loads((small_registry / MANIFEST_NAME).read_bytes())
    actual: dict[str, Any] = next(one for one in document["files"] if one["table"] == "items")
    return actual


def manifest_of(*entries: dict[str, Any], **changes: Any) -> bytes:
    """Return a manifest with these files."""
    return json.dumps(
        {"schema_version": SCHEMA_VERSION, "sources": {"train": "x"}, "files": entries} | changes
    ).encode()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"path": "../home/.bashrc"},
            "files > 0 > path: expected a relative path such as a/b.json that stays inside, ",
        ),
        ({"path": "/etc/hostname"}, "files > 0 > path: expected a relative path such as a/b.json that stays inside, "),
        ({"path": "items/a.parquet"}, "files > 0: expected the path items/split=train/category_id=.../"),
        ({"split": "validation"}, "files > 0: expected the path items/split=validation/category_id=.../"),
        ({"table": "images"}, "files > 0: expected the path images/split=train/"),
        ({"table": "x"}, "files > 0 > table: expected one of images, items, retrieval_lists, "),
        ({"split": "dev"}, "files > 0 > split: expected one of train, validation, test or null, found 'dev'"),
        ({"split": None}, "files > 0: expected a split for the table items"),
        ({"table": "categories"}, "files > 0: expected no split for the table categories"),
        ({"sha256": "../../victim"}, "files > 0 > sha256: expected 64 hex digits, found '../../victim'"),
        ({"sha256": "A" * 64}, "files > 0 > sha256: expected 64 hex digits, found 'AAAA"),
        ({"rows": -1}, "files > 0 > rows: expected a whole number from 0 to 2^53 - 1, found -1"),
        ({"rows": 1.5}, "files > 0 > rows: expected a whole number from 0 to 2^53 - 1, found 1.5"),
        ({"bytes": 2**53}, f"files > 0 > bytes: expected a whole number from 0 to 2^53 - 1, found {2**53}"),
        ({"bytes": True}, "files > 0 > bytes: expected a whole number from 0 to 2^53 - 1, found true"),
        ({"bytes": 1_000_000}, "files > 0: expected 248 bytes of blocks for a file of 1,000,000 bytes, found 8"),
        ({"blocks": ""}, "files > 0: expected 8 bytes of blocks for a file of "),
        ({"blocks": "not base64"}, "files > 0 > blocks: expected base64, found 'not base64'"),
        ({"schema_version": 0}, "files > 0 > schema_version: expected a whole number from 1 to 3, found 0"),
        ({"more": 1}, "files > 0 > more: unknown key"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_with_its_place(
    entry: dict[str, Any], changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RegistryFormatError) as caught:
        Manifest.from_json(manifest_of(entry | changes), "s3://b/manifest.json")
    first, *lines = str(caught.value).split("\n")
    assert first == "s3://b/manifest.json is not a manifest of a registry:"
    assert lines[0].startswith(f"manifest.json > {problem}")


def test_all_problems_of_a_manifest_are_listed_together(entry: dict[str, Any]) -> None:
    bad = [entry | {"sha256": "x"}, "file", entry | {"rows": None, "path": 5}]
    with pytest.raises(RegistryFormatError) as caught:
        Manifest.from_json(manifest_of(*bad, sources={"dev": 1}), "manifest.json")
    assert [line.partition(": ")[0] for line in str(caught.value).split("\n")[1:]] == [
        "manifest.json > files > 0 > sha256",
        "manifest.json > files > 1",
        "manifest.json > files > 2 > path",
        "manifest.json > files > 2 > rows",
        "manifest.json > sources",
        "manifest.json > sources > dev",
    ]
    with pytest.raises(RegistryFormatError, match=r"expected each path once, found items/.*parquet twice or more"):
        Manifest.from_json(manifest_of(entry, entry), "manifest.json")


def test_keys_of_a_later_release_are_passed_over_at_the_top_alone(entry: dict[str, Any]) -> None:
    assert Manifest.from_json(manifest_of(entry, made_by="later"), "x").files[0].path == entry["path"]
    with pytest.raises(RegistryFormatError, match=r"x has schema version 99, .* upgrade it"):
        Manifest.from_json(manifest_of(entry | {"more": 1}, schema_version=99), "x")


def test_a_manifest_that_leads_out_moves_nothing(small_registry: Path, tmp_path: Path) -> None:
    secret = tmp_path / "home" / ".bashrc"
    secret.parent.mkdir()
    secret.write_bytes(b"mine")
    file = DataFile.of(b"theirs", "x", "categories", None, 1)
    hostile = {"path": "../home/.bashrc", "table": "categories", "split": None, "rows": 1, "bytes": 6}
    hostile |= {"sha256": file.sha256, "blocks": file.blocks, "schema_version": 2}
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / MANIFEST_NAME).write_bytes(manifest_of(hostile))
    before = files_in(tmp_path)
    for attempt in (
        lambda: sync(Place(str(bad)), Place(str(tmp_path / "there"))),
        lambda: sync(Place(str(small_registry)), Place(str(bad)), prune=True),
        lambda: verify_registry(Place(str(bad))),
        lambda: registry.open(str(bad)),
        lambda: ingest("train", str(tmp_path / "train"), str(bad), jobs=1),
    ):
        with pytest.raises(RegistryFormatError, match=r"manifest\.json > files > 0 > path: expected a relative path"):
            attempt()
    after = files_in(tmp_path)
    assert {path: after[path] for path in after if not path.endswith(".lock")} == {
        path: before[path] for path in before if not path.endswith(".lock")
    }


def test_files_that_no_ingestion_wrote_are_no_part_of_a_rebuilt_manifest(small_registry: Path) -> None:
    place = Place(str(small_registry))
    [images] = (small_registry / "images").rglob("*.parquet")
    (images.parent / "mine.parquet").write_bytes(images.read_bytes())
    (images.parent / f"{'0' * 16}.parquet").write_bytes(images.read_bytes())
    (small_registry / "categories" / f"{'1' * 16}.parquet").mkdir()
    (small_registry / "categories" / f"{'2' * 16}.parquet").symlink_to("/dev/zero")
    with pytest.raises(RegistryFormatError) as caught:
        rebuild_manifest(place)
    lines = str(caught.value).split("\n")
    assert lines[0].endswith("images/split=train/0000000000000000.parquet has another content than its name says, "
                             f"which is that of {images.relative_to(small_registry)}: it was changed.")  # fmt: skip
    assert lines[1].endswith("images/split=train/mine.parquet has no name that 'df2 ingest' gives.")
    assert lines[2].endswith("categories/2222222222222222.parquet is no regular file.")
    assert lines[3].startswith("Nothing was written.")


def export_manifest(**changes: Any) -> bytes:
    """Return a sound ``export.json`` with changes."""
    document = {
        "export_version": 1,
        "made_by": "x",
        "schema_version": 2,
        "format": "coco",
        "options": {"names": "dataset"},
        "images": "none",
        "subset": {"image_id": [1, "5-9"]},
        "subset_digest": "0" * 64,
        "resplit": None,
        "registry": {"schema_version": 2, "manifest_sha256": "0" * 64, "sources": {"train": "x"}},
        "revision": {"git": "ab12", "dvc_lock": "as committed"},
        "counts": {"train": {"images": 1}},
        "left_out": [{"what": "boxes", "why": "none", "number": 1}],
        "files": [{"path": "a/b.json", "bytes": 1, "sha256": "0" * 64}, {"path": "c.jpg", "bytes": 1, "link": True}],
    }
    return json.dumps(document | changes).encode()


def test_a_sound_export_manifest_is_read_as_it_was_written() -> None:
    actual = ExportManifest.from_json(export_manifest(), "x")
    assert actual.revision == {"git": "ab12", "dvc_lock": "as committed"}
    assert ExportManifest.from_json(actual.to_json(), "x") == actual
    assert Plan.of_manifest(actual).subset == Subset.of(image_id=[1, "5-9"])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"files": [{"path": "/dev/zero", "bytes": 1, "sha256": "0" * 64}]}, "files > 0 > path: expected a relative "),
        ({"files": [{"path": "a", "bytes": 1}]}, "files > 0: expected either a sha256 or a link"),
        ({"files": [{"path": "a", "bytes": 1, "sha256": "z" * 64}]}, "files > 0 > sha256: expected 64 hex digits"),
        ({"files": [{"path": "a", "bytes": -1, "link": True}]}, "files > 0 > bytes: expected a whole number from 0"),
        ({"files": [{"path": "export.json", "bytes": 1, "link": True}]}, "expected the files beside export.json"),
        ({"files": 2 * [{"path": "a", "bytes": 1, "link": True}]}, "expected each path once, found a twice or more"),
        ({"options": {"names": ["a"]}}, "options > names: expected a plain value, found a list"),
        ({"format": 5}, "format: expected a short text in one line, found 5"),
        ({"format": "a\nb"}, "format: expected a short text in one line, found 'a\\nb'"),
        ({"revision": {"git": "$(evil)"}}, "revision > git: expected hex digits or null, found '$(evil)'"),
        ({"registry": None}, "registry: expected an object, found null"),
        (
            {"resplit": {"fractions": "a=1", "seed": "x", "stratify": 1, "balance": []}},
            "resplit > seed: expected a whole number, found 'x'",
        ),
        ({"counts": {"train": {"images": "1"}}}, "counts > train > images: expected a whole number from 0"),
    ],
)
def test_an_export_manifest_that_cannot_be_is_refused_with_its_place(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(RegistryFormatError) as caught:
        ExportManifest.from_json(export_manifest(**changes), "out/export.json")
    first, *lines = str(caught.value).split("\n")
    assert first == "out/export.json is not the manifest of an export:"
    assert lines[0].startswith((f"export.json > {problem}", f"export.json: {problem}")), lines


def test_verify_reads_nothing_beside_an_export(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    for path in ("../secret.txt", "/dev/zero", "/etc/hostname"):
        (out / "export.json").write_bytes(export_manifest(files=[{"path": path, "bytes": 4, "sha256": "0" * 64}]))
        with pytest.raises(RegistryFormatError, match="files > 0 > path: expected a relative path"):
            verify_export(Place(str(out)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset": {"image_id": ["@/etc/passwd"]}}, r"no file is read for it here"),
        ({"subset": {"image-id": "@/etc/passwd"}}, r"no file is read for it here"),
        ({"subset": {"files": True}}, r"Unknown option of a subset 'files'"),
        ({"subset": {"cls": 1}}, r"Unknown option of a subset 'cls'"),
        ({"subset": {"category": {"a": 1}}}, r"category: expected a value or a list of values"),
        ({"subset": {"limit": "9" * 5000}}, r"limit: expected a whole number"),
        ({"subset": {"scale": "9" * 5000}}, r"scale: '9+' cannot be read"),
        ({"subset": {"sample": "9" * 5000}}, r"sample '9+\.\.\.: expected a number"),
        ({"format": "nothing"}, r"Unknown format 'nothing'"),
        ({"images": "all"}, r"takes --images"),
        ({"options": {"attributes": 0}}, r"attributes: expected true or false, found 0"),
        ({"options": {"names": 5}}, r"Unknown value of names 5"),
        ({"format": "webdataset", "options": {"shard-size": 2**40}}, r"shard-size: expected at most"),
        ({"format": "webdataset", "options": {"shard-size": True}}, r"shard-size: expected a value of kind integer"),
    ],
)
def test_what_an_export_manifest_asks_for_is_one_error_where_it_cannot_be(
    changes: dict[str, Any], message: str
) -> None:
    manifest = ExportManifest.from_json(export_manifest(**changes), "x")
    with pytest.raises(RegistryFormatError, match=f"The manifest of the export cannot be followed: .*{message}"):
        Plan.of_manifest(manifest)


def test_a_user_may_still_name_a_file_of_images(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("000001.jpg\n7\n")
    assert Subset.of(image_id=f"@{tmp_path / 'ids'}") == Subset.of(image_id=[1, 7])
    with pytest.raises(UsageError, match="no file is read"):
        Subset.of_document({"image_id": f"@{tmp_path / 'ids'}"})


def test_what_ingestion_writes_passes(small_registry: Path) -> None:
    manifest = read_manifest(Place(str(small_registry)))
    assert all(is_data_path(file.path) for file in manifest.files)
    assert Manifest.from_json(manifest.to_json(), "x") == manifest
