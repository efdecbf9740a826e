"""Reads of files at a position, which no other read can move."""

from __future__ import annotations

import os
import threading
from typing import Final

#: Guards the position of descriptors where the system cannot read without it (Windows).
_position: Final = threading.Lock()


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Return ``size`` bytes of an open file at an offset; fewer at its end.

    Threads may share the descriptor. Processes must not: on Windows it has a single position.

    Raises:
        OSError: they cannot be read.
    """
    parts = []
    while size > 0:
        if hasattr(os, "pread"):
            data = os.pread(descriptor, size, offset)
        else:
            with _position:
                os.lseek(descriptor, offset, os.SEEK_SET)
                data = os.read(descriptor, size)
        if not data:
            break
        parts.append(data)
        offset, size = offset + len(data), size - len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)
