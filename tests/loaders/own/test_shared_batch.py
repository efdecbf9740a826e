"""The tensors of a batch in one piece of shared memory."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch: make test-torch")
tv_tensors = pytest.importorskip("torchvision.tv_tensors", reason="needs torch: make test-torch")


def test_tensors_share_memory_and_keep_values_types_and_strides() -> None:
    from registry.loaders.shared_batch import in_shared_memory

    image = tv_tensors.Image(torch.arange(30, dtype=torch.uint8).reshape(2, 5, 3).permute(2, 0, 1))
    corners = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(2, 5))
    target = {"boxes": boxes, "labels": torch.tensor([7]), "none": torch.zeros(0, 4)}
    target |= {"image_id": 3, "pair": ("a", None)}
    batch = ([image], [target])
    shared = in_shared_memory(batch)
    (new_image,), (new_target,) = shared
    assert isinstance(shared, tuple) and new_image.stride() == image.stride() and torch.equal(new_image, image)
    assert type(new_image) is tv_tensors.Image and new_target["boxes"].canvas_size == (2, 5)
    assert torch.equal(new_target["boxes"], boxes) and torch.equal(new_target["labels"], target["labels"])
    assert new_target["none"].shape == (0, 4) and new_target["image_id"] == 3 and new_target["pair"] == ("a", None)
    places = {tensor.untyped_storage().data_ptr() for tensor in (new_image, new_target["boxes"], new_target["labels"])}
    assert len(places) == 1 and new_image.is_shared()


def test_tensors_that_cannot_move_stay() -> None:
    from registry.loaders.shared_batch import in_shared_memory

    needs_gradient = torch.ones(2, requires_grad=True)
    sparse = torch.eye(2).to_sparse()
    assert in_shared_memory([needs_gradient])[0] is needs_gradient
    assert in_shared_memory([sparse, torch.ones(1)])[0] is sparse
    assert in_shared_memory(["text"]) == ["text"]
