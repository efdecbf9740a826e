"""Memory settings of a process that only ingests: worker processes, and ``df2 ingest``."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def save_memory() -> None:
    """Disable cycle collection, and use the system's allocator for Arrow; for the rest of the process.

    Decoded annotations have no cycles, and every collection would walk all of them. Arrow's own allocator keeps freed
    buffers, which are rarely reused because every chunk needs other sizes.
    """
    import pyarrow as pa

    gc.disable()
    pa.set_memory_pool(pa.system_memory_pool())


@contextmanager
def saving_memory() -> Iterator[None]:
    """Call :func:`save_memory`, and restore the former settings at the end of the block."""
    import pyarrow as pa

    was_enabled, pool = gc.isenabled(), pa.default_memory_pool()
    save_memory()
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
        if was_enabled:
            gc.enable()
