"""Memory settings for processes that decode annotations."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def use_lean_memory() -> None:
    """Turn off garbage collection of cycles and Arrow's memory pool in this process.

    Decoded annotations have no cycles, and every collection would traverse all of them. Arrow's pool keeps freed
    buffers, which are never reused here because each buffer has another size.
    """
    import pyarrow as pa

    gc.disable()
    pa.set_memory_pool(pa.system_memory_pool())


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
