"""Batches of identities and shards in a DataLoader of torch, with workers and without."""

from __future__ import annotations

import pickle
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from registry.loaders.identity_sampler import IdentitySampler
from tests.loaders.own.shard_exports import NUM_IMAGES, write_shards
from tests.loaders.own.test_identity_sampler import grid, items

pytest.importorskip("torch", reason="needs torch: make test-torch")

from torch.utils.data import DataLoader, Dataset

from registry.loaders.torch_shards import Shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"))


def image_id(sample: dict[str, Any]) -> int:
    """Return the number of the image alone."""
    return int(sample["image_id"])


class Numbers(Dataset[int]):
    """Items that are their own index."""

    def __init__(self) -> None:
        self.rows = items(grid()).rows

    def __getitem__(self, index: int) -> int:
        return index


def opened(folder: Path, **options: Any) -> Shards:
    return Shards(str(folder), transform=image_id, decode=False, **options)


def batches_of(loader: Any) -> list[list[int]]:
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_takes_batches_of_identities_and_resumes(num_workers: int) -> None:
    sampler = IdentitySampler(Numbers(), 4, 4)
    sampler.set_epoch(3)
    whole = list(sampler)
    loader: Any = DataLoader(Numbers(), batch_sampler=sampler, num_workers=num_workers)
    assert len(loader) == len(whole) == 5
    sampler.set_epoch(3)
    running = iter(loader)
    first = [next(running).tolist() for _ in range(2)]
    state = sampler.state_dict(batches=2)  # the workers have drawn more
    resumed = IdentitySampler(Numbers(), 4, 4)
    resumed.load_state_dict(state)
    rest = batches_of(DataLoader(Numbers(), batch_sampler=resumed, num_workers=num_workers))
    assert first + rest == whole


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_a_loader_resumes_shards_with_exactly_the_remaining_batches(
    shards: Path, num_workers: int, drop_last: bool
) -> None:
    def loader() -> Any:
        return DataLoader(opened(shards), batch_size=3, num_workers=num_workers, drop_last=drop_last)

    whole = batches_of(loader())
    if not drop_last:
        assert sorted(chain.from_iterable(whole)) == list(range(1, NUM_IMAGES + 1))
    for taken in range(0, len(whole) + 1, 3):
        resumed = loader()
        resumed.dataset.load_state_dict(resumed.dataset.state_dict(taken, resumed))
        assert batches_of(resumed) == whole[taken:]


def test_persistent_workers_see_the_epoch(shards: Path) -> None:
    dataset = opened(shards)
    loader: Any = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True)
    epochs = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        epochs.append([int(sample) for sample in loader])
    assert epochs[0] == epochs[2] != epochs[1]
    assert sorted(epochs[1]) == list(range(1, NUM_IMAGES + 1))


def test_spawned_workers_read_shards(shards: Path) -> None:
    dataset = opened(shards)
    assert len(pickle.dumps(dataset)) < 4_000
    loader: Any = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context="spawn")
    assert sorted(chain.from_iterable(batches_of(loader))) == list(range(1, NUM_IMAGES + 1))
