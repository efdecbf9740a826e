"""A stream out of shards: every sample once, in an order that seed and epoch decide, and resumable."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from registry.errors import NotFoundError, SourceError, UsageError
from registry.loaders.shards import ShardSamples
from tests.exports.releases import run_export
from tests.loaders.own.shard_exports import NUM_IMAGES, write_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"))


def image_id(sample: dict[str, Any]) -> int:
    """Return the number of the image alone."""
    return int(sample["image_id"])


def opened(folder: Path, **options: Any) -> ShardSamples:
    return ShardSamples(str(folder), transform=image_id, decode=False, **options)


class _Worker(ShardSamples):
    """A worker of a loader, without torch."""

    numbers = (0, 1)

    def _worker(self) -> tuple[int, int]:
        return self.numbers


def loader_batches(dataset: _Worker, workers: int, batch_size: int, *, drop_last: bool) -> list[list[int]]:
    """Return the batches as a DataLoader gives them: from each worker in turn."""
    by_worker = []
    for number in range(workers):
        dataset.numbers = (number, workers)
        samples = list(dataset)
        batches = [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]
        by_worker.append([batch for batch in batches if len(batch) == batch_size or not drop_last])
    longest = max(map(len, by_worker))
    return [batches[k] for k in range(longest) for batches in by_worker if k < len(batches)]


class _Loader:
    def __init__(self, num_workers: int, batch_size: int, *, drop_last: bool) -> None:
        self.num_workers = num_workers
        self.batch_size = batch_size
        self.drop_last = drop_last


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0, 1, 4, 100]), st.integers(0, 3))
def test_an_epoch_gives_every_sample_once_over_all_ranks_and_workers(
    shards: Path, data: st.DataObject, world_size: int, workers: int, shuffle: int, epoch: int
) -> None:
    drop_last = data.draw(st.booleans())
    samples, sizes = [], []
    for rank in range(world_size):
        options: dict[str, Any] = {"shuffle": shuffle, "drop_last": drop_last, "rank": rank, "world_size": world_size}
        dataset = _Worker(str(shards), transform=image_id, decode=False, **options)
        dataset.set_epoch(epoch)
        batches = loader_batches(dataset, workers, 1, drop_last=False)
        sizes.append(len(batches))
        assert sizes[-1] == dataset.num_samples
        samples += [sample for batch in batches for sample in batch]
    assert max(Counter(samples).values()) == 1
    assert max(sizes) - min(sizes) <= (not drop_last)
    assert len(samples) == (NUM_IMAGES // world_size * world_size if drop_last else NUM_IMAGES)


@settings(max_examples=60, deadline=None)
@given(
    st.data(), st.integers(1, 4), st.integers(1, 6), st.booleans(), st.sampled_from([0, 1, 4, 100]), st.integers(0, 2)
)
def test_a_loaded_state_gives_exactly_the_remaining_batches(
    shards: Path, data: st.DataObject, workers: int, batch_size: int, drop_last: bool, shuffle: int, epoch: int
) -> None:
    def dataset() -> _Worker:
        return _Worker(str(shards), transform=image_id, decode=False, shuffle=shuffle, seed=5)

    first = dataset()
    first.set_epoch(epoch)
    whole = loader_batches(first, workers, batch_size, drop_last=drop_last)
    taken = data.draw(st.integers(0, len(whole)))
    state = pickle.loads(pickle.dumps(first.state_dict(taken, _Loader(workers, batch_size, drop_last=drop_last))))
    resumed = dataset()
    resumed.load_state_dict(state)
    resumed.set_epoch(epoch)
    assert loader_batches(resumed, workers, batch_size, drop_last=drop_last) == whole[taken:]
    resumed.set_epoch(epoch + 1)
    first.set_epoch(epoch + 1)
    following = [loader_batches(each, workers, batch_size, drop_last=drop_last) for each in (resumed, first)]
    assert following[0] == following[1]


def test_order_depends_on_seed_and_epoch_alone(shards: Path) -> None:
    dataset = opened(shards, shuffle=4)
    first = list(dataset)
    assert list(dataset) == first
    assert first[:8] == [16, 19, 18, 20, 13, 11, 12, 15]
    dataset.set_epoch(1)
    assert list(dataset) != first
    assert list(opened(shards, shuffle=4, seed=1)) != first
    assert list(opened(shards, shuffle=0)) == list(range(1, NUM_IMAGES + 1))


def test_a_sample_is_the_image_with_items_and_photo(shards: Path) -> None:
    pytest.importorskip("registry.sources.photo_decoding")
    sample = next(iter(ShardSamples(str(shards), shuffle=0)))
    assert {name: sample[name] for name in ("split", "image_id", "source", "pair_id", "width", "height")} == {
        "split": "train", "image_id": 1, "source": "user", "pair_id": 0, "width": 21, "height": 30,
    }  # fmt: skip
    assert [item["category_id"] for item in sample["items"]] == [1]
    assert sample["photo"].shape == (30, 21, 3)
    assert sample["photo"].dtype == np.uint8


def test_photos_are_bytes_where_they_are_not_decoded(shards: Path) -> None:
    sample = next(iter(ShardSamples(str(shards), shuffle=0, decode=False)))
    assert Image.open(io.BytesIO(sample["photo"])).size == (21, 30)


def test_shards_without_photos_have_none(tmp_path: Path) -> None:
    samples = list(ShardSamples(str(write_shards(tmp_path, images="none"))))
    assert len(samples) == NUM_IMAGES
    assert {sample["photo"] for sample in samples} == {None}


def test_shards_of_a_remote_store_are_the_same(shards: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(shards), "/remote-shards", recursive=True)
    try:
        remote = ShardSamples("memory://remote-shards", transform=image_id, decode=False)
        assert list(remote) == list(opened(shards))
    finally:
        memory.rm("/remote-shards", recursive=True)


def test_samples_that_do_not_divide_are_noted(shards: Path) -> None:
    assert opened(shards, world_size=4).notices == (
        "3 samples of 23 left out of each epoch, so that all ranks give 5.",
    )
    assert opened(shards, world_size=4, drop_last=False).notices == ()


def test_a_dataset_pickles_in_a_few_kilobytes(shards: Path) -> None:
    data = pickle.dumps(opened(shards))
    assert len(data) < 3_000
    assert list(pickle.loads(data)) == list(opened(shards))


def test_a_folder_that_is_no_such_export_is_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        ShardSamples(str(tmp_path))
    with pytest.raises(UsageError, match="no part 'training'; expected one of train"):
        ShardSamples(str(shards), "training")
    run_export(shards.parent / "registry", "coco", tmp_path / "coco")
    with pytest.raises(UsageError, match="in the format coco; expected webdataset"):
        ShardSamples(str(tmp_path / "coco"))


def test_arguments_out_of_range_are_refused(shards: Path) -> None:
    with pytest.raises(UsageError, match="rank 2 and world_size 2"):
        opened(shards, rank=2, world_size=2)


def test_a_state_of_other_shards_or_workers_is_refused(shards: Path) -> None:
    state = opened(shards).state_dict(2)
    with pytest.raises(UsageError, match="seed is 1, but 0 in the state"):
        opened(shards, seed=1).load_state_dict(state)
    dataset = opened(shards)
    dataset.load_state_dict(dataset.state_dict(1, _Loader(2, 3, drop_last=False)))
    with pytest.raises(UsageError, match="a loader with 2 workers, but this loader has 1"):
        list(dataset)


@pytest.fixture
def damaged(shards: Path, tmp_path: Path) -> Path:
    """A copy of the shards to damage."""
    return Path(shutil.copytree(shards, tmp_path / "damaged"))


def test_a_missing_shard_is_named(damaged: Path) -> None:
    (damaged / "train-000002.tar").unlink()
    with pytest.raises(SourceError, match=r"train-000002.tar is missing"):
        list(opened(damaged))


@pytest.mark.parametrize("size", [0, 700, 3_000])
def test_a_shard_that_ends_early_is_named(damaged: Path, size: int) -> None:
    shard = damaged / "train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:size])
    with pytest.raises(SourceError, match=r"train-000001.tar"):
        list(opened(damaged))


@pytest.mark.parametrize("number", [4, 6])
def test_a_shard_with_another_number_of_samples_is_refused(damaged: Path, number: int) -> None:
    with tarfile.open(damaged / "train-000001.tar", "w") as archive:
        for image in range(number):
            text = json.dumps({"split": "train", "image_id": image, "items": []}).encode()
            header = tarfile.TarInfo(f"train_{image:06d}.json")
            header.size = len(text)
            archive.addfile(header, io.BytesIO(text))
    with pytest.raises(SourceError, match=r"000001.tar has (4|more than 5) samples; expected 5"):
        list(opened(damaged))


def test_a_broken_photo_is_named(damaged: Path) -> None:
    pytest.importorskip("registry.sources.photo_decoding")
    shard = damaged / "train-000000.tar"
    data = bytearray(shard.read_bytes())
    start = data.index(b"\xff\xd8\xff")
    data[start : start + 3] = b"abc"
    shard.write_bytes(data)
    with pytest.raises(SourceError, match=r"train-000000.tar: train/image/000001: "):
        list(ShardSamples(str(damaged)))
