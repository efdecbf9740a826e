"""What other packages register: their entry points, by group."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib import metadata


def entry_points(group: str) -> tuple[metadata.EntryPoint, ...]:
    """Return the entry points of a group.

    Looking them up opens a file of each installed package, 20 ms for some hundreds, and 'df2 browse' needs them for
    each page of checks: it is done again only after the folders of packages have changed.
    """
    return _look_up(group, tuple((folder, _changed(folder)) for folder in map(os.path.abspath, sys.path)))


@lru_cache(maxsize=8)
def _look_up(group: str, folders: tuple[tuple[str, int | None], ...]) -> tuple[metadata.EntryPoint, ...]:
    """Return the entry points of a group; ``folders`` tell whether an earlier answer holds."""
    return tuple(metadata.entry_points(group=group))


def _changed(folder: str) -> int | None:
    """Return when a folder got or lost a file, or None where there is none."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None
