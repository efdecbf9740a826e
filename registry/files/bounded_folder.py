"""The bound of a folder of cached files: beyond it the oldest are removed."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress


def remove_oldest(files: Collection[tuple[int, str, int]], max_bytes: int) -> tuple[int, list[str]]:
    """Return the bytes of the files that are left, and the paths of those removed to keep a bound.

    Beyond the bound files are removed down to three quarters of it, so that the next one does not exceed it at once.
    Another process may remove them too.

    Args:
        files: time of the last use, path and bytes of each file.
        max_bytes: the bound.
    """
    size = sum(length for _, _, length in files)
    removed: list[str] = []
    for _, path, length in sorted(files) if size > max_bytes else ():
        if size <= max_bytes * 3 // 4:
            break
        with suppress(FileNotFoundError):
            os.unlink(path)
        removed.append(path)
        size -= length
    return size, removed
