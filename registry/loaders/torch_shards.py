"""The shards of a WebDataset export as an iterable dataset of torch."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from registry.loaders.shards import ShardSamples


class Shards(ShardSamples, IterableDataset[Any]):
    """A :class:`registry.loaders.shards.ShardSamples` that a DataLoader takes, with workers or without."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        """Read the manifest of the export; see :class:`registry.loaders.shards.ShardSamples`."""
        super().__init__(*args, **keywords)
        # In memory that worker processes share, so that persistent workers see the epoch.
        self._shared = torch.from_numpy(self._shared).clone().share_memory_()

    def _worker(self) -> tuple[int, int]:
        """Return number of this worker and number of workers of the DataLoader."""
        info = get_worker_info()
        return (info.id, info.num_workers) if info is not None else (0, 1)
