"""The tensors of a batch in a single piece of shared memory.

A worker process of torch sends each tensor through a file of its own, and opening one costs the parent as much as
decoding a photo: a batch of 32 images with four targets would need 160. Views of the same memory need a single file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torchvision.tv_tensors import TVTensor, wrap

#: Tensors begin at multiples of this, for which every dtype has its place.
_ALIGNMENT: Final = 64


def in_shared_memory(batch: Any) -> Any:
    """Return a batch of lists, tuples and dictionaries whose CPU tensors are views of the same shared memory.

    Strides stay, where a tensor fills its memory. A view keeps the memory of the whole batch.
    """
    tensors: list[torch.Tensor] = []
    _mapped(batch, tensors.append)
    starts, size = [], 0
    for tensor in tensors:
        starts.append(size)
        size += aligned(tensor.numel() * tensor.element_size())
    if not size:
        return batch
    memory = torch.UntypedStorage._new_shared(size)
    places = iter(starts)
    return _mapped(batch, lambda tensor: _copied(tensor, memory, next(places)))


def aligned(num_bytes: int) -> int:
    """Return a number of bytes rounded up, so that the next tensor may begin behind them."""
    return -(-num_bytes // _ALIGNMENT) * _ALIGNMENT


def _mapped(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """Return a value with its tensors changed, in the order in which they are met."""
    if isinstance(value, torch.Tensor):
        return change(value) if _can_move(value) else value
    if type(value) is dict:
        return {name: _mapped(member, change) for name, member in value.items()}
    if type(value) in (list, tuple):
        return type(value)([_mapped(member, change) for member in value])
    return value


def _can_move(tensor: torch.Tensor) -> bool:
    is_usual = type(tensor) is torch.Tensor or isinstance(tensor, TVTensor)
    is_plain = is_usual and tensor.device.type == "cpu" and tensor.layout == torch.strided
    return is_plain and not tensor.requires_grad and not tensor.is_shared()


def _copied(tensor: torch.Tensor, memory: torch.UntypedStorage, start: int) -> torch.Tensor:
    """Return a copy of a tensor that begins at a byte of the memory."""
    plain = tensor.as_subclass(torch.Tensor)
    strides = torch.empty_like(plain, device="meta").stride()
    view = torch.empty(0, dtype=plain.dtype).set_(memory, start // plain.element_size(), plain.shape, strides)
    view.copy_(plain)
    return wrap(view, like=tensor) if isinstance(tensor, TVTensor) else view
