"""Subsets as datasets to train on, with their photos; only this room imports torch.

``import registry.loaders`` works without torch; the datasets need the extra ``torch``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from registry.errors import MissingDependencyError

if TYPE_CHECKING:
    from registry.loaders.batches import iterate
    from registry.loaders.detection import Detection
    from registry.loaders.identity_sampler import IdentitySampler
    from registry.loaders.items import Items
    from registry.loaders.landmarks import Landmarks, heatmaps
    from registry.loaders.pairs import Pairs, Triplets
    from registry.loaders.shards import ShardSamples
    from registry.loaders.skipped import Skipped, collate, stack
    from registry.loaders.torch_shards import Shards

__all__ = [
    "Detection",
    "IdentitySampler",
    "Items",
    "Landmarks",
    "Pairs",
    "ShardSamples",
    "Shards",
    "Skipped",
    "Triplets",
    "collate",
    "heatmaps",
    "iterate",
    "stack",
]

#: Name -> its module.
_MODULES: Final = {
    "Detection": "detection",
    "IdentitySampler": "identity_sampler",
    "Items": "items",
    "Landmarks": "landmarks",
    "Pairs": "pairs",
    "ShardSamples": "shards",
    "Shards": "torch_shards",
    "Skipped": "skipped",
    "Triplets": "pairs",
    "collate": "skipped",
    "heatmaps": "landmarks",
    "iterate": "batches",
    "stack": "skipped",
}


def __getattr__(name: str) -> Any:
    """Return a name of :data:`__all__`, whose module is imported with its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("torch", "torchvision", "pycocotools"):
            raise
        raise MissingDependencyError(
            f"registry.loaders.{name} needs {error.name}: pip install 'deepfashion2-registry[torch]'"
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
