"""Shards that are damaged or foreign, and states of others: each is an error in words, never another sample."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.errors import RegistryFormatError, SourceError, UsageError
from registry.loaders import ShardSamples
from tests.loaders.own.shard_exports import write_shards

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_shards(tmp_path)


def change_shard(folder: Path, change: Callable[[Members], Members]) -> None:
    """Write the first shard anew with other members."""
    path = folder / "train-000000.tar"
    with tarfile.open(path) as archive:
        members = [(info, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr]
    with tarfile.open(path, "w") as archive:
        for info, data in change(members):
            info.size = info.size if info.type in (tarfile.SYMTYPE, tarfile.GNUTYPE_SPARSE) else len(data)
            archive.addfile(info, io.BytesIO(data))


def read_all(folder: Path, **options: Any) -> Iterator[Any]:
    """Return the samples in their stored order."""
    return iter(list(ShardSamples(str(folder), shuffle=0, **options)))


def without_photo(members: Members) -> Members:
    return [member for member in members if member[0].name != "train_000002.jpg"]


def without_json(members: Members) -> Members:
    return [member for member in members if member[0].name != "train_000002.json"]


def exchanged(members: Members) -> Members:
    """Exchange the JSON of two samples."""
    files = {info.name: data for info, data in members}
    files["train_000001.json"], files["train_000002.json"] = files["train_000002.json"], files["train_000001.json"]
    return [(info, files[info.name]) for info, _ in members]


def twice(members: Members) -> Members:
    return [members[0], *members]


def linked(members: Members) -> Members:
    """Put a link to another photo in the place of a photo."""
    info = tarfile.TarInfo("train_000002.jpg")
    info.type, info.linkname = tarfile.SYMTYPE, "train_000001.jpg"
    return [(info, b"") if member[0].name == info.name else member for member in members]


def nested(members: Members) -> Members:
    return [(info, b"[" * 100_000 if info.name.endswith("2.json") else data) for info, data in members]


def of_text(members: Members) -> Members:
    return [
        (info, b'{"split": 1, "image_id": "x"}' if info.name.endswith("2.json") else data) for info, data in members
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_photo, "train_000002: expected its JSON and a photo, found train_000002.json"),
        (without_json, "train_000002: expected its JSON and a photo, found train_000002.jpg"),
        (exchanged, "the JSON of train_000001 is that of train_000002"),
        (twice, "train_000001.jpg is there twice"),
        (linked, "train_000002.jpg is no plain file"),
        (nested, "the JSON of train_000002 is damaged"),
        (of_text, "the JSON of train_000002 is damaged"),
    ],
)
def test_a_changed_shard_is_refused(change: Callable[[Members], Members], message: str, folder: Path) -> None:
    change_shard(folder, change)
    with pytest.raises(SourceError, match=message) as caught:
        read_all(folder)
    assert "train-000000.tar" in str(caught.value)


def test_a_member_that_claims_to_be_huge_is_not_read(folder: Path) -> None:
    path = folder / "train-000000.tar"
    data = path.read_bytes()
    info = tarfile.TarInfo("train_000001.jpg")
    info.size = 200 << 20
    path.write_bytes(info.tobuf() + data[512:])
    os.truncate(path, 201 << 20)  # a hole in the file
    with pytest.raises(SourceError, match=r"train_000001\.jpg: expected at most 134,217,728 bytes, found 209,715,200"):
        read_all(folder)


def test_a_sparse_member_is_refused(folder: Path) -> None:
    """A sparse file of a few bytes unpacks to as many zeros as it says."""
    path = folder / "train-000000.tar"
    data = path.read_bytes()
    header = bytearray(tarfile.TarInfo("train_000001.jpg").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[386:398] = header[398:410] = b"00000000000\0"
    header[483:495] = b"%011o\0" % (100 << 20)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header) + data)
    with pytest.raises(SourceError, match=r"train_000001\.jpg is no plain file"):
        read_all(folder)


@pytest.mark.parametrize("size", [0, "5", None, True])
def test_a_manifest_without_a_size_of_shards_is_refused(size: Any, folder: Path) -> None:
    path = folder / "export.json"
    document = json.loads(path.read_text())
    document["options"]["shard-size"] = size
    path.write_text(json.dumps(document))
    with pytest.raises(RegistryFormatError, match=r"export\.json: shard-size is .*expected whole numbers"):
        read_all(folder)


def test_more_ranks_than_samples_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="has 23 samples, and world_size is 24: each rank needs a sample"):
        ShardSamples(str(folder), world_size=24)


@pytest.mark.parametrize("option", [("shuffle", 1.5), ("seed", "0"), ("rank", 0.0), ("world_size", True), ("seed", -1)])
def test_wrong_arguments_are_named(option: tuple[str, Any], folder: Path) -> None:
    with pytest.raises(UsageError, match="expected whole numbers, shuffle and seed of 0 or more"):
        ShardSamples(str(folder), **dict([option]))


@pytest.mark.parametrize(
    "change", [{"batch_size": 0}, {"workers": 0}, {"batches": -1}, {"epoch": "x"}, {"batches": None}]
)
def test_a_damaged_state_is_refused(change: dict[str, Any], folder: Path) -> None:
    shards = ShardSamples(str(folder))
    with pytest.raises(UsageError, match="The state is damaged: "):
        shards.load_state_dict(shards.state_dict(1) | change)


def test_the_state_of_an_export_of_another_registry_is_refused(folder: Path) -> None:
    state = ShardSamples(str(folder)).state_dict(1)
    path = folder / "export.json"
    document = json.loads(path.read_text())
    document["registry"]["manifest_sha256"] = "0" * 64
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="The state is of other shards: registry is '0000"):
        ShardSamples(str(folder)).load_state_dict(state)
