"""Memory settings for processes that decode annotations."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOCK: Final = threading.Lock()
#: Whether collection was on before each of the blocks that run without it; only the first one can have found it on.
_was_on: list[bool] = []


def use_lean_memory() -> None:
    """Turn off garbage collection of cycles and Arrow's memory pool in this process.

    Decoded annotations have no cycles, and every collection would traverse all of them. Arrow's pool keeps freed
    buffers, which are never reused here because each buffer has another size.
    """
    import pyarrow as pa

    gc.disable()
    pa.set_memory_pool(pa.system_memory_pool())


@contextmanager
def without_collection() -> Iterator[None]:
    """Turn off garbage collection of cycles during the block; blocks may run in several threads at a time.

    For a process that also does other work, such as a worker of a cluster: there, collection is a sixth of the time of
    decoding.
    """
    with _LOCK:
        _was_on.append(gc.isenabled())
        gc.disable()
    try:
        yield
    finally:
        with _LOCK:
            if _was_on.pop():
                gc.enable()


@contextmanager
def lean_memory() -> Iterator[None]:
    """Use lean memory during the block, for a command that only ingests; restore the settings afterwards.

    The settings apply to the whole process, so only its owner may change them: a command or a worker, not a library
    function.
    """
    import pyarrow as pa

    was_enabled, pool = gc.isenabled(), pa.default_memory_pool()
    use_lean_memory()
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
        if was_enabled:
            gc.enable()
