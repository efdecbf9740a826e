"""Photos of a batch that a worker decodes into shared memory: the same images, and one piece of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch: make test-torch")
import torch
from torch.utils.data import DataLoader

from registry.ingest.build import ingest
from registry.loaders import Detection, collate
from registry.sample import write_sample


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a drawn release with JPEGs."""
    folder = tmp_path_factory.mktemp("release")
    write_sample(folder / "release", 20, 0)
    ingest("train", str(folder / "release"), str(folder / "registry"), jobs=1)
    return folder / "release"


@pytest.fixture
def registry_url(release: Path) -> str:
    return str(release.parent / "registry")


def batches(dataset: Any, workers: int, **options: Any) -> list[Any]:
    return list(DataLoader(dataset, batch_size=5, num_workers=workers, collate_fn=collate, **options))


def test_a_worker_gives_the_images_of_the_main_process(registry_url: str, release: Path) -> None:
    dataset = Detection(registry_url, photos=str(release), targets=("boxes", "masks"))
    for (images, targets), (expected, expected_targets) in zip(batches(dataset, 2), batches(dataset, 0), strict=True):
        for image, other in zip(images, expected, strict=True):
            assert torch.equal(image, other)
            assert (type(image), image.stride()) == (type(other), other.stride())
        for target, other in zip(targets, expected_targets, strict=True):
            assert torch.equal(target["masks"], other["masks"])


def test_the_images_of_a_batch_share_their_memory(registry_url: str, release: Path) -> None:
    pytest.importorskip("simplejpeg")
    images, _ = batches(Detection(registry_url, photos=str(release)), 1)[0]
    assert len({image.untyped_storage().data_ptr() for image in images}) == 1
    size = sum(-(-image.numel() // 64) * 64 for image in images)
    assert images[0].untyped_storage().nbytes() == size


def test_a_transform_gets_an_image_of_its_own(registry_url: str, release: Path) -> None:
    def change(image: Any, target: Any) -> Any:
        image += 1
        return image, target

    changed = batches(Detection(registry_url, photos=str(release), transform=change), 1)[0][0]
    plain = batches(Detection(registry_url, photos=str(release)), 0)[0][0]
    assert torch.equal(changed[0], plain[0] + 1)
