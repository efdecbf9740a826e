"""Whether a saved position belongs to the sampler or the shards that are to continue from it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.errors import UsageError


def is_whole(value: Any) -> TypeGuard[int]:
    """Return whether a value is a whole number, of Python or NumPy."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_epoch(epoch: Any) -> None:
    """Refuse an epoch that is no whole number of 0 or more."""
    if not is_whole(epoch) or epoch < 0:
        raise UsageError(f"The epoch is {epoch!r}; expected a whole number of 0 or more.")


def checksum_of(rows: pa.Table, columns: Sequence[str]) -> str:
    """Return a checksum of columns of texts and numbers; it does not depend on how Arrow stores them."""
    checksum = zlib.crc32(b"")
    for name in columns:
        column = rows.column(name)
        if pa.types.is_integer(column.type):
            numbers = pc.fill_null(column.cast(pa.int64()), -1).to_numpy()
        else:
            codes = pc.dictionary_encode(column.cast(pa.string())).combine_chunks()
            checksum = zlib.crc32(repr(codes.dictionary.to_pylist()).encode(), checksum)
            numbers = pc.fill_null(codes.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        checksum = zlib.crc32(numbers.astype("<i8").tobytes(), checksum)
    return f"{checksum:08x}"


def check_state(state: Any, settings: Mapping[str, Any], owner: str, positions: Sequence[str]) -> None:
    """Refuse a state whose ``settings`` differ from these, or whose positions are no whole numbers of 0 or more.

    Args:
        state: to check; of any type.
        settings: expected.
        owner: whose state it is if settings differ, for the message.
        positions: names of numbers in the state.

    Raises:
        UsageError: the message names each difference with both values.
    """
    if not isinstance(state, Mapping) or not isinstance(state.get("settings"), Mapping):
        raise UsageError(
            f"The state is none of state_dict(): expected a dictionary with settings, found {state!r:.200}."
        )
    saved = state["settings"]
    differences = [
        f"{name} is {value!r}, but {saved.get(name)!r} in the state"
        for name, value in settings.items()
        if saved.get(name) != value
    ]
    if differences:
        raise UsageError(f"The state is of {owner}: {'; '.join(differences)}.")
    wrong = [f"{name} is {state.get(name)!r}" for name in positions if not is_whole(state.get(name)) or state[name] < 0]
    if wrong:
        raise UsageError(f"The state is damaged: {'; '.join(wrong)}; expected whole numbers of 0 or more.")
