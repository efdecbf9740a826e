"""Random orders that stay the same on every platform and in every version of NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def random_keys(number: int, *seeds: int) -> npt.NDArray[np.uint64]:
    """Return ``number`` random keys that depend on the seeds alone; sorted by them, rows stand in a random order.

    The keys are the raw stream of PCG64, seeded by SeedSequence. NumPy promises these streams for good, but not those
    of ``Generator.permutation`` and ``Generator.choice``.

    Source: NEP 19, https://numpy.org/neps/nep-0019-rng-policy.html
    """
    keys: npt.NDArray[np.uint64] = np.random.PCG64(np.random.SeedSequence(seeds)).random_raw(number)
    return keys


def random_order(number: int, *seeds: int) -> npt.NDArray[np.intp]:
    """Return the numbers from 0 to ``number - 1`` in a random order that depends on the seeds alone."""
    return np.argsort(random_keys(number, *seeds), kind="stable")
