"""A data-versioned registry of DeepFashion2 with a queryable store.

>>> import registry
>>> df2 = registry.open("data/registry")                    # doctest: +SKIP
>>> df2.pairs(split="train", pair_id=1811).df()             # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.store.registry import Registry

__all__ = ["__version__", "open"]

__version__ = "0.1.0"


def open(url: str = "data/registry", storage_options: Mapping[str, Any] | None = None) -> Registry:
    """Open a registry for reading.

    Args:
        url: folder or fsspec URL of the registry.
        storage_options: passed to fsspec for a remote one.

    Raises:
        registry.errors.NotFoundError: there is no registry.
    """
    from registry.store.registry import Registry

    return Registry(url, storage_options)
